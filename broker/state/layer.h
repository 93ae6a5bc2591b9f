/* What was committed but is not in the index yet: keys and the places of their records in the
 * journal, folded per key. Layers lie above the index, the newest on top. A key's answer is the
 * oldest place found, since the first commit wins, unless a removal lies above it (layers_find).
 * The memory back end is one layer and nothing below it.
 *
 * Owns its arrays. No locks: whoever shares a layer between threads guards it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/state/state.h"
#include "common/base/id_map.h"

/* Bytes of a journal: a record or a run's document. */
struct place {
    uint64_t offset;
    uint32_t bytes;
    uint32_t crc; /* CRC-32C: a look-up notices damage */
};

enum space { SPACE_TASK, SPACE_ACTION, SPACE_COUNT };

struct layer_entry {
    struct id key;
    struct place place;
    bool has_place;
    bool is_removed; /* what lies below doesn't count; a place put afterwards does */
};

struct layer_keys {
    struct layer_entry *entries;
    uint32_t count, capacity;
    struct id_map map;
};

struct layer_run {
    char id[STATE_RUN_ID_BYTES];
    struct place place; /* of no bytes: the run is removed */
};

struct layer {
    struct layer_keys keys[SPACE_COUNT];
    struct layer_run *runs; /* in the order they were put; the last of equal ids counts */
    uint32_t run_count, run_capacity;
    uint64_t journal_end; /* everything up to here is in this layer or below it */
};

struct layer *layer_new(void);
void layer_free(struct layer *layer);
void layer_clear(struct layer *layer);
static inline bool layer_is_empty(const struct layer *layer)
{
    return !layer->keys[SPACE_TASK].count && !layer->keys[SPACE_ACTION].count && !layer->run_count;
}
/* The entry of `key`, or NULL. */
const struct layer_entry *layer_get(const struct layer *layer, enum space space,
                                    const struct id *key);
/* Does nothing when the key has a place in this layer already. */
void layer_put(struct layer *layer, enum space space, const struct id *key, struct place place);
void layer_remove(struct layer *layer, enum space space, const struct id *key);
void layer_put_run(struct layer *layer, const char *id, struct place place);

/* Puts runs in order, the newest id first; of equal ids only the one that lies last in the journal
 * stays, and not even that if it is a removal. Returns how many are left. */
uint32_t layer_sort_runs(struct layer_run *runs, uint32_t count);

/* Looks in `layers` (newest first, `count` of them), then at `below` (NULL: not in the index). */
bool layers_find(struct layer *const *layers, size_t count, enum space space, const struct id *key,
                 const struct place *below, struct place *out);

DEFINE_AUTO(struct layer *, layer_free)
