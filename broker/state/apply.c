// SPDX-License-Identifier: Apache-2.0
#include "broker/state/apply.h"

#include "broker/state/crc32c.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "proto/record.h"

enum { PREFETCH_RECORDS = 16 };

struct action_of {
    bool is_known;
    struct id key;
};

static void take_action(void *context, uint32_t index, const uint8_t *bytes, size_t count)
{
    (void)index;
    struct action_of *action = context;
    struct record record;
    action->is_known = record_parse(bytes, count, &record, NULL) == OK;
    if (action->is_known)
        hash_bytes(PERSON_ACTION, record.action, record.action_bytes, &action->key);
}

/* The record goes, and with it its action key: the same work must not be found again by its inputs.
 */
static void remove_record(struct layer *layer, const struct id *task,
                          const struct apply_source *source)
{
    struct place place;
    struct action_of action = {0};
    if (!source->find(source->context, SPACE_TASK, task, &place))
        return;
    /* A record that can't be read any more is removed all the same. */
    if (source->read(source->context, place, take_action, &action, NULL) == OK && action.is_known)
        layer_remove(layer, SPACE_ACTION, &action.key);
    layer_remove(layer, SPACE_TASK, task);
}

static void put_records(struct layer *layer, const struct state_batch *batch, uint64_t area)
{
    uint32_t frame = 0; /* records come frame by frame, so that their places need no table */
    uint64_t at = area;
    for (uint32_t i = 0; i < batch->record_count; i++) {
        const struct state_record *record = &batch->records[i];
        if (i + PREFETCH_RECORDS < batch->record_count)
            id_map_prefetch(&layer->keys[SPACE_TASK].map, &record[PREFETCH_RECORDS].task);
        if (record->frame < frame) {
            frame = 0;
            at = area;
        }
        for (; frame < record->frame; frame++)
            at += batch->frames[frame].count;
        const uint8_t *bytes = batch->frames[frame].bytes + record->offset;
        struct place place = {at + record->offset, record->bytes, crc32c(0, bytes, record->bytes)};
        layer_put(layer, SPACE_TASK, &record->task, place);
        if (record->has_action)
            layer_put(layer, SPACE_ACTION, &record->action, place);
    }
}

static void put_runs(struct layer *layer, const struct state_batch *batch, uint64_t area)
{
    for (uint32_t i = 0; i < batch->frame_count; i++)
        area += batch->frames[i].count;
    for (uint32_t i = 0; i < batch->run_count; i++) {
        const struct state_run *run = &batch->runs[i];
        struct place place = {area, (uint32_t)run->document_bytes,
                              crc32c(0, run->document, run->document_bytes)};
        layer_put_run(layer, run->id, place);
        area += run->document_bytes;
    }
}

void apply_batch(struct layer *layer, const struct state_batch *batch, uint64_t area,
                 const struct apply_source *source)
{
    for (uint32_t i = 0; i < batch->removal_count; i++)
        remove_record(layer, &batch->removals[i], source);
    put_records(layer, batch, area);
    for (uint32_t i = 0; i < batch->alias_count; i++) {
        struct place place;
        if (!source->find(source->context, SPACE_ACTION, &batch->aliases[i].action, &place))
            continue;
        layer_remove(layer, SPACE_TASK, &batch->aliases[i].task);
        layer_put(layer, SPACE_TASK, &batch->aliases[i].task, place);
    }
    put_runs(layer, batch, area);
}
