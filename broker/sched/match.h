/* Which worker gets which task.
 *
 * Workers that offer the same (kinds, labels, cpu, memory) are one *offer*; whether a rule fits an
 * offer is worked out once. cpu and memory are only checked to fit the worker at all: how much runs
 * side by side is decided by the worker's agent, slot by slot.
 *
 * Order of tasks: priority; then, of one priority, the run with the least in flight (max-min
 * fair), those with as much in turn; within a run the longest remaining path, then age, then the
 * task's index. So a small run beside a large one gets every slot that comes free until it has as
 * many, and a run of long tasks holds what it holds while short ones pass. Lanes (a run and one of
 * its priorities) with ready tasks are few: they are looked through for each pick.
 *
 * Order of workers: those with a free slot first, in turn; then those that may hold more than they
 * have slots, in turn. How much more is learned: a worker's depth begins at twice its slots and
 * doubles with each turnaround (as many results as its depth) that took DEPTH_MS or less, up to its
 * credit. Tasks of no length are then sent by the thousand, tasks of minutes one ahead of each
 * slot. A worker that has nothing left to do while others hold tasks that have not begun takes some
 * of theirs (REVOKE). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

enum { DEPTH_MS = 50, DEPTH_SLOW_MS = 200 };

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
/* The worker's flights, silence or depth changed: it may have room, or none. */
void match_worker_changed(struct sched *sched, uint32_t worker);
/* Behind the others that have as much room. */
void match_rotate(struct sched *sched, uint32_t worker);
/* One more result from this worker: learns its depth. */
void match_count_result(struct sched *sched, uint32_t worker);
/* Assigns what can be assigned. */
void match_dispatch(struct sched *sched);
/* If the worker has nothing to do: asks another for some of what it has not begun. */
void match_steal(struct sched *sched, uint32_t worker);
