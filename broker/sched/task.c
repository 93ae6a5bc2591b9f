// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/task.h"

#include <string.h>

#include "broker/sched/grow.h"
#include "broker/sched/match.h"
#include "broker/sched/note.h"
#include "broker/sched/rank.h"
#include "broker/sched/retry.h"
#include "broker/sched/run.h"
#include "broker/sched/share.h"
#include "broker/sched/todo.h"

uint32_t task_stamp(ms_t now)
{
    uint32_t stamp = (uint32_t)now;
    return stamp ? stamp : 1;
}

ms_t task_time(const struct sched *sched, uint32_t stamp)
{
    if (!stamp)
        return MS_NEVER;
    return sched->now - (ms_t)(int32_t)((uint32_t)sched->now - stamp);
}

enum task_state task_state_of(enum stage stage)
{
    static const uint8_t states[STAGE_COUNT] = {
        [STAGE_WAITING] = TASK_WAITING,     [STAGE_RESOLVING] = TASK_WAITING,
        [STAGE_READY] = TASK_READY,         [STAGE_BACKOFF] = TASK_READY,
        [STAGE_ASSIGNED] = TASK_READY,      [STAGE_RUNNING] = TASK_RUNNING,
        [STAGE_COMMITTING] = TASK_RUNNING,  [STAGE_SUCCEEDED] = TASK_SUCCEEDED,
        [STAGE_FAILED] = TASK_FAILED,       [STAGE_UPSTREAM_FAILED] = TASK_UPSTREAM_FAILED,
        [STAGE_CANCELLED] = TASK_CANCELLED, [STAGE_UNNEEDED] = TASK_UNNEEDED,
    };
    return (enum task_state)states[stage];
}

static bool is_published(enum stage stage, enum task_state before, enum task_state after)
{
    if (stage == STAGE_COMMITTING) /* nothing to be seen before it is durable */
        return false;
    return !(before == TASK_WAITING && after == TASK_READY);
}

void task_set_stage(struct sched *sched, uint32_t index, enum stage stage)
{
    struct task *task = task_at(sched, index);
    enum task_state before = task_state_of(task->stage), after = task_state_of(stage);
    task->stage = (uint8_t)stage;
    if (task_is_final(task))
        task->finished_at = task_stamp(sched->now);
    if (before == after)
        return;
    run_count_change(sched, index, before, after);
    if (is_published(stage, before, after)) {
        struct sched_action *action = sched_act(sched, SCHED_PUBLISH);
        action->task = index;
        action->run = rule_of(sched, task)->run;
    }
}

const uint32_t *task_inputs(const struct sched *sched, const struct task *task, uint32_t *count)
{
    if (task->first_input == NONE) {
        *count = 0;
        return NULL;
    }
    const uint32_t *first = &sched->inputs.items[task->first_input];
    *count = first[0];
    return first + 1;
}

uint32_t task_next_dependant(const struct sched *sched, uint32_t *cursor)
{
    while (*cursor != FAN_END) {
        uint32_t word = sched->fans.items[*cursor];
        if (word == FAN_END) {
            *cursor = FAN_END;
        } else if (word == FAN_SKIP) {
            ++*cursor;
        } else if (word & FAN_LINK) {
            *cursor = word & ~FAN_LINK;
        } else {
            ++*cursor;
            if (task_at(sched, word)->stage != STAGE_FREE)
                return word;
        }
    }
    return NONE;
}

bool task_resolve_inputs(struct sched *sched, const struct task *task, struct artifact **out,
                         uint32_t *count)
{
    const uint32_t *inputs = task_inputs(sched, task, count);
    *out = *count ? arena_alloc(&sched->scratch, *count * sizeof **out) : NULL;
    for (uint32_t i = 0; i < *count; i++) {
        const struct task *producer = task_at(sched, inputs[i] >> OUTPUT_BITS);
        uint32_t output = inputs[i] & ((1 << OUTPUT_BITS) - 1);
        ASSERT(producer->stage == STAGE_SUCCEEDED);
        if (output >= producer->output_count)
            return false;
        (*out)[i] = sched->artifacts.items[producer->outputs + output];
    }
    return true;
}

void task_set_outputs(struct sched *sched, struct task *task, const struct artifact *outputs,
                      uint32_t count)
{
    ASSERT(count <= OUTPUTS_MAX);
    task->output_count = (uint8_t)count;
    task->outputs = 0;
    if (!count)
        return;
    size_t bytes = sizeof *sched->artifacts.items;
    uint32_t at = block_take(&sched->free_artifacts, sched->artifacts.items, bytes, count);
    if (at == UINT32_MAX) {
        at = sched->artifacts.count;
        sched->artifacts.count += block_length(count);
        GROW(sched->artifacts.items, sched->artifacts.capacity, sched->artifacts.count);
    }
    task->outputs = at;
    memcpy(&sched->artifacts.items[at], outputs, count * bytes);
}

void task_drop_outputs(struct sched *sched, struct task *task)
{
    if (task->output_count)
        block_give(&sched->free_artifacts, sched->artifacts.items, sizeof *sched->artifacts.items,
                   task->outputs, task->output_count);
    task->output_count = 0;
}

void task_make_ready(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    struct rule *rule = rule_of(sched, task);
    task_set_stage(sched, index, STAGE_READY);
    task->ready_at = task_stamp(sched->now);
    ready_push(&sched->ready, &rule->queue, sched->tasks.items, index);
    if (rule->queue.count == 1)
        match_rule_filled(sched, task->rule);
}

void task_unqueue(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    if (task->stage != STAGE_READY)
        return;
    struct rule *rule = rule_of(sched, task);
    ready_remove(&sched->ready, &rule->queue, sched->tasks.items, index);
    task->started_at = task->finished_at = 0;
    if (rule->queue.count == 0)
        match_rule_emptied(sched, task->rule);
}

/* All inputs are there: look it up once more, unless its id says all, or it is to run anyway. */
static void complete_inputs(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    task->worker = NONE;
    task->flags &= (uint16_t)~FLAG_REMADE;
    if (task->first_input == NONE || (task->flags & FLAG_FORCED)) {
        task_make_ready(sched, index);
        return;
    }
    struct artifact *inputs;
    uint32_t count;
    if (!task_resolve_inputs(sched, task, &inputs, &count)) {
        retry_fail(sched, index, E_CORRUPT, "the record of an input names too few outputs");
        return;
    }
    task_set_stage(sched, index, STAGE_RESOLVING);
    struct sched_action *action = sched_act(sched, SCHED_RESOLVE);
    action->task = index;
    action->run = rule_of(sched, task)->run;
    action->inputs = inputs;
    action->input_count = count;
}

/* ---- releasing what waits for a success ---- */

static void release(struct sched *sched, uint32_t *cursor, bool is_bounded)
{
    while (*cursor != FAN_END && (!is_bounded || sched->work_left > 0)) {
        sched->work_left--;
        uint32_t next = task_next_dependant(sched, cursor);
        if (next == NONE)
            return;
        struct task *consumer = task_at(sched, next);
        if (consumer->stage == STAGE_WAITING && --consumer->pending == 0)
            complete_inputs(sched, next);
    }
}

bool task_go_on_releasing(struct sched *sched, struct todo *todo)
{
    if (todo->index == NONE) /* it was finished meanwhile */
        return true;
    release(sched, &todo->cursor, true);
    if (todo->cursor != FAN_END)
        return false;
    task_at(sched, todo->index)->flags &= (uint16_t)~FLAG_RELEASING;
    return true;
}

/* All the rest of it at once. */
static void finish_releasing(struct sched *sched, uint32_t index)
{
    for (uint32_t i = sched->todo_at; i < sched->todo.count; i++) {
        struct todo *todo = &sched->todo.items[i];
        if (todo->type != TODO_RELEASE || todo->index != index)
            continue;
        uint32_t cursor = todo->cursor;
        todo->index = NONE;
        todo->cursor = FAN_END;
        task_at(sched, index)->flags &= (uint16_t)~FLAG_RELEASING;
        release(sched, &cursor, false);
        return;
    }
}

void task_succeed(struct sched *sched, uint32_t index, enum task_flag flag)
{
    struct task *task = task_at(sched, index);
    task->flags = (uint16_t)(task->flags & ~(FLAG_HIT | FLAG_CUTOFF));
    task->flags |= (uint16_t)flag;
    task_set_stage(sched, index, STAGE_SUCCEEDED);
    run_count_success(sched, index, true);
    uint32_t cursor = task->dependants;
    release(sched, &cursor, true);
    if (cursor == FAN_END)
        return;
    task_at(sched, index)->flags |= FLAG_RELEASING;
    todo_push(sched, (struct todo){.type = TODO_RELEASE, .index = index, .cursor = cursor});
}

/* ---- settling ---- */

/* A producer that is still telling who waits for it would count this task twice. */
static void hear_all_producers(struct sched *sched, const struct task *task)
{
    uint32_t count;
    const uint32_t *inputs = task_inputs(sched, task, &count);
    for (uint32_t i = 0; i < count && !todo_is_empty(sched); i++)
        if (task_at(sched, inputs[i] >> OUTPUT_BITS)->flags & FLAG_RELEASING)
            finish_releasing(sched, inputs[i] >> OUTPUT_BITS);
}

/* What its inputs make of it; producers that nobody needed are put on the stack. */
static enum stage judge_inputs(struct sched *sched, struct task *task)
{
    uint32_t count, pending = 0;
    bool is_failed = false, is_cancelled = false;
    const uint32_t *inputs = task_inputs(sched, task, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t producer = inputs[i] >> OUTPUT_BITS;
        enum stage stage = task_at(sched, producer)->stage;
        pending += stage != STAGE_SUCCEEDED;
        is_failed |= stage == STAGE_FAILED || stage == STAGE_UPSTREAM_FAILED;
        is_failed |= stage == STAGE_FREE; /* forgotten, with the run that had it last */
        is_cancelled |= stage == STAGE_CANCELLED;
        if (stage == STAGE_UNNEEDED)
            VECTOR_PUSH(sched->stack, producer);
    }
    if (is_failed)
        return STAGE_UPSTREAM_FAILED;
    if (is_cancelled)
        return STAGE_CANCELLED;
    task->pending = pending;
    return pending ? STAGE_WAITING : STAGE_READY;
}

static void settle_one(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    if (run_of(sched, task)->is_cancelled)
        share_rehome(sched, index);
    if (run_of(sched, task)->is_cancelled) {
        task_end(sched, index, STAGE_CANCELLED);
        return;
    }
    enum stage before = (enum stage)task->stage;
    /* Else all its inputs were complete once, and none of them has anything to tell it any more. */
    bool is_open = before == STAGE_WAITING || before == STAGE_UNNEEDED || before == STAGE_NEW ||
                   (task->flags & FLAG_REMADE);
    if (before == STAGE_WAITING)
        task->pending = UINT32_MAX; /* counted anew below: nobody's word is the last meanwhile */
    if (is_open)
        hear_all_producers(sched, task);
    if (task->stage != before)
        return; /* that settled it */
    uint32_t worker = task->worker, base = sched->stack.count;
    enum stage stage = judge_inputs(sched, task);
    if (stage != STAGE_WAITING)
        sched->stack.count = base;
    if (stage == STAGE_WAITING) {
        task_set_stage(sched, index, STAGE_WAITING);
    } else if (stage != STAGE_READY) {
        task_end(sched, index, stage);
    } else if (is_open) {
        complete_inputs(sched, index);
    } else { /* it was looked up before */
        task->worker = worker;
        task_make_ready(sched, index);
    }
}

void task_settle(struct sched *sched, uint32_t index)
{
    uint32_t base = sched->stack.count;
    settle_one(sched, index);
    while (sched->stack.count > base) {
        uint32_t producer = sched->stack.items[--sched->stack.count];
        if (task_at(sched, producer)->stage != STAGE_UNNEEDED)
            continue;
        task_at(sched, producer)->rank = RANK_URGENT;
        settle_one(sched, producer);
    }
}

/* ---- ending what waits for a failure ---- */

/* A stack: what ends on the way is looked at before the rest of what it was found by. */
static void end_dependants(struct sched *sched)
{
    while (sched->endings.count > 0 && sched->work_left > 0) {
        sched->work_left--;
        struct ending *top = &sched->endings.items[sched->endings.count - 1];
        bool is_cancelled = task_at(sched, top->task)->stage == STAGE_CANCELLED;
        uint32_t next = task_next_dependant(sched, &top->cursor);
        if (next == NONE) {
            sched->endings.count--;
            continue;
        }
        struct task *consumer = task_at(sched, next);
        if (consumer->stage != STAGE_WAITING)
            continue;
        consumer->worker = NONE;
        task_set_stage(sched, next, is_cancelled ? STAGE_CANCELLED : STAGE_UPSTREAM_FAILED);
        VECTOR_PUSH(sched->endings, ((struct ending){next, consumer->dependants}));
    }
}

bool task_go_on_ending(struct sched *sched)
{
    end_dependants(sched);
    sched->is_ending = sched->endings.count > 0;
    return !sched->is_ending;
}

void task_end(struct sched *sched, uint32_t index, enum stage stage)
{
    struct task *task = task_at(sched, index);
    if (task->stage == STAGE_WAITING || task->stage == STAGE_NEW)
        task->worker = NONE;
    task_set_stage(sched, index, stage);
    VECTOR_PUSH(sched->endings, ((struct ending){index, task->dependants}));
    end_dependants(sched);
    if (!sched->endings.count || sched->is_ending)
        return;
    sched->is_ending = true;
    todo_push(sched, (struct todo){.type = TODO_END});
}

/* ---- making it again ---- */

void task_take_back(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    ASSERT(task->stage == STAGE_SUCCEEDED);
    if (task->flags & FLAG_RELEASING)
        finish_releasing(sched, index);
    run_count_success(sched, index, false);
    share_rehome(sched, index);
    task->flags = (uint16_t)((task->flags & ~(FLAG_HIT | FLAG_CUTOFF)) | FLAG_FORCED);
    task_drop_outputs(sched, task);
    task->rank = RANK_URGENT;
    task->started_at = task->finished_at = 0;
    task_set_stage(sched, index, STAGE_WAITING);
    uint32_t cursor = task->dependants;
    for (uint32_t next; (next = task_next_dependant(sched, &cursor)) != NONE;) {
        struct task *consumer = task_at(sched, next);
        consumer->flags |= FLAG_REMADE;
        if (consumer->stage == STAGE_READY || consumer->stage == STAGE_RESOLVING) {
            task_unqueue(sched, next);
            task_set_stage(sched, next, STAGE_WAITING);
            consumer->pending = 0;
        }
        if (consumer->stage == STAGE_WAITING)
            consumer->pending++;
    }
}

void task_invalidate(struct sched *sched, uint32_t index)
{
    task_take_back(sched, index);
    struct sched_action *action = sched_act(sched, SCHED_FORGET);
    action->task = index;
    action->run = rule_of(sched, task_at(sched, index))->run;
    if (++note_make(sched, index)->losses > LOSSES_MAX)
        retry_fail(sched, index, E_LOST,
                   "its outputs vanish from the store every time they are made");
    else
        task_settle(sched, index);
}
