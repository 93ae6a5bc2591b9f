/* The worker's process around the agent: a model of worker/join*.c. One turn: what came in, a TICK,
 * what goes out. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/world.h"

enum { RECONNECT_MS = 100, RECONNECT_MS_MAX = 2000, SAMPLE_MS = 200 };

/* ---- clock ---- */

ms_t place_clock(const struct world *world, const struct place *place)
{
    return place->frozen_at != MS_NEVER ? place->frozen_at : world->now + place->offset;
}

void place_wake(struct world *world, uint32_t number, ms_t at)
{
    struct place *place = &world->places[number];
    if (at < world->now)
        at = world->now;
    if (!place->is_up || place->is_stopped || at >= place->turn_at)
        return;
    place->turn_at = at;
    world_at(world, at, EVENT_PLACE, number, 0, 0);
}

void place_input(struct world *world, uint32_t number, struct input input)
{
    struct place *place = &world->places[number];
    if (place->input_count == place->input_capacity) {
        place->input_capacity = place->input_capacity ? 2 * place->input_capacity : 16;
        place->inputs = mem_resize(place->inputs, place->input_capacity * sizeof *place->inputs);
    }
    place->inputs[place->input_count++] = input;
    place_wake(world, number, world->now + (ms_t)rng_below(&world->work, 3));
}

/* ---- life ---- */

void place_start(struct world *world, uint32_t number)
{
    struct place *place = &world->places[number];
    place->life++;
    place->is_up = true;
    place->is_stopped = place->is_leaving = place->is_draining = false;
    place->is_broken = place->is_welcome = false;
    place->grace_ms = between(&world->work, 300, 4000);
    const struct agent_options options = {.slots = place->slots,
                                          .grace_ms = place->grace_ms,
                                          .sample_ms = SAMPLE_MS,
                                          .cpu_hundredths = place->cpu_hundredths,
                                          .memory_bytes = place->memory_bytes,
                                          .resource_count = place->gpus.count > 0,
                                          .resources = &place->gpus};
    place->agent = agent_new(&options);
    place->conn = NOBODY;
    place->pause_ms = RECONNECT_MS;
    place->turn_at = place->wake_at = MS_NEVER;
    place->full_spell++;
    place->sequence = place->kept_count = place->unsent_from = 0;
    memset(place->jobs, 0, sizeof place->jobs);
    memset(place->cache, 0, sizeof place->cache);
    trace(world, "W%u.%u starts", number, place->life);
    world_at(world, world->now + rng_below(&world->work, 20), EVENT_CONNECT, number, place->life,
             0);
    place_wake(world, number, world->now);
}

static void free_process(struct place *place)
{
    for (uint32_t i = 0; i < place->input_count; i++)
        frame_free(place->inputs[i].frame);
    place->input_count = 0;
    if (place->agent)
        agent_free(place->agent);
    place->agent = NULL;
    frame_free(place->open);
    frame_free(place->started);
    frame_free(place->revoked);
    place->open = place->started = place->revoked = NULL;
    frames_clear(&place->kept);
    place->kept_count = 0;
    for (uint32_t i = 0; i < SLOTS_MOST; i++) {
        uint32_t generation = place->seats[i].generation + 1;
        place->seats[i] = (struct seat){.generation = generation};
    }
    place->is_up = false;
}

/* kill -9, or the end of main(): what it has sent may still arrive. */
static void end_process(struct world *world, uint32_t number, bool is_violent)
{
    struct place *place = &world->places[number];
    if (place->conn != NOBODY) {
        if (is_violent && chance(&world->work, 50))
            net_tear(world, place->conn);
        net_close(world, place->conn);
    }
    place->conn = NOBODY;
    free_process(place);
    if (place->frozen_at != MS_NEVER)
        place->offset = place->frozen_at - world->now;
    place->frozen_at = MS_NEVER;
    world_at(world, world->now + between(&world->work, 50, 2000), EVENT_START, number, 0, 0);
}

void place_kill(struct world *world, uint32_t number)
{
    struct place *place = &world->places[number];
    if (!place->is_up)
        return;
    trace(world, "W%u.%u is killed", number, place->life);
    excuse_place(world, number, 0, true);
    end_process(world, number, true);
}

void place_fini(struct place *place)
{
    free_process(place);
    agent_actions_fini(&place->actions);
    mem_free(place->inputs);
}

/* Nothing held, nothing kept, no slot at work. */
bool place_is_idle(const struct place *place)
{
    uint32_t cursor = 0;
    struct attempt attempt;
    if (!place->is_up)
        return false;
    for (uint32_t i = 0; i < place->slots; i++)
        if (agent_is_awaiting(place->agent, i))
            return false;
    return !agent_next_held(place->agent, &cursor, &attempt) && !place->kept_count &&
           !place->open && place->is_welcome && !place->input_count;
}

/* ---- the agent ---- */

void place_step(struct world *world, uint32_t number, struct agent_event *event)
{
    struct place *place = &world->places[number];
    struct err err;
    event->now = place->running_now;
    world_mix(world, mix(number, (uint64_t)event->type));
    trace_agent_event(world, number, event);
    agent_step(place->agent, event, &place->actions);
    if (!agent_check(place->agent, &err))
        world_fail(world, "agent_check of W%u: %s", number, err.text);
}

void place_tell(struct world *world, uint32_t number, struct agent_event *event)
{
    struct place *place = &world->places[number];
    place->actions.count = 0;
    place_step(world, number, event);
    for (size_t i = 0; i < place->actions.count && place->is_up; i++) {
        const struct agent_action action = place->actions.items[i];
        world_mix(world, mix((uint64_t)action.type, mix(action.job, action.slot)));
        trace_agent_action(world, number, &action);
        place_act(world, number, &action);
    }
}

/* ---- its link ---- */

/* The socket is closed; the next is due in a while. */
static void fall(struct world *world, uint32_t number)
{
    struct place *place = &world->places[number];
    if (place->conn != NOBODY)
        net_close(world, place->conn);
    place->conn = NOBODY;
    place->is_broken = place->is_welcome = false;
    world_at(world, world->now + place->pause_ms / 2 + rng_below(&world->work, place->pause_ms),
             EVENT_CONNECT, number, place->life, 0);
    place->pause_ms =
        place->pause_ms < RECONNECT_MS_MAX / 2 ? 2 * place->pause_ms : RECONNECT_MS_MAX;
    place_tell(world, number, &(struct agent_event){.type = AGENT_DISCONNECTED});
}

static void on_tasks(struct world *world, uint32_t number, const struct frame *frame)
{
    struct place *place = &world->places[number];
    for (uint32_t i = 0; i < frame->count; i++) {
        const struct entry *entry = &frame->entries[i];
        uint32_t job = 0;
        while (job < JOBS_MAX && place->jobs[job].is_used)
            job++;
        if (job == JOBS_MAX)
            world_fail(world, "W%u is given more than it can hold", number);
        place->jobs[job] = (struct job){
            .is_used = true, .unit = entry->unit, .number = entry->number, .entry = *entry};
        struct agent_event event = {.type = AGENT_TASK};
        event.task.job = job;
        event.task.attempt = (struct attempt){world->units[entry->unit].id, entry->number};
        event.task.is_light = entry->is_light;
        event.task.priority = entry->priority;
        event.task.timeout_ms = entry->timeout_ms;
        event.task.memory_bytes = entry->memory_bytes;
        const struct resource gpus = {"gpu", entry->gpus};
        event.task.cpu_hundredths = entry->cpu_hundredths;
        event.task.resource_count = entry->gpus > 0;
        event.task.resources = &gpus;
        place_tell(world, number, &event);
    }
}

static void on_attempts(struct world *world, uint32_t number, const struct frame *frame,
                        enum agent_event_type type)
{
    for (uint32_t i = 0; i < frame->count; i++) {
        struct agent_event event = {.type = type};
        event.attempt =
            (struct attempt){world->units[frame->entries[i].unit].id, frame->entries[i].number};
        place_tell(world, number, &event);
    }
}

static void on_ack(struct world *world, uint32_t number, const struct frame *frame)
{
    for (uint32_t i = 0; i < frame->count; i++) {
        struct agent_event event = {.type = AGENT_ACK};
        event.ack.left = place_acknowledge(&world->places[number], frame->entries[i].action);
        place_tell(world, number, &event);
    }
}

static void on_frame(struct world *world, uint32_t number, const struct frame *frame)
{
    struct place *place = &world->places[number];
    struct agent_event event = {.type = AGENT_WELCOME};
    place->pause_ms = RECONNECT_MS;
    switch (frame->type) {
    case MSG_WELCOME:
        event.welcome.epoch = frame->epoch;
        event.welcome.lease_ms = world->lease_ms;
        place->is_welcome = frame->epoch >= agent_epoch(place->agent);
        place_tell(world, number, &event);
        break;
    case MSG_REFUSED:
        event.type = AGENT_REFUSED;
        event.done.code = frame->code;
        event.done.text = "refused";
        place_tell(world, number, &event);
        break;
    case MSG_TASKS: on_tasks(world, number, frame); break;
    case MSG_ACK: on_ack(world, number, frame); break;
    case MSG_REVOKE: on_attempts(world, number, frame, AGENT_REVOKE); break;
    case MSG_KILL: on_attempts(world, number, frame, AGENT_KILL); break;
    case MSG_HEARTBEAT: break;
    default: world_fail(world, "a frame of type %d that no broker sends", (int)frame->type);
    }
}

/* ---- one turn ---- */

static void take_link(struct world *world, uint32_t number, const struct input *input)
{
    struct place *place = &world->places[number];
    switch (input->type) {
    case INPUT_LINK_UP:
        place->is_welcome = false;
        place_tell(world, number, &(struct agent_event){.type = AGENT_CONNECTED});
        break;
    case INPUT_LINK_DOWN: fall(world, number); break;
    default:
        if (input->frame->conn == place->conn && !place->is_broken)
            on_frame(world, number, input->frame);
    }
}

static void take_slot(struct world *world, uint32_t number, const struct input *input)
{
    struct place *place = &world->places[number];
    if (place->seats[input->slot].generation != input->generation)
        return; /* of a slot that was ended meanwhile */
    struct agent_event event = {.type = AGENT_SLOT_READY};
    if (input->is_death) {
        place->actions.count = 0;
        seat_stop(world, number, input->slot, 11);
        for (size_t i = 0; i < place->actions.count && place->is_up; i++) {
            const struct agent_action action = place->actions.items[i];
            trace_agent_action(world, number, &action);
            place_act(world, number, &action);
        }
        return;
    }
    event.died.slot = input->slot;
    if (!input->is_ready) {
        event.type = AGENT_SLOT_RESULT;
        event.result.slot = input->slot;
        event.result.code = input->code;
        event.result.text = input->code == OK ? "" : "it failed";
        event.result.took_us = input->took_us;
    }
    place_tell(world, number, &event);
}

static void take_move(struct world *world, uint32_t number, const struct input *input)
{
    struct agent_event event = {.type = input->is_publication ? AGENT_PUBLISHED : AGENT_FETCHED};
    event.done.job = input->job;
    event.done.code = input->code;
    event.done.text = input->code == OK ? "" : "the store says no";
    place_tell(world, number, &event);
}

static void take_inputs(struct world *world, uint32_t number)
{
    struct place *place = &world->places[number];
    struct input *inputs = TAKE(place->inputs);
    uint32_t count = place->input_count;
    place->input_count = place->input_capacity = 0;
    for (int beat = INPUT_FRAME; beat <= INPUT_MOVE; beat++) {
        for (uint32_t i = 0; i < count && place->is_up; i++) {
            int type = inputs[i].type < INPUT_FRAME ? INPUT_FRAME : (int)inputs[i].type;
            if (type != beat)
                continue;
            if (type == INPUT_FRAME)
                take_link(world, number, &inputs[i]);
            else if (type == INPUT_SLOT)
                take_slot(world, number, &inputs[i]);
            else if (type == INPUT_SIGNAL)
                place_tell(world, number, &(struct agent_event){.type = AGENT_DRAIN});
            else
                take_move(world, number, &inputs[i]);
        }
    }
    for (uint32_t i = 0; i < count; i++)
        frame_free(inputs[i].frame);
    mem_free(inputs);
}

void place_turn(struct world *world, uint32_t number)
{
    struct place *place = &world->places[number];
    place->turn_at = MS_NEVER;
    if (place->is_stopped)
        return;
    place->running_now = place_clock(world, place);
    if (place->is_broken)
        fall(world, number);
    take_inputs(world, number);
    place_tell(world, number, &(struct agent_event){.type = AGENT_TICK});
    place_send_queued(world, number);
    if (place->is_leaving) {
        end_process(world, number, false);
        return;
    }
    if (place->is_broken || place->input_count)
        place_wake(world, number, world->now);
    if (place->wake_at != MS_NEVER && place->frozen_at == MS_NEVER)
        place_wake(world, number, place->wake_at - place->offset);
}
