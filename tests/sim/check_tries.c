/* Who was given what, and why: the count behind "executions ≤ 1 + injected faults". A try is one
 * assignment. What a fault may have cost is excused; a task that is given out again without a cause
 * is an error at once, not only in the sum. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/world.h"

static bool is_open(const struct attempt_made *try)
{
    return !try->is_given_back && !try->is_failed && !try->is_done;
}

struct attempt_made *try_find(struct world *world, uint32_t unit, uint32_t number, uint32_t place,
                              uint32_t life)
{
    for (uint32_t i = world->tries.count; i-- > 0;) {
        struct attempt_made *try = &world->tries.items[i];
        if (try->unit == unit && try->number == number && try->place == place && try->life == life)
            return try;
    }
    return NULL;
}

/* ---- excuses ---- */

static void excuse(struct world *world, struct attempt_made *try, bool may_kill)
{
    struct unit *unit = &world->units[try->unit];
    if (may_kill && !try->may_die) {
        try->may_die = true;
        unit->deaths++; /* short work is suspected, too, though nobody heard that it began */
    }
    try->is_excused = true;
    unit->clean -= try->clean;
    try->clean = 0;
}

void excuse_place(struct world *world, uint32_t number, uint32_t for_ms, bool may_kill)
{
    struct place *place = &world->places[number];
    ms_t until = world->now + for_ms + 2 * world->lease_ms;
    if (place->excused_until < until)
        place->excused_until = until;
    if (may_kill && place->mortal_until < until)
        place->mortal_until = until;
    for (uint32_t i = 0; i < world->tries.count; i++) {
        struct attempt_made *try = &world->tries.items[i];
        if (try->place == number && try->life == place->life && is_open(try))
            excuse(world, try, may_kill);
    }
}

void excuse_all(struct world *world)
{
    for (uint32_t i = 0; i < world->tries.count; i++)
        if (is_open(&world->tries.items[i]))
            excuse(world, &world->tries.items[i], true);
    world->broker.excused_until = world->now + 3 * world->lease_ms;
}

void excuse_unit(struct world *world, uint32_t unit)
{
    world->units[unit].crashes = 0;
    for (uint32_t i = 0; i < world->tries.count; i++)
        if (world->tries.items[i].unit == unit)
            excuse(world, &world->tries.items[i], false);
}

void excuse_job(struct world *world, uint32_t place, const struct job *job)
{
    struct attempt_made *try =
        try_find(world, job->unit, job->number, place, world->places[place].life);
    if (try)
        excuse(world, try, false);
}

void try_failed(struct world *world, struct attempt_made *try, enum status code)
{
    excuse(world, try, false);
    try->is_failed = true;
    try->code = code;
    try->is_final = !status_is_retryable(code) && code != E_CANCELLED;
    try->failed_at = world->broker.now;
    world->units[try->unit].clean = 0;
}

void tries_given_back(struct world *world, uint32_t place, uint32_t life)
{
    for (uint32_t i = 0; i < world->tries.count; i++) {
        struct attempt_made *try = &world->tries.items[i];
        if (try->place == place && try->life == life && is_open(try))
            try->is_given_back = true;
    }
}

/* ---- giving out ---- */

static void check_again(struct world *world, uint32_t number, const struct attempt_made *last)
{
    struct unit *unit = &world->units[number];
    if (is_open(last) && !last->is_excused)
        world_fail(world,
                   "t%u is given out again, though W%u.%u has it as attempt %u and nothing "
                   "happened to that",
                   number, last->place, last->life, last->number);
    if (last->is_final && !unit->was_submitted)
        world_fail(world, "t%u is tried again after %s, which no retry mends", number,
                   status_name(last->code));
    if ((last->is_done || world->records[number].is_there) && !unit->is_redone) {
        if (!unit->redo && !state_is_pending(world, number, WRITE_REMOVE))
            world_fail(world, "t%u is given out, though it is done", number);
        unit->redo -= unit->redo > 0;
        unit->is_redone = true;
        unit->clean = 0;
    }
    bool has_waited = last->is_failed && !last->is_final && last->code != E_LOST &&
                      last->code != E_CANCELLED && last->code != E_FULL && !unit->was_submitted;
    world->retries += has_waited;
    world->quick_retries += has_waited && world->broker.now == last->failed_at;
}

void try_begin(struct world *world, const struct sched_action *action, uint32_t number,
               const struct session *session)
{
    struct unit *unit = &world->units[number];
    const struct place *place = &world->places[session->place];
    struct attempt_made try = {
        .unit = number, .number = action->attempt, .place = session->place, .life = session->life};
    try.epoch = world->broker.epoch;
    try.given_at = world->broker.now;
    if (unit->last_try != NOBODY)
        check_again(world, number, &world->tries.items[unit->last_try]);
    bool is_away = !place->is_up || place->life != session->life || place->conn != session->conn;
    try.is_excused =
        is_away || world->now < place->excused_until || world->now < world->broker.excused_until;
    try.may_die =
        is_away || world->now < place->mortal_until || world->now < world->broker.excused_until;
    unit->deaths += try.may_die;
    LIST_ADD(world->tries, try);
    unit->last_try = world->tries.count - 1;
    unit->was_submitted = false;
}

void try_executes(struct world *world, uint32_t place, const struct job *job)
{
    struct unit *unit = &world->units[job->unit];
    struct attempt_made *try =
        try_find(world, job->unit, job->number, place, world->places[place].life);
    if (!try)
        world_fail(world, "t%u#%u runs at W%u, which was never given it", job->unit, job->number,
                   place);
    if (!is_fitting(&world->policies[unit->policy], &world->places[place]))
        world_fail(world, "t%u runs at W%u, which cannot run it", job->unit, place);
    world->executions++;
    if (try->is_excused)
        return;
    try->clean++;
    if (++unit->clean > 1)
        world_fail(world, "t%u#%u runs at W%u: a second time, and nothing happened to the first",
                   job->unit, job->number, place);
}
