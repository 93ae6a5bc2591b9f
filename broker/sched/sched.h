/* The scheduler: a pure state machine. No clock, socket, file, thread, random source or
 * environment: events in, actions out, time in the event. The same events give the same actions, so
 * a trace replays.
 *
 * THE LIFE OF A TASK
 *
 *   waiting ── inputs final ──▶ resolving ── no record ──▶ ready ── ASSIGN ──▶ assigned
 *                                   │                        ▲                     │
 *                      early cutoff │        FAILED, backoff │                     │ STARTED
 *   RESTORE: a hit                  ▼            GONE, lease │        DONE         ▼
 *      └─▶ succeeded ◀─ COMMITTED ─ committing ◀─────────────┴─────────────────── running
 *
 *   No retries left: failed, and what waits for it: upstream_failed. CANCEL: cancelled. Needed by
 *   nobody: unneeded. These, and succeeded, are final.
 *
 * RULES (design: §2, §3, §8)
 *   - A run wants its targets; a task is needed if a wanted task that is no hit needs it. An
 *     ancestor of a hit isn't needed.
 *   - A task whose inputs come from tasks is looked up once more by its action key when its inputs
 *     are known (RESOLVE): if the same bytes were worked on before, the task succeeds without
 *     running (early cutoff). A task without task inputs skips that: its task id says the same.
 *   - Order of actions is meaning: durable first (PERSIST), visible after. Dependants of a task are
 *     released, and its result is acknowledged and shown, only on COMMITTED.
 *   - Every attempt carries a number. A failure or lease of a stale attempt is ignored. A success
 *     counts for any (task, attempt) that was assigned to that instance, while the task isn't
 *     final: work is not thrown away.
 *   - Equal ids are one task, within and across runs: executed once, in flight too.
 *   - No step is long, however large a graph is: see todo.h. Frames of workers that a former broker
 *     knew are for after its runs were submitted again (is_begun).
 *   - A failed task fails alone: what depends on it becomes upstream_failed, the rest goes on.
 *   - Order: priority, then the run with the least in flight, then the longest remaining path, then
 *     age, then task index. No iteration in hash or pointer order.
 *   - A task starts where its kind, labels, cpu, memory and named counts are free, or is sent to be
 *     next where they are not; the worker's agent starts nothing that does not fit (match.h,
 *     room.h).
 *   - A worker that is lost costs its tasks no retry. One that lost its life while it ran a task is
 *     held against that task, as is a slot: after poison_kills of them it fails, and says which.
 *   - A worker whose disk is full rests, and is then tried with one task at a time (rest.h).
 *
 * MEMORY: dense arrays and indices; ≤ 100 bytes a task beside the specifications, which the run's
 * submitter keeps alive. Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/ms.h"
#include "proto/err.h"
#include "proto/id.h"
#include "proto/limits.h"
#include "proto/msg.h"
#include "proto/task_node.h"
#include "proto/task_spec.h"

struct sched;

/* A known record, as far as the scheduler needs it: its outputs, sorted by name. */
struct sched_known {
    uint32_t output_count;
    const struct artifact *outputs;
};

enum sched_event_type {
    SCHED_SUBMIT,    /* a run begins; what its targets need and has no record is worked on */
    SCHED_RESTORE,   /* before it: records that were found for its task ids. Of 0: none were */
    SCHED_EXTEND,    /* room for run-time nodes; not used yet */
    SCHED_CANCEL,    /* stop a run: nothing new is assigned; with `kill` what runs is ended, else it
                      may finish */
    SCHED_HELLO,     /* a worker joined, or came back, with what it still runs */
    SCHED_HEARTBEAT, /* leases renewed; an attempt that the worker holds, or none */
    SCHED_GONE,      /* its connection ended or it said GOODBYE (`is_drain`) */
    SCHED_STARTED,
    SCHED_PROGRESS,
    SCHED_DONE,
    SCHED_FAILED,
    SCHED_REVOKED,   /* the worker gave an attempt back, never begun */
    SCHED_RESOLVED,  /* the answer to RESOLVE */
    SCHED_COMMITTED, /* every PERSIST since the last one is durable */
    SCHED_CHECKED,   /* the answer to CHECK */
    SCHED_GO_ON,     /* what earlier steps left over goes on (todo.h); no lease ends by it */
    SCHED_TICK,      /* time passed */
    SCHED_EVENT_COUNT
};

/* DONE: it was forced and has run, before a restart; its record counts, and what is below it is
 * looked up by its action. */
enum sched_force { SCHED_NOT_FORCED, SCHED_FORCED, SCHED_FORCED_DONE };

struct sched_event {
    enum sched_event_type type;
    ms_t now;
    union {
        /* Nodes, edges and marks are borrowed until the run is_begun; specs until it is
         * forgotten. */
        struct {
            uint32_t run; /* the submitter's number, dense and small */
            const struct task_node *nodes;
            uint32_t node_count;
            const struct task_edge *edges; /* all nodes' edges, in order */
            const struct task_policy *policies;
            uint32_t policy_count;
            const uint8_t *is_target; /* per node; NULL: the tasks nobody depends on */
            const uint8_t *is_forced; /* per node: SCHED_FORCED: run even if a record exists; what
                                         is below it is looked up by its action. NULL: none */
        } submit;
        struct { /* batched: one event may carry many */
            const struct id *tasks;
            const struct sched_known *records;
            uint32_t count;
        } restore;
        struct {
            uint32_t run;
            bool kill;
        } cancel;
        struct {
            uint32_t worker; /* the router's number; dense, used again only after GONE */
            uint8_t instance[INSTANCE_BYTES];
            uint32_t slots, cpu_hundredths, credit;
            uint64_t memory_bytes;
            const char *name; /* for people; NULL: none */
            uint32_t kind_count, label_count, resource_count;
            const char *const *kinds;         /* "name@version" */
            const char *const *labels;        /* pairs */
            const struct resource *resources; /* beside cpu and memory: gpu, … */
            const struct attempt *running;
            uint32_t running_count;
        } hello;
        struct {
            uint32_t worker;
            bool is_drain;
            enum status code; /* why: E_GONE, E_PROTOCOL, … */
        } gone;
        struct { /* HEARTBEAT STARTED REVOKED */
            uint32_t worker;
            struct attempt attempt;
        } worker;
        struct {
            uint32_t worker;
            struct attempt attempt;
            uint64_t step, total;
        } progress;
        struct {
            uint32_t worker;
            struct attempt attempt;
            uint64_t frame;  /* the loop's handle of the RESULTS frame: goes into PERSIST and ACK */
            uint32_t index;  /* within it */
            int64_t took_us; /* the attempt, by its worker */
            const struct artifact *outputs; /* sorted by name, as in the spec */
            uint32_t output_count;
        } done;
        struct {
            uint32_t worker;
            struct attempt attempt;
            enum status code;
            const char *text;
            uint32_t text_bytes;
            uint64_t frame;
            bool has_log;
            struct artifact log;
            const struct id *lost; /* E_LOST: ids of inputs missing or corrupt */
            uint32_t lost_count;
        } failed;
        struct {
            uint32_t task;
            bool is_found;
            struct sched_known record;
        } resolved;
        struct { /* for run: artifacts of CHECK that are missing */
            uint32_t run;
            const struct id *missing;
            uint32_t missing_count;
        } checked;
    };
};

enum sched_action_type {
    SCHED_PERSIST, /* write the record of (frame, index) under `task` and its action key; durable
                      before anything below */
    SCHED_ALIAS,   /* early cutoff: `task` points at the record of action `action_task`'s inputs;
                      durable too */
    SCHED_FORGET,  /* the record of `task` is wrong (its blob is gone): remove it; durable too */
    SCHED_RESOLVE, /* look the action key of `task` up (inputs attached) */
    SCHED_CHECK,   /* are these artifacts in the store? asked before RUN_OVER */
    SCHED_ASSIGN,  /* send (task, attempt) to `worker` */
    SCHED_REVOKE,  /* ask `worker` to give (task, attempt) back if it has not begun */
    SCHED_KILL,    /* tell `worker` to end (task, attempt) */
    SCHED_ACK,     /* `frame` of `worker` is dealt with */
    SCHED_DROPPED, /* a second, different success: log task.nondeterministic */
    /* A task's visible state changed; read it with sched_task_info(). `run` owns it; where it
     * is_shared, other runs have it as well. Not for what SUBMIT finds (hits, unneeded), nor for
     * waiting → ready. */
    SCHED_PUBLISH,
    SCHED_WAKE_AT, /* send a TICK at `at` at the latest */
    SCHED_REST,    /* `worker` is given nothing until `at`, for its machine failed with `code` */
    SCHED_FREED,   /* a run is forgotten: `index` task numbers from `task` on mean nothing now */
    SCHED_RUN_OVER
};

struct sched_action {
    enum sched_action_type type;
    uint32_t run, task, worker; /* as far as they apply; `task` is the scheduler's own index */
    uint32_t attempt, index;
    uint64_t frame;
    ms_t at;
    enum status code;         /* REST: why */
    bool is_replacement;      /* PERSIST of a forced task: the old record goes in the same commit */
    bool is_resolved;         /* ASSIGN: RESOLVE has asked for the same inputs before */
    const struct id *unknown; /* KILL of a task that no run has (`task` UINT32_MAX); else NULL */
    const struct artifact *inputs; /* RESOLVE, ASSIGN: resolved inputs; CHECK: what to look for */
    uint32_t input_count;
};

struct sched_actions {
    struct sched_action *items;
    size_t count, capacity;
};

struct sched_options {
    uint64_t seed;        /* of the backoff's jitter */
    uint32_t lease_ms;    /* 0: LEASE_MS_DEFAULT */
    uint32_t workers_min; /* nothing is assigned before so many were connected at once */
    /* Nodes and edges that one step may walk through; what is left goes on with the next step,
     * which WAKE_AT asks for at once. 0: STEP_WORK_DEFAULT. */
    uint32_t step_work;
};
/* About 2 ms: short beside a lease or a person's patience, long beside what a step costs anyway. */
enum { STEP_WORK_DEFAULT = 4096 };

struct sched *sched_new(const struct sched_options *options);
void sched_free(struct sched *sched);
/* Appends to `out`, which the caller empties. The event is borrowed; what actions point at lives
 * until the next step. Refusals are actions, never a return value. */
void sched_step(struct sched *sched, const struct sched_event *event, struct sched_actions *out);
/* Events about these tasks come next: what they need is fetched from memory side by side. */
void sched_prefetch(const struct sched *sched, const struct id *tasks, uint32_t count);
void sched_actions_fini(struct sched_actions *actions);

/* ---- looking in; nothing here changes anything ---- */

enum task_state {
    TASK_WAITING,
    TASK_READY,
    TASK_RUNNING,
    TASK_SUCCEEDED,
    TASK_FAILED,
    TASK_UPSTREAM_FAILED,
    TASK_SKIPPED,
    TASK_UNNEEDED,
    TASK_CANCELLED,
    TASK_STATE_COUNT
};
/* "waiting", "upstream_failed", … (design: §11) */
const char *task_state_name(enum task_state state);

struct sched_task_info {
    struct id id;
    enum task_state state;
    bool is_hit;    /* its record was there, by task id */
    bool is_cutoff; /* its record was found by action key: early cutoff */
    bool is_shared; /* other runs, or nodes, may have it too */
    uint32_t attempts;
    uint32_t worker;                                     /* of the last attempt; UINT32_MAX none */
    ms_t ready_at, assigned_at, started_at, finished_at; /* MS_NEVER: not yet */
    uint64_t progress_step, progress_total;
    enum status code; /* of the last failure */
    const char *text; /* of the last failure, "" if none */
    bool has_log;
    struct artifact log;
    const uint8_t *spec;
    uint32_t spec_bytes;
    const struct task_policy *policy; /* never NULL */
    uint32_t output_count;
    const struct artifact *outputs;
};
/* The scheduler's index of a run's node, and its state. Cheap. */
uint32_t sched_task_index(const struct sched *sched, uint32_t run, uint32_t node);
uint32_t sched_task_find(const struct sched *sched, const struct id *id); /* UINT32_MAX: none */
void sched_task_info(const struct sched *sched, uint32_t task, struct sched_task_info *out);
/* The same as the run sees it: one that was cancelled has left what others go on with. */
void sched_node_info(const struct sched *sched, uint32_t run, uint32_t node,
                     struct sched_task_info *out);
/* The index of its first node's task, if those of the others follow one by one, as where no task
 * was there before; else UINT32_MAX. */
uint32_t sched_first_task(const struct sched *sched, uint32_t run);

/* What a task is, as far as sending and writing it down needs. Cheaper than its whole story. */
struct sched_work {
    const struct id *id; /* lives until the next step */
    const uint8_t *spec;
    uint32_t spec_bytes;
    const struct task_policy *policy; /* never NULL */
};
struct sched_work sched_work(const struct sched *sched, uint32_t task);

struct sched_run_info {
    uint32_t counts[TASK_STATE_COUNT];
    uint32_t hit, executed; /* of the succeeded; executed counts tasks that ran to a success here */
    bool is_known;          /* it was submitted, and is not forgotten yet */
    bool is_begun;          /* all its tasks are there; before, none may be asked for */
    bool is_over, is_cancelled;
};
void sched_run_info(const struct sched *sched, uint32_t run, struct sched_run_info *out);
/* Numbers a scaler needs; cheap, to be asked for often. */
struct sched_load {
    uint32_t ready;   /* tasks that would start if there were room */
    uint32_t running; /* tasks that are at workers, begun or next */
    uint32_t waiting; /* tasks that wait for others; of several runs, once in each */
    uint32_t workers, slots;
    uint32_t workers_awaited; /* so many more have to join before anything is given out */
    uint32_t slots_wanted; /* for all that is ready or running to run at once: at least `running`.
                              A task of several cores is worth as many slots */
};
void sched_load(const struct sched *sched, struct sched_load *out);
struct sched_worker_info {
    uint32_t worker; /* the router's number */
    const char *name;
    bool is_silent;          /* its lease ran out */
    enum status rest_code;   /* OK: it is well; else why it rests, or is tried after a rest */
    uint32_t rest_left_ms;   /* of its rest; 0: none */
    uint32_t slots, running; /* running: begun; others may be there, to be next */
    uint32_t cpu_hundredths;
    uint64_t memory_bytes;
    uint32_t kind_count, label_count, resource_count;
    const char *const *kinds;         /* "name@version" */
    const char *const *labels;        /* pairs */
    const struct resource *resources; /* beside cpu and memory */
};
/* One connected worker after the other; false: no more. Begins with a cursor of 0. */
bool sched_next_worker(const struct sched *sched, uint32_t *cursor, struct sched_worker_info *out);
/* Tasks that the COMMITTED of this one will release, as far as is known now: all their other inputs
 * are there, or wait for the same commit. For each its resolved inputs, as RESOLVE will bring them;
 * they live during the call. A guess, for whoever wants to look their actions up along with the
 * commit: few of them, and none with many inputs. `task` is one whose PERSIST or ALIAS was given
 * last. */
enum { SCHED_FORESEEN_MAX = 4, SCHED_FORESEEN_INPUTS_MAX = 16 };
typedef void sched_foreseen_fn(void *context, uint32_t task, const struct artifact *inputs,
                               uint32_t input_count);
void sched_foresee(const struct sched *sched, uint32_t task, sched_foreseen_fn *foreseen,
                   void *context);
/* Forgets a run that is over; tasks that no other run wants go with it. That is done by the steps
 * to come (SCHED_GO_ON); until it isn't is_known any more its specs are borrowed, and its number is
 * taken. None of its tasks may be asked for. */
void sched_forget(struct sched *sched, uint32_t run);

/* One sentence that a person can act on: why does this task not run ("waits for prepare, which
 * needs label zone=a; no worker has it; 3 are connected")? Workers by name, tasks by the first 12
 * digits of their ids. */
void sched_explain(const struct sched *sched, uint32_t task, struct buf *out);
/* Of each step of the run that has ready tasks which no connected worker could take, busy or not,
 * one such task; UINT32_MAX: no more. Begins with a cursor of 0. */
uint32_t sched_next_stuck(const struct sched *sched, uint32_t run, uint32_t *cursor);
/* One line for an event or an action, as stories and logs show it; `name` gives tasks a readable
 * name (may be NULL). */
typedef const char *sched_name_fn(void *context, const struct id *task);
void sched_trace_event(const struct sched *sched, const struct sched_event *event,
                       sched_name_fn *name, void *context, struct buf *out);
void sched_trace_action(const struct sched *sched, const struct sched_action *action,
                        sched_name_fn *name, void *context, struct buf *out);
/* Recounts every invariant from scratch; returns false and says in `err` which is broken. For
 * tests. */
MUST_USE bool sched_check(const struct sched *sched, struct err *err);
