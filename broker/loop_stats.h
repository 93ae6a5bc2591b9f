/* What the loop measures of itself, and tells at the end of a run. Seen by broker/loop.c; the
 * numbers by everybody (loop.h). Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/sched.h"

struct loop_stats {
    uint64_t beats, commits, results;
    int64_t step_us, commit_us; /* spent so far: receiving and stepping, committing */
    /* The longest so far: a beat that ended before, and one step of the scheduler. Results and
     * answers to look-ups come by the hundred thousand and are not timed one by one: what one of
     * them costs too much shows in its beat. */
    int64_t worst_beat_us, worst_step_us;
    enum sched_event_type worst_step; /* what it stepped */
    int64_t submitted_us;             /* when the last SUBMIT had been stepped */
};

/* When a step begins; 0 for what is not timed. */
int64_t loop_stats_step_begin(enum sched_event_type type);
void loop_stats_step_end(struct loop_stats *stats, enum sched_event_type type, int64_t begun_us);
void loop_stats_beat(struct loop_stats *stats, int64_t begun_us);
/* One line, loop.stats, with the time since the last SUBMIT and this thread's processor time. */
void loop_stats_log(const struct loop_stats *stats);
