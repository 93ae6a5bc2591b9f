// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/rest.h"

#include "broker/sched/flight.h"
#include "broker/sched/room.h"

bool rest_is_due(enum status code)
{
    return code == E_FULL;
}

/* What has begun goes on; its result will tell. */
static void ask_back(struct sched *sched, const struct worker *worker)
{
    for (uint32_t at = worker->first; at != NONE; at = sched->flights.items[at].next)
        flight_stop(sched, sched->flights.items[at].task, false);
}

void rest_failed(struct sched *sched, uint32_t index, bool was_trial, enum status code)
{
    struct worker *worker = &sched->workers.items[index];
    if (!rest_is_due(code) || (worker->rest_ms && !was_trial))
        return;
    uint32_t ms = worker->rest_ms ? 2 * worker->rest_ms : REST_MS_MIN;
    worker->rest_ms = ms < REST_MS_MAX ? ms : REST_MS_MAX;
    worker->rest_until = sched->now + worker->rest_ms;
    worker->rest_code = code;
    worker->is_resting = true;
    worker->depth = room_first_depth(worker); /* and learns anew */
    worker->turn = 0;
    heap_push(&sched->rests, (struct heap_entry){.major = (uint64_t)worker->rest_until,
                                                 .minor = worker->joined,
                                                 .item = index});
    room_changed(sched, index);
    struct sched_action *action = sched_act(sched, SCHED_REST);
    action->worker = index;
    action->at = worker->rest_until;
    action->code = code;
    ask_back(sched, worker);
}

void rest_succeeded(struct sched *sched, uint32_t index)
{
    struct worker *worker = &sched->workers.items[index];
    if (!worker->rest_ms || worker->is_resting)
        return;
    worker->rest_ms = 0;
    worker->rest_code = OK;
    worker->trial = NONE;
    room_gained(sched, index);
}

void rest_tick(struct sched *sched)
{
    while (sched->rests.count && (ms_t)heap_top(&sched->rests)->major <= sched->now &&
           sched->work_left-- > 0) {
        struct heap_entry entry = heap_pop(&sched->rests);
        struct worker *worker = &sched->workers.items[entry.item];
        if (!worker->is_used || worker->joined != entry.minor)
            continue;
        worker->is_resting = false;
        room_gained(sched, entry.item);
    }
}

bool rest_has_well(const struct sched *sched, uint32_t rule)
{
    for (uint32_t i = 0; i < sched->workers.count; i++) {
        const struct worker *worker = &sched->workers.items[i];
        if (worker->is_used && !worker->is_silent && !worker->rest_ms &&
            sched->offers.items[worker->offer].fits[rule])
            return true;
    }
    return false;
}
