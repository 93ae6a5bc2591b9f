// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/grow.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/mem.h"

static void *resize(void *array, uint32_t *capacity, uint32_t count, size_t item_bytes)
{
    *capacity = count;
    return mem_resize(array, (size_t)count * item_bytes);
}

void *grow_array(void *array, uint32_t *capacity, uint32_t count, size_t item_bytes)
{
    uint32_t wanted = *capacity ? *capacity : 8;
    while (wanted < count) {
        ASSERT(wanted <= UINT32_MAX / 2);
        wanted *= 2;
    }
    return resize(array, capacity, wanted, item_bytes);
}

void *grow_array_zero(void *array, uint32_t *capacity, uint32_t count, size_t item_bytes)
{
    uint32_t before = *capacity;
    uint8_t *grown = grow_array(array, capacity, count, item_bytes);
    memset(grown + (size_t)before * item_bytes, 0, (size_t)(*capacity - before) * item_bytes);
    return grown;
}

void *grow_reserve(void *array, uint32_t *capacity, uint32_t count, size_t item_bytes)
{
    if (count <= *capacity)
        return array;
    uint32_t wanted = *capacity + *capacity / 2; /* many small ones must not copy each time */
    return resize(array, capacity, wanted > count ? wanted : count, item_bytes);
}
