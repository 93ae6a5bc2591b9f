/* Frames and connections. Within a connection frames keep their order, as ZeroMQ's do, unless a
 * fault says otherwise; a lost connection takes with it what is under way. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/world.h"

/* ---- frames ---- */

struct frame *frame_new(enum msg_type type)
{
    struct frame *frame = mem_alloc(sizeof *frame);
    frame->type = type;
    return frame;
}

void frame_free(struct frame *frame)
{
    if (!frame)
        return;
    mem_free(frame->entries);
    mem_free(frame);
}

void frame_add(struct frame *frame, const struct entry *entry)
{
    if (frame->count == frame->capacity) {
        frame->capacity = frame->capacity ? 2 * frame->capacity : 4;
        frame->entries = mem_resize(frame->entries, frame->capacity * sizeof *frame->entries);
    }
    frame->entries[frame->count++] = *entry;
}

struct frame *frame_copy(const struct frame *frame)
{
    struct frame *copy = mem_alloc(sizeof *copy);
    *copy = *frame;
    copy->next = NULL;
    copy->capacity = frame->count;
    copy->entries = mem_alloc(frame->count * sizeof *copy->entries + 1);
    if (frame->count)
        memcpy(copy->entries, frame->entries, frame->count * sizeof *copy->entries);
    return copy;
}

void frames_put(struct frames *frames, struct frame *frame)
{
    frame->next = NULL;
    if (frames->last)
        frames->last->next = frame;
    else
        frames->first = frame;
    frames->last = frame;
}

struct frame *frames_take(struct frames *frames)
{
    struct frame *frame = frames->first;
    if (!frame)
        return NULL;
    frames->first = frame->next;
    if (!frames->first)
        frames->last = NULL;
    return frame;
}

void frames_clear(struct frames *frames)
{
    for (struct frame *frame; (frame = frames_take(frames));)
        frame_free(frame);
}

/* ---- sending ---- */

static ms_t delay(struct world *world)
{
    ms_t most = world->now < world->slow_until ? world->slow_until_delay_ms : world->delay_ms;
    return (ms_t)rng_below(&world->net, (uint32_t)most + 1);
}

/* This one comes late: others overtake it, or, as a copy, it comes a second time. */
static void send_late(struct world *world, uint32_t conn, int direction, struct frame *frame)
{
    uint32_t extra = 1 + rng_below(&world->net, chance(&world->net, 20) ? 2000 : 60);
    /* Without a WELCOME or a heartbeat in time a lease is over. */
    bool may_kill = frame->type == MSG_WELCOME || frame->type == MSG_HEARTBEAT;
    excuse_place(world, world->conns.items[conn].place, extra + world->lease_ms, may_kill);
    frames_put(&world->conns.items[conn].late[direction], frame);
    world_at(world, world->now + extra, EVENT_DELIVER, conn, (uint32_t)(LATE + direction), 0);
}

void net_send(struct world *world, uint32_t number, int direction, struct frame *frame)
{
    struct conn *conn = &world->conns.items[number];
    const struct place *place = &world->places[conn->place];
    frame->conn = number;
    frame->place = conn->place;
    frame->life = conn->life;
    bool may_drop = frame->type == MSG_HEARTBEAT || frame->type == MSG_STARTED ||
                    frame->type == MSG_TASKS || frame->type == MSG_REVOKE ||
                    frame->type == MSG_KILL;
    if (may(world, FAULT_DROP) && may_drop && chance(&world->net, world->chances.drop)) {
        trace(world, "! frame %d lost", (int)frame->type);
        excuse_place(world, conn->place, world->lease_ms, true);
        frame_free(frame);
        return;
    }
    if (conn->is_torn) {
        frame_free(frame);
        return;
    }
    if (may(world, FAULT_DUPLICATE) && chance(&world->net, world->chances.duplicate)) {
        trace(world, "! frame %d will come twice", (int)frame->type);
        send_late(world, number, direction, frame_copy(frame));
    }
    if (may(world, FAULT_REORDER) && chance(&world->net, world->chances.reorder)) {
        trace(world, "! frame %d will come late", (int)frame->type);
        send_late(world, number, direction, frame);
        return;
    }
    ms_t at = world->now + delay(world);
    if (at < conn->last_at[direction])
        at = conn->last_at[direction];
    if (at < place->blocked_until[direction])
        at = place->blocked_until[direction];
    conn->last_at[direction] = at;
    frames_put(&conn->queue[direction], frame);
    world_at(world, at, EVENT_DELIVER, number, (uint32_t)direction, 0);
}

void net_deliver(struct world *world, uint32_t number, int way)
{
    struct conn *conn = &world->conns.items[number];
    struct place *place = &world->places[conn->place];
    int direction = way % LATE;
    struct frames *frames = way >= LATE ? &conn->late[direction] : &conn->queue[direction];
    if (!frames->first)
        return; /* lost meanwhile */
    if (world->now < place->blocked_until[direction]) {
        world_at(world, place->blocked_until[direction], EVENT_DELIVER, number, (uint32_t)way, 0);
        return;
    }
    struct frame *frame = frames_take(frames);
    if (direction == TO_BROKER && world->broker.is_up) {
        frames_put(&world->broker.inbox, frame);
        broker_wake(world, world->now);
    } else if (direction == TO_WORKER && place->is_up && place->conn == number) {
        place_input(world, conn->place, (struct input){.type = INPUT_FRAME, .frame = frame});
    } else {
        frame_free(frame);
    }
}

/* ---- connections ---- */

uint32_t net_connect(struct world *world, uint32_t number)
{
    struct place *place = &world->places[number];
    if (!world->broker.is_up || world->now < place->blocked_until[TO_BROKER] ||
        world->now < place->blocked_until[TO_WORKER]) {
        world_at(world, world->now + between(&world->net, 50, 200), EVENT_CONNECT, number,
                 place->life, 0);
        return NOBODY;
    }
    LIST_ADD(
        world->conns,
        (struct conn){.place = number, .life = place->life, .is_open = true, .is_served = true});
    place->conn = world->conns.count - 1;
    place_input(world, number, (struct input){.type = INPUT_LINK_UP});
    return place->conn;
}

void net_tear(struct world *world, uint32_t number)
{
    struct conn *conn = &world->conns.items[number];
    if (conn->is_torn)
        return;
    conn->is_torn = true;
    for (int d = 0; d < 2; d++) {
        frames_clear(&conn->queue[d]);
        frames_clear(&conn->late[d]);
    }
    world_at(world, world->now + rng_below(&world->net, 300), EVENT_TEAR, number, true, 0);
    world_at(world, world->now + rng_below(&world->net, 1500), EVENT_TEAR, number, false, 0);
}

void net_close(struct world *world, uint32_t number)
{
    world->conns.items[number].is_open = false;
    world_at(world, world->now + rng_below(&world->net, 300), EVENT_TEAR, number, false, 0);
}

void net_noticed(struct world *world, uint32_t number, bool by_worker)
{
    struct conn *conn = &world->conns.items[number];
    struct place *place = &world->places[conn->place];
    if (!by_worker && conn->queue[TO_BROKER].first) /* the end comes behind what was sent */
        world_at(world, world->now + 20, EVENT_TEAR, number, false, 0);
    else if (!by_worker)
        conn->is_served = false;
    else if (place->is_up && place->conn == number)
        place_input(world, conn->place, (struct input){.type = INPUT_LINK_DOWN});
}
