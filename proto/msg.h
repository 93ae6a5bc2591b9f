/* The work plane's messages as plain structs (design: §8; PROTOCOL.md is the full text). One
 * MessagePack array per ZeroMQ frame: [type, …]. Everything a decoded message points at is a view
 * into its frame.
 *
 * Batches (TASKS, RESULTS, ACK, REVOKE, …) are read item by item with a cursor and written item by
 * item with a writer, so that neither side needs an array of them. Decoders are sticky: read all,
 * check once. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/codec.h"
#include "proto/err.h"
#include "proto/id.h"
#include "proto/limits.h"
#include "proto/record.h"
#include "proto/task_node.h"
#include "proto/task_spec.h"

enum { PROTOCOL_VERSION = 1, SIGNATURE_BYTES = 64, PUBLIC_KEY_BYTES = 32, INSTANCE_BYTES = 16 };
/* An encoded map of named counts, at most. */
enum { RESOURCES_BYTES_MAX = 3 + RESOURCES_MAX * (2 + NAME_BYTES_MAX + 5) };

enum msg_type {
    MSG_HELLO = 0,
    MSG_WELCOME = 1,
    MSG_REFUSED = 2, /* broker: a code and a readable reason */
    MSG_TASKS = 3,
    MSG_STARTED = 4,
    MSG_PROGRESS = 5,
    MSG_RESULTS = 6,
    MSG_ACK = 7,
    MSG_REVOKE = 8, /* give back what has not begun */
    MSG_KILL = 9,   /* end what runs */
    MSG_HEARTBEAT = 10,
    MSG_GOODBYE = 11,    /* worker: drain; the attempts it hands back */
    MSG_REVOKED = 12,    /* worker: these attempts were given back, never begun */
    MSG_NOT_LEADER = 13, /* broker: another one leads */
    MSG_WATCH = 14,      /* broker: what has this attempt written, from here on? */
    MSG_LOG = 15,        /* worker: the answer */
    MSG_TYPE_COUNT
};

/* A (task, attempt): what leases, results and revocations are about. */
struct attempt {
    struct id task;
    uint32_t number;
};

struct hello {
    uint32_t protocol;
    const char *name; /* for people; NAME_BYTES_MAX */
    uint32_t name_bytes;
    uint8_t instance[INSTANCE_BYTES];     /* random per process start */
    uint8_t public_key[PUBLIC_KEY_BYTES]; /* Ed25519: signs its RESULTS frames */
    uint32_t slots;
    uint32_t cpu_hundredths; /* offered */
    uint64_t memory_bytes;
    uint64_t epoch;           /* the highest broker epoch it has seen */
    struct mp_view kinds;     /* array of "name@version" or "name.variant@version" */
    struct mp_view labels;    /* map string → string */
    struct mp_view resources; /* map name → count; of 0 bytes: none */
    struct mp_view running;   /* array of attempts it still holds: [task, number] */
};

struct welcome {
    uint64_t epoch;
    uint32_t lease_ms;
    uint32_t credit; /* unacknowledged tasks it may be sent */
};

struct refused {
    enum status code;
    const char *reason;
    uint32_t reason_bytes;
};

struct not_leader {
    uint64_t epoch;       /* the highest it has heard of */
    const char *endpoint; /* of the leader, for workers; of 0 bytes: not known */
    uint32_t endpoint_bytes;
};

/* One entry of TASKS. */
struct task_msg {
    struct attempt attempt;
    const uint8_t *spec;
    size_t spec_bytes;
    const uint8_t *inputs; /* encoded array of [id, bytes, is_tree], one per task ref of the spec */
    size_t inputs_bytes;
    uint32_t input_count;
    int32_t priority;
    uint32_t timeout_ms;   /* 0: none */
    uint64_t memory_bytes; /* limit; 0: none */
    uint32_t cpu_hundredths;
    struct mp_view resources; /* map name → count that it takes; of 0 bytes: none */
};

/* One entry of a RESULTS body. */
struct result_msg {
    struct attempt attempt;
    enum status code;      /* OK: `record`; else `text` */
    const uint8_t *record; /* verbatim: what the journal keeps */
    size_t record_bytes;
    const char *text;
    uint32_t text_bytes;
    bool has_log;
    struct artifact log; /* of a failure */
    const uint8_t *lost; /* E_LOST: encoded ids (bin 32 each) of inputs missing or corrupt */
    size_t lost_bytes;
    uint32_t lost_count;
};

struct results_msg {
    uint64_t sequence;        /* per instance, from 0: what ACK names */
    const uint8_t *signature; /* SIGNATURE_BYTES, Ed25519 over BLAKE2b(PERSON_FRAME) of the body */
    const uint8_t *body;      /* an encoded array of result entries */
    size_t body_bytes;
};

struct progress_msg {
    struct attempt attempt;
    uint64_t step, total;
    struct mp_view metrics; /* map string → real */
};

struct watch_msg {
    struct attempt attempt;
    uint64_t offset;
};

/* LOG_FRAME_BYTES_MAX at most; no bytes: there is nothing behind, or the attempt is not running. */
struct log_msg {
    struct attempt attempt;
    uint64_t offset; /* of the first byte: more than was asked for where that is far back */
    uint64_t size;   /* of all that was written so far */
    struct mp_view text;
};

/* The type of a frame, or MSG_TYPE_COUNT when it is not one of ours. */
enum msg_type msg_type(const uint8_t *frame, size_t bytes);

MUST_USE enum status msg_decode_hello(const uint8_t *frame, size_t bytes, struct hello *out,
                                      struct err *err);
MUST_USE enum status msg_decode_welcome(const uint8_t *frame, size_t bytes, struct welcome *out,
                                        struct err *err);
MUST_USE enum status msg_decode_refused(const uint8_t *frame, size_t bytes, struct refused *out,
                                        struct err *err);
MUST_USE enum status msg_decode_not_leader(const uint8_t *frame, size_t bytes,
                                           struct not_leader *out, struct err *err);
MUST_USE enum status msg_decode_results(const uint8_t *frame, size_t bytes, struct results_msg *out,
                                        struct err *err);
MUST_USE enum status msg_decode_progress(const uint8_t *frame, size_t bytes,
                                         struct progress_msg *out, struct err *err);

MUST_USE enum status msg_decode_watch(const uint8_t *frame, size_t bytes, struct watch_msg *out,
                                      struct err *err);
MUST_USE enum status msg_decode_log(const uint8_t *frame, size_t bytes, struct log_msg *out,
                                    struct err *err);

/* Batches. `msg_batch_begin` checks the head and returns the count; each `msg_next_*` reads one
 * entry; after the last, `mp_reader_finish` must be OK, or the whole frame is refused before
 * anything counts. A RESULTS body begins without a type: use msg_body_begin. */
uint32_t msg_batch_begin(struct mp_reader *reader, enum msg_type type);
uint32_t msg_body_begin(struct mp_reader *reader);
void msg_next_task(struct mp_reader *reader, struct task_msg *out);
void msg_next_result(struct mp_reader *reader, struct result_msg *out);
void msg_next_attempt(struct mp_reader *reader,
                      struct attempt *out); /* STARTED REVOKE KILL REVOKED GOODBYE HEARTBEAT */
uint64_t msg_next_sequence(struct mp_reader *reader); /* ACK */
/* The map of named counts in a HELLO or an entry of TASKS: how many; then each. Decoding has
 * checked them; `name` is a view without a NUL at its end. */
uint32_t msg_resources_begin(struct mp_reader *reader, const struct mp_view *resources);
void msg_next_resource(struct mp_reader *reader, struct resource *out, uint32_t *name_bytes);
void mp_read_artifact(struct mp_reader *reader, struct artifact *out);

void msg_write_hello(struct mp_writer *writer, const struct hello *hello);
void msg_write_welcome(struct mp_writer *writer, const struct welcome *welcome);
void msg_write_refused(struct mp_writer *writer, const struct refused *refused);
void msg_write_not_leader(struct mp_writer *writer, const struct not_leader *not_leader);
void msg_write_batch_head(struct mp_writer *writer, enum msg_type type, uint32_t count);
void msg_write_task(struct mp_writer *writer, const struct task_msg *task);
void msg_write_result(struct mp_writer *writer, const struct result_msg *result);
void msg_write_attempt(struct mp_writer *writer, const struct attempt *attempt);
void msg_write_results(struct mp_writer *writer, const struct results_msg *results);
void msg_write_progress(struct mp_writer *writer, const struct progress_msg *progress);
void msg_write_watch(struct mp_writer *writer, const struct watch_msg *watch);
void msg_write_log(struct mp_writer *writer, const struct log_msg *log);
void mp_write_artifact(struct mp_writer *writer, const struct artifact *artifact);
void mp_write_resources(struct mp_writer *writer, const struct resource *resources, uint32_t count);
