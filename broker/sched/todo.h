/* Work that one step leaves to the next ones. A step may walk through `step_work` nodes and edges;
 * a graph of a million tasks is submitted, released, cancelled and checked in many such steps, and
 * between them other runs' events have their turn. What is left over asks for a TICK at once.
 *
 *   submit   a run's nodes become tasks (submission.h)
 *   release  a task succeeded; those that wait for it are told, from `cursor` on
 *   end      tasks ended; what waits for them ends too (sched->endings, a stack)
 *   cancel   a run's tasks are stopped, from node `cursor` on
 *   check    a run is about to be over; its leaf outputs are asked for, from run->check_at on
 *   forget   a run that is over goes, in passes (forget.c)
 *
 * Items are worked off in the order they came, so a run is cancelled after it was submitted,
 * and submitted after those before it were forgotten.
 *
 * Five walks are not cut: a worker's attempts when it is lost (bounded by its credit), what a task
 * reads (bounded by its specification's size), the dependants of a task whose bytes vanished from
 * the store, all of which must wait at once, those of a task that is forgotten, and what is left of
 * a release when one that may wait for it is judged anew (a later run shares the task, or its bytes
 * were made again meanwhile). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

void todo_push(struct sched *sched, struct todo todo);
/* Works off what is there, as far as this step may. */
void todo_run(struct sched *sched);
static inline bool todo_is_empty(const struct sched *sched)
{
    return sched->todo_at == sched->todo.count;
}
