/* Flights: attempts that are at a worker. Each worker has a list of its own, oldest first. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* A flight of (task, attempt) at the worker, at the end of its list. The task is ASSIGNED. */
void flight_begin(struct sched *sched, uint32_t task, uint32_t worker, uint32_t attempt);
/* The flight of this attempt at this worker, or NULL: it is stale, or was never given to it. */
struct flight *flight_find(const struct sched *sched, uint32_t worker, uint32_t task,
                           uint32_t attempt);
void flight_start(struct sched *sched, struct flight *flight);
/* Takes it off its worker. The caller decides at once what becomes of the task. */
void flight_end(struct sched *sched, uint32_t task);
/* The task's rule is another one from now on, in flight or not. */
void flight_change_rule(struct sched *sched, uint32_t task, uint32_t rule);
/* `kill`: tells the worker to end it; else to give it back if it has not begun. */
void flight_stop(struct sched *sched, uint32_t task, bool kill);
/* Asks the worker to give it back, for this other worker to have room for it. */
void flight_ask_back(struct sched *sched, uint32_t task, uint32_t thief);
/* Its worker can't be heard: the success still counts, should it come. `text`: the attempt may have
 * been why, and what happened; NULL: it was not. */
void flight_lose(struct sched *sched, uint32_t task, const char *text);
