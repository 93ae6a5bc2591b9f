/* Ready tasks that stay where they are until another worker joins, or one has rested. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/core.h"
#include "broker/sched/match.h"

static bool is_heard(const struct sched *sched, uint32_t offer)
{
    for (uint32_t i = 0; i < sched->workers.count; i++) {
        const struct worker *worker = &sched->workers.items[i];
        if (worker->is_used && worker->offer == offer && !worker->is_silent && !worker->is_resting)
            return true;
    }
    return false;
}

static bool has_taker(const struct sched *sched, uint32_t rule)
{
    for (uint32_t i = 0; i < sched->offers.count; i++)
        if (sched->offers.items[i].is_used && sched->offers.items[i].fits[rule] &&
            is_heard(sched, i))
            return true;
    return false;
}

/* Any task of the queue; buckets that have run empty may still be listed. */
static uint32_t any_of(const struct sched *sched, const struct ready_queue *queue)
{
    for (uint32_t i = 0; i < queue->buckets.count; i++) {
        const struct ready_bucket *bucket = &sched->ready.buckets[queue->buckets.entries[i].item];
        if (bucket->count)
            return bucket->first;
    }
    return NONE;
}

uint32_t sched_next_stuck(const struct sched *sched, uint32_t run, uint32_t *cursor)
{
    bool has_quorum = sched->has_quorum || !sched->options.workers_min;
    while (*cursor < sched->rules.count) {
        uint32_t index = (*cursor)++;
        const struct rule *rule = &sched->rules.items[index];
        if (rule->run == run && rule->queue.count && !(has_quorum && has_taker(sched, index)))
            return any_of(sched, &rule->queue);
    }
    return NONE;
}
