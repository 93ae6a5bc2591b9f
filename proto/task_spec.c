// SPDX-License-Identifier: Apache-2.0
#include "proto/task_spec.h"

#include <string.h>

#include "proto/codec.h"
#include "proto/limits.h"

/* ---- parsing: everything is checked once, here; the iterators then walk what is known to be sound
 * ---- */

enum { VERSION_BYTES_MAX = 255 };

struct parser {
    struct mp_reader reader;
    struct err *err;
};

static enum status refuse(struct parser *p, const char *what)
{
    return err_set(p->err, E_PROTOCOL, "task specification: %s", what);
}

static enum status parse_name(struct parser *p, const char *what, const char **name,
                              uint32_t *bytes)
{
    *name = mp_read_str(&p->reader, bytes);
    if (p->reader.is_bad || *bytes == 0 || *bytes > NAME_BYTES_MAX || !mp_is_utf8(*name, *bytes) ||
        memchr(*name, 0, *bytes))
        return err_set(p->err, E_PROTOCOL, "task specification: %s is not a name of 1 … %d bytes",
                       what, NAME_BYTES_MAX);
    return OK;
}

/* [task id, output], ["blob", id] or ["tree", id]; the array's head, of 2, was read. */
static enum status parse_ref(struct parser *p)
{
    struct id id;
    const char *text;
    uint32_t bytes;
    if (mp_peek(&p->reader) == MP_BIN) {
        mp_read_id(&p->reader, &id);
        return parse_name(p, "the output of an input", &text, &bytes);
    }
    text = mp_read_str(&p->reader, &bytes);
    if (bytes != 4 || (memcmp(text, "blob", 4) != 0 && memcmp(text, "tree", 4) != 0))
        return refuse(p, "an input is neither [task id, output] nor [\"blob\" or \"tree\", id]");
    mp_read_id(&p->reader, &id);
    return p->reader.is_bad ? refuse(p, "an id is not 32 bytes") : OK;
}

static enum status parse_gather(struct parser *p, struct task_input *out)
{
    out->is_gather = true;
    out->ref_count = mp_read_array(&p->reader);
    out->refs = p->reader.at;
    if (p->reader.is_bad)
        return refuse(p, "a gather holds no list");
    if (out->ref_count > GATHER_INLINE_MAX)
        return err_set(p->err, E_LIMIT, "task specification: a gather of %u, more than %d",
                       out->ref_count, GATHER_INLINE_MAX);
    for (uint32_t i = 0; i < out->ref_count; i++) {
        if (mp_read_array(&p->reader) != 2)
            return refuse(p, "what a gather lists are pairs");
        TRY(parse_ref(p));
    }
    return OK;
}

static enum status parse_source(struct parser *p, struct task_input *out)
{
    const uint8_t *begin = p->reader.at;
    uint32_t count = mp_read_array(&p->reader);
    if (count == 1)
        return parse_gather(p, out);
    if (count != 2)
        return refuse(p, "an input is a pair, a gather, or {from, path}");
    out->ref_count = 1;
    out->refs = begin;
    return parse_ref(p);
}

/* A path stays inside the work folder: relative, no empty part, no . or .. */
static bool is_inner_path(const char *path, uint32_t bytes)
{
    if (bytes == 0 || bytes > TREE_PATH_BYTES_MAX || !mp_is_utf8(path, bytes) ||
        memchr(path, 0, bytes))
        return false;
    for (const char *part = path, *end = path + bytes; part <= end;) {
        const char *slash = memchr(part, '/', (size_t)(end - part));
        size_t length = (size_t)((slash ? slash : end) - part);
        if (length == 0 || (length == 1 && part[0] == '.') ||
            (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        part += length + 1;
    }
    return true;
}

static bool read_key(struct parser *p, const char *key)
{
    uint32_t bytes;
    const char *text = mp_read_str(&p->reader, &bytes);
    return bytes == strlen(key) && memcmp(text, key, bytes) == 0;
}

static enum status parse_input(struct parser *p, struct task_input *out)
{
    TRY(parse_name(p, "an input", &out->name, &out->name_bytes));
    if (mp_peek(&p->reader) != MP_MAP)
        return parse_source(p, out);
    if (mp_read_map(&p->reader) != 2 || !read_key(p, "from"))
        return refuse(p, "a placed input is {from, path}");
    TRY(parse_source(p, out));
    if (!read_key(p, "path"))
        return refuse(p, "a placed input is {from, path}");
    out->path = mp_read_str(&p->reader, &out->path_bytes);
    if (p->reader.is_bad || !is_inner_path(out->path, out->path_bytes))
        return refuse(p, "the path of an input leaves the work folder");
    return OK;
}

static enum status parse_inputs(struct parser *p, struct task_spec *out)
{
    struct task_input last = {0};
    out->input_count = mp_read_map(&p->reader);
    out->inputs = p->reader.at;
    if (p->reader.is_bad || out->input_count == 0)
        return refuse(p, "inputs are a mapping, left out when empty");
    if (out->input_count > INPUTS_MAX)
        return err_set(p->err, E_LIMIT, "task specification: %u inputs, more than %d",
                       out->input_count, INPUTS_MAX);
    for (uint32_t i = 0; i < out->input_count; i++) {
        struct task_input input = {0};
        TRY(parse_input(p, &input));
        if (i > 0 && mp_compare(last.name, last.name_bytes, input.name, input.name_bytes) >= 0)
            return refuse(p, "inputs are not sorted by name");
        last = input;
    }
    return OK;
}

static enum status parse_outputs(struct parser *p, struct task_spec *out)
{
    const char *last = NULL;
    uint32_t last_bytes = 0;
    out->output_count = mp_read_array(&p->reader);
    out->outputs = p->reader.at;
    if (p->reader.is_bad)
        return refuse(p, "outputs are not a list");
    if (out->output_count > OUTPUTS_MAX)
        return err_set(p->err, E_LIMIT, "task specification: %u outputs, more than %d",
                       out->output_count, OUTPUTS_MAX);
    for (uint32_t i = 0; i < out->output_count; i++) {
        const char *name;
        uint32_t bytes;
        TRY(parse_name(p, "an output", &name, &bytes));
        if (last && mp_compare(last, last_bytes, name, bytes) >= 0)
            return refuse(p, "outputs are not sorted by name");
        last = name;
        last_bytes = bytes;
    }
    return OK;
}

static enum status parse_params(struct parser *p, struct task_spec *out)
{
    bool is_map = mp_peek(&p->reader) == MP_MAP;
    struct mp_view view = mp_read_any(&p->reader);
    if (!is_map || p->reader.is_bad)
        return refuse(p, "params are not a canonical mapping");
    if (view.count == 1)
        return refuse(p, "params are left out when empty");
    out->params = view.bytes;
    out->params_bytes = view.count;
    return OK;
}

static enum status parse_fields(struct parser *p, struct task_spec *out)
{
    uint32_t pairs = mp_read_map(&p->reader);
    if (pairs < 3 || pairs > 5)
        return refuse(p, "it is not a mapping of kind, version, outputs, inputs and params");
    bool has_inputs = false, has_params = false;
    uint32_t bytes;
    const char *key = mp_read_str(&p->reader, &bytes);
    if (bytes == 6 && memcmp(key, "inputs", 6) == 0) {
        has_inputs = true;
        TRY(parse_inputs(p, out));
        key = mp_read_str(&p->reader, &bytes);
    }
    if (bytes != 4 || memcmp(key, "kind", 4) != 0)
        return refuse(p, "no kind where it belongs");
    TRY(parse_name(p, "the kind", &out->kind, &out->kind_bytes));
    if (!read_key(p, "outputs"))
        return refuse(p, "no outputs where they belong");
    TRY(parse_outputs(p, out));
    key = mp_read_str(&p->reader, &bytes);
    if (bytes == 6 && memcmp(key, "params", 6) == 0) {
        has_params = true;
        TRY(parse_params(p, out));
        key = mp_read_str(&p->reader, &bytes);
    }
    if (bytes != 7 || memcmp(key, "version", 7) != 0 || pairs != 3u + has_inputs + has_params)
        return refuse(p, "no version where it belongs, or an unknown key");
    out->version = mp_read_str(&p->reader, &out->version_bytes);
    if (out->version_bytes == 0 || out->version_bytes > VERSION_BYTES_MAX ||
        !mp_is_utf8(out->version, out->version_bytes))
        return refuse(p, "the version is not a text of 1 … 255 bytes");
    return OK;
}

enum status task_spec_parse(const uint8_t *bytes, size_t count, struct task_spec *out,
                            struct err *err)
{
    struct parser p = {mp_reader_canonical(bytes, count), err};
    struct task_spec spec = {.bytes = bytes, .count = count};
    *out = (struct task_spec){0};
    if (count > SPEC_BYTES_MAX)
        return err_set(err, E_LIMIT, "task specification: %zu bytes, more than %d", count,
                       SPEC_BYTES_MAX);
    TRY(parse_fields(&p, &spec));
    TRY(mp_reader_finish(&p.reader, "task specification", err));
    *out = spec;
    return OK;
}

/* ---- iterators: a cursor holds the item's number above, its place below ---- */

_Static_assert(sizeof(size_t) == 8, "cursors need 64 bits");

static uint32_t cursor_number(size_t cursor)
{
    return (uint32_t)(cursor >> 32);
}

static size_t cursor_next(size_t cursor, const uint8_t *part, const uint8_t *at)
{
    return ((cursor >> 32) + 1) << 32 | (size_t)(at - part);
}

/* A reader over a part that was checked: its end is the end of the specification. */
static struct mp_reader reader_at(const struct task_spec *spec, const uint8_t *part, size_t cursor)
{
    const uint8_t *at = part + (uint32_t)cursor;
    return mp_reader(at, (size_t)(spec->bytes + spec->count - at));
}

bool task_spec_next_input(const struct task_spec *spec, size_t *cursor, struct task_input *out)
{
    *out = (struct task_input){0};
    if (cursor_number(*cursor) >= spec->input_count)
        return false;
    struct parser p = {reader_at(spec, spec->inputs, *cursor), NULL};
    if (parse_input(&p, out) != OK)
        return false;
    *cursor = cursor_next(*cursor, spec->inputs, p.reader.at);
    return true;
}

bool task_spec_next_output(const struct task_spec *spec, size_t *cursor, const char **name,
                           uint32_t *name_bytes)
{
    if (cursor_number(*cursor) >= spec->output_count)
        return false;
    struct mp_reader reader = reader_at(spec, spec->outputs, *cursor);
    *name = mp_read_str(&reader, name_bytes);
    *cursor = cursor_next(*cursor, spec->outputs, reader.at);
    return !reader.is_bad;
}

/* The longest reference: a pair, an id, a name of NAME_BYTES_MAX with two bytes of head. */
enum { REF_BYTES_MAX = 1 + 2 + ID_BYTES + 2 + NAME_BYTES_MAX };

bool task_input_next_ref(const struct task_input *input, size_t *cursor, struct task_ref *out)
{
    *out = (struct task_ref){0};
    if (cursor_number(*cursor) >= input->ref_count)
        return false;
    /* The reference was checked, so it ends before this reader does. */
    const uint8_t *at = input->refs + (uint32_t)*cursor;
    struct mp_reader reader = mp_reader(at, REF_BYTES_MAX);
    mp_read_array(&reader);
    out->is_task = mp_peek(&reader) == MP_BIN;
    if (out->is_task) {
        mp_read_id(&reader, &out->task);
        out->output = mp_read_str(&reader, &out->output_bytes);
    } else {
        uint32_t bytes;
        const char *word = mp_read_str(&reader, &bytes);
        out->artifact.is_tree = bytes == 4 && memcmp(word, "tree", 4) == 0;
        mp_read_id(&reader, &out->artifact.id);
    }
    *cursor = cursor_next(*cursor, input->refs, reader.at);
    return !reader.is_bad;
}

bool task_spec_next_ref(const struct task_spec *spec, struct task_ref_cursor *cursor,
                        struct task_ref *out)
{
    while (!task_input_next_ref(&cursor->input, &cursor->ref_at, out)) {
        cursor->ref_at = 0;
        if (!task_spec_next_input(spec, &cursor->input_at, &cursor->input))
            return false;
    }
    return true;
}

/* ---- the action ---- */

/* Copies the specification up to `end`, from where the last copy ended. */
static void copy_until(struct mp_writer *w, const uint8_t **from, const uint8_t *end)
{
    mp_write_raw(w, *from, (size_t)(end - *from));
    *from = end;
}

size_t task_spec_action(const struct task_spec *spec, const struct artifact *resolved,
                        size_t resolved_count, uint8_t *out, size_t out_bytes)
{
    struct mp_writer w = mp_writer(out, out ? out_bytes : 0);
    const uint8_t *copied = spec->bytes;
    size_t used = 0, at_input = 0;
    struct task_input input;
    while (task_spec_next_input(spec, &at_input, &input)) {
        size_t at_ref = 0;
        struct task_ref ref;
        const uint8_t *begin = input.refs;
        for (; task_input_next_ref(&input, &at_ref, &ref); begin = input.refs + (uint32_t)at_ref) {
            if (!ref.is_task)
                continue;
            if (used == resolved_count)
                return 0;
            copy_until(&w, &copied, begin);
            mp_write_array(&w, 2);
            mp_write_text(&w, resolved[used].is_tree ? "tree" : "blob");
            mp_write_id(&w, &resolved[used].id);
            copied = input.refs + (uint32_t)at_ref;
            used++;
        }
    }
    if (used != resolved_count)
        return 0;
    copy_until(&w, &copied, spec->bytes + spec->count);
    return w.need;
}
