/* Workers that rest. A worker whose disk is full fails what it is given in milliseconds, is free
 * before all others, and would be given everything: a few seconds of it use up the retries of many
 * tasks. So a failure that speaks of the worker's machine, and not of the task, makes it *rest*: it
 * is given nothing for REST_MS_MIN, and what waits there is asked back (REVOKE; that costs no
 * retry). Then it is *on trial*: it has one task at a time, until one succeeds. A trial that fails
 * alike makes it rest for twice as long, up to REST_MS_MAX.
 *
 *   well ── E_FULL ──▶ resting ── its time is over ──▶ on trial ── a success ──▶ well
 *                         ▲                               │
 *                         └────── E_FULL of the trial ────┘
 *
 * What was there before it began to rest says nothing new when it fails alike: all of it counts as
 * one. What succeeds while it rests was begun before, and is no sign of health; after the rest it
 * is.
 *
 * The task's retries count these failures, with one exception: a failed trial is laid to the worker
 * while another that could run the task is well. So a task loses one retry to each full disk it
 * meets, and where all disks are full, or the task fills any, it ends as others do.
 *
 * The codes: E_FULL alone. E_NOMEM is of a size that the input decides, below the limit of the
 * task's memory, and would be so elsewhere. E_IO is the word for all that has none of its own, also
 * for what a store refuses or a program did to its folder. A step of which every task fails like
 * that would put all workers to rest, each time. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* Does a failure with this code speak of the machine? */
bool rest_is_due(enum status code);
/* An attempt at the worker failed, and its flight has ended; `was_trial`: the worker was tried with
 * it. */
void rest_failed(struct sched *sched, uint32_t worker, bool was_trial, enum status code);
/* One succeeded. */
void rest_succeeded(struct sched *sched, uint32_t worker);
/* Rests that are over. */
void rest_tick(struct sched *sched);
/* Is there a worker that could run this rule and can be heard, neither resting nor on trial? */
bool rest_has_well(const struct sched *sched, uint32_t rule);
/* Rests, or is tried with something just now: it is given nothing. */
static inline bool rest_is_kept(const struct worker *worker)
{
    return worker->is_resting || worker->trial != NONE;
}
