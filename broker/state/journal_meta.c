// SPDX-License-Identifier: Apache-2.0
#include "broker/state/journal_meta.h"

#include <string.h>

#include "common/base/assert.h"
#include "proto/msg.h"

/* Upper bounds of one item's encoding: room is made once, so that the writers below never fail. */
enum {
    HEADS_BYTES = 32,
    FRAME_ITEM_BYTES = 48,
    RECORD_ITEM_BYTES = 88,
    ALIAS_ITEM_BYTES = 72,
    REMOVAL_ITEM_BYTES = 34,
    RUN_ITEM_BYTES = STATE_RUN_ID_BYTES + 16
};

static void write_frames(struct mp_writer *w, const struct state_batch *batch)
{
    mp_write_array(w, batch->frame_count);
    for (uint32_t i = 0; i < batch->frame_count; i++) {
        mp_write_array(w, 2);
        mp_write_uint(w, batch->frames[i].count);
        if (batch->frame_keys)
            mp_write_bin(w, batch->frame_keys + (size_t)i * PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES);
        else
            mp_write_nil(w);
    }
}

static void write_records(struct mp_writer *w, const struct state_batch *batch)
{
    mp_write_array(w, batch->record_count);
    for (uint32_t i = 0; i < batch->record_count; i++) {
        const struct state_record *record = &batch->records[i];
        mp_write_array(w, 5);
        mp_write_id(w, &record->task);
        mp_write_uint(w, record->frame);
        mp_write_uint(w, record->offset);
        mp_write_uint(w, record->bytes);
        if (record->has_action)
            mp_write_id(w, &record->action);
        else
            mp_write_nil(w);
    }
}

void journal_meta_encode(const struct state_batch *batch, struct buf *out)
{
    size_t bound = HEADS_BYTES + (size_t)batch->frame_count * FRAME_ITEM_BYTES +
                   (size_t)batch->record_count * RECORD_ITEM_BYTES +
                   (size_t)batch->alias_count * ALIAS_ITEM_BYTES +
                   (size_t)batch->removal_count * REMOVAL_ITEM_BYTES +
                   (size_t)batch->run_count * RUN_ITEM_BYTES;
    struct mp_writer w = mp_writer(buf_reserve(out, bound), bound);
    mp_write_array(&w, 5);
    write_frames(&w, batch);
    write_records(&w, batch);
    mp_write_array(&w, batch->alias_count);
    for (uint32_t i = 0; i < batch->alias_count; i++) {
        mp_write_array(&w, 2);
        mp_write_id(&w, &batch->aliases[i].task);
        mp_write_id(&w, &batch->aliases[i].action);
    }
    mp_write_array(&w, batch->removal_count);
    for (uint32_t i = 0; i < batch->removal_count; i++)
        mp_write_id(&w, &batch->removals[i]);
    mp_write_array(&w, batch->run_count);
    for (uint32_t i = 0; i < batch->run_count; i++) {
        mp_write_array(&w, 2);
        mp_write_text(&w, batch->runs[i].id);
        mp_write_uint(&w, batch->runs[i].document_bytes);
    }
    ASSERT(!mp_writer_is_full(&w));
    out->count += w.need;
}

/* What is left of the area, handed out piece by piece. */
static struct mp_view take(struct mp_reader *r, struct mp_view *area)
{
    uint64_t bytes = mp_read_uint(r);
    if (bytes > area->count) {
        r->is_bad = true;
        bytes = 0;
    }
    struct mp_view piece = {area->bytes, (size_t)bytes};
    area->bytes += bytes;
    area->count -= (size_t)bytes;
    return piece;
}

static void expect_array(struct mp_reader *r, uint32_t count)
{
    if (mp_read_array(r) != count)
        r->is_bad = true;
}

static void read_frames(struct mp_reader *r, struct mp_view *area, struct arena *arena,
                        struct state_batch *out)
{
    out->frame_count = mp_read_array(r);
    struct mp_view *frames = arena_alloc(arena, out->frame_count * sizeof *frames);
    uint8_t *keys = arena_alloc(arena, (size_t)out->frame_count * PUBLIC_KEY_BYTES);
    for (uint32_t i = 0; i < out->frame_count && !r->is_bad; i++) {
        size_t key_bytes = PUBLIC_KEY_BYTES;
        expect_array(r, 2);
        frames[i] = take(r, area);
        const uint8_t *key = mp_read_nil(r) ? NULL : mp_read_bin(r, &key_bytes);
        if (key_bytes != PUBLIC_KEY_BYTES)
            r->is_bad = true;
        else if (key)
            memcpy(keys + (size_t)i * PUBLIC_KEY_BYTES, key, PUBLIC_KEY_BYTES);
    }
    out->frames = frames;
    out->frame_keys = keys;
}

static void read_records(struct mp_reader *r, struct arena *arena, struct state_batch *out)
{
    out->record_count = mp_read_array(r);
    struct state_record *records = arena_alloc(arena, out->record_count * sizeof *records);
    for (uint32_t i = 0; i < out->record_count && !r->is_bad; i++) {
        expect_array(r, 5);
        mp_read_id(r, &records[i].task);
        uint64_t frame = mp_read_uint(r), offset = mp_read_uint(r), bytes = mp_read_uint(r);
        records[i].has_action = !mp_read_nil(r);
        if (records[i].has_action)
            mp_read_id(r, &records[i].action);
        if (frame >= out->frame_count || offset > out->frames[frame].count ||
            bytes > out->frames[frame].count - offset) {
            r->is_bad = true;
            return;
        }
        records[i].frame = (uint32_t)frame;
        records[i].offset = (uint32_t)offset;
        records[i].bytes = (uint32_t)bytes;
    }
    out->records = records;
}

static void read_aliases(struct mp_reader *r, struct arena *arena, struct state_batch *out)
{
    out->alias_count = mp_read_array(r);
    struct state_alias *aliases = arena_alloc(arena, out->alias_count * sizeof *aliases);
    for (uint32_t i = 0; i < out->alias_count && !r->is_bad; i++) {
        expect_array(r, 2);
        mp_read_id(r, &aliases[i].task);
        mp_read_id(r, &aliases[i].action);
    }
    out->aliases = aliases;
    out->removal_count = mp_read_array(r);
    struct id *removals = arena_alloc(arena, out->removal_count * sizeof *removals);
    for (uint32_t i = 0; i < out->removal_count && !r->is_bad; i++)
        mp_read_id(r, &removals[i]);
    out->removals = removals;
}

static void read_runs(struct mp_reader *r, struct mp_view *area, struct arena *arena,
                      struct state_batch *out)
{
    out->run_count = mp_read_array(r);
    struct state_run *runs = arena_alloc(arena, out->run_count * sizeof *runs);
    for (uint32_t i = 0; i < out->run_count && !r->is_bad; i++) {
        uint32_t bytes = 0;
        expect_array(r, 2);
        const char *id = mp_read_str(r, &bytes);
        if (!id || bytes >= STATE_RUN_ID_BYTES) {
            r->is_bad = true;
            return;
        }
        runs[i].id = arena_text(arena, id, bytes);
        struct mp_view document = take(r, area);
        runs[i].document = document.bytes;
        runs[i].document_bytes = document.count;
    }
    out->runs = runs;
}

enum status journal_meta_decode(struct mp_view meta, struct mp_view area, struct arena *arena,
                                struct state_batch *out, struct err *err)
{
    *out = (struct state_batch){0};
    struct mp_reader r = mp_reader(meta.bytes, meta.count);
    expect_array(&r, 5);
    read_frames(&r, &area, arena, out);
    read_records(&r, arena, out);
    read_aliases(&r, arena, out);
    read_runs(&r, &area, arena, out);
    if (mp_reader_finish(&r, "journal entry", NULL) == OK && !area.count)
        return OK;
    *out = (struct state_batch){0};
    return err_set(err, E_CORRUPT, "the lists of a journal entry cannot be read");
}
