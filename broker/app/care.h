/* What passes between the broker that leads and the process that looks for it: a request, as
 * arguments; the answer, as JSON; and a choice of runs and records, as plain bytes. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/local.h"
#include "common/base/id_set.h"
#include "proto/limits.h"

struct care_request {
    enum app_care_part part;
    struct app_gc gc;
    struct app_fsck fsck;
};

/* gc: runs that are dropped, records that are removed. fsck: what has to be made again (a run's
 * targets alone would not do it: nobody runs what only hits need), records whose bytes are damaged.
 *
 *   bytes = run count u32 | task count u32 | struct care_run … | task ids */
struct care_run {
    char run[STATE_RUN_ID_BYTES];
    char step[NAME_BYTES_MAX + 8]; /* fsck's; a whole number of words */
};
struct care_choice {
    struct buf bytes;
    uint32_t run_count, task_count;
    const struct care_run *runs;
    const struct id *tasks;
};
static inline void care_choice_fini(struct care_choice *choice)
{
    buf_fini(&choice->bytes);
    *choice = (struct care_choice){0};
}

/* care_part.c */
MUST_USE enum status care_choice_write(int fd, const struct care_run *runs, uint32_t run_count,
                                       const struct id_set *tasks, struct err *err);
MUST_USE enum status care_choice_read(int fd, struct care_choice *out, struct err *err);

/* care_repair.c: has it made again, or says how: "runs" and "again" of `repair`. */
void care_repair_runs(struct local *app, const struct care_choice *choice, struct arena *arena,
                      struct value *repair);
