// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/steal.h"

#include "broker/sched/flight.h"
#include "broker/sched/room.h"
#include "broker/sched/task.h"

/* Victims looked at each time: of a few drawn in turn, the most loaded is nearly as good as the
 * most loaded of all (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001);
 * and flights looked at, for each slot of the thief. */
enum { STEAL_LOOKS = 8, FLIGHT_LOOKS = 4 };

/* What must wait there, without what is asked back already. */
static uint32_t waiting_at(const struct worker *worker)
{
    uint32_t most = worker->slots + worker->leaving;
    if (worker->flights > most)
        return worker->flights - most;
    return worker->is_over && !worker->leaving;
}

/* What it could begin beside what it has and awaits; on trial it has one task. */
static uint32_t lacking_at(const struct worker *thief)
{
    uint32_t has = thief->flights + thief->expected;
    if (thief->rest_ms)
        return !thief->expected && thief->flights < thief->slots;
    return has < thief->slots ? thief->slots - has : 0;
}

/* May this flight wait where it is, and could it start at once at the thief? That it must wait is
 * no more true there: nothing is passed to and fro. */
static bool is_movable(const struct sched *sched, const struct flight *flight,
                       const struct worker *thief)
{
    const struct task *task = task_at(sched, flight->task);
    const struct worker *victim = &sched->workers.items[flight->worker];
    return task->stage == STAGE_ASSIGNED && !flight->is_killed &&
           (victim->flights > victim->slots ||
            room_is_short(sched, victim, rule_of(sched, task))) &&
           room_may_take(sched, thief, task->rule, ROOM_FREE);
}

/* The youngest half of what waits at the victim, but no more than the thief can begin at once. */
static void revoke_some(struct sched *sched, const struct worker *victim, uint32_t thief_index)
{
    const struct worker *thief = &sched->workers.items[thief_index];
    uint32_t wanted = (waiting_at(victim) + 1) / 2, found = 0, at = victim->last;
    if (wanted > lacking_at(thief))
        wanted = lacking_at(thief);
    for (uint32_t looked = 0; at != NONE && found < wanted && looked < FLIGHT_LOOKS * thief->slots;
         looked++) {
        const struct flight *flight = &sched->flights.items[at];
        at = flight->previous;
        if (flight->is_revoking || !is_movable(sched, flight, thief))
            continue;
        found++;
        bool is_plain = rule_of(sched, task_at(sched, flight->task))->is_plain;
        flight_ask_back(sched, flight->task, thief_index);
        if (!is_plain) /* what else fits beside it is seen when it is there */
            break;
    }
}

/* The most loaded first, of the few that are looked at. */
static uint32_t take_most_loaded(const struct sched *sched, uint32_t *victims, uint32_t *count)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < *count; i++)
        if (waiting_at(&sched->workers.items[victims[i]]) >
            waiting_at(&sched->workers.items[victims[best]]))
            best = i;
    uint32_t victim = victims[best];
    victims[best] = victims[--*count];
    return victim;
}

void steal_for(struct sched *sched, uint32_t index)
{
    const struct worker *thief = &sched->workers.items[index];
    if (!sched->crowd.count || thief->room != ROOM_FREE || !sched->has_quorum || !lacking_at(thief))
        return;
    uint32_t victims[STEAL_LOOKS], count = 0;
    for (uint32_t i = 0; i < STEAL_LOOKS && i < sched->crowd.count; i++) {
        uint32_t victim = sched->crowd.items[sched->crowd_turn++ % sched->crowd.count];
        if (victim != index)
            victims[count++] = victim;
    }
    while (count > 0 && lacking_at(thief)) {
        uint32_t victim = take_most_loaded(sched, victims, &count);
        revoke_some(sched, &sched->workers.items[victim], index);
    }
}

void steal_for_hungry(struct sched *sched)
{
    for (uint32_t i = 0; i < sched->hungry.count; i++)
        steal_for(sched, sched->hungry.items[i]);
    sched->hungry.count = 0;
}
