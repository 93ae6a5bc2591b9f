// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/run.h"

#include "broker/sched/flight.h"
#include "broker/sched/grow.h"
#include "broker/sched/lost.h"
#include "broker/sched/share.h"
#include "broker/sched/task.h"
#include "broker/sched/todo.h"

static void count_change(struct sched *sched, uint32_t index, uint32_t nodes,
                         enum task_state before, enum task_state after)
{
    struct run *run = &sched->runs.items[index];
    if (run->is_over)
        return;
    ASSERT(run->counts[before] >= nodes);
    run->counts[before] -= nodes;
    run->counts[after] += nodes;
    if (run_open_count(run) == 0)
        VECTOR_PUSH(sched->ended, index);
}

void run_count_change(struct sched *sched, uint32_t index, enum task_state before,
                      enum task_state after)
{
    const struct task *task = task_at(sched, index);
    if (!(task->flags & FLAG_SHARED)) {
        count_change(sched, rule_of(sched, task)->run, 1, before, after);
        return;
    }
    for (uint32_t at = share_first(sched, task, index); at != NONE;
         at = sched->shares.items[at].next) {
        struct share share = sched->shares.items[at];
        if (!share.is_left)
            count_change(sched, share.run, share.nodes, before, after);
    }
}

static void count_success(struct run *run, uint32_t executed, uint32_t hit, bool is_success)
{
    if (run->is_over)
        return;
    ASSERT(is_success || (run->executed >= executed && run->hit >= hit));
    run->executed = is_success ? run->executed + executed : run->executed - executed;
    run->hit = is_success ? run->hit + hit : run->hit - hit;
}

void run_count_success(struct sched *sched, uint32_t index, bool is_success)
{
    const struct task *task = task_at(sched, index);
    bool is_found = (task->flags & (FLAG_HIT | FLAG_CUTOFF)) != 0;
    uint32_t owner = rule_of(sched, task)->run;
    if (!(task->flags & FLAG_SHARED)) {
        count_success(&sched->runs.items[owner], !is_found, is_found, is_success);
        return;
    }
    for (uint32_t at = share_first(sched, task, index); at != NONE;
         at = sched->shares.items[at].next) {
        struct share *share = &sched->shares.items[at];
        if (share->is_left)
            continue;
        if (is_success)
            share->is_executor = !is_found && share->run == owner;
        count_success(&sched->runs.items[share->run], share->is_executor,
                      share->nodes - share->is_executor, is_success);
        if (!is_success)
            share->is_executor = false;
    }
}

/* ---- the end of a run ---- */

enum { CHECK_ARTIFACTS_MAX = 2048 /* looked for in the store at once: a few ms */ };

static void end_run(struct sched *sched, uint32_t index)
{
    sched->runs.items[index].is_over = true;
    sched_act(sched, SCHED_RUN_OVER)->run = index;
}

static void try_end(struct sched *sched, uint32_t index)
{
    struct run *run = &sched->runs.items[index];
    if (!run->is_used || run->is_over || run->is_checking || run->is_submitting ||
        run_open_count(run) > 0)
        return;
    run->is_checking = true;
    run->check_at = 0;
    todo_push(sched, (struct todo){.type = TODO_CHECK, .index = index});
}

void run_end_some(struct sched *sched)
{
    for (uint32_t i = 0; i < sched->ended.count; i++)
        try_end(sched, sched->ended.items[i]);
    sched->ended.count = 0;
}

static bool is_leaf_done(const struct task *task)
{
    return task->stage == STAGE_SUCCEEDED && (task->flags & FLAG_LEAF);
}

/* The leaf outputs of the next nodes, up to run->check_at: as many as one look may have. */
static uint32_t list_leaf_outputs(struct sched *sched, struct run *run, struct artifact **out)
{
    uint32_t first = run->check_at, count = 0;
    for (; run->check_at < run->node_count && sched->work_left > 0; run->check_at++) {
        const struct task *task = task_at(sched, run_task(run, run->check_at));
        sched->work_left--;
        if (!is_leaf_done(task))
            continue;
        if (count && count + task->output_count > CHECK_ARTIFACTS_MAX)
            break;
        count += task->output_count;
    }
    *out = count ? arena_alloc(&sched->scratch, count * sizeof **out) : NULL;
    struct artifact *to = *out;
    for (uint32_t i = first; count && i < run->check_at; i++) {
        const struct task *task = task_at(sched, run_task(run, i));
        for (uint32_t j = 0; is_leaf_done(task) && j < task->output_count; j++)
            *to++ = sched->artifacts.items[task->outputs + j];
    }
    return count;
}

bool run_go_on_checking(struct sched *sched, uint32_t index)
{
    struct run *run = &sched->runs.items[index];
    struct artifact *outputs;
    if (run_open_count(run) > 0) { /* something was lost meanwhile: all of it again, later */
        run->is_checking = false;
        return true;
    }
    run->check_from = run->check_at;
    uint32_t count = run->is_cancelled ? 0 : list_leaf_outputs(sched, run, &outputs);
    if (count) { /* goes on when it is answered */
        run->is_asking = true;
        struct sched_action *action = sched_act(sched, SCHED_CHECK);
        action->run = index;
        action->inputs = outputs;
        action->input_count = count;
        return true;
    }
    if (run->check_at < run->node_count && !run->is_cancelled)
        return false;
    run->is_checking = false;
    end_run(sched, index);
    return true;
}

/* Makes again what is missing of what was asked for. task_invalidate bounds how often. True: any.
 */
static bool make_missing(struct sched *sched, uint32_t index, const struct id *missing,
                         uint32_t count)
{
    struct lost_set set = lost_set_init(missing, count);
    bool is_lost = false;
    const struct run *run = &sched->runs.items[index];
    for (uint32_t i = run->check_from; i < run->check_at; i++) {
        uint32_t task = run_task(run, i);
        if (!(task_at(sched, task)->flags & FLAG_LEAF) || !lost_has_output(sched, task, &set))
            continue;
        is_lost = true;
        task_invalidate(sched, task);
    }
    lost_set_fini(&set);
    return is_lost;
}

void run_checked(struct sched *sched, uint32_t index, const struct id *missing, uint32_t count)
{
    if (index >= sched->runs.count || !sched->runs.items[index].is_asking)
        return;
    struct run *run = &sched->runs.items[index];
    run->is_asking = false;
    if (count && !run->is_cancelled && make_missing(sched, index, missing, count))
        run->check_at = 0; /* what can't be made again has failed; all the rest once more */
    todo_push(sched, (struct todo){.type = TODO_CHECK, .index = index});
}

/* ---- stopping ---- */

/* Other runs want it: this one leaves it to them, and counts it as cancelled. */
static bool leave_to_others(struct sched *sched, uint32_t index, uint32_t run)
{
    struct task *task = task_at(sched, index);
    share_rehome(sched, index);
    if (rule_of(sched, task)->run == run)
        return false;
    for (uint32_t at = share_first(sched, task, index); at != NONE;
         at = sched->shares.items[at].next) {
        struct share *share = &sched->shares.items[at];
        if (share->run != run || share->is_left)
            continue;
        share->is_left = true; /* its node still names the task, until it is forgotten */
        count_change(sched, run, share->nodes, task_state_of(task->stage), TASK_CANCELLED);
        break;
    }
    return true;
}

static void cancel_task(struct sched *sched, uint32_t index, uint32_t run, bool kill)
{
    struct task *task = task_at(sched, index);
    if (task_is_final(task) || leave_to_others(sched, index, run))
        return;
    if (task_is_in_flight(task)) {
        flight_stop(sched, index, kill);
    } else if (task->stage != STAGE_COMMITTING) {
        task_unqueue(sched, index);
        if (task->stage == STAGE_WAITING)
            task->worker = NONE;
        task_set_stage(sched, index, STAGE_CANCELLED);
    }
}

bool run_go_on_cancelling(struct sched *sched, struct todo *todo)
{
    const struct run *run = &sched->runs.items[todo->index];
    if (!run->is_cancelled || run->is_over) /* its end came first; it may be another run by now */
        return true;
    for (; todo->cursor < run->node_count && sched->work_left > 0; todo->cursor++) {
        sched->work_left--;
        cancel_task(sched, run_task(run, todo->cursor), todo->index, todo->kill);
        run = &sched->runs.items[todo->index];
    }
    return todo->cursor == run->node_count;
}

void run_cancel(struct sched *sched, uint32_t index, bool kill)
{
    if (index >= sched->runs.count)
        return;
    struct run *run = &sched->runs.items[index];
    if (!run->is_used || run->is_over)
        return;
    run->is_cancelled = true;
    todo_push(sched, (struct todo){.type = TODO_CANCEL, .index = index, .kill = kill});
    VECTOR_PUSH(sched->ended, index);
}
