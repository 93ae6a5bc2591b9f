// SPDX-License-Identifier: Apache-2.0
#include "proto/task_spec.h"

#include <string.h>

#include "proto/codec.h"
#include "proto/limits.h"

static bool is_word(const char *text, uint32_t bytes, const char *word)
{
    return bytes == strlen(word) && memcmp(text, word, bytes) == 0;
}

/* Is `a` before `b` by bytes? Names of a canonical map or list must stand so. */
static bool is_before(const char *a, uint32_t a_bytes, const char *b, uint32_t b_bytes)
{
    uint32_t common = a_bytes < b_bytes ? a_bytes : b_bytes;
    int order = common ? memcmp(a, b, common) : 0;
    return order < 0 || (order == 0 && a_bytes < b_bytes);
}

static bool read_ref(struct mp_reader *r, struct task_ref *out)
{
    *out = (struct task_ref){0};
    if (mp_read_array(r) != 2 || r->is_bad)
        return false;
    if ((*r->at & 0xe0) == 0xa0) {
        uint32_t bytes;
        const char *word = mp_read_str(r, &bytes);
        out->artifact.is_tree = is_word(word, bytes, "tree");
        mp_read_id(r, &out->artifact.id);
        return !r->is_bad && (out->artifact.is_tree || is_word(word, bytes, "blob"));
    }
    out->is_task = true;
    mp_read_id(r, &out->task);
    out->output = mp_read_str(r, &out->output_bytes);
    return !r->is_bad && out->output_bytes && out->output_bytes <= NAME_BYTES_MAX;
}

/* INPUT itself: one reference, or [[…]]. */
static bool read_refs(struct mp_reader *r, struct task_input *out)
{
    struct mp_reader peek = *r;
    out->is_gather = mp_read_array(&peek) == 1;
    if (out->is_gather) {
        *r = peek;
        out->ref_count = mp_read_array(r);
    } else {
        out->ref_count = 1;
    }
    out->refs = r->at;
    struct task_ref ref;
    for (uint32_t i = 0; i < out->ref_count; i++)
        if (!read_ref(r, &ref))
            return false;
    out->refs_end = r->at;
    return !r->is_bad;
}

static bool read_input(struct mp_reader *r, struct task_input *out)
{
    *out = (struct task_input){0};
    out->name = mp_read_str(r, &out->name_bytes);
    if (r->is_bad || r->at == r->end || !out->name_bytes || out->name_bytes > TREE_PATH_BYTES_MAX)
        return false;
    if ((*r->at & 0xf0) != 0x80)
        return read_refs(r, out);
    uint32_t bytes;
    if (mp_read_map(r) != 2)
        return false;
    const char *key = mp_read_str(r, &bytes);
    if (!is_word(key, bytes, "from") || !read_refs(r, out))
        return false;
    key = mp_read_str(r, &bytes);
    out->path = mp_read_str(r, &out->path_bytes);
    return !r->is_bad && is_word(key, bytes, "path") && out->path_bytes && out->path_bytes <= TREE_PATH_BYTES_MAX;
}

static bool read_inputs(struct mp_reader *r, struct task_spec *out)
{
    struct task_input input, before = {0};
    out->input_count = mp_read_map(r);
    out->inputs = r->at;
    if (!out->input_count || out->input_count > INPUTS_MAX)
        return false;
    for (uint32_t i = 0; i < out->input_count; i++, before = input)
        if (!read_input(r, &input) ||
            (i && !is_before(before.name, before.name_bytes, input.name, input.name_bytes)))
            return false;
    out->inputs_end = r->at;
    return true;
}

static bool read_outputs(struct mp_reader *r, struct task_spec *out)
{
    const char *before = NULL;
    uint32_t before_bytes = 0;
    out->output_count = mp_read_array(r);
    out->outputs = r->at;
    if (!out->output_count || out->output_count > OUTPUTS_MAX)
        return false;
    for (uint32_t i = 0; i < out->output_count; i++) {
        uint32_t bytes;
        const char *name = mp_read_str(r, &bytes);
        if (r->is_bad || !bytes || bytes > NAME_BYTES_MAX ||
            (before && !is_before(before, before_bytes, name, bytes)))
            return false;
        before = name;
        before_bytes = bytes;
    }
    out->outputs_end = r->at;
    return true;
}

/* The document's fields in their only order; those in brackets may be missing: [inputs] kind [outputs] [params] version. */
static bool read_spec(struct mp_reader *r, struct task_spec *out)
{
    uint32_t pairs = mp_read_map(r), bytes, read = 0;
    const char *key = mp_read_str(r, &bytes);
    if (is_word(key, bytes, "inputs")) {
        if (!read_inputs(r, out))
            return false;
        key = mp_read_str(r, &bytes);
        read++;
    }
    if (!is_word(key, bytes, "kind"))
        return false;
    out->kind = mp_read_str(r, &out->kind_bytes);
    key = mp_read_str(r, &bytes);
    if (is_word(key, bytes, "outputs")) {
        if (!read_outputs(r, out))
            return false;
        key = mp_read_str(r, &bytes);
        read++;
    }
    if (is_word(key, bytes, "params")) {
        out->params = r->at;
        if (r->at == r->end || ((*r->at & 0xf0) != 0x80 && *r->at != 0xde) || *r->at == 0x80)
            return false;
        out->params_bytes = mp_read_any(r).count;
        key = mp_read_str(r, &bytes);
        read++;
    }
    if (!is_word(key, bytes, "version"))
        return false;
    out->version = mp_read_str(r, &out->version_bytes);
    return !r->is_bad && pairs == read + 2 && out->kind_bytes && out->version_bytes;
}

enum status task_spec_parse(const uint8_t *bytes, size_t count, struct task_spec *out, struct err *err)
{
    *out = (struct task_spec){.bytes = bytes, .count = count};
    if (count > SPEC_BYTES_MAX)
        return err_set(err, E_LIMIT, "a task specification of %zu bytes is over %d", count, SPEC_BYTES_MAX);
    struct mp_reader reader = mp_reader(bytes, count);
    if (!read_spec(&reader, out))
        return err_set(err, E_PROTOCOL, "not a canonical task specification (%zu bytes)", count);
    return mp_reader_finish(&reader, "task specification", err);
}

/* A cursor is 1 + how far into the part; 0 begins it. */
static struct mp_reader part_reader(const uint8_t *begin, const uint8_t *end, size_t cursor)
{
    if (!begin)
        return (struct mp_reader){0};
    return (struct mp_reader){.at = begin + (cursor ? cursor - 1 : 0), .end = end};
}

bool task_spec_next_input(const struct task_spec *spec, size_t *cursor, struct task_input *out)
{
    struct mp_reader reader = part_reader(spec->inputs, spec->inputs_end, *cursor);
    if (reader.at == reader.end || !read_input(&reader, out))
        return false;
    *cursor = (size_t)(reader.at - spec->inputs) + 1;
    return true;
}

bool task_spec_next_output(const struct task_spec *spec, size_t *cursor, const char **name, uint32_t *name_bytes)
{
    struct mp_reader reader = part_reader(spec->outputs, spec->outputs_end, *cursor);
    if (reader.at == reader.end)
        return false;
    *name = mp_read_str(&reader, name_bytes);
    *cursor = (size_t)(reader.at - spec->outputs) + 1;
    return true;
}

bool task_input_next_ref(const struct task_input *input, size_t *cursor, struct task_ref *out)
{
    struct mp_reader reader = part_reader(input->refs, input->refs_end, *cursor);
    if (reader.at == reader.end || !read_ref(&reader, out))
        return false;
    *cursor = (size_t)(reader.at - input->refs) + 1;
    return true;
}

/* ---- the action ---- */

static bool write_refs(struct mp_writer *w, const struct task_input *input, const struct artifact *resolved,
                       size_t resolved_count, size_t *used)
{
    struct task_ref ref;
    if (input->is_gather) {
        mp_write_array(w, 1);
        mp_write_array(w, input->ref_count);
    }
    for (size_t cursor = 0; task_input_next_ref(input, &cursor, &ref);) {
        const struct artifact *artifact = &ref.artifact;
        if (ref.is_task) {
            if (*used == resolved_count)
                return false;
            artifact = &resolved[(*used)++];
        }
        mp_write_array(w, 2);
        mp_write_text(w, artifact->is_tree ? "tree" : "blob");
        mp_write_id(w, &artifact->id);
    }
    return true;
}

static bool write_inputs(struct mp_writer *w, const struct task_spec *spec, const struct artifact *resolved,
                         size_t resolved_count)
{
    size_t used = 0;
    struct task_input input;
    mp_write_text(w, "inputs");
    mp_write_map(w, spec->input_count);
    for (size_t cursor = 0; task_spec_next_input(spec, &cursor, &input);) {
        mp_write_str(w, input.name, input.name_bytes);
        if (input.path) {
            mp_write_map(w, 2);
            mp_write_text(w, "from");
        }
        if (!write_refs(w, &input, resolved, resolved_count, &used))
            return false;
        if (input.path) {
            mp_write_text(w, "path");
            mp_write_str(w, input.path, input.path_bytes);
        }
    }
    return used == resolved_count;
}

size_t task_spec_action(const struct task_spec *spec, const struct artifact *resolved, size_t resolved_count,
                        uint8_t *out, size_t out_bytes)
{
    struct mp_writer w = mp_writer(out, out_bytes);
    if (!spec->input_count) {
        mp_write_raw(&w, spec->bytes, spec->count);
        return resolved_count ? 0 : w.need;
    }
    mp_write_map(&w, 3u + (spec->output_count > 0) + (spec->params != NULL));
    if (!write_inputs(&w, spec, resolved, resolved_count))
        return 0;
    /* What stands behind the inputs is the same in both documents. */
    mp_write_raw(&w, spec->inputs_end, (size_t)(spec->bytes + spec->count - spec->inputs_end));
    return w.need;
}
