/* Forgetting, in passes that are cut into short steps (todo.h). No submission comes between them:
 * what is to be done is done in the order it came.
 *
 *   drop    backwards, consumers first: a task that no other run has is dead (STAGE_FREE), and its
 *           blocks are free. Those that live and stand beside it are noted
 *   scrub   the lists of these, so that nobody names a dead task any more
 *   free    the numbers of the dead may be used again, and are told
 *
 * When nothing lives any more, the memory goes back whole. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/forget.h"

#include <string.h>

#include "broker/sched/fan.h"
#include "broker/sched/grow.h"
#include "broker/sched/note.h"
#include "broker/sched/rule.h"
#include "broker/sched/run.h"
#include "broker/sched/share.h"
#include "broker/sched/task.h"
#include "broker/sched/todo.h"
#include "common/base/mem.h"

enum {
    KEPT_TASKS = 4096, /* so much memory is kept for what comes next */
    DEAD = 1           /* `place` of a dead task whose number is not free yet */
};

/* ---- drop ---- */

static void note_scrub(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    if (task->stage == STAGE_FREE || (task->flags & FLAG_SCRUB))
        return;
    task->flags |= FLAG_SCRUB;
    VECTOR_PUSH(sched->scrubs, index);
}

void forget_note_stray(struct sched *sched, uint32_t index)
{
    if (task_at(sched, index)->flags & FLAG_STRAY)
        return;
    task_at(sched, index)->flags |= FLAG_STRAY;
    VECTOR_PUSH(sched->strays, index);
}

static void drop_task(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    uint32_t count, cursor = task->dependants, next;
    const uint32_t *inputs = task_inputs(sched, task, &count);
    for (uint32_t i = 0; i < count; i++)
        note_scrub(sched, inputs[i] >> OUTPUT_BITS);
    sched->work_left -= count;
    for (; (next = task_next_dependant(sched, &cursor)) != NONE; sched->work_left--)
        note_scrub(sched, next);
    if (id_map_get(&sched->ids, &task->id) == index)
        id_map_remove(&sched->ids, &task->id);
    note_drop(sched, index);
    task_drop_outputs(sched, task);
    fan_drop_inputs(sched, task);
    fan_drop(sched, task);
    *task = (struct task){
        .stage = STAGE_FREE, .first_input = NONE, .dependants = FAN_END, .place = DEAD};
    sched->live_tasks--;
}

static bool drop(struct sched *sched, struct todo *todo)
{
    const struct run *run = &sched->runs.items[todo->index];
    for (; todo->cursor < run->node_count && sched->work_left > 0; todo->cursor++) {
        uint32_t index = run_task(run, run->node_count - 1 - todo->cursor);
        sched->work_left--;
        if (task_at(sched, index)->stage != STAGE_FREE && !share_leave(sched, index, todo->index))
            drop_task(sched, index);
    }
    return todo->cursor == run->node_count;
}

/* ---- scrub ---- */

/* Of strays that live on; what died, or is another task by now, is listed no more. */
static void scrub_strays(struct sched *sched)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sched->strays.count; i++) {
        uint32_t index = sched->strays.items[i];
        if (!(task_at(sched, index)->flags & FLAG_STRAY))
            continue;
        sched->strays.items[kept++] = index;
        note_scrub(sched, index);
    }
    sched->strays.count = kept;
}

/* It was made of other tasks than the newer run that has it would make it of, and those are
 * gone. */
static void scrub_inputs(struct sched *sched, const struct task *task)
{
    uint32_t count;
    task_inputs(sched, task, &count);
    uint32_t *inputs = count ? &sched->inputs.items[task->first_input + 1] : NULL;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t producer = inputs[i] >> OUTPUT_BITS;
        if (task_at(sched, producer)->stage != STAGE_FREE)
            continue;
        if (sched->nobody == NONE)
            sched->nobody = producer;
        inputs[i] = sched->nobody << OUTPUT_BITS;
    }
    sched->work_left -= count;
}

static bool scrub(struct sched *sched)
{
    while (sched->scrubs.count && sched->work_left > 0) {
        uint32_t index = sched->scrubs.items[sched->scrubs.count - 1];
        struct task *task = task_at(sched, index);
        struct fan_place *place = &sched->scrub_place;
        sched->work_left--;
        bool is_dead = task->stage == STAGE_FREE;
        if (!is_dead && !place->is_begun)
            scrub_inputs(sched, task);
        if (!is_dead && !fan_scrub(sched, index, place))
            continue;
        task->flags &= (uint16_t)~FLAG_SCRUB;
        *place = (struct fan_place){0};
        sched->scrubs.count--;
    }
    return !sched->scrubs.count;
}

/* ---- free ---- */

/* One action for numbers that follow one another. */
static void tell_freed(struct sched *sched, uint32_t index)
{
    struct sched_action *last =
        sched->out->count ? &sched->out->items[sched->out->count - 1] : NULL;
    if (!last || last->type != SCHED_FREED || last->task != index + 1) {
        last = sched_act(sched, SCHED_FREED);
        last->task = index + 1;
    }
    last->task--;
    last->index++;
}

/* Backwards, so that the next run's tasks get them forwards. */
static bool free_numbers(struct sched *sched, struct todo *todo)
{
    const struct run *run = &sched->runs.items[todo->index];
    for (; todo->cursor < run->node_count && sched->work_left > 0; todo->cursor++) {
        uint32_t index = run_task(run, run->node_count - 1 - todo->cursor);
        struct task *task = task_at(sched, index);
        sched->work_left--;
        if (task->stage != STAGE_FREE || task->place != DEAD || index == sched->nobody)
            continue;
        task->place = 0; /* another node may be the same task */
        VECTOR_PUSH(sched->free_tasks, index);
        tell_freed(sched, index);
    }
    return todo->cursor == run->node_count;
}

#define VECTOR_FREE(vector)                                                                        \
    do {                                                                                           \
        mem_free((vector).items);                                                                  \
        memset(&(vector), 0, sizeof(vector));                                                      \
    } while (0)

static void give_memory_back(struct sched *sched)
{
    if (sched->live_tasks || sched->tasks.count <= KEPT_TASKS)
        return;
    VECTOR_FREE(sched->tasks);
    VECTOR_FREE(sched->inputs);
    VECTOR_FREE(sched->fans);
    VECTOR_FREE(sched->artifacts);
    VECTOR_FREE(sched->free_tasks);
    VECTOR_FREE(sched->scrubs);
    VECTOR_FREE(sched->strays);
    VECTOR_FREE(sched->shares);
    VECTOR_FREE(sched->free_shares);
    sched->free_inputs = sched->free_fans = sched->free_artifacts = (struct block_pool){0};
    sched->nobody = NONE;
    struct id_map empty = id_map_init(sched->ids.id_at, sched->ids.context);
    id_map_fini(&sched->ids);
    sched->ids = empty;
    side_fini(&sched->share_of);
    heap_fini(&sched->backoffs); /* of tasks that are gone */
}

/* ---- all of it ---- */

void run_fini(struct run *run)
{
    mem_free(run->node_tasks);
    arena_fini(&run->arena);
    *run = (struct run){0};
}

static void next_pass(struct todo *todo)
{
    todo->pass++;
    todo->cursor = 0;
}

/* What actions of this step point at lives until the next one. */
static bool is_told_of_a_task(const struct sched *sched)
{
    for (size_t i = 0; i < sched->out->count; i++)
        if (sched->out->items[i].task != NONE && sched->out->items[i].type != SCHED_FREED)
            return true;
    return false;
}

bool forget_go_on(struct sched *sched, struct todo *todo)
{
    if (is_told_of_a_task(sched)) {
        sched->work_left = 0; /* later, then */
        return false;
    }
    if (todo->pass == FORGET_DROP && drop(sched, todo)) {
        scrub_strays(sched);
        next_pass(todo);
    }
    if (todo->pass == FORGET_SCRUB && scrub(sched))
        next_pass(todo);
    if (todo->pass != FORGET_FREE || !free_numbers(sched, todo))
        return false;
    rule_drop_run(sched, todo->index);
    run_fini(&sched->runs.items[todo->index]);
    give_memory_back(sched);
    return true;
}

void sched_forget(struct sched *sched, uint32_t index)
{
    if (index >= sched->runs.count)
        return;
    struct run *run = &sched->runs.items[index];
    if (!run->is_used || !run->is_over || run->is_forgetting)
        return;
    run->is_forgetting = true;
    todo_push(sched, (struct todo){.type = TODO_FORGET, .index = index});
}
