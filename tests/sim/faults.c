/* What goes wrong, and that all is mended at last. Fault number i draws from its own stream. */
// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/world.h"

enum { FAULT_EVERY_MS = 250, FAULTS_MOST = 48 };

static bool is_skipped(const struct params *params, uint32_t number)
{
    for (uint32_t i = 0; i < params->skip_count; i++)
        if (params->skips[i] == number)
            return true;
    return number >= params->fault_max;
}

void faults_make(struct world *world)
{
    struct rng rng = rng_seed(mix(world->params.seed, 6));
    struct chances *chances = &world->chances;
    *chances = (struct chances){.duplicate = between(&rng, 1, 10),
                                .reorder = between(&rng, 1, 10),
                                .drop = between(&rng, 5, 50),
                                .slot = between(&rng, 1, 10),
                                .slow = between(&rng, 1, 15),
                                .hang = between(&rng, 1, 5),
                                .flaky = between(&rng, 1, 10),
                                .commit_fails = between(&rng, 2, 30),
                                .commit_slow = between(&rng, 2, 40)};
    uint32_t count = rng_below(&rng, world->params.faulty_ms / FAULT_EVERY_MS + 2);
    for (uint32_t i = 0; i < count && i < FAULTS_MOST; i++) {
        struct rng own = rng_seed(mix(world->params.seed, 1000 + i));
        ms_t at = world->now + (ms_t)(rng_next(&own) % world->params.faulty_ms);
        if (!is_skipped(&world->params, i))
            world_at(world, at, EVENT_FAULT, i, 0, 0);
    }
}

/* ---- each of them ---- */

static uint32_t any_place(const struct world *world, struct rng *rng)
{
    return rng_below(rng, world->place_count);
}

static void cut(struct world *world, struct rng *rng)
{
    uint32_t number = any_place(world, rng);
    if (!world->places[number].is_up || world->places[number].conn == NOBODY)
        return;
    trace(world, "! W%u's connection is lost", number);
    excuse_place(world, number, 3000, true);
    net_tear(world, world->places[number].conn);
}

static void partition(struct world *world, struct rng *rng)
{
    uint32_t number = any_place(world, rng), ways = between(rng, 1, 3);
    uint32_t ms = between(rng, 10, 4 * world->lease_ms);
    trace(world, "! W%u is cut off, ways %u, for %u ms", number, ways, ms);
    excuse_place(world, number, ms + 3000, true);
    for (int d = 0; d < 2; d++)
        if (ways >> d & 1)
            world->places[number].blocked_until[d] = world->now + ms;
    if (chance(rng, 25))
        cut(world, rng);
}

/* Less than what a lease can bear: no excuse. */
static void slow_down(struct world *world, struct rng *rng)
{
    world->slow_until = world->now + between(rng, 100, 3000);
    world->slow_until_delay_ms = between(rng, 20, world->lease_ms / 4);
    trace(world, "! the network is slow: up to %u ms", world->slow_until_delay_ms);
}

static void stop(struct world *world, struct rng *rng)
{
    uint32_t number = any_place(world, rng), ms = between(rng, 20, 4 * world->lease_ms);
    struct place *place = &world->places[number];
    if (!place->is_up || place->is_stopped)
        return;
    trace(world, "! W%u is stopped for %u ms", number, ms);
    excuse_place(world, number, ms, true);
    place->is_stopped = true;
    world_at(world, world->now + ms, EVENT_CONTINUE, number, 0, 0);
}

static void drain(struct world *world, struct rng *rng)
{
    uint32_t number = any_place(world, rng);
    if (!world->places[number].is_up)
        return;
    trace(world, "! W%u is told to go", number);
    if (world->places[number].is_draining) /* the second time: at once */
        excuse_place(world, number, 0, !world->places[number].is_welcome);
    world->places[number].is_draining = true;
    place_input(world, number, (struct input){.type = INPUT_SIGNAL});
}

static void turn_clock(struct world *world, struct rng *rng)
{
    uint32_t number = any_place(world, rng), ms = between(rng, 10, 3 * world->lease_ms);
    struct place *place = &world->places[number];
    if (!place->is_up || place->frozen_at != MS_NEVER)
        return;
    excuse_place(world, number, ms, true);
    if (chance(rng, 50)) {
        trace(world, "! W%u's clock jumps %u ms", number, ms);
        place->offset += ms;
        place_wake(world, number, world->now);
        return;
    }
    trace(world, "! W%u's clock stands for %u ms", number, ms);
    place->frozen_at = place_clock(world, place);
    world_at(world, world->now + ms, EVENT_THAW, number, 0, 0);
}

static void turn_broker_clock(struct world *world, struct rng *rng)
{
    struct broker *broker = &world->broker;
    uint32_t ms = between(rng, 10, 3 * world->lease_ms);
    if (broker->frozen_at != MS_NEVER)
        return;
    excuse_all(world);
    if (chance(rng, 50)) {
        trace(world, "! the broker's clock jumps %u ms", ms);
        broker->offset += ms;
        broker_wake(world, world->now);
        return;
    }
    trace(world, "! the broker's clock stands for %u ms", ms);
    broker->frozen_at = broker_clock(world);
    world_at(world, world->now + ms, EVENT_THAW, NOBODY, 0, 0);
}

/* However long: what came in meanwhile is read before any lease is looked at. No excuse. */
static void stall(struct world *world, struct rng *rng)
{
    world->broker.stall_until = world->now + between(rng, 10, 3 * world->lease_ms);
    trace(world, "! the broker's loop stands still");
}

static void crash(struct world *world, struct rng *rng)
{
    if (!world->broker.is_up)
        return;
    trace(world, "! the broker is killed");
    broker_crash(world);
    world_at(world, world->now + between(rng, 20, 1500), EVENT_RESTART, 0, 0, 0);
}

static void lose(struct world *world, struct rng *rng, bool is_corrupt)
{
    uint16_t number = (uint16_t)rng_below(rng, world->blobs.count + 1);
    if (number >= world->blobs.count || !world->blobs.items[number].is_there)
        return;
    struct blob *blob = &world->blobs.items[number];
    blob->losses++;
    blob->lost_at = world->now;
    if (is_corrupt)
        blob->is_corrupt = true;
    else
        blob->is_there = false;
    for (uint32_t i = 0; i < world->unit_count; i++) {
        struct unit *unit = &world->units[i];
        for (uint32_t j = 0; j < unit->output_count; j++) {
            if (unit->outputs[j] != number)
                continue;
            trace(world, "! output %u of t%u is %s", j, i, is_corrupt ? "corrupt" : "lost");
            unit->losses++;
            unit->redo++;
        }
    }
}

static void crash_slot(struct world *world, struct rng *rng)
{
    uint32_t number = any_place(world, rng);
    struct place *place = &world->places[number];
    uint32_t slot = rng_below(rng, place->slots);
    if (!place->is_up)
        return;
    trace(world, "! slot %u of W%u dies", slot, number);
    seat_crash(world, number, slot);
}

static void shut_store(struct world *world, struct rng *rng)
{
    uint32_t ms = between(rng, 10, 2000);
    trace(world, "! the store is away for %u ms", ms);
    world->store_down_until = world->now + ms;
}

static void fill_disk(struct world *world, struct rng *rng)
{
    uint32_t number = any_place(world, rng), ms = between(rng, 100, 8000);
    trace(world, "! W%u's disk is full for %u ms", number, ms);
    world->places[number].full_until = world->now + ms;
    world->places[number].was_full = true;
}

/* The kind is drawn from those the seed has; one that the shrinker left out does nothing. */
static enum fault draw_kind(const struct world *world, struct rng *rng)
{
    static const enum fault scripted[] = {
        FAULT_CUT,     FAULT_PARTITION, FAULT_DELAY,        FAULT_KILL,   FAULT_STOP,  FAULT_DRAIN,
        FAULT_CLOCK,   FAULT_SLOT,      FAULT_BROKER_CLOCK, FAULT_BROKER, FAULT_STALL, FAULT_LOSS,
        FAULT_CORRUPT, FAULT_STORE,     FAULT_CANCEL,       FAULT_FULL};
    uint32_t has = params_of_seed(world->params.seed).faults | world->params.faults;
    for (int i = 0; i < 100; i++) {
        enum fault fault = scripted[rng_below(rng, sizeof scripted / sizeof *scripted)];
        if (has >> fault & 1)
            return fault;
    }
    return FAULT_COUNT;
}

void fault_happen(struct world *world, uint32_t number)
{
    struct rng own = rng_seed(mix(world->params.seed, 1000 + number)), *rng = &own;
    rng_next(rng); /* the time */
    enum fault fault = draw_kind(world, rng);
    if (fault == FAULT_COUNT || !may(world, fault))
        return;
    world->faults_made++;
    world_mix(world, number);
    trace(world, "! fault %u", number);
    switch (fault) {
    case FAULT_CUT: cut(world, rng); break;
    case FAULT_PARTITION: partition(world, rng); break;
    case FAULT_DELAY: slow_down(world, rng); break;
    case FAULT_KILL: place_kill(world, any_place(world, rng)); break;
    case FAULT_STOP: stop(world, rng); break;
    case FAULT_DRAIN: drain(world, rng); break;
    case FAULT_CLOCK: turn_clock(world, rng); break;
    case FAULT_SLOT: crash_slot(world, rng); break;
    case FAULT_BROKER_CLOCK: turn_broker_clock(world, rng); break;
    case FAULT_BROKER: crash(world, rng); break;
    case FAULT_STALL: stall(world, rng); break;
    case FAULT_LOSS: lose(world, rng, false); break;
    case FAULT_CORRUPT: lose(world, rng, true); break;
    case FAULT_STORE: shut_store(world, rng); break;
    case FAULT_CANCEL: script_cancel(world, rng); break;
    case FAULT_FULL: fill_disk(world, rng); break;
    default: break;
    }
}

void faults_mend(struct world *world)
{
    trace(world, "all is mended");
    world->is_faulty = false;
    world->store_down_until = 0;
    world->slow_until = world->broker.stall_until = world->now;
    broker_start(world);
    world_at(world, world->now, EVENT_THAW, NOBODY, 0, 0);
    for (uint32_t i = 0; i < world->place_count; i++) {
        world_at(world, world->now, EVENT_THAW, i, 0, 0);
        world_at(world, world->now, EVENT_CONTINUE, i, 0, 0);
        world_at(world, world->now, EVENT_START, i, 0, 0);
    }
}
