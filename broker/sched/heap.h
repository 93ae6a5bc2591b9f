/* A binary heap of (major, minor, item), smallest first. Entries are never changed or taken from
 * the middle: whoever pops one checks whether it still means something. That keeps moves cheap and
 * needs no table of places. Equal keys come out in the order of `item`. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

struct heap_entry {
    uint64_t major, minor;
    uint32_t item;
};

struct heap {
    struct heap_entry *entries;
    uint32_t count, capacity;
};

void heap_fini(struct heap *heap);
void heap_push(struct heap *heap, struct heap_entry entry);
/* The smallest; the heap must not be empty. */
static inline const struct heap_entry *heap_top(const struct heap *heap)
{
    return &heap->entries[0];
}
struct heap_entry heap_pop(struct heap *heap);
