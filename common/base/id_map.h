/* Ids to dense indices: open addressing with linear probing over 4-byte slots. The map stores
 * indices and a few bits of the hash; the ids live in the caller's array, reached through `id_at`.
 * Ids are uniform already, so their first bytes are the hash. Load ≤ 2/3. Removal is by backward
 * shift, so there are no tombstones. A large table grows without a long stop: what is in the old
 * one moves over bit by bit, with each id that is put or removed. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

#include "proto/id.h"

#define ID_MAP_NONE UINT32_MAX
enum { ID_MAP_INDEX_MAX = (1 << 26) - 1 /* of an index, exclusive; the bits above hold the tag */ };

struct id_table {
    uint32_t *slots; /* tag | index + 1; 0 is empty */
    uint32_t mask;
};

struct id_map {
    struct id_table now, old; /* old: what has not moved yet; no slots if there is none */
    uint64_t old_at;          /* all before it has moved */
    uint32_t count;
    const struct id *(*id_at)(const void *context, uint32_t index);
    const void *context;
};

struct id_map id_map_init(const struct id *(*id_at)(const void *context, uint32_t index),
                          const void *context);
void id_map_fini(struct id_map *map);
/* Empties it and keeps its room. */
void id_map_clear(struct id_map *map);
/* Makes room for `count` ids in all, so that none of the following insertions rehashes. */
void id_map_reserve(struct id_map *map, uint32_t count);
/* The index, or ID_MAP_NONE. */
uint32_t id_map_get(const struct id_map *map, const struct id *id);
/* Who will ask for many ids calls this for all of them first, so that their slots come from memory
 * side by side; then may ask which index each most likely has, and fetch that, too. */
void id_map_prefetch(const struct id_map *map, const struct id *id);
uint32_t id_map_guess(const struct id_map *map, const struct id *id);
/* The id must not be in the map yet; `id_at(index)` must give it already. */
void id_map_put(struct id_map *map, const struct id *id, uint32_t index);
void id_map_remove(struct id_map *map, const struct id *id);
