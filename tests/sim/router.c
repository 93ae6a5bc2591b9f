/* Frames in and out at the broker: a model of broker/work/receive.c, router.c and session.c. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/world.h"

static const enum msg_type kinds[4] = {MSG_TASKS, MSG_ACK, MSG_REVOKE, MSG_KILL};

/* ---- sessions ---- */

static uint32_t find_session(const struct broker *broker, uint32_t conn)
{
    for (uint32_t i = 0; i < broker->sessions.count; i++)
        if (broker->sessions.items[i].is_used && broker->sessions.items[i].conn == conn)
            return i;
    return NOBODY;
}

static uint32_t find_instance(const struct broker *broker, uint32_t place, uint32_t life)
{
    for (uint32_t i = 0; i < broker->sessions.count; i++) {
        const struct session *session = &broker->sessions.items[i];
        if (session->is_used && session->is_known && session->place == place &&
            session->life == life)
            return i;
    }
    return NOBODY;
}

static uint32_t put_session(struct broker *broker, uint32_t number, const struct frame *frame)
{
    if (number == NOBODY) {
        for (number = 0; number < broker->sessions.count; number++)
            if (!broker->sessions.items[number].is_used)
                break;
        if (number == broker->sessions.count)
            LIST_ADD(broker->sessions, (struct session){0});
        broker->sessions.items[number] = (struct session){.is_used = true};
    }
    struct session *session = &broker->sessions.items[number];
    session->conn = frame->conn;
    session->place = frame->place;
    session->life = frame->life;
    session->is_lost = false;
    return number;
}

static void remove_session(struct broker *broker, uint32_t number)
{
    for (int k = 0; k < 4; k++)
        frame_free(broker->sessions.items[number].out[k]);
    broker->sessions.items[number] = (struct session){0};
}

void broker_gone(struct world *world, uint32_t number, bool is_drain, enum status code)
{
    struct session *session = &world->broker.sessions.items[number];
    bool was_known = session->is_known;
    if (is_drain)
        tries_given_back(world, session->place, session->life);
    remove_session(&world->broker, number);
    struct sched_event event = {.type = SCHED_GONE,
                                .gone = {.worker = number, .is_drain = is_drain, .code = code}};
    if (was_known)
        broker_step(world, &event);
}

/* ---- sending ---- */

/* A peer that is not there is marked; the next receive tells it. */
void broker_send(struct world *world, uint32_t number, struct frame *frame)
{
    struct session *session = &world->broker.sessions.items[number];
    if (session->is_lost || !world->conns.items[session->conn].is_served) {
        session->is_lost = true;
        frame_free(frame);
        return;
    }
    net_send(world, session->conn, TO_WORKER, frame);
}

struct frame *session_out(struct world *world, uint32_t number, enum msg_type type)
{
    struct broker *broker = &world->broker;
    if (number >= broker->sessions.count || !broker->sessions.items[number].is_used)
        return NULL;
    int kind = 0;
    while (kinds[kind] != type)
        kind++;
    struct frame **out = &broker->sessions.items[number].out[kind];
    if (!*out)
        *out = frame_new(type);
    return *out;
}

void broker_flush(struct world *world)
{
    struct broker *broker = &world->broker;
    for (uint32_t i = 0; i < broker->sessions.count; i++) {
        struct session *session = &broker->sessions.items[i];
        for (int k = 0; session->is_used && k < 4; k++) { /* beginnings before endings */
            struct frame *frame = session->out[k];
            session->out[k] = NULL;
            if (frame)
                broker_send(world, i, frame);
        }
    }
}

static void refuse(struct world *world, uint32_t number, enum status code)
{
    struct frame *frame = frame_new(MSG_REFUSED);
    frame->code = code;
    trace(world, "broker refuses w%u: %s", number, status_name(code));
    broker_send(world, number, frame);
    broker_gone(world, number, false, code);
}

/* ---- held frames ---- */

static uint32_t hold(struct world *world, uint32_t worker, struct frame *frame)
{
    struct held held = {.is_used = true,
                        .worker = worker,
                        .place = frame->place,
                        .life = frame->life,
                        .open = frame->count,
                        .frame = frame};
    LIST_ADD(world->broker.held, held);
    return world->broker.held.count - 1;
}

bool broker_settle(struct world *world, uint64_t handle)
{
    struct broker *broker = &world->broker;
    if (handle >= broker->held.count || !broker->held.items[handle].is_used)
        world_fail(world, "a frame that nobody sent, or that was acknowledged, is acknowledged");
    return --broker->held.items[handle].open == 0;
}

void broker_acknowledge(struct world *world, uint64_t handle)
{
    struct held *held = &world->broker.held.items[handle];
    uint32_t worker = find_instance(&world->broker, held->place, held->life);
    struct frame *out = session_out(world, worker, MSG_ACK);
    struct entry entry = {.action = held->frame->sequence};
    if (out)
        frame_add(out, &entry);
    frame_free(held->frame);
    *held = (struct held){0};
}

/* ---- receiving ---- */

static void receive_hello(struct world *world, const struct frame *frame)
{
    struct broker *broker = &world->broker;
    const struct place *place = &world->places[frame->place];
    uint32_t worker = find_session(broker, frame->conn);
    bool was_there = worker != NOBODY;
    if (!was_there)
        worker = put_session(broker, find_instance(broker, frame->place, frame->life), frame);
    struct session *session = &broker->sessions.items[worker];
    session->is_known = session->was_heard = true;
    struct frame *welcome = frame_new(MSG_WELCOME);
    welcome->epoch = broker->epoch;
    broker_send(world, worker, welcome);
    if (was_there) /* it came twice: what it says may be long past */
        return;
    struct attempt *running = mem_alloc(frame->count * sizeof *running + 1);
    for (uint32_t i = 0; i < frame->count; i++)
        running[i] =
            (struct attempt){world->units[frame->entries[i].unit].id, frame->entries[i].number};
    struct sched_event event = {.type = SCHED_HELLO,
                                .hello = {.worker = worker,
                                          .slots = place->slots,
                                          .cpu_hundredths = place->cpu_hundredths,
                                          .credit = world->credit,
                                          .memory_bytes = place->memory_bytes,
                                          .kind_count = place->kind_count,
                                          .kinds = place->kinds,
                                          .label_count = place->label_count,
                                          .labels = place->labels,
                                          .resource_count = place->gpus.count > 0,
                                          .resources = &place->gpus,
                                          .running = running,
                                          .running_count = frame->count}};
    memcpy(event.hello.instance, &frame->place, sizeof frame->place);
    memcpy(event.hello.instance + 4, &frame->life, sizeof frame->life);
    broker_step(world, &event);
    mem_free(running);
}

static void receive_done(struct world *world, uint32_t worker, const struct entry *entry,
                         uint64_t handle, uint32_t index)
{
    struct artifact outputs[UNIT_OUTPUTS_MAX];
    for (uint32_t i = 0; i < entry->blob_count; i++)
        outputs[i] = blob_artifact(world, entry->blobs[i]);
    struct sched_event event = {.type = SCHED_DONE,
                                .done = {.worker = worker,
                                         .attempt = {world->units[entry->unit].id, entry->number},
                                         .frame = handle,
                                         .index = index,
                                         /* some of no length, of which much is sent ahead */
                                         .took_us = entry->unit % 3 ? 40000 * (entry->unit % 4) : 1,
                                         .outputs = outputs,
                                         .output_count = entry->blob_count}};
    world->broker.entry = entry;
    broker_step(world, &event);
    world->broker.entry = NULL;
}

static void receive_failed(struct world *world, uint32_t worker, const struct entry *entry,
                           uint64_t handle)
{
    struct id lost[UNIT_INPUTS_MAX];
    for (uint32_t i = 0; i < entry->lost_count; i++)
        lost[i] = world->blobs.items[entry->lost[i]].id;
    struct sched_event event = {.type = SCHED_FAILED,
                                .failed = {.worker = worker,
                                           .attempt = {world->units[entry->unit].id, entry->number},
                                           .code = entry->code,
                                           .text = "it failed",
                                           .text_bytes = 9,
                                           .frame = handle,
                                           .lost = lost,
                                           .lost_count = entry->lost_count}};
    broker_step(world, &event);
}

/* The frame is kept until the last of its results is dealt with. */
static void receive_results(struct world *world, uint32_t worker, struct frame *frame)
{
    uint32_t count = frame->count, handle = hold(world, worker, frame);
    for (uint32_t i = 0; i < count; i++) {
        const struct entry entry = frame->entries[i];
        if (entry.code == OK)
            receive_done(world, worker, &entry, handle, i);
        else
            receive_failed(world, worker, &entry, handle);
        /* the last settles it, and the frame is gone */
    }
}

static void receive_attempts(struct world *world, uint32_t worker, const struct frame *frame,
                             enum sched_event_type type)
{
    struct sched_event event = {.type = type, .worker = {.worker = worker}};
    if (type == SCHED_HEARTBEAT && !frame->count)
        broker_step(world, &event);
    for (uint32_t i = 0; i < frame->count; i++) {
        event.worker.attempt =
            (struct attempt){world->units[frame->entries[i].unit].id, frame->entries[i].number};
        broker_step(world, &event);
    }
}

static void receive_frame(struct world *world, struct frame *frame)
{
    if (frame->type == MSG_HELLO) {
        receive_hello(world, frame);
        frame_free(frame);
        return;
    }
    uint32_t worker = find_session(&world->broker, frame->conn);
    if (worker == NOBODY) {
        worker = put_session(&world->broker, NOBODY, frame);
        refuse(world, worker, E_PROTOCOL); /* say HELLO first */
        frame_free(frame);
        return;
    }
    world->broker.sessions.items[worker].was_heard = true;
    switch (frame->type) {
    case MSG_RESULTS: receive_results(world, worker, frame); return;
    case MSG_STARTED: receive_attempts(world, worker, frame, SCHED_STARTED); break;
    case MSG_REVOKED: receive_attempts(world, worker, frame, SCHED_REVOKED); break;
    case MSG_HEARTBEAT: receive_attempts(world, worker, frame, SCHED_HEARTBEAT); break;
    case MSG_GOODBYE:
        receive_attempts(world, worker, frame, SCHED_REVOKED);
        broker_gone(world, worker, true, OK);
        break;
    default: world_fail(world, "a frame of type %d that no worker sends", (int)frame->type);
    }
    frame_free(frame);
}

void broker_receive(struct world *world)
{
    struct broker *broker = &world->broker;
    for (struct frame *frame; (frame = frames_take(&broker->inbox));)
        receive_frame(world, frame);
    for (uint32_t i = 0; i < broker->sessions.count; i++)
        if (broker->sessions.items[i].is_used && broker->sessions.items[i].is_lost)
            broker_gone(world, i, false, E_GONE);
}
