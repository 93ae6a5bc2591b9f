// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/heap.h"

#include <stdbool.h>

#include "broker/sched/grow.h"
#include "common/base/assert.h"
#include "common/base/mem.h"

void heap_fini(struct heap *heap)
{
    mem_free(heap->entries);
    *heap = (struct heap){0};
}

static bool is_before(const struct heap_entry *a, const struct heap_entry *b)
{
    if (a->major != b->major)
        return a->major < b->major;
    if (a->minor != b->minor)
        return a->minor < b->minor;
    return a->item < b->item;
}

void heap_push(struct heap *heap, struct heap_entry entry)
{
    GROW(heap->entries, heap->capacity, heap->count + 1);
    uint32_t at = heap->count++;
    for (; at > 0; at = (at - 1) / 2) {
        const struct heap_entry *parent = &heap->entries[(at - 1) / 2];
        if (!is_before(&entry, parent))
            break;
        heap->entries[at] = *parent;
    }
    heap->entries[at] = entry;
}

struct heap_entry heap_pop(struct heap *heap)
{
    ASSERT(heap->count > 0);
    struct heap_entry top = heap->entries[0];
    struct heap_entry last = heap->entries[--heap->count];
    uint32_t at = 0;
    for (uint32_t child = 1; child < heap->count; child = 2 * at + 1) {
        if (child + 1 < heap->count && is_before(&heap->entries[child + 1], &heap->entries[child]))
            child++;
        if (!is_before(&heap->entries[child], &last))
            break;
        heap->entries[at] = heap->entries[child];
        at = child;
    }
    if (heap->count > 0)
        heap->entries[at] = last;
    return top;
}
