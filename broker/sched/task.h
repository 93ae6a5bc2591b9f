/* A task's way through its stages: what releases it, what it waits for, what its end entails. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* Times are kept as 32 bits of milliseconds, 0 meaning never; they are right for 49 days after. */
uint32_t task_stamp(ms_t now);
ms_t task_time(const struct sched *sched, uint32_t stamp);

enum task_state task_state_of(enum stage stage);
static inline bool task_is_final(const struct task *task)
{
    return task->stage >= STAGE_SUCCEEDED;
}
static inline bool task_is_in_flight(const struct task *task)
{
    return task->stage == STAGE_ASSIGNED || task->stage == STAGE_RUNNING;
}
/* Moves the task, keeps its runs' counts, publishes what a person sees. */
void task_set_stage(struct sched *sched, uint32_t task, enum stage stage);

/* The producers' edges: `count` words of producer << OUTPUT_BITS | output. */
const uint32_t *task_inputs(const struct sched *sched, const struct task *task, uint32_t *count);
/* Walks the consumers, one per edge: start with *cursor = task->dependants; NONE at the end. */
uint32_t task_next_dependant(const struct sched *sched, uint32_t *cursor);
/* The resolved inputs, in the step's scratch memory. False: a producer's record has too few
 * outputs. */
bool task_resolve_inputs(struct sched *sched, const struct task *task, struct artifact **out,
                         uint32_t *count);
void task_set_outputs(struct sched *sched, struct task *task, const struct artifact *outputs,
                      uint32_t count);
void task_drop_outputs(struct sched *sched, struct task *task);

/* A task that is neither final nor in flight nor queued: to where it belongs now, by its inputs and
 * its run. Wakes producers that were not needed so far. */
void task_settle(struct sched *sched, uint32_t task);
/* To the end of its rule's queue. */
void task_make_ready(struct sched *sched, uint32_t task);
/* Out of the queue it may be in. */
void task_unqueue(struct sched *sched, uint32_t task);
/* `flag`: 0, FLAG_HIT or FLAG_CUTOFF. Its outputs are set. Dependants are released. */
void task_succeed(struct sched *sched, uint32_t task, enum task_flag flag);
/* A final stage other than success; what waits for it ends too. */
void task_end(struct sched *sched, uint32_t task, enum stage stage);
/* What these two leave over (todo.h); true: nothing any more. */
bool task_go_on_releasing(struct sched *sched, struct todo *todo);
bool task_go_on_ending(struct sched *sched);
/* It succeeded, and is to run again: what waits for it waits anew. Then it has to be settled. */
void task_take_back(struct sched *sched, uint32_t task);
/* Its record is wrong: it has to run again. */
void task_invalidate(struct sched *sched, uint32_t task);
