/* Virtual time: a heap of what is to happen, and the course of one history. */
// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"

/* After the last fault: leases, backoffs and reconnections are seconds at most. */
enum { END_WITHIN_MS = 120000 };

uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t x = a * UINT64_C(0x9E3779B97F4A7C15) ^ (b + UINT64_C(0xD1B54A32D192ED03));
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

bool chance(struct rng *rng, uint32_t percent)
{
    return rng_below(rng, 100) < percent;
}

uint32_t between(struct rng *rng, uint32_t least, uint32_t most)
{
    return least + rng_below(rng, most - least + 1);
}

bool may(const struct world *world, enum fault fault)
{
    return world->is_faulty && (world->params.faults >> fault & 1);
}

void world_mix(struct world *world, uint64_t value)
{
    world->hash = mix(world->hash, value);
}

_Noreturn void world_fail(struct world *world, const char *format, ...)
{
    struct verdict *verdict = world->verdict;
    va_list arguments;
    va_start(arguments, format);
    int used = snprintf(verdict->text, TEXT_BYTES, "at %lld ms: ", (long long)world->now);
    vsnprintf(verdict->text + used, TEXT_BYTES - (size_t)used, format, arguments);
    va_end(arguments);
    verdict->is_failed = verdict->is_over = true;
    verdict->events = world->event_count;
    verdict->hash = world->hash;
    if (world->is_tracing) {
        printf("FAILED %s\n", verdict->text);
        fflush(stdout);
    }
    _exit(1);
}

/* ---- the heap: earliest first, then in the order of asking ---- */

static bool is_before(const struct happening *a, const struct happening *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void world_at(struct world *world, ms_t at, enum event_type type, uint32_t a, uint32_t b,
              uint32_t c)
{
    if (world->heap_count == world->heap_capacity) {
        world->heap_capacity = world->heap_capacity ? 2 * world->heap_capacity : 256;
        world->heap = mem_resize(world->heap, world->heap_capacity * sizeof *world->heap);
    }
    struct happening item = {
        at < world->now ? world->now : at, world->orders++, type, a, b, c, false};
    uint32_t i = world->heap_count++;
    for (; i > 0 && is_before(&item, &world->heap[(i - 1) / 2]); i = (i - 1) / 2)
        world->heap[i] = world->heap[(i - 1) / 2];
    world->heap[i] = item;
}

static struct happening next_happening(struct world *world)
{
    struct happening top = world->heap[0], last = world->heap[--world->heap_count];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < world->heap_count; i = child) {
        if (child + 1 < world->heap_count &&
            is_before(&world->heap[child + 1], &world->heap[child]))
            child++;
        if (!is_before(&world->heap[child], &last))
            break;
        world->heap[i] = world->heap[child];
    }
    world->heap[i] = last;
    return top;
}

/* ---- the course of things ---- */

static void start_place(struct world *world, uint32_t number)
{
    const struct place *place = &world->places[number];
    if (!place->is_up && place->is_wanted)
        place_start(world, number);
}

static void go_on_place(struct world *world, uint32_t number)
{
    struct place *place = &world->places[number];
    if (!place->is_stopped)
        return;
    trace(world, "W%u.%u goes on", number, place->life);
    place->is_stopped = false;
    excuse_place(world, number, world->lease_ms, true);
    place_wake(world, number, world->now);
}

/* A clock that stood goes on from where it was. */
static void thaw(struct world *world, uint32_t number)
{
    if (number == NOBODY) {
        struct broker *broker = &world->broker;
        if (broker->frozen_at != MS_NEVER)
            broker->offset = broker->frozen_at - world->now;
        broker->frozen_at = MS_NEVER;
        broker_wake(world, world->now);
        return;
    }
    struct place *place = &world->places[number];
    if (place->frozen_at != MS_NEVER)
        place->offset = place->frozen_at - world->now;
    place->frozen_at = MS_NEVER;
    place_wake(world, number, world->now);
}

static void forget_run(struct world *world, uint32_t number)
{
    struct run *run = &world->runs[number];
    if (!run->is_over || run->is_forgotten)
        return;
    run->is_forgotten = true;
    if (!world->broker.is_up)
        return;
    trace(world, "broker forgets run %u", number);
    sched_forget(world->broker.sched, number);
    /* What it was the last to hold back goes on with the next step. */
    broker_tell(world, &(struct sched_event){.type = SCHED_GO_ON});
}

static void happen(struct world *world, const struct happening *h)
{
    switch (h->type) {
    case EVENT_BROKER:
        if (world->broker.is_up && world->broker.turn_at == h->at)
            broker_turn(world);
        break;
    case EVENT_PLACE:
        if (world->places[h->a].is_up && world->places[h->a].turn_at == h->at)
            place_turn(world, h->a);
        break;
    case EVENT_DELIVER: net_deliver(world, h->a, (int)h->b); break;
    case EVENT_CONNECT:
        if (world->places[h->a].is_up && world->places[h->a].life == h->b &&
            world->places[h->a].conn == NOBODY)
            net_connect(world, h->a);
        break;
    case EVENT_TEAR: net_noticed(world, h->a, h->b); break;
    case EVENT_SEAT: seat_event(world, h->a, h->b, h->c); break;
    case EVENT_MOVE: move_end(world, h->a, h->b, h->c); break;
    case EVENT_START: start_place(world, h->a); break;
    case EVENT_CONTINUE: go_on_place(world, h->a); break;
    case EVENT_THAW: thaw(world, h->a); break;
    case EVENT_RESTART: broker_start(world); break;
    case EVENT_FAULT: fault_happen(world, h->a); break;
    case EVENT_SUBMIT: script_submit(world, h->a); break;
    case EVENT_FORGET: forget_run(world, h->a); break;
    case EVENT_MEND: faults_mend(world); break;
    case EVENT_INPUT: break;
    }
}

static void begin(struct world *world, const struct params *params, bool is_tracing,
                  struct verdict *verdict)
{
    memset(world, 0, sizeof *world);
    world->params = *params;
    world->verdict = verdict;
    world->is_tracing = is_tracing;
    world->is_faulty = true;
    world->dag = rng_seed(mix(params->seed, 1));
    world->script = rng_seed(mix(params->seed, 2));
    world->net = rng_seed(mix(params->seed, 3));
    world->work = rng_seed(mix(params->seed, 4));
    world->state = rng_seed(mix(params->seed, 5));
    world->now = 1000;
    world->broker.frozen_at = MS_NEVER;
    dag_make(world);
    script_make(world);
    faults_make(world);
    world_at(world, world->now + params->faulty_ms, EVENT_MEND, 0, 0, 0);
    broker_start(world);
}

static void fini(struct world *world)
{
    broker_fini(world);
    for (uint32_t i = 0; i < world->place_count; i++)
        place_fini(&world->places[i]);
    for (uint32_t i = 0; i < world->conns.count; i++)
        for (int d = 0; d < 2; d++)
            frames_clear(&world->conns.items[i].queue[d]);
    script_free(world);
    mem_free(world->heap);
    mem_free(world->blobs.items);
    mem_free(world->actions.items);
    mem_free(world->conns.items);
    mem_free(world->tries.items);
}

void world_run(const struct params *params, bool is_tracing, struct verdict *verdict)
{
    static struct world world;
    begin(&world, params, is_tracing, verdict);
    ms_t mended_at = world.now + params->faulty_ms;
    while (world.is_faulty || !is_all_over(&world)) {
        if (!world.heap_count)
            world_fail(&world, "nothing will ever happen again");
        struct happening h = next_happening(&world);
        world.now = h.at;
        if (++world.event_count > EVENTS_MAX)
            world_fail(&world, "the world turns in circles");
        if (!world.is_faulty && world.now > mended_at + END_WITHIN_MS)
            check_end(&world);
        happen(&world, &h);
    }
    check_end(&world);
    verdict->is_failed = false;
    verdict->events = world.event_count;
    verdict->hash = world.hash;
    verdict->faults = world.faults_made;
    verdict->tries = world.tries.count;
    verdict->executions = world.executions;
    verdict->lasted_ms = (uint32_t)(world.now - mended_at);
    verdict->is_over = true;
    fini(&world);
}
