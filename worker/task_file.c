// SPDX-License-Identifier: Apache-2.0
#include "worker/task_file.h"

#include <stdio.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "common/text/json.h"
#include "proto/kinds.h"
#include "proto/limits.h"
#include "proto/record.h"
#include "proto/value.h"

void task_file_fini(struct task_file *file)
{
    buf_fini(&file->spec);
    buf_fini(&file->inputs);
}

enum { RECORD_KEY_BYTES = ID_HEX_BYTES + 16 };

static const char *record_key(const struct id *task, char out[RECORD_KEY_BYTES])
{
    char hex[ID_HEX_BYTES];
    snprintf(out, RECORD_KEY_BYTES, "records/%s", id_hex(task, hex));
    return out;
}

static enum status read_record(struct store *store, const struct id *task, struct buf *bytes,
                               struct record *out, struct err *err)
{
    char key[RECORD_KEY_BYTES];
    TRY(store_get_object(store, record_key(task, key), bytes, err));
    return record_parse(bytes->bytes, bytes->count, out, err);
}

enum status task_file_save_record(struct store *store, const struct id *task, const uint8_t *record,
                                  size_t bytes, struct err *err)
{
    char key[RECORD_KEY_BYTES];
    return store_put_object(store, record_key(task, key), record, bytes, err);
}

/* Hex text becomes an id in place. */
static enum status make_id(struct value *value, struct arena *arena, struct err *err)
{
    if (value->type != VALUE_STRING)
        return err_set(err, E_INVALID, "inputs: expected an id of 64 hex digits, found a %s",
                       value_type_name(value->type));
    struct id *id = arena_alloc(arena, sizeof *id);
    if (id_parse(value->text, value->count, id, err) != OK)
        return err_prefix(err, "inputs");
    value->type = VALUE_BINARY;
    value->count = ID_BYTES;
    value->binary = id->bytes;
    return OK;
}

/* [id, output] | ["blob" | "tree", id] | [[…, …]] | {"from": …, "path": …} */
static enum status make_ids(struct value *input, struct arena *arena, int depth, struct err *err)
{
    if (input->type == VALUE_MAP && !depth) {
        for (uint32_t i = 0; i < input->count; i++)
            if (value_is_text(&input->items[2 * i], "from"))
                return make_ids(&input->items[2 * i + 1], arena, 1, err);
        return err_set(err, E_INVALID, "inputs: a mapping without \"from\"");
    }
    if (input->type != VALUE_ARRAY)
        return err_set(err, E_INVALID, "inputs: expected a list, found a %s",
                       value_type_name((enum value_type)input->type));
    if (input->count == 1 && input->items[0].type == VALUE_ARRAY && depth < 2) {
        struct value *list = &input->items[0];
        for (uint32_t i = 0; i < list->count; i++)
            TRY(make_ids(&list->items[i], arena, 2, err));
        return OK;
    }
    if (input->count != 2)
        return err_set(err, E_INVALID, "inputs: a reference has two items, found %u", input->count);
    bool is_artifact =
        value_is_text(&input->items[0], "blob") || value_is_text(&input->items[0], "tree");
    return make_id(&input->items[is_artifact ? 1 : 0], arena, err);
}

/* The kind version of this build, for who has not written one. */
static enum status add_version(struct value *spec, struct arena *arena, struct err *err)
{
    if (value_get(spec, "version"))
        return OK;
    const char *kind = value_get_text(spec, "kind");
    const struct value *params = value_get(spec, "params");
    const char *variant_param = kind ? kind_variant_param(kind) : NULL;
    const char *variant = variant_param && params ? value_get_text(params, variant_param) : NULL;
    const struct kind_info *info = kind ? kind_info_find(kind, variant) : NULL;
    if (!info)
        return err_set(err, E_INVALID, "kind \"%s\"%s%s: there is none of that name",
                       kind ? kind : "", variant ? " " : "", variant ? variant : "");
    struct value *items = arena_alloc(arena, (2 * (size_t)spec->count + 2) * sizeof *items);
    memcpy(items, spec->items, 2 * (size_t)spec->count * sizeof *items);
    items[2 * spec->count] = value_string("version");
    items[2 * spec->count + 1] = value_string(info->version);
    spec->items = items;
    spec->count++;
    return OK;
}

static enum status encode_json(const char *name, const struct buf *text, struct buf *out,
                               struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value spec;
    TRY(json_parse(name, (const char *)text->bytes, text->count, &arena, &spec, err));
    if (spec.type != VALUE_MAP)
        return err_set(err, E_INVALID, "%s: expected a mapping", name);
    TRY(add_version(&spec, &arena, err));
    for (uint32_t i = 0; i < spec.count; i++) {
        struct value *inputs = &spec.items[2 * i + 1];
        if (!value_is_text(&spec.items[2 * i], "inputs") || inputs->type != VALUE_MAP)
            continue;
        for (uint32_t k = 0; k < inputs->count; k++)
            TRY(make_ids(&inputs->items[2 * k + 1], &arena, 0, err));
    }
    size_t bytes = value_encode(&spec, NULL, 0);
    uint8_t *at = bytes ? buf_reserve(out, bytes) : NULL;
    if (!at)
        return err_set(err, E_INVALID, "%s: has no canonical form, or is over %d bytes", name,
                       SPEC_BYTES_MAX);
    out->count += value_encode(&spec, at, bytes);
    return OK;
}

static enum status read_spec(const char *path, struct buf *out, struct err *err)
{
    AUTO(buf_fini) struct buf text = buf_init(SPEC_BYTES_MAX);
    TRY(fs_read(path, &text, err));
    size_t at = 0;
    while (at < text.count && strchr(" \t\r\n", text.bytes[at]))
        at++;
    if (at < text.count && text.bytes[at] == '{')
        return encode_json(path, &text, out, err);
    buf_put(out, text.bytes, text.count);
    return OK;
}

/* An output of a finished task, from its record. */
static enum status resolve(struct store *store, const struct task_ref *ref, struct artifact *out,
                           struct err *err)
{
    char hex[ID_HEX_BYTES];
    AUTO(buf_fini) struct buf bytes = buf_init(RECORD_BYTES_MAX);
    struct record record;
    struct record_output output;
    if (read_record(store, &ref->task, &bytes, &record, err) != OK)
        return err_prefix(err, "an input is made by task %.8s, whose record is needed",
                          id_hex(&ref->task, hex));
    for (size_t at = 0; record_next_output(&record, &at, &output);)
        if (output.name_bytes == ref->output_bytes &&
            !memcmp(output.name, ref->output, ref->output_bytes)) {
            *out = output.artifact;
            return OK;
        }
    return err_set(err, E_NOTFOUND, "task %.8s has no output %.*s", id_hex(&ref->task, hex),
                   (int)ref->output_bytes, ref->output);
}

static enum status resolve_all(struct store *store, struct task_file *file, struct err *err)
{
    struct task_spec spec;
    struct task_ref_cursor cursor = {0};
    struct task_ref ref;
    TRY(task_spec_parse(file->spec.bytes, file->spec.count, &spec, err));
    while (task_spec_next_ref(&spec, &cursor, &ref)) {
        struct artifact artifact;
        if (!ref.is_task)
            continue;
        TRY(resolve(store, &ref, &artifact, err));
        buf_put(&file->inputs, &artifact, sizeof artifact);
    }
    return OK;
}

enum status task_file_load(const char *name, struct store *store, struct task_file *out,
                           struct err *err)
{
    struct id id;
    out->spec = buf_init(SPEC_BYTES_MAX);
    out->inputs = buf_init(0);
    if (id_parse(name, strlen(name), &id, NULL) == OK && !fs_exists(name)) {
        AUTO(buf_fini) struct buf bytes = buf_init(RECORD_BYTES_MAX);
        struct record record;
        TRY(read_record(store, &id, &bytes, &record, err));
        buf_put(&out->spec, record.action, record.action_bytes);
        out->id = id;
    } else if (read_spec(name, &out->spec, err) != OK) {
        return err_prefix(err, "task");
    } else {
        hash_bytes(PERSON_TASK, out->spec.bytes, out->spec.count, &out->id);
    }
    if (resolve_all(store, out, err) != OK)
        return err_prefix(err, "%s", name);
    return OK;
}
