/* Growable dense arrays: GROW(array, capacity, count) makes room for `count` items, doubling.
 * GROW_ZERO zeroes the new ones; the others are whoever's who writes them, so that growing a large
 * array touches none of it. Aborts when memory is out, as all of the core does: restart is the
 * recovery. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Returns the array with a capacity of at least `count`, which it writes to `*capacity`. */
void *grow_array(void *array, uint32_t *capacity, uint32_t count, size_t item_bytes);
/* The same, with zeroes behind what was there. */
void *grow_array_zero(void *array, uint32_t *capacity, uint32_t count, size_t item_bytes);
/* As grow_array, for sizes that are known and large: to `count` and no more, the first time. */
void *grow_reserve(void *array, uint32_t *capacity, uint32_t count, size_t item_bytes);

#define GROW(array, capacity, count)                                                               \
    do {                                                                                           \
        if ((count) > (capacity))                                                                  \
            (array) = grow_array((array), &(capacity), (count), sizeof *(array));                  \
    } while (0)
#define GROW_ZERO(array, capacity, count)                                                          \
    do {                                                                                           \
        if ((count) > (capacity))                                                                  \
            (array) = grow_array_zero((array), &(capacity), (count), sizeof *(array));             \
    } while (0)
