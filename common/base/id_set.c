// SPDX-License-Identifier: Apache-2.0
#include "common/base/id_set.h"

#include "common/base/mem.h"

static const struct id *id_at(const void *context, uint32_t index)
{
    return &((const struct id_set *)context)->ids[index];
}

void id_set_init(struct id_set *set)
{
    *set = (struct id_set){.map = id_map_init(id_at, set)};
}

void id_set_fini(struct id_set *set)
{
    id_map_fini(&set->map);
    mem_free(set->ids);
    id_set_init(set);
}

enum status id_set_add(struct id_set *set, const struct id *id, struct err *err)
{
    if (id_set_has(set, id))
        return OK;
    if (set->count == ID_MAP_INDEX_MAX)
        return err_set(err, E_LIMIT, "more than %d ids in one set", ID_MAP_INDEX_MAX);
    if (set->count == set->capacity) {
        uint32_t capacity = set->capacity ? 2 * set->capacity : 64;
        void *memory = set->ids;
        TRY(mem_try_resize(&memory, capacity, sizeof *set->ids, "a set of ids", err));
        set->ids = memory;
        set->capacity = capacity;
    }
    set->ids[set->count] = *id;
    id_map_put(&set->map, id, set->count++);
    return OK;
}
