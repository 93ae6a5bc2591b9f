// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/grow.h"
#include "broker/sched/note.h"
#include "broker/sched/rule.h"
#include "broker/sched/run.h"
#include "broker/sched/share.h"
#include "broker/sched/task.h"
#include "broker/sched/todo.h"
#include "common/base/mem.h"

enum { SWEEP_MIN = 1024 };

static void drop_task(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    if (id_map_get(&sched->ids, &task->id) == index)
        id_map_remove(&sched->ids, &task->id);
    note_drop(sched, index);
    *task = (struct task){.stage = STAGE_FREE, .first_input = NONE, .dependants = FAN_END};
    sched->dead_tasks++;
}

/* ---- the sweep: lists without the dead, whose indices are free from then on ---- */

static void sweep_inputs(struct sched *sched)
{
    uint32_t *old = sched->inputs.items;
    sched->inputs.items = NULL;
    sched->inputs.count = sched->inputs.capacity = 0;
    for (uint32_t i = 0; i < sched->tasks.count; i++) {
        struct task *task = task_at(sched, i);
        if (task->first_input == NONE)
            continue;
        const uint32_t *inputs = &old[task->first_input];
        task->first_input = sched->inputs.count;
        for (uint32_t j = 0; j <= inputs[0]; j++)
            VECTOR_PUSH(sched->inputs, inputs[j]);
    }
    mem_free(old);
}

static void sweep_fans(struct sched *sched)
{
    uint32_t *old = sched->fans.items;
    uint32_t *fresh = NULL, count = 0, capacity = 0;
    for (uint32_t i = 0; i < sched->tasks.count; i++) {
        struct task *task = task_at(sched, i);
        uint32_t cursor = task->dependants, first = count;
        for (uint32_t next; (next = task_next_dependant(sched, &cursor)) != NONE;) {
            GROW(fresh, capacity, count + 2);
            fresh[count++] = next;
        }
        task->dependants = count > first ? first : FAN_END;
        if (count > first)
            fresh[count++] = FAN_END;
    }
    mem_free(old);
    sched->fans.items = fresh;
    sched->fans.count = count;
    sched->fans.capacity = capacity;
}

static void sweep_artifacts(struct sched *sched)
{
    struct artifact *old = sched->artifacts.items;
    sched->artifacts.items = NULL;
    sched->artifacts.count = sched->artifacts.capacity = 0;
    for (uint32_t i = 0; i < sched->tasks.count; i++) {
        struct task *task = task_at(sched, i);
        if (task->stage == STAGE_SUCCEEDED || task->stage == STAGE_COMMITTING)
            task_set_outputs(sched, task, old + task->outputs, task->output_count);
    }
    mem_free(old);
}

static void sweep(struct sched *sched)
{
    sweep_inputs(sched);
    sweep_fans(sched);
    sweep_artifacts(sched);
    sched->free_tasks.count = 0;
    for (uint32_t i = sched->tasks.count; i-- > 0;)
        if (task_at(sched, i)->stage == STAGE_FREE)
            VECTOR_PUSH(sched->free_tasks, i);
    sched->dead_tasks = 0;
}

void run_fini(struct run *run)
{
    mem_free(run->node_tasks);
    arena_fini(&run->arena);
    *run = (struct run){0};
}

void sched_forget(struct sched *sched, uint32_t index)
{
    if (index >= sched->runs.count)
        return;
    struct run *run = &sched->runs.items[index];
    if (!run->is_used || !run->is_over)
        return;
    for (uint32_t i = 0; i < run->node_count; i++) {
        uint32_t task = run_task(run, i);
        if (task_at(sched, task)->stage != STAGE_FREE && !share_leave(sched, task, index))
            drop_task(sched, task);
    }
    rule_drop_run(sched, index);
    run_fini(run);
    uint32_t live = sched->tasks.count - sched->free_tasks.count - sched->dead_tasks;
    /* What is listed points into the lists that a sweep moves. */
    if (todo_is_empty(sched) && sched->dead_tasks > SWEEP_MIN && sched->dead_tasks > live)
        sweep(sched);
}
