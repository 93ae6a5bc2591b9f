/* What the worker's parent knows of each job: the TASKS entry (a view into its frame, which lives
 * as long as one of its jobs), and, for heavy ones, inputs, folders and outputs. The agent decides;
 * this does: fetch, describe to a slot, publish, write the record. Artifacts wanted by several jobs
 * are fetched once; outputs move into the cache when they are stored, so that the next task here
 * reads them without a fetch.
 *
 * Light jobs allocate nothing of their own. What they are asked to make is the empty blob, which is
 * in the store before the first result that names it.
 * Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "proto/msg.h"
#include "worker/runtime/agent.h"
#include "worker/runtime/cache.h"
#include "worker/runtime/mover.h"
#include "worker/runtime/slot_wire.h"

struct work_frame;
struct work_heavy;

struct work {
    struct work_frame *frame; /* NULL: the number is free */
    struct task_msg task;
    bool is_light, has_outputs; /* the second: a light one's specification names some */
    uint32_t next_free;
    int64_t begun_us, took_us;
    struct work_heavy *heavy;
};

struct secrets;
struct works;

struct works_options {
    struct mover *mover;           /* borrowed */
    struct cache *cache;           /* borrowed */
    const char *worker_name;       /* borrowed; for records */
    const struct secrets *secrets; /* borrowed; NULL: none */
};

struct works *works_new(const struct works_options *options);
/* Jobs that are still there go with it; the mover must be closed before. */
void works_free(struct works *works);

/* Takes in a TASKS frame, which is copied: the new jobs' numbers are appended to `jobs` (uint32_t
 * each). Errors: E_PROTOCOL malformed, E_LIMIT more than AGENT_JOBS_MAX jobs; nothing was taken in
 * then. */
MUST_USE enum status works_take(struct works *works, const uint8_t *frame, size_t bytes,
                                struct buf *jobs, struct err *err);
struct work *works_get(struct works *works, uint32_t job);
void works_release(struct works *works, uint32_t job);
/* The file that the job's stdout and stderr go to; NULL: none, or not yet. */
const char *works_log_path(struct works *works, uint32_t job);

/* Begins to fetch the inputs of `job` and makes its folders; works_next_ended() tells when that is
 * done. */
void works_fetch(struct works *works, uint32_t job);
/* How a slot is told of it; valid until the next call. */
void works_slot_job(struct works *works, uint32_t job, struct slot_job *out);
/* Stores the log, and the outputs if `code` is OK. works_next_ended() tells the final code. */
void works_publish(struct works *works, uint32_t job, enum status code, const char *text);

struct work_ended {
    uint32_t job;
    bool is_publication; /* else its inputs */
    enum status code;
    const char *text; /* lives until the job is released */
};
/* The next fetch or publication that has ended; false: none. */
bool works_next_ended(struct works *works, struct work_ended *out);

/* The RESULTS entry of a job: with its record if `code` is OK. Views into `works`, valid until the
 * next call. Errors: E_LIMIT the record is over RECORD_BYTES_MAX. */
MUST_USE enum status works_result(struct works *works, uint32_t job, enum status code,
                                  const char *text, struct result_msg *out, struct err *err);

/* Clears up behind jobs that were released; for when nothing waits. */
void works_tidy(struct works *works);

static inline void works_free_auto(struct works **works)
{
    if (*works)
        works_free(*works);
}
