// SPDX-License-Identifier: Apache-2.0
#include "worker/data/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/text/json.h"
#include "worker/data/document.h"

/* Our dims maximum is that of struct tensor. */
enum { DIMS_MAX = 4, PREFIX_BYTES = 8 };

static const struct {
    const char *name;
    size_t item_bytes;
} types[] = {
    [TENSOR_F64] = {"F64", 8}, [TENSOR_F32] = {"F32", 4}, [TENSOR_I64] = {"I64", 8},
    [TENSOR_I32] = {"I32", 4}, [TENSOR_U8] = {"U8", 1},
};

size_t tensor_item_bytes(enum tensor_type type)
{
    return types[type].item_bytes;
}

size_t tensor_count(const struct tensor *tensor)
{
    size_t count = 1;
    for (size_t i = 0; i < tensor->dims; i++)
        count *= tensor->shape[i];
    return count;
}

size_t tensor_bytes(const struct tensor *tensor)
{
    return tensor_count(tensor) * tensor_item_bytes(tensor->type);
}

static int compare_names(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* ---- writing ---- */

static enum status put_metadata(const struct value *metadata, struct buf *out, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value sorted = {.type = VALUE_MAP, .count = metadata->count};
    sorted.items = arena_alloc(&arena, 2 * (size_t)metadata->count * sizeof *sorted.items);
    for (size_t i = 0; i < 2 * (size_t)metadata->count; i++) {
        if (metadata->items[i].type != VALUE_STRING)
            return err_set(err, E_INVALID, "safetensors: metadata holds texts only");
        sorted.items[i] = metadata->items[i];
    }
    document_sort(&sorted);
    buf_put_text(out, "\"__metadata__\":{");
    for (size_t i = 0; i < sorted.count; i++) {
        const struct value *pair = &sorted.items[2 * i];
        buf_put_text(out, i ? "," : "");
        json_write_string(pair[0].text, pair[0].count, out);
        buf_put_char(out, ':');
        json_write_string(pair[1].text, pair[1].count, out);
    }
    buf_put_char(out, '}');
    return OK;
}

static void put_tensor(const struct tensor *tensor, size_t from, struct buf *out)
{
    json_write_string(tensor->name, strlen(tensor->name), out);
    buf_format(out, ":{\"dtype\":\"%s\",\"shape\":[", types[tensor->type].name);
    for (size_t i = 0; i < tensor->dims; i++)
        buf_format(out, i ? ",%zu" : "%zu", tensor->shape[i]);
    buf_format(out, "],\"data_offsets\":[%zu,%zu]}", from, from + tensor_bytes(tensor));
}

static enum status put_header(const struct tensor *tensors, size_t count,
                              const struct value *metadata, struct buf *out, struct err *err)
{
    bool has_metadata = metadata && metadata->count;
    buf_put_char(out, '{');
    if (has_metadata)
        TRY(put_metadata(metadata, out, err));
    size_t from = 0;
    for (size_t i = 0; i < count; i++) {
        if (i ? !strcmp(tensors[i - 1].name, tensors[i].name) : false)
            return err_set(err, E_INVALID, "safetensors: two tensors named `%s`", tensors[i].name);
        if (!strcmp(tensors[i].name, "__metadata__"))
            return err_set(err, E_INVALID, "safetensors: no tensor can be named __metadata__");
        buf_put_text(out, i || has_metadata ? "," : "");
        put_tensor(&tensors[i], from, out);
        from += tensor_bytes(&tensors[i]);
    }
    buf_put_char(out, '}');
    while (out->count % 8 && !out->is_over)
        buf_put_char(out, ' ');
    return buf_check(out, "safetensors header", err);
}

enum status safetensors_write(const struct tensor *tensors, size_t count,
                              const struct value *metadata, struct buf *out, struct err *err)
{
    AUTO(mem_free) struct tensor *sorted = mem_alloc((count + 1) * sizeof *sorted);
    if (count)
        memcpy(sorted, tensors, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_names);
    AUTO(buf_fini) struct buf header = buf_init(SAFETENSORS_HEADER_BYTES_MAX);
    TRY(put_header(sorted, count, metadata, &header, err));
    uint8_t prefix[PREFIX_BYTES];
    for (int i = 0; i < PREFIX_BYTES; i++)
        prefix[i] = (uint8_t)((uint64_t)header.count >> 8 * i);
    buf_put(out, prefix, sizeof prefix);
    buf_put(out, header.bytes, header.count);
    for (size_t i = 0; i < count; i++)
        buf_put(out, sorted[i].data, tensor_bytes(&sorted[i]));
    return buf_check(out, "safetensors file", err);
}

/* ---- reading ---- */

struct reader {
    const char *name; /* of the file */
    const uint8_t *data;
    size_t data_bytes;
    struct arena *arena;
    struct err *err;
};

static enum status damaged(const struct reader *reader, const char *tensor, const char *what)
{
    return err_set(reader->err, E_CORRUPT, "%s: safetensors: %.80s: %s", reader->name, tensor,
                   what);
}

static enum status read_type(const struct reader *reader, const char *tensor,
                             const struct value *entry, enum tensor_type *out)
{
    const char *word = value_get_text(entry, "dtype");
    if (!word)
        return damaged(reader, tensor, "no dtype");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, word)) {
            *out = (enum tensor_type)i;
            return OK;
        }
    return err_set(
        reader->err, E_UNSUPPORTED,
        "%s: safetensors: %.80s: element type %.20s; F64, F32, I64, I32 and U8 are known",
        reader->name, tensor, word);
}

/* Shape, and the bytes it stands for. */
static enum status read_shape(const struct reader *reader, const struct value *entry,
                              struct tensor *tensor, size_t *bytes)
{
    const struct value *shape = value_get(entry, "shape");
    if (!shape || shape->type != VALUE_ARRAY || shape->count > DIMS_MAX)
        return damaged(reader, tensor->name, "its shape is not a list of at most 4 numbers");
    tensor->dims = shape->count;
    *bytes = tensor_item_bytes(tensor->type);
    for (size_t i = 0; i < tensor->dims; i++) {
        const struct value *extent = &shape->items[i];
        if (extent->type != VALUE_INT || extent->integer < 0)
            return damaged(reader, tensor->name, "its shape is not a list of at most 4 numbers");
        tensor->shape[i] = (size_t)extent->integer;
        if (__builtin_mul_overflow(*bytes, tensor->shape[i], bytes))
            return damaged(reader, tensor->name, "its shape is larger than memory");
    }
    return OK;
}

static enum status read_data(const struct reader *reader, const struct value *entry, size_t bytes,
                             struct tensor *tensor)
{
    const struct value *offsets = value_get(entry, "data_offsets");
    if (!offsets || offsets->type != VALUE_ARRAY || offsets->count != 2 ||
        offsets->items[0].type != VALUE_INT || offsets->items[1].type != VALUE_INT)
        return damaged(reader, tensor->name, "no data_offsets");
    int64_t from = offsets->items[0].integer, to = offsets->items[1].integer;
    if (from < 0 || to < from || (uint64_t)to > reader->data_bytes)
        return damaged(reader, tensor->name, "its data lie outside of the file");
    if ((size_t)(to - from) != bytes)
        return damaged(reader, tensor->name, "its shape and data_offsets disagree");
    tensor->data = reader->data + from;
    return OK;
}

static enum status read_entry(const struct reader *reader, const struct value *pair,
                              struct tensor *out)
{
    if (strlen(pair[0].text) != pair[0].count)
        return damaged(reader, pair[0].text, "its name holds a NUL byte");
    out->name = pair[0].text;
    if (pair[1].type != VALUE_MAP)
        return damaged(reader, out->name, "its entry is not a mapping");
    TRY(read_type(reader, out->name, &pair[1], &out->type));
    size_t bytes = 0;
    TRY(read_shape(reader, &pair[1], out, &bytes));
    return read_data(reader, &pair[1], bytes, out);
}

static int compare_places(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    const uint8_t *from = x->data, *other = y->data;
    if (from != other)
        return from < other ? -1 : 1;
    return (tensor_bytes(x) > tensor_bytes(y)) - (tensor_bytes(x) < tensor_bytes(y));
}

/* The format allows neither gaps nor overlaps: every byte belongs to exactly one tensor. Misaligned
 * data move. */
static enum status check_places(const struct reader *reader, struct tensor *tensors, size_t count)
{
    qsort(tensors, count, sizeof *tensors, compare_places);
    const uint8_t *at = reader->data;
    for (size_t i = 0; i < count; i++) {
        size_t bytes = tensor_bytes(&tensors[i]);
        if (tensors[i].data != at)
            return damaged(reader, tensors[i].name, "a gap or an overlap before its data");
        if ((uintptr_t)at % 8) {
            void *copy = arena_try(reader->arena, bytes ? bytes : 1);
            if (!copy)
                return err_set(reader->err, E_NOMEM, "%s: no memory for %zu bytes", reader->name,
                               bytes);
            if (bytes)
                memcpy(copy, at, bytes);
            tensors[i].data = copy;
        }
        at += bytes;
    }
    if (at != reader->data + reader->data_bytes)
        return err_set(reader->err, E_CORRUPT, "%s: safetensors: %zu bytes behind the last tensor",
                       reader->name, (size_t)(reader->data + reader->data_bytes - at));
    qsort(tensors, count, sizeof *tensors, compare_names);
    return OK;
}

static enum status read_metadata(const struct reader *reader, const struct value *metadata)
{
    if (metadata->type != VALUE_MAP)
        return damaged(reader, "__metadata__", "not a mapping");
    for (uint32_t i = 0; i < metadata->count; i++)
        if (metadata->items[2 * i + 1].type != VALUE_STRING)
            return damaged(reader, "__metadata__", "holds something other than text");
    return OK;
}

static enum status read_header(const struct reader *reader, const struct value *header,
                               struct safetensors *out)
{
    if (header->type != VALUE_MAP)
        return damaged(reader, "header", "not a mapping");
    if (header->count > SAFETENSORS_COUNT_MAX)
        return err_set(reader->err, E_LIMIT, "%s: safetensors: %u tensors, at most %d are possible",
                       reader->name, header->count, SAFETENSORS_COUNT_MAX);
    struct safetensors file = {.metadata = {.type = VALUE_MAP}};
    struct tensor *tensors = arena_alloc(reader->arena, (header->count + 1) * sizeof *tensors);
    for (uint32_t i = 0; i < header->count; i++) {
        const struct value *pair = &header->items[2 * i];
        if (!strcmp(pair[0].text, "__metadata__")) {
            TRY(read_metadata(reader, &pair[1]));
            file.metadata = pair[1];
        } else {
            TRY(read_entry(reader, pair, &tensors[file.count++]));
        }
    }
    TRY(check_places(reader, tensors, file.count));
    file.tensors = tensors;
    *out = file;
    return OK;
}

enum status safetensors_read(const char *name, const uint8_t *bytes, size_t count,
                             struct arena *arena, struct safetensors *out, struct err *err)
{
    *out = (struct safetensors){.metadata = {.type = VALUE_MAP}};
    uint64_t header_bytes = 0;
    for (size_t i = 0; i < PREFIX_BYTES && i < count; i++)
        header_bytes |= (uint64_t)bytes[i] << 8 * i;
    if (count < PREFIX_BYTES || header_bytes > count - PREFIX_BYTES)
        return err_set(err, E_CORRUPT, "%s: not a safetensors file, or cut off (%zu bytes)", name,
                       count);
    if (header_bytes > SAFETENSORS_HEADER_BYTES_MAX)
        return err_set(err, E_LIMIT, "%s: safetensors: a header of %llu bytes, at most %d", name,
                       (unsigned long long)header_bytes, SAFETENSORS_HEADER_BYTES_MAX);
    struct value header;
    struct err problem;
    if (json_parse(name, (const char *)bytes + PREFIX_BYTES, (size_t)header_bytes, arena, &header,
                   &problem) != OK)
        return err_set(err, problem.code == E_LIMIT ? E_LIMIT : E_CORRUPT, "%s", problem.text);
    struct reader reader = {.name = name,
                            .data = bytes + PREFIX_BYTES + header_bytes,
                            .data_bytes = count - PREFIX_BYTES - (size_t)header_bytes,
                            .arena = arena,
                            .err = err};
    return read_header(&reader, &header, out);
}

const struct tensor *safetensors_find(const struct safetensors *file, const char *name)
{
    struct tensor key = {.name = name};
    return file->count ? bsearch(&key, file->tensors, file->count, sizeof key, compare_names)
                       : NULL;
}
