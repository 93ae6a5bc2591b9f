/* What must never happen, and what must hold at the end (design: §13). */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/world.h"

enum { LOSSES_MAX = 3, QUICK_RETRIES_MAX = 6 };

/* ---- before and after a step ---- */

static bool attempt_of_event(const struct sched_event *event, struct attempt *attempt,
                             uint32_t *worker)
{
    switch (event->type) {
    case SCHED_STARTED:
    case SCHED_REVOKED:
        *attempt = event->worker.attempt;
        *worker = event->worker.worker;
        return true;
    case SCHED_FAILED:
        *attempt = event->failed.attempt;
        *worker = event->failed.worker;
        return true;
    default: return false;
    }
}

/* Tasks that remember a lost worker as what failed them. */
static uint32_t count_marked(struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->unit_count; i++) {
        struct sched_task_info info;
        uint32_t task = sched_task_find(world->broker.sched, &world->units[i].id);
        if (task == NOBODY)
            continue;
        sched_task_info(world->broker.sched, task, &info);
        count += info.code == E_GONE;
    }
    return count;
}

/* A success counts if that attempt was given to that worker and the task is not final, whatever
 * became of the attempt meanwhile. */
static bool is_due(struct world *world, const struct sched_event *event, struct before *before)
{
    uint32_t task = sched_task_find(world->broker.sched, &event->done.attempt.task);
    const struct session *session = &world->broker.sessions.items[event->done.worker];
    before->unit = unit_of(world, &event->done.attempt.task);
    if (task == NOBODY || state_is_pending(world, before->unit, WRITE_RECORD) ||
        state_is_pending(world, before->unit, WRITE_ALIAS))
        return false;
    sched_task_info(world->broker.sched, task, &before->info);
    const struct attempt_made *try =
        try_find(world, before->unit, event->done.attempt.number, session->place, session->life);
    return before->info.state <= TASK_RUNNING && try && !try->is_given_back && !try->is_failed &&
           !try->is_done && try->epoch == world->broker.epoch &&
           (uint32_t)(try - world->tries.items) >= world->units[before->unit].submitted_at;
}

void check_before(struct world *world, const struct sched_event *event, struct before *before)
{
    struct attempt attempt;
    uint32_t worker;
    *before = (struct before){.task = NOBODY};
    if (event->type == SCHED_GONE && event->gone.is_drain)
        before->marked = count_marked(world);
    if (event->type == SCHED_DONE)
        full_is_over(world, event->done.worker);
    else if (event->type == SCHED_HELLO)
        full_is_over(world, event->hello.worker);
    if (event->type == SCHED_DONE)
        before->must_count = is_due(world, event, before);
    if (!attempt_of_event(event, &attempt, &worker))
        return;
    before->task = sched_task_find(world->broker.sched, &attempt.task);
    before->unit = unit_of(world, &attempt.task);
    if (before->task == NOBODY)
        return;
    sched_task_info(world->broker.sched, before->task, &before->info);
    bool is_in_flight = before->info.assigned_at != MS_NEVER;
    before->is_stale =
        !is_in_flight || before->info.attempts != attempt.number || before->info.worker != worker;
    if (before->is_stale)
        return;
    const struct session *session = &world->broker.sessions.items[worker];
    struct attempt_made *try =
        try_find(world, before->unit, attempt.number, session->place, session->life);
    if (!try)
        world_fail(world, "t%u#%u is in flight, but was never given out", before->unit,
                   attempt.number);
    before->was_killed = try->is_killed;
    if (event->type == SCHED_REVOKED)
        try->is_given_back = true;
    else if (event->type == SCHED_FAILED)
        try_failed(world, try, event->failed.code);
    if (event->type == SCHED_FAILED && event->failed.code == E_FULL)
        full_failed(world, before, try, worker);
}

/* A failure, a start, a revocation of an attempt that is not the last changes nothing. */
static void check_stale(struct world *world, const struct before *before)
{
    struct sched_task_info info;
    if (before->info.assigned_at == MS_NEVER)
        return;
    sched_task_info(world->broker.sched, before->task, &info);
    if (info.state != before->info.state || info.attempts != before->info.attempts ||
        info.worker != before->info.worker)
        world_fail(world, "t%u#%u was changed by what came of another attempt", before->unit,
                   before->info.attempts);
}

static void check_poison(struct world *world, const struct before *before)
{
    struct unit *unit = &world->units[before->unit];
    struct sched_task_info info;
    sched_task_info(world->broker.sched, before->task, &info);
    uint32_t most = info.policy->poison_kills;
    bool is_open = info.state == TASK_READY || info.state == TASK_RUNNING;
    unit->crashes = is_open ? unit->crashes + 1 : 0;
    if (unit->crashes >= most)
        world_fail(world, "t%u cost %u slots their life and goes on", before->unit, unit->crashes);
}

void check_after(struct world *world, const struct sched_event *event, const struct before *before)
{
    if (event->type == SCHED_GONE && event->gone.is_drain && count_marked(world) > before->marked)
        world_fail(world, "a drain is held against a task");
    if (before->must_count && !state_is_pending(world, before->unit, WRITE_RECORD))
        world_fail(world, "t%u#%u succeeded, and that does not count", before->unit,
                   event->done.attempt.number);
    if (before->task == NOBODY)
        return;
    if (before->is_free)
        full_check(world, before);
    if (before->is_stale)
        check_stale(world, before);
    else if (event->type == SCHED_FAILED && event->failed.code == E_CRASHED && !before->was_killed)
        check_poison(world, before);
}

/* ---- assignments ---- */

static bool has_text(const char *const *texts, uint32_t count, const char *text)
{
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(texts[i], text))
            return true;
    return false;
}

bool is_fitting(const struct task_policy *policy, const struct place *place)
{
    if (!has_text(place->kinds, place->kind_count, policy->kind_version))
        return false;
    for (uint32_t i = 0; i < policy->label_count; i++) {
        bool is_there = false;
        for (uint32_t j = 0; j < place->label_count; j++)
            is_there |= !strcmp(policy->labels[2 * i], place->labels[2 * j]) &&
                        !strcmp(policy->labels[2 * i + 1], place->labels[2 * j + 1]);
        if (!is_there)
            return false;
    }
    uint32_t gpus = policy->resource_count ? policy->resources[0].count : 0;
    return gpus <= place->gpus.count && policy->cpu_hundredths <= place->cpu_hundredths &&
           policy->memory_bytes <= place->memory_bytes;
}

static void check_inputs(struct world *world, const struct sched_action *action, uint32_t number)
{
    const struct unit *unit = &world->units[number];
    if (action->input_count != unit->input_count)
        world_fail(world, "t%u is given out with %u inputs, not %u", number, action->input_count,
                   unit->input_count);
    for (uint32_t i = 0; i < unit->input_count; i++) {
        uint32_t from = unit->inputs[i].unit;
        uint16_t blob = world->units[from].outputs[unit->inputs[i].output];
        if (!id_equal(&action->inputs[i].id, &world->blobs.items[blob].id))
            world_fail(world, "t%u is given out with another input than t%u made", number, from);
        if (!world->records[from].is_there && !state_is_pending(world, from, WRITE_REMOVE))
            world_fail(world, "t%u is given out before the record of t%u is durable", number, from);
    }
}

/* Tasks of a run that is being stopped, step by step, are ready and not to be given out. */
static bool is_stopping(const struct world *world)
{
    for (uint32_t i = 0; i < world->run_count; i++)
        if (world->runs[i].is_cancelled && !world->runs[i].is_over)
            return true;
    return false;
}

/* What one worker has of what is not yet acknowledged; and is something more urgent left behind? */
static void check_others(struct world *world, const struct sched_action *action, uint32_t number)
{
    const struct broker *broker = &world->broker;
    const struct place *place = &world->places[broker->sessions.items[action->worker].place];
    struct sched_task_info given, info;
    uint32_t unacked = 0;
    sched_task_info(broker->sched, action->task, &given);
    for (uint32_t i = 0; i < world->unit_count; i++) {
        uint32_t task = sched_task_find(broker->sched, &world->units[i].id);
        if (task == NOBODY)
            continue;
        sched_task_info(broker->sched, task, &info);
        unacked += info.assigned_at != MS_NEVER && info.worker == action->worker;
        bool is_left = info.state == TASK_READY && info.assigned_at == MS_NEVER &&
                       info.code == OK && !is_stopping(world);
        if (is_left && info.policy->priority > given.policy->priority &&
            info.policy->cpu_hundredths <= given.policy->cpu_hundredths &&
            info.policy->memory_bytes <= given.policy->memory_bytes &&
            info.policy->resource_count <= given.policy->resource_count &&
            is_fitting(info.policy, place))
            world_fail(world, "t%u is given out before t%u, which is more urgent", number, i);
    }
    for (uint32_t i = 0; i < broker->batch.count; i++)
        unacked += broker->batch.items[i].type == WRITE_RECORD &&
                   broker->batch.items[i].conn == broker->sessions.items[action->worker].conn;
    if (unacked > world->credit)
        world_fail(world, "w%u holds %u unacknowledged tasks, its credit is %u", action->worker,
                   unacked, world->credit);
}

void check_assign(struct world *world, const struct sched_action *action, uint32_t number)
{
    const struct broker *broker = &world->broker;
    const struct unit *unit = &world->units[number];
    if (action->worker >= broker->sessions.count || !broker->sessions.items[action->worker].is_used)
        world_fail(world, "t%u is given to w%u, which is gone", number, action->worker);
    const struct session *session = &broker->sessions.items[action->worker];
    if (!is_fitting(&world->policies[unit->policy], &world->places[session->place]))
        world_fail(world, "t%u is given to w%u, which cannot run it", number, action->worker);
    if (unit->last_try == NOBODY && world->records[number].is_there && !unit->redo)
        world_fail(world, "t%u is given out, though it is done", number);
    check_inputs(world, action, number);
    check_others(world, action, number);
}

/* ---- what is written and what is shown ---- */

void check_persist(struct world *world, uint32_t number, const struct entry *entry)
{
    const struct unit *unit = &world->units[number];
    if (entry->action != unit->action)
        world_fail(world, "t%u: the record is of another action", number);
    if (entry->blob_count != unit->output_count ||
        memcmp(entry->blobs, unit->outputs, unit->output_count * sizeof *entry->blobs) != 0)
        world_fail(world, "t%u: other outputs than without faults", number);
    for (uint32_t i = 0; i < entry->blob_count; i++) {
        const struct blob *blob = &world->blobs.items[entry->blobs[i]];
        if (!blob->is_there && !blob->losses)
            world_fail(world, "t%u counts as done, but output %u is not in the store", number, i);
    }
}

void check_forget(struct world *world, uint32_t number)
{
    if (!world->units[number].losses)
        world_fail(world, "the record of t%u is forgotten, though nothing of it was lost", number);
    /* One loss may be found twice: a result from before it is sent again after a restart. */
    if (!world->units[number].redo)
        world->units[number].redo = 1;
}

/* Has enough happened to it that it may fail? */
static bool may_fail(const struct world *world, const struct unit *unit)
{
    const struct task_policy *policy = &world->policies[unit->policy];
    uint32_t losses = unit->losses;
    for (uint32_t i = 0; i < unit->input_count; i++)
        losses += world->units[unit->inputs[i].unit].losses;
    return unit->expected == TASK_FAILED || unit->failures > policy->retry_limit ||
           unit->deaths >= policy->poison_kills || losses > LOSSES_MAX;
}

void check_publish(struct world *world, const struct sched_action *action, uint32_t number)
{
    struct unit *unit = &world->units[number];
    struct sched_task_info info;
    sched_task_info(world->broker.sched, action->task, &info);
    if (info.state > TASK_RUNNING)
        unit->crashes = 0;
    bool is_cancelled = world->runs[action->run].is_cancelled; /* tries nothing again */
    if (info.state == TASK_FAILED && !is_cancelled && !may_fail(world, unit))
        world_fail(world, "t%u failed (%s: %s), though too little happened to it", number,
                   status_name(info.code), info.text);
    if (info.state != TASK_SUCCEEDED)
        return;
    if (!world->records[number].is_there)
        world_fail(world, "t%u is shown as succeeded before its record is durable", number);
    if (info.output_count != unit->output_count)
        world_fail(world, "t%u succeeded with %u outputs", number, info.output_count);
    for (uint32_t i = 0; i < info.output_count; i++)
        if (!id_equal(&info.outputs[i].id, &world->blobs.items[unit->outputs[i]].id))
            world_fail(world, "t%u: other outputs than without faults", number);
    unit->is_redone = false;
    if (unit->last_try != NOBODY)
        world->tries.items[unit->last_try].is_done = true;
}

/* ---- the end of a run ---- */

static void check_leaf(struct world *world, const struct run *run, uint32_t number)
{
    const struct unit *unit = &world->units[number];
    for (uint32_t i = 0; i < unit->output_count; i++) {
        const struct blob *blob = &world->blobs.items[unit->outputs[i]];
        if (!blob->is_there && blob->lost_at < run->checked_at)
            world_fail(world, "a run is over, but output %u of t%u is not in the store", i, number);
    }
}

static enum task_state node_state(const struct world *world, uint32_t run, uint32_t node)
{
    struct sched_task_info info;
    uint32_t task = sched_task_index(world->broker.sched, run, node);
    sched_task_info(world->broker.sched, task, &info);
    return info.state;
}

/* It waited for one that failed. */
static bool has_failed_input(const struct world *world, uint32_t run_number, uint32_t node)
{
    const struct run *run = &world->runs[run_number];
    for (uint32_t i = 0; i < run->nodes[node].edge_count; i++) {
        uint32_t producer = run->edges[run->nodes[node].first_edge + i].task;
        enum task_state state = node_state(world, run_number, producer);
        if (state == TASK_FAILED || state == TASK_UPSTREAM_FAILED)
            return true;
    }
    return false;
}

static void check_node(struct world *world, uint32_t run_number, uint32_t node, bool is_leaf)
{
    const struct run *run = &world->runs[run_number];
    const struct unit *unit = &world->units[run->units[node]];
    enum task_state state = node_state(world, run_number, node);
    bool is_right = (state == TASK_UNNEEDED && !is_leaf) ||
                    (state == TASK_SUCCEEDED && unit->expected == TASK_SUCCEEDED) ||
                    (state == TASK_FAILED && may_fail(world, unit)) ||
                    (state == TASK_UPSTREAM_FAILED && has_failed_input(world, run_number, node));
    if (!is_right)
        world_fail(world, "run %u is over with t%u %s; without faults it is %s", run_number,
                   run->units[node], task_state_name(state), task_state_name(unit->expected));
    if (state == TASK_SUCCEEDED && is_leaf)
        check_leaf(world, run, run->units[node]);
}

void check_run_over(struct world *world, uint32_t number)
{
    const struct run *run = &world->runs[number];
    struct sched_run_info info;
    bool has_dependants[2 * UNITS_MAX] = {0};
    sched_run_info(world->broker.sched, number, &info);
    if (!info.is_over ||
        info.counts[TASK_WAITING] + info.counts[TASK_READY] + info.counts[TASK_RUNNING])
        world_fail(world, "run %u is said to be over, but tasks are open", number);
    if (run->is_cancelled || world->broker.is_submitting)
        return;
    for (uint32_t i = 0; i < run->edge_count; i++)
        has_dependants[run->edges[i].task] = true;
    for (uint32_t i = 0; i < run->node_count; i++)
        check_node(world, number, i, run->has_targets ? run->is_target[i] : !has_dependants[i]);
}

/* ---- the end of the world ---- */

bool is_all_over(const struct world *world)
{
    for (uint32_t i = 0; i < world->run_count; i++)
        if (!world->runs[i].is_over)
            return false;
    for (uint32_t i = 0; i < world->place_count; i++)
        if (!place_is_idle(&world->places[i]))
            return false;
    return broker_is_idle(world);
}

static void tell_what_is_open(struct world *world)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    for (uint32_t i = 0; i < world->run_count; i++) {
        if (world->runs[i].is_over)
            continue;
        buf_format(&text, "run %u does not end:", i);
        for (uint32_t j = 0; world->broker.is_up && j < world->runs[i].node_count; j++) {
            struct sched_task_info info;
            uint32_t task = sched_task_index(world->broker.sched, i, j);
            sched_task_info(world->broker.sched, task, &info);
            if (info.state != TASK_READY && info.state != TASK_RUNNING)
                continue;
            buf_format(&text, " t%u#%u: ", world->runs[i].units[j], info.attempts);
            sched_explain(world->broker.sched, task, &text);
        }
        world_fail(world, "%s", buf_text(&text));
    }
    for (uint32_t i = 0; i < world->place_count; i++)
        if (!place_is_idle(&world->places[i]))
            world_fail(world, "W%u does not come to rest: %u frames kept", i,
                       world->places[i].kept_count);
    world_fail(world, "the broker does not come to rest");
}

/* A worker that has nothing goes at once when it is told to. */
static void check_leaving(struct world *world, uint32_t number)
{
    struct place *place = &world->places[number];
    place->running_now = place_clock(world, place);
    place_tell(world, number, &(struct agent_event){.type = AGENT_DRAIN});
    place_tell(world, number, &(struct agent_event){.type = AGENT_TICK});
    if (!place->is_leaving)
        world_fail(world, "W%u is idle, but does not go", number);
}

static void forget_all(struct world *world)
{
    for (uint32_t i = 0; i < world->run_count; i++) {
        struct sched_run_info info = {.is_known = true};
        sched_forget(world->broker.sched, i);
        while (info.is_known) {
            broker_step(world, &(struct sched_event){.type = SCHED_GO_ON});
            sched_run_info(world->broker.sched, i, &info);
        }
    }
}

void check_end(struct world *world)
{
    struct sched_load load;
    struct err err;
    if (!is_all_over(world))
        tell_what_is_open(world);
    forget_all(world);
    if (!sched_check(world->broker.sched, &err))
        world_fail(world, "after all runs were forgotten: %s", err.text);
    sched_load(world->broker.sched, &load);
    if (load.ready || load.running)
        world_fail(world, "%u tasks ready and %u running, though all is over", load.ready,
                   load.running);
    for (uint32_t i = 0; i < world->unit_count; i++)
        if (sched_task_find(world->broker.sched, &world->units[i].id) != NOBODY)
            world_fail(world, "t%u is remembered, though no run wants it", i);
    if (world->quick_retries >= QUICK_RETRIES_MAX && 2 * world->quick_retries > world->retries)
        world_fail(world, "%u of %u retries did not wait", world->quick_retries, world->retries);
    for (uint32_t i = 0; i < world->place_count; i++)
        check_leaving(world, i);
}
