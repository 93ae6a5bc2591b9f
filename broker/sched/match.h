/* Which worker gets which task.
 *
 * Workers that offer the same (kinds, labels, cpu, memory, named counts) are one *offer*; whether a
 * rule fits an offer's totals is worked out once. What is free at a worker is room.h's.
 *
 * Order of tasks: priority; then, of one priority, the run with the least in flight (max-min
 * fair), those with as much in turn; within a run the longest remaining path, then age, then the
 * task's index. So a small run beside a large one gets every slot that comes free until it has as
 * many, and a run of long tasks holds what it holds while short ones pass. Lanes (a run and one of
 * its priorities) with ready tasks are few: they are looked through for each pick.
 *
 * Two passes. The free pass gives workers, one task each in turn, the best that they can start at
 * once; what doesn't fit at a worker is passed over there. Of several workers that could start a
 * task with large inputs at once, the one that has most of them gets it (place.h). The deep pass
 * then gives workers what is to wait there: the best task first, whether or not what it needs is
 * free, so that it is next. How much waits is learned from how long a worker's tasks take:
 * AHEAD_MS of work ahead of each slot, and one task at least, up to its credit; it grows with each
 * turnaround (as many results as the depth was). Tasks of no length are then sent by the thousand,
 * tasks of minutes one ahead of each slot. A worker that starves while others hold what they have
 * not begun gets some of that (steal.h). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* The offer's index; made if no worker offered this before. */
uint32_t match_join(struct sched *sched, const struct sched_event *hello);
void match_leave(struct sched *sched, uint32_t offer);
void match_offer_fini(struct offer *offer);
bool match_fits(const struct task_policy *policy, const struct offer *offer);
/* A new rule: find out which offers it fits. */
void match_add_rule(struct sched *sched, uint32_t rule);
/* The rule's queue has its first task, or none any more. */
void match_rule_filled(struct sched *sched, uint32_t rule);
void match_rule_emptied(struct sched *sched, uint32_t rule);
/* The offer may have both work and room. */
void match_look_at(struct sched *sched, uint32_t offer);
/* Assigns what can be assigned, if there is a quorum. */
void match_dispatch(struct sched *sched);
