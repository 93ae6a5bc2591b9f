// SPDX-License-Identifier: Apache-2.0
#include "common/base/id_map.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/mem.h"

struct id_map id_map_init(const struct id *(*id_at)(const void *context, uint32_t index),
                          const void *context)
{
    return (struct id_map){.id_at = id_at, .context = context};
}

void id_map_fini(struct id_map *map)
{
    mem_free(map->slots);
    *map = id_map_init(map->id_at, map->context);
}

void id_map_clear(struct id_map *map)
{
    if (map->slots)
        memset(map->slots, 0, ((size_t)map->mask + 1) * sizeof *map->slots);
    map->count = 0;
}

/* The slot that holds `id`, or the empty one where it would go. */
static uint32_t find(const struct id_map *map, const struct id *id)
{
    uint32_t at = (uint32_t)id_hash(id) & map->mask;
    while (map->slots[at] && !id_equal(map->id_at(map->context, map->slots[at] - 1), id))
        at = (at + 1) & map->mask;
    return at;
}

static void insert_slot(struct id_map *map, uint32_t index)
{
    uint32_t at = (uint32_t)id_hash(map->id_at(map->context, index)) & map->mask;
    while (map->slots[at])
        at = (at + 1) & map->mask;
    map->slots[at] = index + 1;
}

void id_map_reserve(struct id_map *map, uint32_t count)
{
    uint64_t slots = map->slots ? (uint64_t)map->mask + 1 : 16;
    while ((uint64_t)count * 3 > slots * 2)
        slots *= 2;
    if (map->slots && slots == (uint64_t)map->mask + 1)
        return;
    ASSERT(slots <= (uint64_t)UINT32_MAX + 1);
    uint32_t *old = map->slots;
    uint64_t old_slots = old ? (uint64_t)map->mask + 1 : 0;
    map->slots = mem_alloc(slots * sizeof *map->slots);
    map->mask = (uint32_t)(slots - 1);
    for (uint64_t i = 0; i < old_slots; i++)
        if (old[i])
            insert_slot(map, old[i] - 1);
    mem_free(old);
}

uint32_t id_map_get(const struct id_map *map, const struct id *id)
{
    if (!map->slots)
        return ID_MAP_NONE;
    uint32_t slot = map->slots[find(map, id)];
    return slot ? slot - 1 : ID_MAP_NONE;
}

void id_map_put(struct id_map *map, const struct id *id, uint32_t index)
{
    id_map_reserve(map, map->count + 1);
    uint32_t at = find(map, id);
    ASSERT(!map->slots[at]);
    map->slots[at] = index + 1;
    map->count++;
}

void id_map_remove(struct id_map *map, const struct id *id)
{
    if (!map->slots)
        return;
    uint32_t hole = find(map, id);
    if (!map->slots[hole])
        return;
    map->count--;
    /* Moves later members of the probe run into the hole where that brings them nearer to their
     * home. */
    for (uint32_t at = (hole + 1) & map->mask; map->slots[at]; at = (at + 1) & map->mask) {
        uint32_t home = (uint32_t)id_hash(map->id_at(map->context, map->slots[at] - 1)) & map->mask;
        if (((at - home) & map->mask) >= ((at - hole) & map->mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = 0;
}
