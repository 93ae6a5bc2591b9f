// SPDX-License-Identifier: Apache-2.0
#include "broker/state/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "broker/state/crc32c.h"
#include "broker/state/journal_meta.h"
#include "broker/state/little_endian.h"
#include "common/base/assert.h"
#include "common/crypto/results.h"

enum { MAGIC = 0x31455350 /* "PSE1" */ };

/* ---- marks ---- */

bool mark_is_after(struct mark mark, struct mark than)
{
    if (mark.epoch != than.epoch)
        return mark.epoch > than.epoch;
    return mark.writer != than.writer || mark.number > than.number;
}

void mark_write(struct mark mark, char out[MARK_TEXT_BYTES])
{
    snprintf(out, MARK_TEXT_BYTES, "%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64, mark.epoch,
             mark.number, mark.writer);
}

bool mark_read(const char *text, struct mark *out)
{
    int end = 0;
    *out = (struct mark){0};
    if (!*text)
        return true;
    return sscanf(text, "%16" SCNx64 "-%16" SCNx64 "-%16" SCNx64 "%n", &out->epoch, &out->number,
                  &out->writer, &end) == 3 &&
           end == MARK_TEXT_BYTES - 1 && !text[end];
}

void segment_prefix(const char *ns, char out[SEGMENT_NAME_BYTES])
{
    snprintf(out, SEGMENT_NAME_BYTES, "journal/%s/", ns);
}

void segment_name(const char *ns, struct mark segment, char out[SEGMENT_NAME_BYTES])
{
    char mark[MARK_TEXT_BYTES];
    mark_write(segment, mark);
    snprintf(out, SEGMENT_NAME_BYTES, "journal/%s/%s", ns, mark);
}

bool segment_read_name(const char *ns, const char *name, struct mark *out)
{
    char prefix[SEGMENT_NAME_BYTES];
    segment_prefix(ns, prefix);
    size_t bytes = strlen(prefix);
    return strncmp(name, prefix, bytes) == 0 && name[bytes] && mark_read(name + bytes, out) &&
           out->epoch <= EPOCH_MAX;
}

/* ---- entries ---- */

static void put_area(const struct state_batch *batch, struct buf *out)
{
    for (uint32_t i = 0; i < batch->frame_count; i++)
        buf_put(out, batch->frames[i].bytes, batch->frames[i].count);
    for (uint32_t i = 0; i < batch->run_count; i++)
        buf_put(out, batch->runs[i].document, batch->runs[i].document_bytes);
}

void entry_encode(struct mark mark, const struct state_batch *batch, struct buf *out)
{
    size_t begin = out->count;
    uint8_t *room = buf_reserve(out, ENTRY_HEAD_BYTES);
    ASSERT(room);
    out->count += ENTRY_HEAD_BYTES;
    journal_meta_encode(batch, out);
    size_t meta_bytes = out->count - begin - ENTRY_HEAD_BYTES, area = out->count;
    put_area(batch, out);
    const uint8_t *payload = out->bytes + begin + ENTRY_HEAD_BYTES;
    uint8_t *head = out->bytes + begin, *at = head;
    at = put32(at, MAGIC);
    at = put32(at, (uint32_t)meta_bytes);
    at = put64(at, out->count - area);
    at = put64(at, mark.epoch);
    at = put64(at, mark.writer);
    at = put64(at, mark.number);
    at = put32(at, crc32c(0, payload, out->count - begin - ENTRY_HEAD_BYTES));
    put32(at, crc32c(0, head, ENTRY_HEAD_BYTES - 4));
}

static bool has_head(const uint8_t *bytes, size_t count)
{
    return count >= ENTRY_HEAD_BYTES && get32(bytes) == MAGIC &&
           get32(bytes + ENTRY_HEAD_BYTES - 4) == crc32c(0, bytes, ENTRY_HEAD_BYTES - 4);
}

bool entry_mark(const void *data, size_t count, struct mark *out)
{
    const uint8_t *bytes = data;
    *out = (struct mark){0};
    if (!has_head(bytes, count))
        return false;
    *out = (struct mark){get64(bytes + 16), get64(bytes + 24), get64(bytes + 32)};
    return out->epoch <= EPOCH_MAX;
}

enum status entry_decode(const uint8_t *bytes, size_t count, struct arena *arena, struct entry *out,
                         struct err *err)
{
    *out = (struct entry){0};
    if (!entry_mark(bytes, count, &out->mark))
        return err_set(err, E_CORRUPT, "this is no entry of a journal");
    uint64_t meta_bytes = get32(bytes + 4), area_bytes = get64(bytes + 8);
    size_t left = count - ENTRY_HEAD_BYTES;
    if (meta_bytes > left || area_bytes > left - meta_bytes)
        return err_set(err, E_CORRUPT, "an entry of the journal is cut off");
    const uint8_t *meta = bytes + ENTRY_HEAD_BYTES;
    size_t payload_bytes = (size_t)(meta_bytes + area_bytes);
    if (get32(bytes + ENTRY_HEAD_BYTES - 8) != crc32c(0, meta, payload_bytes))
        return err_set(err, E_CORRUPT, "an entry of the journal is damaged");
    TRY(journal_meta_decode((struct mp_view){meta, (size_t)meta_bytes},
                            (struct mp_view){meta + meta_bytes, (size_t)area_bytes}, arena,
                            &out->batch, err));
    out->bytes = bytes;
    out->byte_count = ENTRY_HEAD_BYTES + payload_bytes;
    return OK;
}

/* ---- signatures ---- */

/* A frame being checked: its records come in the order of its results, so one walk does. */
struct walk {
    uint32_t frame;
    struct results_msg results;
    struct mp_reader reader;
    uint32_t left;
};

static void begin_walk(struct walk *walk)
{
    walk->reader = mp_reader(walk->results.body, walk->results.body_bytes);
    walk->left = msg_body_begin(&walk->reader);
}

static enum status check_signature(struct walk *walk, const struct state_batch *batch,
                                   uint32_t index, struct err *err)
{
    struct mp_view frame = batch->frames[index];
    const uint8_t *key = batch->frame_keys + (size_t)index * PUBLIC_KEY_BYTES;
    if (walk->frame == index)
        return OK;
    TRY(msg_decode_results(frame.bytes, frame.count, &walk->results, err));
    if (!results_are_signed_by(&walk->results, key))
        return err_set(err, E_DENIED, "its frame's signature is not that of the key given with it");
    walk->frame = index;
    begin_walk(walk);
    return OK;
}

static bool walk_finds(struct walk *walk, const uint8_t *bytes, const struct state_record *record)
{
    struct result_msg result;
    return results_find(&walk->reader, &walk->left, bytes, &result) &&
           result.record_bytes == record->bytes && id_equal(&result.attempt.task, &record->task);
}

enum status entry_verify(const struct entry *entry, struct err *err)
{
    const struct state_batch *batch = &entry->batch;
    struct walk walk = {.frame = UINT32_MAX};
    for (uint32_t i = 0; i < batch->record_count; i++) {
        const struct state_record *record = &batch->records[i];
        const uint8_t *bytes = batch->frames[record->frame].bytes + record->offset;
        char hex[ID_HEX_BYTES];
        if (check_signature(&walk, batch, record->frame, err) != OK)
            return err_prefix(err, "the record of task %s", id_hex(&record->task, hex));
        bool is_found = walk_finds(&walk, bytes, record);
        if (!is_found) { /* it may lie before the last one */
            begin_walk(&walk);
            is_found = walk_finds(&walk, bytes, record);
        }
        if (!is_found)
            return err_set(err, E_DENIED, "the record of task %s is not in its signed frame",
                           id_hex(&record->task, hex));
    }
    return OK;
}

/* ---- which have come ---- */

struct marks_run {
    uint64_t epoch, writer, first, last;
};

bool marks_see(struct marks_seen *seen, struct mark mark)
{
    struct marks_run *runs = (struct marks_run *)(void *)seen->runs.bytes;
    for (size_t i = seen->runs.count / sizeof *runs; i-- > 0;) {
        struct marks_run *run = &runs[i];
        if (run->epoch != mark.epoch || run->writer != mark.writer)
            continue;
        if (mark.number >= run->first && mark.number <= run->last)
            return false;
        if (mark.number == run->last + 1) {
            run->last++;
            return true;
        }
    }
    struct marks_run run = {mark.epoch, mark.writer, mark.number, mark.number};
    buf_put(&seen->runs, &run, sizeof run);
    return true;
}
