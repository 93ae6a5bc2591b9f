// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/block.h"

#include <string.h>

#include "common/base/assert.h"

enum { EXACT_MAX = 16, STEP_BITS = 3, TOP_BITS = 4 /* of EXACT_MAX */ };

/* Above EXACT_MAX: eight lengths between a power of two and the next. */
static uint32_t class_of(uint32_t count, uint32_t *length)
{
    ASSERT(count && count < UINT32_C(1) << 31);
    *length = count;
    if (count <= EXACT_MAX)
        return count;
    uint32_t top = 31 - (uint32_t)__builtin_clz(count - 1), step = UINT32_C(1) << (top - STEP_BITS);
    *length = (count + step - 1) & ~(step - 1);
    uint32_t within = (*length - (UINT32_C(1) << top)) >> (top - STEP_BITS); /* 1 … 8 */
    return EXACT_MAX + ((top - TOP_BITS) << STEP_BITS) + within;
}

uint32_t block_length(uint32_t count)
{
    uint32_t length;
    class_of(count, &length);
    return length;
}

uint32_t block_take(struct block_pool *pool, const void *items, size_t item_bytes, uint32_t count)
{
    uint32_t length, class = class_of(count, &length), first = pool->first[class];
    if (!first)
        return UINT32_MAX;
    memcpy(&pool->first[class], (const uint8_t *)items + (first - 1) * item_bytes, sizeof first);
    return first - 1;
}

void block_give(struct block_pool *pool, void *items, size_t item_bytes, uint32_t at,
                uint32_t count)
{
    uint32_t length, class = class_of(count, &length);
    memcpy((uint8_t *)items + at * item_bytes, &pool->first[class], sizeof pool->first[class]);
    pool->first[class] = at + 1;
}
