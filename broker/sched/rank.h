/* Ranks: how many tasks lie on the longest path of work that waits for a task. Of two ready tasks
 * of one run and priority, the one of higher rank goes first: the critical path. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* Of work that somebody who was ready waits for again. */
#define RANK_URGENT (UINT32_MAX - 1)

/* What waits for a task of this rank has at least the rank this gives to its producers. */
static inline uint32_t rank_above(uint32_t rank)
{
    return rank < RANK_URGENT ? rank + 1 : RANK_URGENT;
}
/* The task's rank is this at least; a ready one moves in its queue. Only that of tasks that may
 * still run: others have outputs in its place. Its own producers are the caller's to raise: a run
 * has all ancestors of its tasks as nodes, so that one walk backwards over them reaches all. */
void rank_raise(struct sched *sched, uint32_t task, uint32_t rank);
/* A ready task that came back from a worker which never began it, or was lost: it is as old as it
 * was then, so that it doesn't go behind all that became ready later. */
void rank_keep_age(struct sched *sched, uint32_t task, uint32_t ready_at);
