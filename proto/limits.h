/* Every maximum in the system, each with its reason. A value over its limit is an E_LIMIT error
 * that names the limit; it is never cut silently. */
// SPDX-License-Identifier: Apache-2.0
#pragma once

/* One body that goes into the store: what S3 takes as one object, too. Beyond what an int holds. */
#define UPLOAD_BYTES_MAX (5ull << 40)

enum {
    /* Names of steps, inputs, outputs, axes, params: they become file names and environment names.
     */
    NAME_BYTES_MAX = 64,
    /* A pipeline file; what people write by hand is a hundred times smaller. */
    PIPELINE_BYTES_MAX = 4 << 20,
    /* Nesting of YAML, JSON and MessagePack: parsers recurse, and stacks are 8 MiB. */
    VALUE_DEPTH_MAX = 64,
    /* Values in one document, after alias expansion: an alias bomb ends here. */
    VALUE_COUNT_MAX = 1 << 20,
    /* YAML anchors of one file: they are looked up one by one. */
    ANCHORS_MAX = 1000,
    /* Errors reported of one file; the rest is said as a number. */
    DIAGNOSTICS_MAX = 50,
    /* Tasks in one run: 32-bit indices, and 250 bytes each is 2.5 GB. */
    TASKS_MAX = 10000000,
    /* Dependencies in one run. */
    EDGES_MAX = 100000000,
    /* Axes of one matrix, values of one axis. */
    AXES_MAX = 16,
    AXIS_VALUES_MAX = 10000000,
    /* Inputs and outputs that one step may name; a gather of many tasks is one input. */
    INPUTS_MAX = 256,
    OUTPUTS_MAX = 64,
    /* A canonical task specification: two gathers of 100,000 tasks (about 43 bytes each) fit. */
    SPEC_BYTES_MAX = 10 << 20,
    /* References of one gather; SPEC_BYTES_MAX ends it earlier when output names are long. */
    GATHER_INLINE_MAX = 200000,
    /* Specifications of one run together: a gather that is broadcast is repeated in every one of
       them. */
    SPECS_BYTES_MAX = 0x7fffffff,
    /* A record with its action (as large as a specification) and its inlined values. */
    RECORD_BYTES_MAX = 12 << 20,
    /* A JSON output up to this size is inlined into its record. */
    INLINE_BYTES_MAX = 4096,
    /* One work plane frame: what a peer may make the other allocate. A specification with its
       resolved inputs fits. */
    FRAME_BYTES_MAX = 32 << 20,
    /* Tasks or results in one frame; measured: gains end at about 500. */
    FRAME_TASKS_MAX = 1000,
    /* Results in one commit: the journal's write and one Redis script stay short. */
    COMMIT_RECORDS_MAX = 100000,
    /* Entries a frame may have at all; a HEARTBEAT may name every attempt a worker holds. */
    BATCH_ENTRIES_MAX = 65536,
    /* A label's or offered kind version's text. */
    LABEL_BYTES_MAX = 256,
    /* Unacknowledged tasks that one worker may hold. */
    WORKER_CREDIT_MAX = 8192,
    /* Workers of one broker, slots of one worker. */
    WORKERS_MAX = 65536,
    SLOTS_MAX = 1024,
    /* `retry.limit` and `retry.poison`; more hides a fault instead of mending it. */
    RETRY_LIMIT_MAX = 1000,
    POISON_KILLS_MAX = 1000,
    /* Seconds of `timeout`, `backoff` and a drain's grace: 30 days in milliseconds fit 32 bits. */
    DURATION_SECONDS_MAX = 30 * 24 * 3600,
    /* `resources.memory` in TiB: no machine has as much. */
    MEMORY_TEBIBYTES_MAX = 1024,
    /* Labels that a step asks for or a worker has; they are compared one by one. */
    LABELS_MAX = 64,
    /* Named counts that a step takes or a worker offers, and the most of one of them. */
    RESOURCES_MAX = 16,
    RESOURCE_COUNT_MAX = 1000000,
    /* `resources.cpu` in cores, and `priority` to either side: hundredths of the one and sums of
       the other fit 32 bits. */
    CPU_MAX = 4096,
    CPU_HUNDREDTHS_MAX = 100 * CPU_MAX,
    PRIORITY_MAX = 1000000,
    /* Files in one tree artifact, and bytes of one path in it. */
    TREE_ENTRIES_MAX = 1000000,
    TREE_PATH_BYTES_MAX = 1024,
    /* A tree's manifest; a million entries with long paths is far below. */
    MANIFEST_BYTES_MAX = 1 << 30,
    /* What is kept of a task's stdout and stderr. */
    LOG_BYTES_MAX = 16 << 20,
    /* A piece of a running task's output on the wire, and what a broker keeps of one that somebody
       follows: they read faster than a screen scrolls, and are few. */
    LOG_FRAME_BYTES_MAX = 64 << 10,
    LOG_TAIL_BYTES_MAX = 256 << 10,
    LOG_TAILS_MAX = 64,
    /* Events that a broker keeps for those who watch, and their bytes: whoever is further behind
       reads the run anew. */
    EVENTS_KEPT_MAX = 8192,
    EVENTS_BYTES_MAX = 4 << 20,
    /* Tasks of a run whose every change is told; larger ones tell counts, and so many failures. */
    EVENT_TASKS_MAX = 1000,
    EVENT_FAILURES_MAX = 100,
    /* Newest runs of which a broker remembers the idempotency key. */
    IDEMPOTENCY_KEYS_MAX = 10000,
    /* Runs that go on in one broker at once: each has its graph in memory. */
    OPEN_RUNS_MAX = 10000,
    /* Tasks that an answer lists one by one unless it is asked to: some MB of JSON, and a moment of
       the broker's thread. Beyond that steps are listed. Also records for an attestation. */
    LISTED_TASKS_MAX = 10000,
    /* Artifacts in one worker's cache, however small, but for those in use: a new worker looks at
       each file it finds there, and each has a line in memory. */
    CACHE_ENTRIES_MAX = 16384,
    /* A CSV's columns, and the bytes of one field. */
    COLUMNS_MAX = 65536,
    FIELD_BYTES_MAX = 16 << 20,
    /* Classes of a classification target: probabilities are rows × classes doubles. */
    CLASSES_MAX = 10000,
    /* Defaults of the lease: a worker that is silent for this long has lost its tasks. */
    LEASE_MS_DEFAULT = 15000,
    /* Below, a busy machine loses workers that are well (they tell of themselves three times in a
       lease); above, a machine that lost its power holds its tasks for longer than a person waits.
     */
    LEASE_MS_MIN = 1000,
    LEASE_MS_MAX = 600000,
    /* An endpoint: a host name has at most 255 bytes, and there are a scheme and a port. */
    ENDPOINT_BYTES_MAX = 272,
    /* Brokers that one worker knows of: a leader and its standbys. */
    BROKERS_MAX = 8,
    /* Keys on a broker's list of workers: one for each worker there may be. */
    ALLOWED_KEYS_MAX = 65536,
    /* How far a worker's epoch may be ahead of its broker's: a broker takes a new one when it
       starts, and none starts a million times while another is away. */
    EPOCH_AHEAD_MAX = 1 << 20,
    /* The path of an ipc endpoint: sockaddr_un has 108 bytes, with the last one 0. */
    IPC_PATH_BYTES_MAX = 107,
    /* Distinct workers or slots that one task may cost their life before it fails for good. */
    POISON_KILLS_DEFAULT = 3,
    /* Further attempts where a step says nothing: enough for a passing fault, few enough that a
       lasting one is seen soon. */
    RETRY_LIMIT_DEFAULT = 2,
    /* Before the second attempt, doubling up to the other: a store that answers 503 has a breath,
       and a long outage costs one attempt a minute. */
    BACKOFF_MS_DEFAULT = 1000,
    BACKOFF_MAX_MS_DEFAULT = 60000,
    /* How long a worker rests that found its disk full, doubling from the one to the other: what
       was large and passing is gone after a second, a disk that stays full costs four attempts a
       minute, and whoever makes room does not wait long for it to be seen. */
    REST_MS_MIN = 1000,
    REST_MS_MAX = 16000,
    /* What a step takes that says nothing: the core of the slot it runs in. */
    CPU_HUNDREDTHS_DEFAULT = 100,
    /* A file of attestations: some thousand statements of some kilobytes. */
    ATTESTATION_BYTES_MAX = 64 << 20,
    /* Keys of named objects in a store: S3 takes 1,024 with the store's own prefix before it. */
    OBJECT_KEY_BYTES_MAX = 512,
    /* What is put into a store again and older than this is made new: half of the day for which
       garbage collection spares what is new. */
    STORE_FRESH_SECONDS = 12 * 3600,
    /* Garbage collection spares what was put in the last day: the result that names it may be on
       its way still. */
    GC_GRACE_SECONDS = 24 * 3600,
    /* For so long damaged blobs, and records of run-task that nobody took in, can be looked at. */
    GC_ASIDE_SECONDS = 30 * 24 * 3600,
    /* What fsck and gc tell one by one; the rest is told as numbers. */
    FINDINGS_TOLD_MAX = 1000,
    /* How long a presigned URL may work: S3's own limit, seven days. */
    PRESIGN_SECONDS_MAX = 7 * 24 * 3600,
    /* How long a store's operation waits for a server that does not answer, or says it is too busy:
       longer than it takes to start one again. */
    STORE_PATIENCE_MS = 60000,
    /* The same before the server was heard of for the first time: a wrong address is more likely
       then, and a person waits. */
    STORE_FIRST_PATIENCE_MS = 4000,
    /* The same for the broker's loop, which tries again by itself and has others to answer. */
    LOOP_STORE_PATIENCE_MS = 500,
    /* Above, a file goes into S3 in parts: below, one put is as fast, and one request. */
    STORE_PARTS_BYTES = 64 << 20,
    /* To get a connection: a SYN that is lost twice (1 s, 3 s) still makes it. */
    HTTP_CONNECT_MS = 10000,
    /* What is kept of an answer's headers, and of the body of one that says no: servers send
       less. */
    HTTP_HEADER_BYTES_MAX = 64 << 10,
    HTTP_ERROR_BYTES_MAX = 64 << 10,
    /* A file below ~/.aws, or a token of Kubernetes: a hundred profiles fit. */
    AWS_FILE_BYTES_MAX = 1 << 20,
    /* To STS or a metadata service; where there is none, a run should not wait long to hear so. */
    AWS_METADATA_CONNECT_MS = 2000,
    /* How long a worker's running tasks may take to finish after SIGTERM: Kubernetes kills after
       30 s too. */
    GRACE_MS_DEFAULT = 30000,
    /* Connections of the web server: each may hold 64 KiB and a queue; a team and its dashboards
       have some dozens. */
    HTTP_CONNECTIONS_MAX = 512,
    /* How long a request's head may take to come, and an idle connection is kept. */
    HTTP_PATIENCE_MS = 30000,
    /* Beyond that time bodies must flow at this rate: no line is slower, only an attack is. */
    HTTP_RATE_BYTES_MIN = 16 << 10,
    /* A peer that acknowledges nothing for so long is gone. */
    HTTP_UNACKNOWLEDGED_MS = 60000,
    /* What may wait for a slow reader of a stream: some thousand events. */
    HTTP_QUEUE_BYTES_MAX = 1 << 20,
    /* Processes and threads of one `exec` program: what keeps a hundred cores busy, and few enough
       that ending a fork bomb is a matter of a second. */
    SANDBOX_PROCESSES_DEFAULT = 4096,
    /* A JSON request that holds no pipeline: ids of uploads are what makes one long. */
    API_BODY_BYTES_MAX = 1 << 20,
    /* One that does: the pipeline's text, escaped, its parameters, its sources. */
    API_PIPELINE_BODY_BYTES_MAX = 16 << 20,
    /* Ids in one request for uploads; a client asks again for more. */
    API_UPLOADS_MAX = 10000,
    /* A caller's name for "the same request again": a UUID, or two with words around them. */
    IDEMPOTENCY_KEY_BYTES_MAX = 128,
    /* Runs in one page of a list, and in one that says nothing. */
    LIST_MAX = 1000000,
    LIST_DEFAULT = 20,
    /* Secrets that a step asks for or a worker has: each is a label, of which there are LABELS_MAX.
     */
    SECRETS_MAX = 32,
    /* A shorter value would be found in every log; a longer one does not fit a variable (128 KiB
       with its name). */
    SECRET_BYTES_MIN = 4,
    SECRET_BYTES_MAX = 96 << 10,
};

/* One file that an `exec` program writes: a larger one is a loop that does not end. */
#define SANDBOX_FILE_BYTES_DEFAULT (UINT64_C(1) << 40)
