// SPDX-License-Identifier: Apache-2.0
#include "proto/record.h"

#include <string.h>

#include "proto/codec.h"
#include "proto/limits.h"
#include "proto/msg.h"

static bool read_output(struct mp_reader *r, struct record_output *out)
{
    out->name = mp_read_str(r, &out->name_bytes);
    mp_read_artifact(r, &out->artifact);
    return !r->is_bad && out->name_bytes && out->name_bytes <= NAME_BYTES_MAX &&
           mp_is_utf8(out->name, out->name_bytes);
}

static bool read_outputs(struct mp_reader *r, struct record *out)
{
    struct record_output output, before = {0};
    out->output_count = mp_read_map(r);
    out->outputs = r->at;
    if (!out->output_count || out->output_count > OUTPUTS_MAX)
        return false;
    for (uint32_t i = 0; i < out->output_count; i++, before = output)
        if (!read_output(r, &output) ||
            (i && mp_compare(before.name, before.name_bytes, output.name, output.name_bytes) >= 0))
            return false;
    out->outputs_end = r->at;
    return true;
}

/* A mapping that is not empty, whatever is in it. */
static bool read_map(struct mp_reader *r, const uint8_t **bytes, size_t *count)
{
    bool is_map = mp_peek(r) == MP_MAP;
    struct mp_view view = mp_read_any(r);
    *bytes = view.bytes;
    *count = view.count;
    return is_map && view.count > 1;
}

static inline bool is_key(const char *key, uint32_t bytes, const char *word)
{
    size_t want = strlen(word); /* a constant: this is on the path of every result */
    return bytes == want && memcmp(key, word, want) == 0;
}

/* The document's fields in their only order: action attempt [log] [outputs] timings [values]
 * worker. */
static bool read_record(struct mp_reader *r, struct record *out)
{
    uint32_t pairs = mp_read_map(r), bytes, optional = 0;
    const char *key = mp_read_str(r, &bytes);
    if (!is_key(key, bytes, "action"))
        return false;
    if (!read_map(r, &out->action, &out->action_bytes))
        return false;
    key = mp_read_str(r, &bytes);
    if (!is_key(key, bytes, "attempt"))
        return false;
    uint64_t attempt = mp_read_uint(r);
    out->attempt = (uint32_t)attempt;
    key = mp_read_str(r, &bytes);
    if (is_key(key, bytes, "log")) {
        out->has_log = true;
        mp_read_artifact(r, &out->log);
        key = mp_read_str(r, &bytes);
        optional++;
    }
    if (is_key(key, bytes, "outputs")) {
        if (!read_outputs(r, out))
            return false;
        key = mp_read_str(r, &bytes);
        optional++;
    }
    if (!is_key(key, bytes, "timings") || mp_read_array(r) != 2)
        return false;
    out->begun_us = mp_read_int(r);
    out->took_us = mp_read_int(r);
    key = mp_read_str(r, &bytes);
    if (is_key(key, bytes, "values")) {
        if (!read_map(r, &out->values, &out->values_bytes))
            return false;
        key = mp_read_str(r, &bytes);
        optional++;
    }
    if (!is_key(key, bytes, "worker"))
        return false;
    out->worker = mp_read_str(r, &out->worker_bytes);
    return !r->is_bad && pairs == 4 + optional && attempt <= UINT32_MAX &&
           out->worker_bytes <= NAME_BYTES_MAX && mp_is_utf8(out->worker, out->worker_bytes);
}

enum status record_parse(const uint8_t *bytes, size_t count, struct record *out, struct err *err)
{
    *out = (struct record){0};
    if (count > RECORD_BYTES_MAX)
        return err_set(err, E_LIMIT, "a record of %zu bytes is over %d", count, RECORD_BYTES_MAX);
    struct mp_reader reader = mp_reader_canonical(bytes, count);
    if (!read_record(&reader, out))
        return err_set(err, E_PROTOCOL, "not a canonical record (%zu bytes)", count);
    return mp_reader_finish(&reader, "record", err);
}

bool record_next_output(const struct record *record, size_t *cursor, struct record_output *out)
{
    if (!record->outputs)
        return false;
    struct mp_reader reader = {.at = record->outputs + (*cursor ? *cursor - 1 : 0),
                               .end = record->outputs_end};
    if (reader.at == reader.end || !read_output(&reader, out))
        return false;
    *cursor = (size_t)(reader.at - record->outputs) + 1;
    return true;
}

size_t record_encode(const struct record *record, const struct record_output *outputs, uint8_t *out,
                     size_t out_bytes)
{
    struct mp_writer w = mp_writer(out, out_bytes);
    bool has_values = record->values != NULL;
    mp_write_map(&w, 4u + record->has_log + (record->output_count > 0) + has_values);
    mp_write_str(&w, "action", 6);
    mp_write_raw(&w, record->action, record->action_bytes);
    mp_write_str(&w, "attempt", 7);
    mp_write_uint(&w, record->attempt);
    if (record->has_log) {
        mp_write_str(&w, "log", 3);
        mp_write_artifact(&w, &record->log);
    }
    if (record->output_count) {
        mp_write_str(&w, "outputs", 7);
        mp_write_map(&w, record->output_count);
        for (uint32_t i = 0; i < record->output_count; i++) {
            mp_write_str(&w, outputs[i].name, outputs[i].name_bytes);
            mp_write_artifact(&w, &outputs[i].artifact);
        }
    }
    mp_write_str(&w, "timings", 7);
    mp_write_array(&w, 2);
    mp_write_int(&w, record->begun_us);
    mp_write_int(&w, record->took_us);
    if (has_values) {
        mp_write_str(&w, "values", 6);
        mp_write_raw(&w, record->values, record->values_bytes);
    }
    mp_write_str(&w, "worker", 6);
    mp_write_str(&w, record->worker, record->worker_bytes);
    return w.need;
}
