/* A set of ids that are numbered in the order they came in: about 40 bytes each. Ids are never
 * taken out singly. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/id_map.h"

struct id_set {
    struct id *ids; /* by number */
    uint32_t count, capacity;
    struct id_map map;
};

/* The set must stay where it is. */
void id_set_init(struct id_set *set);
void id_set_fini(struct id_set *set);
/* Does nothing if it is there already. Errors: E_LIMIT more than ID_MAP_INDEX_MAX; E_NOMEM. */
MUST_USE enum status id_set_add(struct id_set *set, const struct id *id, struct err *err);
/* Its number, or ID_MAP_NONE. */
static inline uint32_t id_set_find(const struct id_set *set, const struct id *id)
{
    return id_map_get(&set->map, id);
}
static inline bool id_set_has(const struct id_set *set, const struct id *id)
{
    return id_set_find(set, id) != ID_MAP_NONE;
}

DEFINE_AUTO_VALUE(struct id_set, id_set_fini)
