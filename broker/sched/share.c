// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/share.h"

#include "broker/sched/flight.h"
#include "broker/sched/grow.h"
#include "broker/sched/task.h"

uint32_t share_first(const struct sched *sched, const struct task *task, uint32_t index)
{
    return task->flags & FLAG_SHARED ? side_get(&sched->share_of, index) : NONE;
}

static void insert(struct sched *sched, uint32_t index, struct share share)
{
    uint32_t at;
    if (sched->free_shares.count > 0) {
        at = sched->free_shares.items[--sched->free_shares.count];
    } else {
        at = sched->shares.count;
        VECTOR_PUSH(sched->shares, share);
    }
    struct task *task = task_at(sched, index);
    share.next = share_first(sched, task, index);
    sched->shares.items[at] = share;
    side_put(&sched->share_of, index, at);
    task->flags |= FLAG_SHARED;
}

void share_add(struct sched *sched, uint32_t index, uint32_t run, uint32_t rule,
               const uint8_t *spec, uint32_t spec_bytes)
{
    struct task *task = task_at(sched, index);
    if (!(task->flags & FLAG_SHARED))
        insert(sched, index,
               (struct share){.run = rule_of(sched, task)->run,
                              .nodes = 1,
                              .rule = task->rule,
                              .is_executor = task->stage == STAGE_SUCCEEDED &&
                                             !(task->flags & (FLAG_HIT | FLAG_CUTOFF)),
                              .spec = task->spec,
                              .spec_bytes = task->spec_bytes});
    for (uint32_t at = share_first(sched, task, index); at != NONE;
         at = sched->shares.items[at].next) {
        if (sched->shares.items[at].run == run) {
            sched->shares.items[at].nodes++;
            return;
        }
    }
    insert(sched, index,
           (struct share){
               .run = run, .nodes = 1, .rule = rule, .spec = spec, .spec_bytes = spec_bytes});
}

static void move_home(struct sched *sched, uint32_t index, const struct share *share)
{
    struct task *task = task_at(sched, index);
    bool is_ready = task->stage == STAGE_READY;
    uint32_t ready_at = task->ready_at;
    task_unqueue(sched, index);
    flight_change_rule(sched, index, share->rule);
    task->spec = share->spec;
    task->spec_bytes = share->spec_bytes;
    if (!is_ready)
        return;
    task_make_ready(sched, index);
    task->ready_at = ready_at;
}

/* May the task go to another run though its own still works? */
static bool is_movable(const struct task *task)
{
    return task->stage < STAGE_ASSIGNED;
}

void share_rehome(struct sched *sched, uint32_t index)
{
    const struct task *task = task_at(sched, index);
    const struct run *owner = run_of(sched, task);
    bool is_orphan = owner->is_over || owner->is_cancelled;
    if (!is_orphan && !is_movable(task))
        return;
    const struct share *best = NULL;
    int32_t most = rule_of(sched, task)->policy.priority;
    for (uint32_t at = share_first(sched, task, index); at != NONE;
         at = sched->shares.items[at].next) {
        const struct share *share = &sched->shares.items[at];
        const struct run *run = &sched->runs.items[share->run];
        int32_t priority = sched->rules.items[share->rule].policy.priority;
        if (run->is_over || run->is_cancelled)
            continue;
        if ((best || !is_orphan) && priority <= most)
            continue;
        best = share;
        most = priority;
    }
    if (best)
        move_home(sched, index, best);
}

bool share_leave(struct sched *sched, uint32_t index, uint32_t run)
{
    struct task *task = task_at(sched, index);
    uint32_t before = NONE, at = share_first(sched, task, index);
    while (at != NONE && sched->shares.items[at].run != run) {
        before = at;
        at = sched->shares.items[at].next;
    }
    if (at == NONE)
        return rule_of(sched, task)->run != run;
    uint32_t next = sched->shares.items[at].next;
    if (before != NONE)
        sched->shares.items[before].next = next;
    else if (next != NONE)
        side_put(&sched->share_of, index, next);
    else
        side_remove(&sched->share_of, index);
    VECTOR_PUSH(sched->free_shares, at);
    uint32_t first = before == NONE ? next : side_get(&sched->share_of, index);
    if (first == NONE) {
        task->flags &= (uint16_t)~FLAG_SHARED;
        return false;
    }
    if (rule_of(sched, task)->run == run)
        move_home(sched, index, &sched->shares.items[first]);
    share_rehome(sched, index); /* to a run that is not over, if there is one */
    return true;
}
