/* The broker's process around the scheduler: a model of broker/loop.c and broker/work/. Receive,
 * step, commit, send; while a commit is under way nothing is stepped and the scheduler's clock
 * stands still. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/world.h"

enum { ROUNDS_MAX = 8, PROBE_MS = 1000, TURN_MS = 500, RETRY_COMMIT_MS = 200 };

/* ---- clock ---- */

ms_t broker_clock(const struct world *world)
{
    const struct broker *broker = &world->broker;
    return broker->frozen_at != MS_NEVER ? broker->frozen_at : world->now + broker->offset;
}

void broker_wake(struct world *world, ms_t at)
{
    struct broker *broker = &world->broker;
    if (!broker->is_up)
        return;
    if (at < world->now)
        at = world->now;
    if (at >= broker->turn_at)
        return;
    broker->turn_at = at;
    world_at(world, at, EVENT_BROKER, 0, 0, 0);
}

static void look_at_clock(struct world *world)
{
    struct broker *broker = &world->broker;
    bool is_stalled = broker->is_waiting || broker->is_committing;
    broker->now = (is_stalled ? broker->waiting_since : broker_clock(world)) - broker->stalled_ms;
}

void broker_go_on(struct world *world)
{
    struct broker *broker = &world->broker;
    if (broker->is_waiting || broker->is_committing)
        broker->stalled_ms += broker_clock(world) - broker->waiting_since;
    broker->is_waiting = broker->is_committing = false;
    look_at_clock(world);
}

/* ---- life ---- */

void broker_start(struct world *world)
{
    struct broker *broker = &world->broker;
    if (broker->is_up)
        return;
    broker->is_up = true;
    broker->epoch++;
    struct sched_options options = {.seed = mix(world->params.seed, broker->epoch),
                                    .lease_ms = world->lease_ms,
                                    .step_work = world->step_work};
    broker->sched = sched_new(&options);
    broker->wake_at = broker->turn_at = MS_NEVER;
    broker->probe_at = broker->stalled_ms = 0;
    trace(world, "broker starts, epoch %llu", (unsigned long long)broker->epoch);
    for (uint32_t i = 0; i < world->unit_count; i++)
        world->units[i].crashes = 0;
    script_resubmit(world);
    broker_wake(world, world->now);
}

static void clear(struct broker *broker)
{
    for (uint32_t i = 0; i < broker->sessions.count; i++)
        for (int k = 0; k < 4; k++)
            frame_free(broker->sessions.items[i].out[k]);
    for (uint32_t i = 0; i < broker->held.count; i++)
        if (broker->held.items[i].is_used)
            frame_free(broker->held.items[i].frame);
    for (uint32_t i = 0; i < broker->endings.count; i++)
        mem_free(broker->endings.items[i].blobs);
    frames_clear(&broker->inbox);
    broker->sessions.count = broker->held.count = broker->batch.count = 0;
    broker->asked.count = broker->endings.count = broker->foreseen.count = 0;
    sched_free(broker->sched);
    broker->sched = NULL;
    broker->is_committing = broker->is_waiting = broker->is_up = false;
}

/* Everything in memory is lost; of a commit under way, some is durable. */
void broker_crash(struct world *world)
{
    struct broker *broker = &world->broker;
    if (!broker->is_up)
        return;
    if (broker->is_committing)
        state_apply(world, rng_below(&world->state, broker->batch.count + 1));
    clear(broker);
    excuse_all(world);
    for (uint32_t i = 0; i < world->conns.count; i++)
        net_tear(world, i);
}

void broker_fini(struct world *world)
{
    struct broker *broker = &world->broker;
    clear(broker);
    sched_actions_fini(&broker->actions);
    mem_free(broker->sessions.items);
    mem_free(broker->held.items);
    mem_free(broker->batch.items);
    mem_free(broker->asked.items);
    mem_free(broker->foreseen.items);
    mem_free(broker->endings.items);
}

/* ---- the four beats ---- */

void broker_step(struct world *world, struct sched_event *event)
{
    struct broker *broker = &world->broker;
    struct before before;
    struct err err;
    event->now = broker->now;
    world_mix(world, (uint64_t)event->type);
    world_mix(world, (uint64_t)event->now);
    trace_sched_event(world, event);
    check_before(world, event, &before);
    broker->actions.count = 0;
    sched_step(broker->sched, event, &broker->actions);
    if (!sched_check(broker->sched, &err))
        world_fail(world, "sched_check: %s", err.text);
    for (size_t i = 0; i < broker->actions.count; i++) {
        const struct sched_action *action = &broker->actions.items[i];
        world_mix(world, mix((uint64_t)action->type, mix(action->task, action->attempt)));
        world_mix(world, mix(action->worker, (uint64_t)action->at));
        trace_sched_action(world, action);
        broker_perform(world, action);
    }
    check_after(world, event, &before);
}

void broker_tell(struct world *world, struct sched_event *event)
{
    look_at_clock(world);
    broker_step(world, event);
}

/* Until all tasks of the run are there: frames about them are for after that. */
void broker_submit(struct world *world, struct sched_event *submit)
{
    struct sched_event *event = submit, more = {.type = SCHED_GO_ON};
    struct sched_run_info info = {0};
    world->broker.is_submitting = true;
    for (; !info.is_begun; event = &more) {
        broker_tell(world, event);
        sched_run_info(world->broker.sched, submit->submit.run, &info);
    }
    world->broker.is_submitting = false;
}

static void resolve(struct world *world)
{
    struct broker *broker = &world->broker;
    uint32_t count = broker->asked.count;
    struct asked *asked = mem_alloc(count * sizeof *asked);
    memcpy(asked, broker->asked.items, count * sizeof *asked);
    broker->asked.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct artifact outputs[UNIT_OUTPUTS_MAX];
        const struct kept_record *record = state_action(world, asked[i].action);
        struct sched_event event = {
            .type = SCHED_RESOLVED,
            .resolved = {.task = asked[i].task, .is_found = record != NULL}};
        for (uint32_t j = 0; record && j < record->output_count; j++)
            outputs[j] = blob_artifact(world, record->outputs[j]);
        if (record)
            event.resolved.record = (struct sched_known){record->output_count, outputs};
        broker->resolved_action = asked[i].action;
        broker_step(world, &event);
    }
    mem_free(asked);
}

static void wait_for_store(struct world *world)
{
    struct broker *broker = &world->broker;
    if (!broker->is_waiting)
        broker->waiting_since = broker_clock(world);
    broker->is_waiting = true;
    broker->retry_at = world->now + RETRY_COMMIT_MS;
}

static void check_run(struct world *world, const struct ending *ending)
{
    struct id missing[UNITS_MAX * UNIT_OUTPUTS_MAX];
    uint32_t count = 0;
    world->runs[ending->run].checked_at = world->now;
    for (uint32_t i = 0; i < ending->blob_count; i++)
        if (!world->blobs.items[ending->blobs[i]].is_there &&
            count < sizeof missing / sizeof *missing)
            missing[count++] = world->blobs.items[ending->blobs[i]].id;
    struct sched_event event = {.type = SCHED_CHECKED, .checked = {ending->run, missing, count}};
    broker_step(world, &event);
}

static void end_one(struct world *world)
{
    struct broker *broker = &world->broker;
    if (world->now < world->store_down_until) {
        wait_for_store(world);
        return;
    }
    broker_go_on(world);
    struct ending ending = broker->endings.items[0];
    broker->endings.count--;
    memmove(broker->endings.items, broker->endings.items + 1,
            broker->endings.count * sizeof *broker->endings.items);
    if (ending.is_over) {
        if (world->runs[ending.run].is_over)
            world_fail(world, "run %u is over a second time", ending.run);
        world->runs[ending.run].is_over = true;
        trace(world, "run %u is over", ending.run);
        world_at(world, world->now + rng_below(&world->state, 3000), EVENT_FORGET, ending.run, 0,
                 0);
    } else {
        check_run(world, &ending);
    }
    mem_free(ending.blobs);
}

static void settle(struct world *world)
{
    struct broker *broker = &world->broker;
    if (broker->is_waiting && world->now < broker->retry_at)
        return;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        if (broker->batch.count && !commit(world))
            return;
        if (broker->asked.count)
            resolve(world);
        else if (broker->endings.count)
            end_one(world);
        else
            return;
        if (broker->is_waiting)
            return;
    }
}

static void plan_next(struct world *world)
{
    struct broker *broker = &world->broker;
    bool has_work = broker->asked.count || broker->endings.count || broker->batch.count;
    broker_wake(world, world->now + TURN_MS);
    if (broker->is_committing)
        broker_wake(world, broker->commit_at);
    else if (broker->is_waiting)
        broker_wake(world, broker->retry_at);
    else if (has_work || broker->inbox.first)
        broker_wake(world, world->now);
    else if (broker->wake_at <= broker->now)
        broker_wake(world, world->now);
    else if (broker->wake_at != MS_NEVER && broker->frozen_at == MS_NEVER)
        broker_wake(world, broker->wake_at + broker->stalled_ms - broker->offset);
}

static void tick(struct world *world)
{
    struct broker *broker = &world->broker;
    if (broker->now < broker->wake_at)
        return;
    broker->wake_at = MS_NEVER;
    broker_step(world, &(struct sched_event){.type = SCHED_TICK});
}

/* A peer that died leaves nothing to notice until something is sent to it. */
static void probe_silent(struct world *world)
{
    struct broker *broker = &world->broker;
    if (broker->now < broker->probe_at)
        return;
    broker->probe_at = broker->now + PROBE_MS;
    for (uint32_t i = 0; i < broker->sessions.count; i++) {
        struct session *session = &broker->sessions.items[i];
        if (session->is_used && session->is_known && !session->was_heard)
            broker_send(world, i, frame_new(MSG_HEARTBEAT));
        session->was_heard = false;
    }
}

void broker_turn(struct world *world)
{
    struct broker *broker = &world->broker;
    broker->turn_at = MS_NEVER;
    if (world->now < broker->stall_until) {
        broker_wake(world, broker->stall_until);
        return;
    }
    if (!broker->is_committing && !broker->is_waiting) {
        look_at_clock(world);
        probe_silent(world);
        broker_receive(world);
        tick(world);
    }
    settle(world);
    broker_flush(world);
    plan_next(world);
}

bool broker_is_idle(const struct world *world)
{
    const struct broker *broker = &world->broker;
    if (!broker->is_up || broker->batch.count || broker->asked.count || broker->endings.count ||
        broker->inbox.first)
        return false;
    for (uint32_t i = 0; i < broker->held.count; i++)
        if (broker->held.items[i].is_used)
            return false;
    return true;
}
