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
    mem_free(map->now.slots);
    mem_free(map->old.slots);
    *map = id_map_init(map->id_at, map->context);
}

static void drop_old(struct id_map *map)
{
    mem_free(map->old.slots);
    map->old = (struct id_table){0};
}

void id_map_clear(struct id_map *map)
{
    drop_old(map);
    if (map->now.slots)
        memset(map->now.slots, 0, ((size_t)map->now.mask + 1) * sizeof *map->now.slots);
    map->count = 0;
}

enum {
    /* Tables up to this move in one go: that is quicker, and short enough. */
    MOVE_AT_ONCE = 1 << 14,
    /* Slots of the old table that move with each change of the map: before the new one is full,
     * there are as many changes as two thirds of the old one's slots. */
    MOVE_SLOTS = 8
};

/* A slot is the index + 1 below and bits of the hash, which are not those of the place, above: most
 * of what stands in the way is told apart without a look at its id. A slot of the old table whose
 * id is not there any more has nothing below: probe runs go on over it. */
#define GONE (~(uint32_t)ID_MAP_INDEX_MAX)

static uint32_t tag_of(const struct id *id)
{
    return (uint32_t)(id_hash(id) >> 32) & ~(uint32_t)ID_MAP_INDEX_MAX;
}

static bool has_tag(uint32_t slot, uint32_t tag)
{
    return (slot & ~(uint32_t)ID_MAP_INDEX_MAX) == tag && (slot & ID_MAP_INDEX_MAX);
}

static uint32_t slot_index(uint32_t slot)
{
    return (slot & ID_MAP_INDEX_MAX) - 1;
}

static const struct id *slot_id(const struct id_map *map, uint32_t slot)
{
    return map->id_at(map->context, slot_index(slot));
}

/* The slot that holds `id`, or the empty one where it would go. */
static uint32_t find(const struct id_map *map, const struct id_table *table, const struct id *id)
{
    uint32_t at = (uint32_t)id_hash(id) & table->mask, tag = tag_of(id);
    for (; table->slots[at]; at = (at + 1) & table->mask)
        if (has_tag(table->slots[at], tag) && id_equal(slot_id(map, table->slots[at]), id))
            break;
    return at;
}

static void insert_slot(struct id_map *map, uint32_t slot)
{
    uint32_t at = (uint32_t)id_hash(slot_id(map, slot)) & map->now.mask;
    while (map->now.slots[at])
        at = (at + 1) & map->now.mask;
    map->now.slots[at] = slot;
}

static void move_some(struct id_map *map, uint64_t count)
{
    if (!map->old.slots)
        return;
    for (; count && map->old_at <= map->old.mask; count--, map->old_at++) {
        uint32_t *slot = &map->old.slots[map->old_at];
        if (!(*slot & ID_MAP_INDEX_MAX))
            continue;
        insert_slot(map, *slot);
        *slot = GONE;
    }
    if (map->old_at > map->old.mask)
        drop_old(map);
}

void id_map_reserve(struct id_map *map, uint32_t count)
{
    uint64_t slots = map->now.slots ? (uint64_t)map->now.mask + 1 : 16;
    while ((uint64_t)count * 3 > slots * 2)
        slots *= 2;
    if (map->now.slots && slots == (uint64_t)map->now.mask + 1)
        return;
    ASSERT(slots <= (uint64_t)UINT32_MAX + 1);
    move_some(map, UINT64_MAX); /* nearly always empty by now */
    map->old = map->now;
    map->old_at = 0;
    map->now = (struct id_table){mem_alloc(slots * sizeof *map->now.slots), (uint32_t)(slots - 1)};
    if (map->old.slots && (map->old.mask < MOVE_AT_ONCE || !map->count))
        move_some(map, UINT64_MAX);
}

uint32_t id_map_get(const struct id_map *map, const struct id *id)
{
    if (!map->now.slots)
        return ID_MAP_NONE;
    uint32_t slot = map->now.slots[find(map, &map->now, id)];
    if (!slot && map->old.slots)
        slot = map->old.slots[find(map, &map->old, id)];
    return slot ? slot_index(slot) : ID_MAP_NONE;
}

void id_map_prefetch(const struct id_map *map, const struct id *id)
{
    if (map->now.slots)
        __builtin_prefetch(&map->now.slots[(uint32_t)id_hash(id) & map->now.mask]);
}

uint32_t id_map_guess(const struct id_map *map, const struct id *id)
{
    if (!map->now.slots)
        return ID_MAP_NONE;
    const uint32_t *slots = map->now.slots;
    uint32_t at = (uint32_t)id_hash(id) & map->now.mask, tag = tag_of(id);
    for (; slots[at]; at = (at + 1) & map->now.mask)
        if (has_tag(slots[at], tag))
            return slot_index(slots[at]);
    return ID_MAP_NONE;
}

void id_map_put(struct id_map *map, const struct id *id, uint32_t index)
{
    id_map_reserve(map, map->count + 1);
    move_some(map, MOVE_SLOTS);
    uint32_t at = find(map, &map->now, id);
    ASSERT(!map->now.slots[at] && index < ID_MAP_INDEX_MAX);
    map->now.slots[at] = tag_of(id) | (index + 1);
    map->count++;
}

/* Moves later members of the probe run into the hole where that brings them nearer to their home.
 */
static void close_hole(struct id_map *map, uint32_t hole)
{
    uint32_t *slots = map->now.slots, mask = map->now.mask;
    for (uint32_t at = (hole + 1) & mask; slots[at]; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)id_hash(slot_id(map, slots[at])) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            slots[hole] = slots[at];
            hole = at;
        }
    }
    slots[hole] = 0;
}

void id_map_remove(struct id_map *map, const struct id *id)
{
    if (!map->now.slots)
        return;
    move_some(map, MOVE_SLOTS);
    uint32_t at = find(map, &map->now, id);
    if (map->now.slots[at]) {
        map->count--;
        close_hole(map, at);
        return;
    }
    if (!map->old.slots)
        return;
    at = find(map, &map->old, id);
    if (!map->old.slots[at])
        return;
    map->count--;
    map->old.slots[at] = GONE;
}
