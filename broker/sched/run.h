/* Runs: what they count, when they are over, how they are stopped and forgotten. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

static inline uint32_t run_task(const struct run *run, uint32_t node)
{
    return run->node_tasks ? run->node_tasks[node] : run->first_task + node;
}
/* Tasks that have not ended. */
static inline uint32_t run_open_count(const struct run *run)
{
    return run->counts[TASK_WAITING] + run->counts[TASK_READY] + run->counts[TASK_RUNNING];
}
/* A task's visible state changed: every run that has it and isn't over counts it. */
void run_count_change(struct sched *sched, uint32_t task, enum task_state before,
                      enum task_state after);
/* A task succeeded, or a success was taken back: one run counts it as executed, the others as a
 * hit. */
void run_count_success(struct sched *sched, uint32_t task, bool is_success);
/* Looks at the runs of which a task ended in this step: CHECK, then RUN_OVER. */
void run_end_some(struct sched *sched);
void run_checked(struct sched *sched, uint32_t run, const struct id *missing, uint32_t count);
void run_cancel(struct sched *sched, uint32_t run, bool kill);
/* What these leave over (todo.h); true: nothing any more. */
bool run_go_on_checking(struct sched *sched, uint32_t run);
bool run_go_on_cancelling(struct sched *sched, struct todo *todo);
void run_fini(struct run *run);
