// SPDX-License-Identifier: Apache-2.0
#include "common/text/json.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

struct importer {
    const char *name;
    struct arena *arena;
    struct err *err;
    uint32_t count;
};

static enum status import(struct importer *im, const json_t *from, uint32_t depth,
                          struct value *out);

static enum status import_string(struct importer *im, const char *text, size_t bytes,
                                 struct value *out)
{
    if (bytes > UINT32_MAX)
        return err_set(im->err, E_LIMIT, "%s: a string of %zu bytes", im->name, bytes);
    *out = (struct value){
        .type = VALUE_STRING, .count = (uint32_t)bytes, .text = arena_text(im->arena, text, bytes)};
    return OK;
}

static enum status import_array(struct importer *im, const json_t *from, uint32_t depth,
                                struct value *out)
{
    size_t count = json_array_size(from);
    if (count > VALUE_COUNT_MAX)
        return err_set(im->err, E_LIMIT, "%s: more than %d values", im->name, VALUE_COUNT_MAX);
    *out = (struct value){.type = VALUE_ARRAY, .count = (uint32_t)count};
    out->items = arena_alloc(im->arena, count * sizeof *out->items);
    for (size_t i = 0; i < count; i++)
        TRY(import(im, json_array_get(from, i), depth + 1, &out->items[i]));
    return OK;
}

static enum status import_object(struct importer *im, const json_t *from, uint32_t depth,
                                 struct value *out)
{
    size_t count = json_object_size(from);
    if (count > VALUE_COUNT_MAX)
        return err_set(im->err, E_LIMIT, "%s: more than %d values", im->name, VALUE_COUNT_MAX);
    *out = (struct value){.type = VALUE_MAP, .count = (uint32_t)count};
    out->items = arena_alloc(im->arena, 2 * count * sizeof *out->items);
    struct value *item = out->items;
    void *iter = json_object_iter((json_t *)(uintptr_t)from); /* the API lacks a const */
    for (; iter; iter = json_object_iter_next((json_t *)(uintptr_t)from, iter)) {
        const char *key = json_object_iter_key(iter);
        TRY(import_string(im, key, strlen(key), item++));
        TRY(import(im, json_object_iter_value(iter), depth + 1, item++));
    }
    return OK;
}

static enum status import(struct importer *im, const json_t *from, uint32_t depth,
                          struct value *out)
{
    if (depth > VALUE_DEPTH_MAX)
        return err_set(im->err, E_LIMIT, "%s: nested deeper than %d levels", im->name,
                       VALUE_DEPTH_MAX);
    if (++im->count > VALUE_COUNT_MAX)
        return err_set(im->err, E_LIMIT, "%s: more than %d values", im->name, VALUE_COUNT_MAX);
    switch (json_typeof(from)) {
    case JSON_OBJECT: return import_object(im, from, depth, out);
    case JSON_ARRAY: return import_array(im, from, depth, out);
    case JSON_STRING:
        return import_string(im, json_string_value(from), json_string_length(from), out);
    case JSON_INTEGER: *out = value_int(json_integer_value(from)); return OK;
    case JSON_REAL: *out = value_real(json_real_value(from)); return OK;
    case JSON_TRUE:
    case JSON_FALSE: *out = value_bool(json_is_true(from)); return OK;
    case JSON_NULL: *out = value_nil(); return OK;
    }
    return err_set(im->err, E_INVALID, "%s: not JSON", im->name);
}

enum status json_parse(const char *name, const char *text, size_t bytes, struct arena *arena,
                       struct value *out, struct err *err)
{
    *out = value_nil();
    json_error_t problem;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (!root)
        return err_set(err, E_INVALID, "%s:%d:%d: JSON: %s", name, problem.line, problem.column,
                       problem.text);
    struct importer im = {.name = name, .arena = arena, .err = err};
    struct value value;
    enum status status = import(&im, root, 1, &value);
    json_decref(root);
    if (status == OK)
        *out = value;
    return status;
}

/* ---- writing ---- */

void json_write_string(const char *text, size_t bytes, struct buf *out)
{
    buf_put_char(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = (uint8_t)text[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        buf_put(out, text + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\')
            buf_format(out, "\\%c", c);
        else if (c == '\n')
            buf_put_text(out, "\\n");
        else if (c == '\t')
            buf_put_text(out, "\\t");
        else
            buf_format(out, "\\u%04x", c);
    }
    if (from < bytes) /* an empty text may have no address */
        buf_put(out, text + from, bytes - from);
    buf_put_char(out, '"');
}

void json_write_real(double real, struct buf *out)
{
    if (!isfinite(real)) { /* JSON has no word for it */
        buf_put_text(out, "null");
        return;
    }
    char text[40];
    /* 15 digits always survive, but for the smallest reals, which have fewer bits. */
    for (int digits = fabs(real) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, real);
        if (strtod(text, NULL) == real)
            break;
    }
    buf_put_text(out, text);
    if (!strpbrk(text, ".e"))
        buf_put_text(out, ".0");
}

static void break_line(int indent, int level, struct buf *out)
{
    if (!indent)
        return;
    buf_put_char(out, '\n');
    for (int i = 0; i < indent * level; i++)
        buf_put_char(out, ' ');
}

static void write_value(const struct value *value, int indent, int level, struct buf *out);

static void write_items(const struct value *value, int indent, int level, struct buf *out)
{
    bool is_map = value->type == VALUE_MAP;
    buf_put_char(out, is_map ? '{' : '[');
    for (uint32_t i = 0; i < value->count; i++) {
        if (i)
            buf_put_text(out, indent ? "," : ", ");
        break_line(indent, level + 1, out);
        const struct value *item = &value->items[i];
        if (is_map) {
            const struct value *key = &value->items[2 * i];
            json_write_string(key->text, key->count, out);
            buf_put_text(out, ": ");
            item = key + 1;
        }
        write_value(item, indent, level + 1, out);
    }
    if (value->count)
        break_line(indent, level, out);
    buf_put_char(out, is_map ? '}' : ']');
}

static void write_hex(const struct value *value, struct buf *out)
{
    buf_put_char(out, '"');
    for (uint32_t i = 0; i < value->count; i++)
        buf_format(out, "%02x", value->binary[i]);
    buf_put_char(out, '"');
}

static void write_value(const struct value *value, int indent, int level, struct buf *out)
{
    switch ((enum value_type)value->type) {
    case VALUE_NIL: buf_put_text(out, "null"); return;
    case VALUE_BOOL: buf_put_text(out, value->boolean ? "true" : "false"); return;
    case VALUE_INT: buf_format(out, "%lld", (long long)value->integer); return;
    case VALUE_REAL: json_write_real(value->real, out); return;
    case VALUE_STRING: json_write_string(value->text, value->count, out); return;
    case VALUE_BINARY: write_hex(value, out); return;
    case VALUE_ARRAY:
    case VALUE_MAP: write_items(value, indent, level, out); return;
    }
}

void json_write(const struct value *value, int indent, struct buf *out)
{
    write_value(value, indent, 0, out);
}
