// SPDX-License-Identifier: Apache-2.0
#include "broker/state/layer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

static const struct id *key_at(const void *context, uint32_t index)
{
    const struct layer_keys *keys = context;
    return &keys->entries[index].key;
}

struct layer *layer_new(void)
{
    struct layer *layer = mem_alloc(sizeof *layer);
    for (int space = 0; space < SPACE_COUNT; space++)
        layer->keys[space].map = id_map_init(key_at, &layer->keys[space]);
    return layer;
}

void layer_free(struct layer *layer)
{
    for (int space = 0; space < SPACE_COUNT; space++) {
        id_map_fini(&layer->keys[space].map);
        mem_free(layer->keys[space].entries);
    }
    mem_free(layer->runs);
    mem_free(layer);
}

void layer_clear(struct layer *layer)
{
    for (int space = 0; space < SPACE_COUNT; space++) {
        id_map_clear(&layer->keys[space].map);
        layer->keys[space].count = 0;
    }
    layer->run_count = 0;
}

const struct layer_entry *layer_get(const struct layer *layer, enum space space,
                                    const struct id *key)
{
    uint32_t at = id_map_get(&layer->keys[space].map, key);
    return at == ID_MAP_NONE ? NULL : &layer->keys[space].entries[at];
}

static struct layer_entry *get_or_add(struct layer_keys *keys, const struct id *key)
{
    uint32_t at = id_map_get(&keys->map, key);
    if (at != ID_MAP_NONE)
        return &keys->entries[at];
    if (keys->count == keys->capacity) {
        keys->capacity = keys->capacity ? keys->capacity * 2 : 64;
        keys->entries = mem_resize(keys->entries, keys->capacity * sizeof *keys->entries);
    }
    struct layer_entry *entry = &keys->entries[keys->count];
    *entry = (struct layer_entry){.key = *key};
    id_map_put(&keys->map, key, keys->count++);
    return entry;
}

void layer_put(struct layer *layer, enum space space, const struct id *key, struct place place)
{
    struct layer_entry *entry = get_or_add(&layer->keys[space], key);
    if (entry->has_place)
        return;
    entry->has_place = true;
    entry->place = place;
}

void layer_remove(struct layer *layer, enum space space, const struct id *key)
{
    struct layer_entry *entry = get_or_add(&layer->keys[space], key);
    entry->has_place = false;
    entry->is_removed = true;
}

void layer_put_run(struct layer *layer, const char *id, struct place place)
{
    if (layer->run_count == layer->run_capacity) {
        layer->run_capacity = layer->run_capacity ? layer->run_capacity * 2 : 8;
        layer->runs = mem_resize(layer->runs, layer->run_capacity * sizeof *layer->runs);
    }
    struct layer_run *run = &layer->runs[layer->run_count++];
    snprintf(run->id, sizeof run->id, "%s", id);
    run->place = place;
}

/* A removal has no bytes, so what comes after it may lie at the same place. */
static int newest_first(const void *a, const void *b)
{
    const struct layer_run *x = a, *y = b;
    int order = strcmp(y->id, x->id);
    if (!order)
        order = (y->place.offset > x->place.offset) - (y->place.offset < x->place.offset);
    return order ? order : (y->place.bytes > x->place.bytes) - (y->place.bytes < x->place.bytes);
}

uint32_t layer_sort_runs(struct layer_run *runs, uint32_t count)
{
    uint32_t distinct = 0, left = 0;
    if (count)
        qsort(runs, count, sizeof *runs, newest_first);
    for (uint32_t i = 0; i < count; i++)
        if (!distinct || strcmp(runs[distinct - 1].id, runs[i].id) != 0)
            runs[distinct++] = runs[i];
    for (uint32_t i = 0; i < distinct; i++)
        if (runs[i].place.bytes)
            runs[left++] = runs[i];
    return left;
}

bool layers_find(struct layer *const *layers, size_t count, enum space space, const struct id *key,
                 const struct place *below, struct place *out)
{
    bool is_found = false;
    for (size_t i = 0; i < count; i++) {
        const struct layer_entry *entry = layer_get(layers[i], space, key);
        if (!entry)
            continue;
        if (entry->has_place) {
            *out = entry->place;
            is_found = true;
        }
        if (entry->is_removed)
            return is_found;
    }
    if (!below)
        return is_found;
    *out = *below;
    return true;
}
