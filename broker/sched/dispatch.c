// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/flight.h"
#include "broker/sched/match.h"
#include "broker/sched/place.h"
#include "broker/sched/retry.h"
#include "broker/sched/room.h"
#include "broker/sched/task.h"

/* ---- which task ---- */

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

static uint32_t best_of_lane(struct sched *sched, const struct lane *lane,
                             const struct worker *worker, enum room room)
{
    uint32_t best = NONE;
    if (sched->runs.items[lane->run].is_cancelled) /* what it has is about to be taken away */
        return NONE;
    for (uint32_t i = 0; i < lane->active_count; i++) {
        uint32_t rule = lane->active[i];
        if (!room_may_take(sched, worker, rule, room))
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

/* The next task for this worker, or NONE. */
static uint32_t pick(struct sched *sched, uint32_t index, enum room room)
{
    const struct worker *worker = &sched->workers.items[index];
    uint32_t best = NONE, task = NONE;
    for (uint32_t i = 0; i < sched->busy_lanes.count; i++) {
        uint32_t lane = sched->busy_lanes.items[i];
        if (best != NONE && !is_lane_before(sched, lane, best))
            continue;
        uint32_t found = best_of_lane(sched, &sched->lanes.items[lane], worker, room);
        if (found == NONE)
            continue;
        best = lane;
        task = found;
    }
    if (best != NONE)
        sched->lanes.items[best].turn = ++sched->turns;
    return task;
}

/* ---- to whom ---- */

static void assign(struct sched *sched, uint32_t index, uint32_t worker, enum room room)
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
    if (input_count)
        worker = place_choose(sched, index, inputs, input_count, worker, room);
    room_rotate(sched, worker);
    flight_begin(sched, index, worker, task->attempt + 1u);
    struct sched_action *action = sched_act(sched, SCHED_ASSIGN);
    action->task = index;
    action->run = rule_of(sched, task)->run;
    action->worker = worker;
    action->attempt = task->attempt;
    action->inputs = inputs;
    action->input_count = input_count;
    action->is_resolved = input_count && !(task->flags & FLAG_FORCED);
}

/* Gives the worker, which has room, one task. False: there is none for it. */
static bool feed(struct sched *sched, uint32_t worker, enum room room)
{
    uint32_t task = pick(sched, worker, room);
    if (task == NONE)
        return false;
    assign(sched, task, worker, room);
    return true;
}

/* Workers of this offer that have this much room, one task each in turn. When the first finds
 * nothing, no plain task is left for any. */
static void fill(struct sched *sched, uint32_t offer, enum room room)
{
    for (uint32_t worker; (worker = sched->offers.items[offer].room[room].first) != NONE;)
        if (!feed(sched, worker, room))
            return;
}

/* Each of a list: alike in what they offer, they differ in what is free. Whoever is fed, which may
 * be another of the list (place.h), goes to its end or leaves it; whoever finds nothing keeps its
 * place, so that the next one is found from there. */
static void fill_each(struct sched *sched, uint32_t offer, enum room list, enum room room)
{
    uint32_t unfed = NONE, at;
    for (;;) {
        at = unfed == NONE ? sched->offers.items[offer].room[list].first
                           : sched->workers.items[unfed].room_next;
        if (at == NONE)
            return;
        if (!feed(sched, at, room))
            unfed = at;
    }
}

/* Tasks that are not plain: those that are new are shown to every worker with room, those that
 * found none only to workers that have gained since. So a task that waits for a large worker costs
 * nothing while small ones come and go elsewhere. */
static void fill_heavy(struct sched *sched, enum room room)
{
    for (uint32_t i = 0; i < sched->dirty.count; i++) {
        uint32_t offer = sched->dirty.items[i];
        if (!sched->offers.items[offer].is_used || !sched->offers.items[offer].has_new_heavy)
            continue;
        fill_each(sched, offer, ROOM_FREE, room);
        if (room == ROOM_DEEP)
            fill_each(sched, offer, ROOM_DEEP, room);
    }
    for (uint32_t i = 0; i < sched->gained.count; i++) {
        uint32_t at = sched->gained.items[i];
        const struct worker *worker = &sched->workers.items[at];
        while (worker->room != ROOM_NONE && (room == ROOM_DEEP || worker->room == ROOM_FREE) &&
               feed(sched, at, room))
            continue;
    }
}

static void fill_all(struct sched *sched, enum room room)
{
    for (uint32_t i = 0; i < sched->dirty.count; i++)
        if (sched->offers.items[sched->dirty.items[i]].is_used)
            fill(sched, sched->dirty.items[i], room);
    if (sched->heavy_ready)
        fill_heavy(sched, room);
}

void match_dispatch(struct sched *sched)
{
    sched->has_quorum |= sched->worker_count >= sched->options.workers_min;
    if (!sched->has_quorum)
        return;
    fill_all(sched, ROOM_FREE);
    fill_all(sched, ROOM_DEEP);
    for (uint32_t i = 0; i < sched->dirty.count; i++) {
        struct offer *offer = &sched->offers.items[sched->dirty.items[i]];
        offer->is_dirty = offer->has_new_heavy = false;
    }
    for (uint32_t i = 0; i < sched->gained.count; i++)
        sched->workers.items[sched->gained.items[i]].has_gained = false;
    sched->dirty.count = sched->gained.count = 0;
}
