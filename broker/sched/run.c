// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/run.h"

#include "broker/sched/flight.h"
#include "broker/sched/grow.h"
#include "broker/sched/lost.h"
#include "broker/sched/share.h"
#include "broker/sched/task.h"

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
        if (is_success)
            share->is_executor = !is_found && share->run == owner;
        count_success(&sched->runs.items[share->run], share->is_executor,
                      share->nodes - share->is_executor, is_success);
        if (!is_success)
            share->is_executor = false;
    }
}

/* ---- the end of a run ---- */

static uint32_t list_leaf_outputs(const struct sched *sched, const struct run *run,
                                  struct artifact *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->node_count; i++) {
        const struct task *task = task_at(sched, run_task(run, i));
        if (task->stage != STAGE_SUCCEEDED || !(task->flags & FLAG_LEAF))
            continue;
        for (uint32_t j = 0; out && j < task->output_count; j++)
            out[count + j] = sched->artifacts.items[task->outputs + j];
        count += task->output_count;
    }
    return count;
}

static void end_run(struct sched *sched, uint32_t index)
{
    sched->runs.items[index].is_over = true;
    sched_act(sched, SCHED_RUN_OVER)->run = index;
}

static void try_end(struct sched *sched, uint32_t index)
{
    struct run *run = &sched->runs.items[index];
    if (run->is_over || run->is_checking || run_open_count(run) > 0)
        return;
    uint32_t count = run->is_cancelled ? 0 : list_leaf_outputs(sched, run, NULL);
    if (!count) {
        end_run(sched, index);
        return;
    }
    struct artifact *outputs = arena_alloc(&sched->scratch, count * sizeof *outputs);
    list_leaf_outputs(sched, run, outputs);
    run->is_checking = true;
    struct sched_action *action = sched_act(sched, SCHED_CHECK);
    action->run = index;
    action->inputs = outputs;
    action->input_count = count;
}

void run_end_some(struct sched *sched)
{
    for (uint32_t i = 0; i < sched->ended.count; i++)
        try_end(sched, sched->ended.items[i]);
    sched->ended.count = 0;
}

void run_checked(struct sched *sched, uint32_t index, const struct id *missing, uint32_t count)
{
    if (index >= sched->runs.count || !sched->runs.items[index].is_checking)
        return;
    struct run *run = &sched->runs.items[index];
    run->is_checking = false;
    bool is_lost = false;
    if (count && !run->is_cancelled) { /* task_invalidate bounds how often */
        struct lost_set set = lost_set_init(missing, count);
        for (uint32_t i = 0; i < run->node_count; i++) {
            uint32_t task = run_task(run, i);
            if (!(task_at(sched, task)->flags & FLAG_LEAF) || !lost_has_output(sched, task, &set))
                continue;
            is_lost = true;
            task_invalidate(sched, task);
        }
        lost_set_fini(&set);
    }
    if (run_open_count(run) > 0)
        return;
    if (is_lost) /* what could not be made again has failed; look at the rest once more */
        try_end(sched, index);
    else
        end_run(sched, index);
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
        struct share share = sched->shares.items[at];
        if (share.run != run)
            continue;
        count_change(sched, run, share.nodes, task_state_of(task->stage), TASK_CANCELLED);
        share_leave(sched, index, run);
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

void run_cancel(struct sched *sched, uint32_t index, bool kill)
{
    if (index >= sched->runs.count)
        return;
    struct run *run = &sched->runs.items[index];
    if (!run->is_used || run->is_over)
        return;
    run->is_cancelled = true;
    run->is_killed |= kill;
    for (uint32_t i = 0; i < run->node_count; i++)
        cancel_task(sched, run_task(run, i), index, kill);
    VECTOR_PUSH(sched->ended, index);
}
