/* Shares: tasks that several runs (or several nodes of one run) have in common. One run owns the
 * task: its policy and spec count, its queue holds it. When the owner is over or cancelled, another
 * takes over; and one of higher priority does while the task is not at a worker, so that an urgent
 * run does not wait in the queue of a run that is not. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* The first share, or NONE when one node of one run is all there is. */
uint32_t share_first(const struct sched *sched, const struct task *task, uint32_t index);
/* One more node has this task. */
void share_add(struct sched *sched, uint32_t index, uint32_t run, uint32_t rule,
               const uint8_t *spec, uint32_t spec_bytes);
/* If the owner is over or cancelled, or less urgent than another run that still works: makes that
 * one the owner. */
void share_rehome(struct sched *sched, uint32_t index);
/* Takes a run that is forgotten out. False: nobody else has the task. */
bool share_leave(struct sched *sched, uint32_t index, uint32_t run);
