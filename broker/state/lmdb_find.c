// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/state/order.h"
#include "broker/state/state_lmdb.h"
#include "common/base/mem.h"

enum { WALK_CHUNK = 4096 /* keys listed in one snapshot */ };

/* ---- looking up ---- */

/* Locked, or while nobody else knows the state. */
static size_t layers_of(struct state_lmdb *state, struct layer *layers[BEHIND_LAYERS])
{
    if (state->tail) {
        layers[0] = state->tail;
        return 1;
    }
    behind_lock(state->behind, layers);
    return BEHIND_LAYERS;
}

static void release_layers(struct state_lmdb *state)
{
    if (!state->tail)
        behind_unlock(state->behind);
}

/* One chunk of keys on its way. */
struct look {
    struct index_query *queries;
    struct place *places;
    struct ordered *order, *scratch;
    const struct id *keys; /* of the whole look-up */
    state_found_fn *found;
    void *context;
};

/* Fills in every query, sorted by key, from one moment: a layer that goes into the index is seen in
 * one of them. */
static enum status find_places(struct state_lmdb *state, enum space space,
                               struct index_query *queries, size_t count, struct err *err)
{
    struct layer *layers[BEHIND_LAYERS];
    size_t layer_count = layers_of(state, layers);
    for (size_t i = 0; i < count; i++)
        queries[i].is_found = false;
    enum status status =
        state->index ? lmdb_index_find(state->index, space, queries, count, err) : OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        struct place below = queries[i].place;
        queries[i].is_found = layers_find(layers, layer_count, space, queries[i].key,
                                          queries[i].is_found ? &below : NULL, &queries[i].place);
    }
    release_layers(state);
    return status;
}

static void report_record(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    const struct look *look = context;
    look->found(look->context, look->order[index].index, record, bytes);
}

static void make_queries(struct look *look, const struct id *keys, size_t count)
{
    for (uint32_t i = 0; i < count; i++)
        look->order[i] = (struct ordered){order_of_id(&keys[i]), i};
    order_sort(look->order, look->scratch, count);
    for (size_t i = 0; i < count; i++)
        look->queries[i].key = &keys[look->order[i].index];
}

/* The index is walked in the order of its keys, the journal in the order of its bytes. */
static enum status find_chunk(struct state_lmdb *state, enum space space, struct look *look,
                              const struct id *keys, size_t count, struct err *err)
{
    make_queries(look, keys, count);
    TRY(find_places(state, space, look->queries, count, err));
    size_t wanted = 0;
    for (uint32_t i = 0; i < count; i++)
        if (look->queries[i].is_found)
            look->order[wanted++] = (struct ordered){look->queries[i].place.offset, i};
    order_sort(look->order, look->scratch, wanted);
    for (size_t i = 0; i < wanted; i++) {
        const struct index_query *query = &look->queries[look->order[i].index];
        look->places[i] = query->place;
        look->order[i].index = (uint32_t)(query->key - look->keys);
    }
    return journal_read(state->journal, look->places, wanted, report_record, look, err);
}

enum status lmdb_find(struct state *base, enum space space, const struct id *keys, uint32_t count,
                      state_found_fn *found, void *context, struct err *err)
{
    size_t most = count < STATE_FIND_MAX ? count : STATE_FIND_MAX;
    AUTO(mem_free) struct index_query *queries = mem_alloc(most * sizeof *queries + 1);
    AUTO(mem_free) struct place *places = mem_alloc(most * sizeof *places + 1);
    AUTO(mem_free) struct ordered *order = mem_alloc(2 * most * sizeof *order + 1);
    struct look look = {queries, places, order, order + most, keys, found, context};
    for (uint32_t at = 0; at < count; at += (uint32_t)most) {
        size_t left = count - at;
        TRY(find_chunk(state_lmdb_of(base), space, &look, keys + at, left < most ? left : most,
                       err));
    }
    return OK;
}

enum status lmdb_find_place(struct state_lmdb *state, const struct id *task, struct place *out,
                            bool *is_found, struct err *err)
{
    struct index_query query = {.key = task};
    TRY(find_places(state, SPACE_TASK, &query, 1, err));
    *out = query.place;
    *is_found = query.is_found;
    return OK;
}

/* For apply_batch. */
static bool source_find(void *context, enum space space, const struct id *key, struct place *out)
{
    struct state_lmdb *state = context;
    struct index_query query = {.key = key};
    if (state->index && lmdb_index_find(state->index, space, &query, 1, NULL) != OK)
        query.is_found = false;
    struct place below = query.place;
    return layers_find(state->seen, state->seen_count, space, key, query.is_found ? &below : NULL,
                       out);
}

static enum status source_read(void *context, struct place place, state_found_fn *found,
                               void *found_context, struct err *err)
{
    struct state_lmdb *state = context;
    return journal_read(state->journal, &place, 1, found, found_context, err);
}

struct apply_source lmdb_source(struct state_lmdb *state)
{
    return (struct apply_source){source_find, source_read, state};
}

/* ---- walks: a writer's layers go into the index first, a reader's tail lies over it ---- */

struct visit {
    const struct layer_entry *entries;
    state_visit_fn *visit;
    void *context;
    enum status status;
    struct err *err;
};

static void visit_record(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    struct visit *visit = context;
    (void)index;
    if (visit->status == OK)
        visit->status =
            visit->visit(visit->context, &visit->entries->key, record, bytes, visit->err);
}

static enum status visit_one(struct state_lmdb *state, const struct layer_entry *entry,
                             struct visit *visit, struct err *err)
{
    visit->entries = entry;
    enum status status = journal_read(state->journal, &entry->place, 1, visit_record, visit, err);
    if (status == E_CORRUPT)
        return visit->visit(visit->context, &entry->key, NULL, 0, err);
    return status == OK ? visit->status : status;
}

static enum status each_indexed(struct state_lmdb *state, struct visit *visit, struct err *err)
{
    AUTO(mem_free) struct layer_entry *entries = mem_alloc(WALK_CHUNK * sizeof *entries);
    struct id after;
    size_t count = WALK_CHUNK;
    for (bool is_first = true; count == WALK_CHUNK; is_first = false) {
        TRY(lmdb_index_list(state->index, is_first ? NULL : &after, entries, WALK_CHUNK, &count,
                            err));
        for (size_t i = 0; i < count; i++) {
            const struct layer_entry *above =
                state->tail ? layer_get(state->tail, SPACE_TASK, &entries[i].key) : NULL;
            if (!above || !(above->is_removed || above->has_place))
                TRY(visit_one(state, &entries[i], visit, err));
        }
        if (count)
            after = entries[count - 1].key;
    }
    return OK;
}

/* All that has a place in the tail is told here and not above: the writer may take it into the
 * index at any time meanwhile. Where the index has an older place, that one counts. */
static enum status each_in_tail(struct state_lmdb *state, struct visit *visit, struct err *err)
{
    const struct layer_keys *tail = &state->tail->keys[SPACE_TASK];
    for (uint32_t i = 0; i < tail->count; i++) {
        struct layer_entry entry = tail->entries[i];
        struct index_query query = {.key = &entry.key};
        if (!entry.has_place)
            continue;
        if (state->index && !entry.is_removed)
            TRY(lmdb_index_find(state->index, SPACE_TASK, &query, 1, err));
        if (query.is_found)
            entry.place = query.place;
        TRY(visit_one(state, &entry, visit, err));
    }
    return OK;
}

enum status lmdb_each_record(struct state *base, state_visit_fn *visit_fn, void *context,
                             struct err *err)
{
    struct state_lmdb *state = state_lmdb_of(base);
    struct visit visit = {.visit = visit_fn, .context = context, .err = err};
    if (state->behind)
        TRY(behind_drain(state->behind, err));
    if (state->index)
        TRY(each_indexed(state, &visit, err));
    return state->tail ? each_in_tail(state, &visit, err) : OK;
}

struct run_visit {
    const struct layer_run *run;
    state_run_fn *visit;
    void *context;
    enum status status;
    struct err *err;
};

static void visit_run(void *context, uint32_t index, const uint8_t *document, size_t bytes)
{
    struct run_visit *visit = context;
    (void)index;
    visit->status = visit->visit(visit->context, visit->run->id, document, bytes, visit->err);
}

enum status lmdb_each_run(struct state *base, const char *prefix, size_t limit,
                          state_run_fn *visit_fn, void *context, struct err *err)
{
    struct state_lmdb *state = state_lmdb_of(base);
    AUTO(layer_free) struct layer *all = layer_new();
    struct run_visit visit = {.visit = visit_fn, .context = context, .err = err};
    if (state->behind)
        TRY(behind_drain(state->behind, err));
    /* A tail takes runs away, too; so many more are asked for. */
    size_t more = limit && state->tail ? state->tail->run_count : 0;
    if (state->index)
        TRY(lmdb_index_runs(state->index, prefix, limit + more, all, err));
    for (uint32_t i = 0; state->tail && i < state->tail->run_count; i++)
        if (strncmp(state->tail->runs[i].id, prefix, strlen(prefix)) == 0)
            layer_put_run(all, state->tail->runs[i].id, state->tail->runs[i].place);
    all->run_count = layer_sort_runs(all->runs, all->run_count);
    for (uint32_t i = 0; i < all->run_count && (!limit || i < limit); i++) {
        visit.run = &all->runs[i];
        TRY(journal_read(state->journal, &visit.run->place, 1, visit_run, &visit, err));
        TRY(visit.status);
    }
    return OK;
}
