// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/place.h"

#include <string.h>

#include "broker/sched/room.h"
#include "broker/sched/task.h"
#include "common/base/mem.h"

struct candidate {
    uint32_t worker;
    uint64_t bytes;
};

struct candidates {
    struct candidate items[PLACE_CANDIDATES];
    uint32_t count;
};

static uint64_t key_of(const struct artifact *artifact)
{
    uint64_t key; /* an id is a hash: any part of it will do */
    memcpy(&key, artifact->id.bytes, sizeof key);
    return key;
}

static void credit(struct candidates *candidates, uint32_t worker, uint64_t bytes)
{
    uint32_t at = 0;
    while (at < candidates->count && candidates->items[at].worker != worker)
        at++;
    if (at == PLACE_CANDIDATES)
        return;
    if (at == candidates->count)
        candidates->items[candidates->count++] = (struct candidate){.worker = worker};
    candidates->items[at].bytes += bytes;
}

/* Whoever is likely to have this input. */
static void credit_holders(const struct sched *sched, struct candidates *candidates,
                           uint32_t producer, const struct artifact *input)
{
    uint32_t maker = task_at(sched, producer)->worker;
    if (maker < sched->workers.count)
        credit(candidates, maker, input->bytes);
    const struct place *place = &sched->places[key_of(input) % PLACES];
    if (place->key != key_of(input))
        return;
    for (uint32_t i = 0; i < place->count; i++) {
        uint32_t holder = place->workers[i];
        if (holder != maker && sched->workers.items[holder].joined == place->joined[i])
            credit(candidates, holder, input->bytes);
    }
}

static void remember(struct sched *sched, const struct artifact *input, uint32_t worker)
{
    struct place *place = &sched->places[key_of(input) % PLACES];
    if (place->key != key_of(input))
        *place = (struct place){.key = key_of(input)};
    uint32_t joined = sched->workers.items[worker].joined;
    for (uint32_t i = 0; i < place->count; i++)
        if (place->workers[i] == worker && place->joined[i] == joined)
            return;
    uint32_t at = place->turn++ % PLACE_WORKERS;
    place->workers[at] = worker;
    place->joined[at] = joined;
    if (place->count < PLACE_WORKERS)
        place->count++;
}

/* Of those that could begin the task now, the one with the most; `worker` if none has more. */
static uint32_t best_of(const struct sched *sched, const struct candidates *candidates,
                        uint32_t rule, uint32_t worker)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < candidates->count; i++)
        if (candidates->items[i].worker == worker)
            most = candidates->items[i].bytes;
    for (uint32_t i = 0; i < candidates->count; i++) {
        const struct candidate *candidate = &candidates->items[i];
        const struct worker *other = &sched->workers.items[candidate->worker];
        if (candidate->bytes <= most || other->room != ROOM_FREE ||
            !room_may_take(sched, other, rule, ROOM_FREE))
            continue;
        most = candidate->bytes;
        worker = candidate->worker;
    }
    return worker;
}

static bool is_large(const struct artifact *inputs, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += inputs[i].bytes;
    return bytes >= PLACE_TASK_BYTES;
}

uint32_t place_choose(struct sched *sched, uint32_t index, const struct artifact *inputs,
                      uint32_t input_count, uint32_t worker, enum room room)
{
    if (!is_large(inputs, input_count))
        return worker;
    if (!sched->places)
        sched->places = mem_alloc(PLACES * sizeof *sched->places);
    uint32_t count, large[PLACE_INPUTS], large_count = 0;
    const uint32_t *producers = task_inputs(sched, task_at(sched, index), &count);
    struct candidates candidates = {.count = 0};
    for (uint32_t i = 0; i < input_count && large_count < PLACE_INPUTS; i++) {
        if (inputs[i].bytes < PLACE_INPUT_BYTES)
            continue;
        large[large_count++] = i;
        if (room == ROOM_FREE)
            credit_holders(sched, &candidates, producers[i] >> OUTPUT_BITS, &inputs[i]);
    }
    worker = best_of(sched, &candidates, task_at(sched, index)->rule, worker);
    for (uint32_t i = 0; i < large_count; i++)
        remember(sched, &inputs[large[i]], worker);
    return worker;
}
