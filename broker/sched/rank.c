// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/rank.h"

/* Its outputs are in the place of its rank from the moment that they are known. */
static bool has_rank(const struct task *task)
{
    return task->stage < STAGE_COMMITTING || task->stage == STAGE_UNNEEDED;
}

void rank_raise(struct sched *sched, uint32_t index, uint32_t rank)
{
    struct task *task = task_at(sched, index);
    if (!has_rank(task) || task->rank >= rank)
        return;
    if (task->stage != STAGE_READY) {
        task->rank = rank;
        return;
    }
    struct rule *rule = rule_of(sched, task);
    ready_remove(&sched->ready, &rule->queue, sched->tasks.items, index);
    task->rank = rank;
    ready_push(&sched->ready, &rule->queue, sched->tasks.items, index);
}

void rank_keep_age(struct sched *sched, uint32_t index, uint32_t ready_at)
{
    struct task *task = task_at(sched, index);
    if (task->stage != STAGE_READY)
        return;
    struct rule *rule = rule_of(sched, task);
    ready_remove(&sched->ready, &rule->queue, sched->tasks.items, index);
    ready_push_first(&sched->ready, &rule->queue, sched->tasks.items, index);
    task->ready_at = ready_at;
}
