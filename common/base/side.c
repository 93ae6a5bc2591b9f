// SPDX-License-Identifier: Apache-2.0
#include "common/base/side.h"

#include "common/base/assert.h"
#include "common/base/mem.h"

void side_fini(struct side *side)
{
    mem_free(side->pairs);
    *side = (struct side){0};
}

/* Fibonacci hashing (Knuth, TAOCP 3, §6.4): spreads runs of neighbouring numbers. */
static uint32_t home(const struct side *side, uint32_t key)
{
    return (uint32_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (side->capacity - 1);
}

static uint32_t find(const struct side *side, uint32_t key)
{
    uint32_t at = home(side, key);
    while (side->pairs[at].value != SIDE_NONE && side->pairs[at].key != key)
        at = (at + 1) & (side->capacity - 1);
    return at;
}

static void resize(struct side *side, uint32_t capacity)
{
    struct side old = *side;
    side->pairs = mem_alloc(capacity * sizeof *side->pairs);
    side->capacity = capacity;
    for (uint32_t i = 0; i < capacity; i++)
        side->pairs[i].value = SIDE_NONE;
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.pairs[i].value != SIDE_NONE)
            side->pairs[find(side, old.pairs[i].key)] = old.pairs[i];
    mem_free(old.pairs);
}

uint32_t side_get(const struct side *side, uint32_t key)
{
    return side->count ? side->pairs[find(side, key)].value : SIDE_NONE;
}

void side_put(struct side *side, uint32_t key, uint32_t value)
{
    ASSERT(value != SIDE_NONE);
    if ((uint64_t)(side->count + 1) * 3 > (uint64_t)side->capacity * 2)
        resize(side, side->capacity ? side->capacity * 2 : 8);
    struct side_pair *pair = &side->pairs[find(side, key)];
    if (pair->value == SIDE_NONE)
        side->count++;
    *pair = (struct side_pair){key, value};
}

void side_remove(struct side *side, uint32_t key)
{
    if (!side->count)
        return;
    uint32_t mask = side->capacity - 1, hole = find(side, key);
    if (side->pairs[hole].value == SIDE_NONE)
        return;
    side->count--;
    for (uint32_t at = (hole + 1) & mask; side->pairs[at].value != SIDE_NONE;
         at = (at + 1) & mask) {
        uint32_t wanted = home(side, side->pairs[at].key);
        if (((at - wanted) & mask) >= ((at - hole) & mask)) {
            side->pairs[hole] = side->pairs[at];
            hole = at;
        }
    }
    side->pairs[hole].value = SIDE_NONE;
}
