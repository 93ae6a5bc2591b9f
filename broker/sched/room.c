// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/room.h"

#include <string.h>

#include "broker/sched/grow.h"
#include "broker/sched/match.h"
#include "broker/sched/rest.h"

enum { CORE = 100 }; /* hundredths */

bool room_is_plain(const struct task_policy *policy)
{
    return policy->cpu_hundredths <= CORE && !policy->memory_bytes && !policy->resource_count;
}

uint32_t room_slots(const struct task_policy *policy)
{
    return policy->cpu_hundredths > CORE ? (policy->cpu_hundredths + CORE - 1) / CORE : 1;
}

/* ---- what is there, and what is taken of it ---- */

/* The place of a named resource among the offer's, or NONE. */
static uint32_t find_resource(const struct offer *offer, const char *name)
{
    for (uint32_t i = 0; i < offer->resource_count; i++)
        if (strcmp(offer->resources[i].name, name) == 0)
            return i;
    return NONE;
}

uint64_t room_total(const struct offer *offer, const char *resource)
{
    uint32_t at = find_resource(offer, resource);
    return at == NONE ? 0 : offer->resources[at].count;
}

static bool is_over_cpu(const struct worker *worker, const struct offer *offer)
{
    return offer->cpu_hundredths && worker->wide && worker->cpu_used > offer->cpu_hundredths;
}

static bool is_over_memory(const struct worker *worker, const struct offer *offer)
{
    return offer->memory_bytes && worker->memory_used > offer->memory_bytes;
}

static bool is_over(const struct worker *worker, const struct offer *offer)
{
    if (is_over_cpu(worker, offer) || is_over_memory(worker, offer))
        return true;
    for (uint32_t i = 0; i < offer->resource_count; i++)
        if (worker->used[i] > offer->resources[i].count)
            return true;
    return false;
}

/* `times` is 1, or −1 to give it back. */
static void use(struct sched *sched, uint32_t index, uint32_t rule_index, int times)
{
    struct worker *worker = &sched->workers.items[index];
    const struct rule *rule = &sched->rules.items[rule_index];
    const struct task_policy *policy = &rule->policy;
    worker->cpu_used += (uint64_t)times * policy->cpu_hundredths;
    if (rule->is_plain)
        return;
    const struct offer *offer = &sched->offers.items[worker->offer];
    worker->heavy += (uint32_t)times;
    worker->wide += (uint32_t)times * (policy->cpu_hundredths > CORE);
    worker->memory_used += (uint64_t)times * policy->memory_bytes;
    for (uint32_t i = 0; i < policy->resource_count; i++) {
        uint32_t at = find_resource(offer, policy->resources[i].name);
        if (at != NONE) /* it brought the task along, though it has none of this */
            worker->used[at] += (uint64_t)times * policy->resources[i].count;
    }
}

void room_take(struct sched *sched, uint32_t worker, uint32_t rule)
{
    use(sched, worker, rule, 1);
}

void room_give_back(struct sched *sched, uint32_t worker, uint32_t rule)
{
    use(sched, worker, rule, -1);
}

bool room_fits_now(const struct sched *sched, const struct worker *worker, const struct rule *rule)
{
    if (rule->is_plain)
        return true;
    const struct task_policy *policy = &rule->policy;
    const struct offer *offer = &sched->offers.items[worker->offer];
    if (offer->cpu_hundredths && policy->cpu_hundredths > CORE &&
        worker->cpu_used + policy->cpu_hundredths > offer->cpu_hundredths)
        return false;
    if (offer->memory_bytes && worker->memory_used + policy->memory_bytes > offer->memory_bytes)
        return false;
    for (uint32_t i = 0; i < policy->resource_count; i++) {
        uint32_t at = find_resource(offer, policy->resources[i].name);
        if (at == NONE ||
            worker->used[at] + policy->resources[i].count > offer->resources[at].count)
            return false;
    }
    return true;
}

bool room_may_take(const struct sched *sched, const struct worker *worker, uint32_t index,
                   enum room room)
{
    const struct rule *rule = &sched->rules.items[index];
    if (!sched->offers.items[worker->offer].fits[index])
        return false;
    if (rule->is_plain)
        return true;
    return room == ROOM_FREE ? room_fits_now(sched, worker, rule) : !worker->is_over;
}

bool room_is_short(const struct sched *sched, const struct worker *worker, const struct rule *rule)
{
    if (!worker->is_over)
        return false;
    const struct offer *offer = &sched->offers.items[worker->offer];
    if (is_over_cpu(worker, offer) || (rule->policy.memory_bytes && is_over_memory(worker, offer)))
        return true;
    for (uint32_t i = 0; i < rule->policy.resource_count; i++) {
        uint32_t at = find_resource(offer, rule->policy.resources[i].name);
        if (at != NONE && worker->used[at] > offer->resources[at].count)
            return true;
    }
    return false;
}

enum room room_now(const struct sched *sched, const struct worker *worker)
{
    const struct offer *offer = &sched->offers.items[worker->offer];
    if (!worker->is_used || worker->is_silent || rest_is_kept(worker) ||
        worker->unacked >= worker->credit)
        return ROOM_NONE;
    bool has_core = !offer->cpu_hundredths || !worker->cpu_used ||
                    worker->cpu_used + CORE <= offer->cpu_hundredths;
    if (worker->flights < worker->slots && has_core)
        return ROOM_FREE;
    return worker->flights < worker->depth ? ROOM_DEEP : ROOM_NONE;
}

/* ---- lists of workers with room, by offer; and of those that hold more than they can run ---- */

static void leave_room(struct sched *sched, struct worker *worker)
{
    if (worker->room == ROOM_NONE)
        return;
    struct offer *offer = &sched->offers.items[worker->offer];
    if (worker->room_previous == NONE)
        offer->room[worker->room].first = worker->room_next;
    else
        sched->workers.items[worker->room_previous].room_next = worker->room_next;
    if (worker->room_next == NONE)
        offer->room[worker->room].last = worker->room_previous;
    else
        sched->workers.items[worker->room_next].room_previous = worker->room_previous;
    worker->room = ROOM_NONE;
}

static void enter_room(struct sched *sched, uint32_t index, enum room room)
{
    struct worker *worker = &sched->workers.items[index];
    struct offer *offer = &sched->offers.items[worker->offer];
    worker->room = room;
    if (room == ROOM_NONE)
        return;
    worker->room_next = NONE;
    worker->room_previous = offer->room[room].last;
    if (worker->room_previous == NONE)
        offer->room[room].first = index;
    else
        sched->workers.items[worker->room_previous].room_next = index;
    offer->room[room].last = index;
    match_look_at(sched, worker->offer);
}

/* The crowd: workers of which some flights must wait. An array, each knows its place. */
static void join_or_leave_crowd(struct sched *sched, uint32_t index, bool is_crowded)
{
    struct worker *worker = &sched->workers.items[index];
    if (is_crowded == (worker->crowd != NONE))
        return;
    if (is_crowded) {
        worker->crowd = sched->crowd.count;
        VECTOR_PUSH(sched->crowd, index);
        return;
    }
    uint32_t last = sched->crowd.items[--sched->crowd.count];
    sched->crowd.items[worker->crowd] = last;
    sched->workers.items[last].crowd = worker->crowd;
    worker->crowd = NONE;
}

void room_changed(struct sched *sched, uint32_t index)
{
    struct worker *worker = &sched->workers.items[index];
    worker->is_over = worker->heavy > 0 && is_over(worker, &sched->offers.items[worker->offer]);
    join_or_leave_crowd(sched, index,
                        worker->is_used && (worker->flights > worker->slots || worker->is_over));
    enum room room = room_now(sched, worker);
    if (room == worker->room)
        return;
    leave_room(sched, worker);
    enter_room(sched, index, room);
}

void room_gained(struct sched *sched, uint32_t index)
{
    room_changed(sched, index);
    struct worker *worker = &sched->workers.items[index];
    if (!sched->heavy_ready || worker->room == ROOM_NONE || worker->has_gained)
        return; /* the lists say enough where plain tasks are all there is */
    worker->has_gained = true;
    VECTOR_PUSH(sched->gained, index);
}

void room_rotate(struct sched *sched, uint32_t index)
{
    struct worker *worker = &sched->workers.items[index];
    enum room room = worker->room;
    if (room == ROOM_NONE || worker->room_next == NONE)
        return;
    leave_room(sched, worker);
    enter_room(sched, index, room);
}

/* ---- depth ---- */

uint32_t room_first_depth(const struct worker *worker)
{
    uint32_t depth = 2 * worker->slots;
    return depth < worker->credit ? depth : worker->credit;
}

/* As many results as its depth before it grows, and then by a few times only: so all workers grow
 * together, and none is given what is there while the others are still at their first tasks. */
static void grow(struct worker *worker, uint32_t depth)
{
    enum { GROWTH = 8 };
    if (depth > worker->depth) {
        if (++worker->turn < worker->depth)
            return;
        depth = depth / GROWTH < worker->depth ? depth : GROWTH * worker->depth;
    }
    worker->turn = 0;
    worker->depth = depth;
}

void room_learn(struct sched *sched, uint32_t index, int64_t took_us)
{
    enum { KEPT_OF_8 = 7 }; /* of what was known: a few tasks of another length change little */
    struct worker *worker = &sched->workers.items[index];
    uint64_t took = took_us < 1 ? 1 : took_us > UINT32_MAX ? UINT32_MAX : (uint64_t)took_us;
    uint64_t length = worker->length_us;
    length = length ? (KEPT_OF_8 * length + (8 - KEPT_OF_8) * took) / 8 : took;
    worker->length_us = length ? (uint32_t)length : 1;
    uint64_t ahead = (uint64_t)AHEAD_MS * 1000 / worker->length_us;
    uint64_t depth = worker->slots * (1 + (ahead ? ahead : 1));
    grow(worker, depth < worker->credit ? (uint32_t)depth : worker->credit);
    room_gained(sched, index);
}
