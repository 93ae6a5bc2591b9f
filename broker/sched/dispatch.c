// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/flight.h"
#include "broker/sched/match.h"
#include "broker/sched/retry.h"
#include "broker/sched/task.h"

/* Is `a` to be served before `b`? Both have ready tasks, of one run and priority. */
static bool is_before(const struct sched *sched, uint32_t a, uint32_t b)
{
    const struct task *x = task_at(sched, a), *y = task_at(sched, b);
    if (x->rank != y->rank)
        return x->rank > y->rank;
    if (x->ready_at != y->ready_at)
        return (int32_t)(x->ready_at - y->ready_at) < 0; /* stamps wrap */
    return a < b;
}

static uint32_t best_of_lane(struct sched *sched, const struct offer *offer,
                             const struct lane *lane)
{
    uint32_t best = NONE;
    for (uint32_t i = 0; i < lane->active_count; i++) {
        uint32_t rule = lane->active[i];
        if (!offer->fits[rule])
            continue;
        uint32_t task = ready_first(&sched->ready, &sched->rules.items[rule].queue);
        if (best == NONE || is_before(sched, task, best))
            best = task;
    }
    return best;
}

/* Is lane `a` to be served before `b`? Priority; then the run with the least in flight; then the
 * one that has waited longest for its turn. */
static bool is_lane_before(const struct sched *sched, uint32_t a, uint32_t b)
{
    const struct lane *x = &sched->lanes.items[a], *y = &sched->lanes.items[b];
    if (x->priority != y->priority)
        return x->priority > y->priority;
    uint32_t x_flights = sched->runs.items[x->run].flights;
    uint32_t y_flights = sched->runs.items[y->run].flights;
    if (x_flights != y_flights)
        return x_flights < y_flights;
    return x->turn != y->turn ? x->turn < y->turn : a < b;
}

/* The next task for this offer, or NONE. */
static uint32_t pick(struct sched *sched, const struct offer *offer)
{
    uint32_t best = NONE, task = NONE;
    for (uint32_t i = 0; i < sched->busy_lanes.count; i++) {
        uint32_t lane = sched->busy_lanes.items[i];
        if (best != NONE && !is_lane_before(sched, lane, best))
            continue;
        uint32_t found = best_of_lane(sched, offer, &sched->lanes.items[lane]);
        if (found == NONE)
            continue;
        best = lane;
        task = found;
    }
    if (best != NONE)
        sched->lanes.items[best].turn = ++sched->turns;
    return task;
}

static void assign(struct sched *sched, uint32_t index, uint32_t worker)
{
    struct task *task = task_at(sched, index);
    struct artifact *inputs;
    uint32_t input_count;
    task_unqueue(sched, index);
    if (task->attempt >= ATTEMPT_MAX) {
        retry_fail(sched, index, E_LIMIT, "it was given to workers too many times, in vain");
        return;
    }
    if (!task_resolve_inputs(sched, task, &inputs, &input_count)) {
        retry_fail(sched, index, E_CORRUPT, "the record of an input names too few outputs");
        return;
    }
    flight_begin(sched, index, worker, task->attempt + 1u);
    struct sched_action *action = sched_act(sched, SCHED_ASSIGN);
    action->task = index;
    action->run = rule_of(sched, task)->run;
    action->worker = worker;
    action->attempt = task->attempt;
    action->inputs = inputs;
    action->input_count = input_count;
}

/* Gives tasks to workers of this offer that have this much room, one each in turn. */
static void fill(struct sched *sched, struct offer *offer, enum room room)
{
    while (offer->room[room].first != NONE) {
        uint32_t task = pick(sched, offer);
        if (task == NONE)
            return;
        uint32_t worker = offer->room[room].first;
        match_rotate(sched, worker);
        assign(sched, task, worker);
    }
}

/* ---- taking from those that have too much ---- */

static uint32_t waiting_at(const struct worker *worker)
{
    return worker->is_used && worker->flights > worker->slots ? worker->flights - worker->slots : 0;
}

static uint32_t find_victim(const struct sched *sched, uint32_t thief)
{
    uint32_t best = NONE, most = 0;
    for (uint32_t i = 0; i < sched->workers.count; i++) {
        uint32_t waiting = waiting_at(&sched->workers.items[i]);
        if (i != thief && waiting > most) {
            best = i;
            most = waiting;
        }
    }
    return best;
}

/* The youngest half of what waits at the victim, but no more than the thief can begin at once. */
static void revoke_some(struct sched *sched, const struct worker *victim,
                        const struct worker *thief)
{
    uint32_t wanted = (waiting_at(victim) + 1) / 2;
    if (wanted > thief->slots)
        wanted = thief->slots;
    const struct offer *offer = &sched->offers.items[thief->offer];
    uint32_t at = victim->last;
    for (uint32_t looked = 0; at != NONE && wanted > 0 && looked < 4 * thief->slots; looked++) {
        const struct flight *flight = &sched->flights.items[at];
        const struct task *task = task_at(sched, flight->task);
        at = flight->previous;
        if (task->stage != STAGE_ASSIGNED || !offer->fits[task->rule])
            continue;
        wanted--; /* also those that are asked for already */
        flight_stop(sched, flight->task, false);
    }
}

void match_steal(struct sched *sched, uint32_t index)
{
    const struct worker *thief = &sched->workers.items[index];
    if (!thief->is_used || thief->is_silent || thief->flights > 0 || sched->flight_count == 0)
        return;
    uint32_t victim = find_victim(sched, index);
    if (victim != NONE)
        revoke_some(sched, &sched->workers.items[victim], thief);
}

void match_dispatch(struct sched *sched)
{
    for (enum room room = ROOM_FREE; room < ROOM_COUNT; room++)
        for (uint32_t i = 0; i < sched->dirty.count; i++)
            if (sched->offers.items[sched->dirty.items[i]].is_used)
                fill(sched, &sched->offers.items[sched->dirty.items[i]], room);
    for (uint32_t i = 0; i < sched->dirty.count; i++)
        sched->offers.items[sched->dirty.items[i]].is_dirty = false;
    sched->dirty.count = 0;
}
