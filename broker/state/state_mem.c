/* State that dies with the process: one layer whose places lie in a buffer instead of a journal.
 * For tests, and for runs that nobody wants to keep. */
// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "broker/state/apply.h"
#include "broker/state/backend.h"
#include "common/base/mem.h"

struct state_memory {
    struct state base;
    struct layer *layer;
    struct buf bytes; /* frames and documents, one after the other */
    uint64_t epoch;
};

static struct state_memory *self(struct state *state)
{
    return (struct state_memory *)state;
}

static const uint8_t *at(const struct state_memory *state, struct place place)
{
    return state->bytes.bytes + place.offset;
}

static bool source_find(void *context, enum space space, const struct id *key, struct place *out)
{
    struct state_memory *state = context;
    return layers_find(&state->layer, 1, space, key, NULL, out);
}

static enum status source_read(void *context, struct place place, state_found_fn *found,
                               void *found_context, struct err *err)
{
    (void)err;
    struct state_memory *state = context;
    found(found_context, 0, at(state, place), place.bytes);
    return OK;
}

static void mem_close(struct state *base)
{
    struct state_memory *state = self(base);
    layer_free(state->layer);
    buf_fini(&state->bytes);
    mem_free(state);
}

static enum status mem_open(const char *place, const struct state_options *options,
                            struct state **out, struct err *err)
{
    *out = NULL;
    if (*place)
        return err_set(err, E_INVALID, "state \"mem:%s\": nothing may follow mem:", place);
    struct state_memory *state = mem_alloc(sizeof *state);
    state->base.backend = &state_mem;
    state->layer = layer_new();
    state->bytes = buf_init(0);
    state->epoch = options->epoch_min + 1;
    *out = &state->base;
    return OK;
}

static enum status mem_begin(struct state *base, const struct state_batch *batch, struct err *err)
{
    struct state_memory *state = self(base);
    uint64_t area = state->bytes.count;
    size_t bytes = 0;
    for (uint32_t i = 0; i < batch->frame_count; i++)
        bytes += batch->frames[i].count;
    for (uint32_t i = 0; i < batch->run_count; i++)
        bytes += batch->runs[i].document_bytes;
    TRY(buf_try_reserve(&state->bytes, bytes, "state in memory", err));
    for (uint32_t i = 0; i < batch->frame_count; i++)
        buf_put(&state->bytes, batch->frames[i].bytes, batch->frames[i].count);
    for (uint32_t i = 0; i < batch->run_count; i++)
        buf_put(&state->bytes, batch->runs[i].document, batch->runs[i].document_bytes);
    struct apply_source source = {source_find, source_read, state};
    apply_batch(state->layer, batch, area, &source);
    return OK;
}

static enum status mem_poll(struct state *state, bool *is_done, struct err *err)
{
    (void)state;
    (void)err;
    *is_done = true;
    return OK;
}

static int mem_fd(const struct state *state)
{
    (void)state;
    return -1;
}

static void mem_flush_begin(struct state *state)
{
    (void)state;
}

static enum status mem_flush_poll(struct state *state, bool *is_done, struct err *err)
{
    (void)state, (void)err;
    *is_done = true;
    return OK;
}

static enum status mem_find(struct state *base, enum space space, const struct id *keys,
                            uint32_t count, state_found_fn *found, void *context, struct err *err)
{
    (void)err;
    struct state_memory *state = self(base);
    struct place place;
    for (uint32_t i = 0; i < count; i++)
        if (layers_find(&state->layer, 1, space, &keys[i], NULL, &place))
            found(context, i, at(state, place), place.bytes);
    return OK;
}

static enum status mem_each_record(struct state *base, state_visit_fn *visit, void *context,
                                   struct err *err)
{
    struct state_memory *state = self(base);
    const struct layer_keys *keys = &state->layer->keys[SPACE_TASK];
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct layer_entry *entry = &keys->entries[i];
        if (entry->has_place)
            TRY(visit(context, &entry->key, at(state, entry->place), entry->place.bytes, err));
    }
    return OK;
}

static enum status mem_each_run(struct state *base, const char *prefix, size_t limit,
                                state_run_fn *visit, void *context, struct err *err)
{
    struct state_memory *state = self(base);
    uint32_t count = 0;
    AUTO(mem_free) struct layer_run *runs = mem_alloc((state->layer->run_count + 1) * sizeof *runs);
    for (uint32_t i = 0; i < state->layer->run_count; i++)
        if (strncmp(state->layer->runs[i].id, prefix, strlen(prefix)) == 0)
            runs[count++] = state->layer->runs[i];
    count = layer_sort_runs(runs, count);
    for (uint32_t i = 0; i < count && (!limit || i < limit); i++)
        TRY(visit(context, runs[i].id, at(state, runs[i].place), runs[i].place.bytes, err));
    return OK;
}

static uint64_t mem_epoch(const struct state *base)
{
    return ((const struct state_memory *)base)->epoch;
}

static enum status mem_leader(struct state *base, struct state_lead *out, struct err *err)
{
    (void)err;
    *out = (struct state_lead){.is_held = true, .epoch = mem_epoch(base), .holder = "this process"};
    return OK;
}

static enum status mem_renew(struct state *base, struct err *err)
{
    (void)base;
    (void)err;
    return OK;
}

static enum status mem_raise_epoch(struct state *base, uint64_t seen, struct err *err)
{
    (void)err;
    self(base)->epoch = seen + 1;
    return OK;
}

static enum status mem_find_proof(struct state *base, const struct id *task,
                                  struct state_proof *out, struct err *err)
{
    (void)base;
    (void)task;
    (void)out;
    return err_set(err, E_NOTFOUND, "a state in memory keeps no frames");
}

static enum status mem_examine(struct state *base, state_finding_fn *finding, void *context,
                               struct err *err)
{
    (void)base;
    (void)finding;
    (void)context;
    (void)err;
    return OK;
}

const struct state_backend state_mem = {.open = mem_open,
                                        .close = mem_close,
                                        .begin = mem_begin,
                                        .poll = mem_poll,
                                        .fd = mem_fd,
                                        .flush_begin = mem_flush_begin,
                                        .flush_poll = mem_flush_poll,
                                        .find = mem_find,
                                        .each_record = mem_each_record,
                                        .each_run = mem_each_run,
                                        .epoch = mem_epoch,
                                        .leader = mem_leader,
                                        .renew = mem_renew,
                                        .raise_epoch = mem_raise_epoch,
                                        .find_proof = mem_find_proof,
                                        .examine = mem_examine};
