// SPDX-License-Identifier: Apache-2.0
#include "proto/value.h"

#include <math.h>
#include <string.h>

#include "proto/codec.h"
#include "proto/limits.h"

const char *value_type_name(enum value_type type)
{
    static const char *const names[] = {"null",   "boolean", "integer", "real",
                                        "string", "binary",  "list",    "mapping"};
    return (unsigned)type <= VALUE_MAP ? names[type] : "unknown";
}

struct value value_string(const char *text)
{
    return (struct value){.type = VALUE_STRING, .count = (uint32_t)strlen(text), .text = text};
}

static const struct value *get(const struct value *map, const char *key, size_t bytes)
{
    if (!map || map->type != VALUE_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->count; i++) {
        const struct value *at = &map->items[2 * (size_t)i];
        if (at->count == bytes && memcmp(at->text, key, bytes) == 0)
            return at + 1;
    }
    return NULL;
}

const struct value *value_get(const struct value *map, const char *key)
{
    return get(map, key, strlen(key));
}

const char *value_get_text(const struct value *map, const char *key)
{
    const struct value *value = value_get(map, key);
    return value && value->type == VALUE_STRING ? value->text : NULL;
}

bool value_is_text(const struct value *value, const char *text)
{
    return value && value->type == VALUE_STRING && value->count == strlen(text) &&
           memcmp(value->text, text, value->count) == 0;
}

static bool maps_equal(const struct value *a, const struct value *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        const struct value *key = &a->items[2 * (size_t)i], *same = &b->items[2 * (size_t)i];
        /* Mostly both have one order; only otherwise is the key looked for. */
        bool is_here = key->count == same->count && memcmp(key->text, same->text, key->count) == 0;
        const struct value *other = is_here ? same + 1 : get(b, key->text, key->count);
        if (!other || !value_equal(key + 1, other))
            return false;
    }
    return true;
}

bool value_equal(const struct value *a, const struct value *b)
{
    if (a->type != b->type)
        return false;
    switch ((enum value_type)a->type) {
    case VALUE_NIL: return true;
    case VALUE_BOOL: return a->boolean == b->boolean;
    case VALUE_INT: return a->integer == b->integer;
    case VALUE_REAL: return a->real == b->real;
    case VALUE_STRING:
    case VALUE_BINARY:
        return a->count == b->count && (!a->count || memcmp(a->binary, b->binary, a->count) == 0);
    case VALUE_ARRAY:
        if (a->count != b->count)
            return false;
        for (uint32_t i = 0; i < a->count; i++)
            if (!value_equal(&a->items[i], &b->items[i]))
                return false;
        return true;
    case VALUE_MAP: return a->count == b->count && maps_equal(a, b);
    }
    return false;
}

/* ---- encoding ---- */

static int compare_keys(const struct value *a, const struct value *b)
{
    return mp_compare(a->text, a->count, b->text, b->count);
}

static const struct value *key_at(const struct value *map, uint32_t pair)
{
    return &map->items[2 * (size_t)pair];
}

/* The smallest keys above `floor`, in order, at most HEAP_PAIRS of them: a pass with a bounded heap
 * needs no memory that grows with the map. Maps that were made canonical are sorted and never come
 * here. */
enum { HEAP_PAIRS = 512 };

static void sift_down(const struct value *map, uint32_t *heap, uint32_t count, uint32_t at)
{
    for (;;) {
        uint32_t largest = at, child = 2 * at + 1;
        for (uint32_t i = child; i < child + 2 && i < count; i++)
            if (compare_keys(key_at(map, heap[i]), key_at(map, heap[largest])) > 0)
                largest = i;
        if (largest == at)
            return;
        uint32_t swap = heap[at];
        heap[at] = heap[largest];
        heap[largest] = swap;
        at = largest;
    }
}

static uint32_t select_smallest(const struct value *map, const struct value *floor, uint32_t *heap)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < map->count; i++) {
        const struct value *key = key_at(map, i);
        if (floor && compare_keys(key, floor) <= 0)
            continue;
        if (count < HEAP_PAIRS) {
            heap[count++] = i;
            if (count == HEAP_PAIRS)
                for (uint32_t k = HEAP_PAIRS / 2; k-- > 0;)
                    sift_down(map, heap, count, k);
        } else if (compare_keys(key, key_at(map, heap[0])) < 0) {
            heap[0] = i;
            sift_down(map, heap, count, 0);
        }
    }
    for (uint32_t k = count / 2; k-- > 0;)
        sift_down(map, heap, count, k);
    for (uint32_t end = count; end > 1; end--) {
        uint32_t swap = heap[0];
        heap[0] = heap[end - 1];
        heap[end - 1] = swap;
        sift_down(map, heap, end - 1, 0);
    }
    return count;
}

static bool encode(struct mp_writer *w, const struct value *value, unsigned depth);

static bool encode_pair(struct mp_writer *w, const struct value *key, unsigned depth)
{
    mp_write_str(w, key->text, key->count);
    return encode(w, key + 1, depth);
}

static bool encode_unsorted(struct mp_writer *w, const struct value *map, unsigned depth)
{
    uint32_t heap[HEAP_PAIRS], done = 0;
    const struct value *last = NULL;
    while (done < map->count) {
        uint32_t count = select_smallest(map, last, heap);
        for (uint32_t i = 0; i < count; i++) {
            const struct value *key = key_at(map, heap[i]);
            if (last && compare_keys(last, key) == 0)
                return false;
            if (!encode_pair(w, key, depth))
                return false;
            last = key;
        }
        if (count == 0)
            return false; /* a key that came twice was left behind */
        done += count;
    }
    return true;
}

static bool encode_map(struct mp_writer *w, const struct value *map, unsigned depth)
{
    bool is_sorted = true;
    for (uint32_t i = 0; i < map->count; i++) {
        if (key_at(map, i)->type != VALUE_STRING)
            return false;
        if (i > 0 && compare_keys(key_at(map, i - 1), key_at(map, i)) >= 0)
            is_sorted = false;
    }
    mp_write_map(w, map->count);
    if (!is_sorted)
        return encode_unsorted(w, map, depth);
    for (uint32_t i = 0; i < map->count; i++)
        if (!encode_pair(w, key_at(map, i), depth))
            return false;
    return true;
}

static bool encode(struct mp_writer *w, const struct value *value, unsigned depth)
{
    if (depth == 0)
        return false;
    switch ((enum value_type)value->type) {
    case VALUE_NIL: mp_write_nil(w); return true;
    case VALUE_BOOL: mp_write_bool(w, value->boolean); return true;
    case VALUE_INT: mp_write_int(w, value->integer); return true;
    case VALUE_REAL:
        if (!isfinite(value->real))
            return false;
        mp_write_real(w, value->real);
        return true;
    case VALUE_STRING: mp_write_str(w, value->text, value->count); return true;
    case VALUE_BINARY: mp_write_bin(w, value->binary, value->count); return true;
    case VALUE_ARRAY:
        mp_write_array(w, value->count);
        for (uint32_t i = 0; i < value->count; i++)
            if (!encode(w, &value->items[i], depth - 1))
                return false;
        return true;
    case VALUE_MAP: return encode_map(w, value, depth - 1);
    }
    return false;
}

size_t value_encode(const struct value *value, uint8_t *out, size_t out_bytes)
{
    struct mp_writer w = mp_writer(out, out ? out_bytes : 0);
    return encode(&w, value, VALUE_DEPTH_MAX + 1) ? w.need : 0;
}

/* ---- decoding ---- */

struct decoder {
    struct mp_reader reader;
    struct value_memory memory;
    uint32_t value_count;
    struct err *err;
};

static enum status malformed(struct decoder *d, const char *what)
{
    return err_set(d->err, E_PROTOCOL, "MessagePack document: %s", what);
}

static enum status allocate(struct decoder *d, size_t bytes, void **out)
{
    *out = d->memory.allocate(d->memory.context, bytes ? bytes : 1);
    if (!*out)
        return err_set(d->err, E_NOMEM, "MessagePack document: no memory for %zu bytes", bytes);
    return OK;
}

static enum status decode(struct decoder *d, unsigned depth, struct value *out);

static enum status decode_bytes(struct decoder *d, bool is_string, struct value *out)
{
    size_t bytes;
    const void *data;
    if (is_string) {
        uint32_t text_bytes;
        data = mp_read_str(&d->reader, &text_bytes);
        bytes = text_bytes;
    } else {
        data = mp_read_bin(&d->reader, &bytes);
    }
    if (d->reader.is_bad)
        return malformed(d, "a string is longer than the bytes left");
    if (is_string && !mp_is_utf8(data, bytes))
        return malformed(d, "a string is not UTF-8");
    void *copy;
    TRY(allocate(d, bytes + 1, &copy));
    if (bytes)
        memcpy(copy, data, bytes);
    ((uint8_t *)copy)[bytes] = 0;
    *out = (struct value){
        .type = is_string ? VALUE_STRING : VALUE_BINARY, .count = (uint32_t)bytes, .binary = copy};
    return OK;
}

static void swap_pairs(struct value *items, uint32_t a, uint32_t b)
{
    for (unsigned i = 0; i < 2; i++) {
        struct value swap = items[2 * (size_t)a + i];
        items[2 * (size_t)a + i] = items[2 * (size_t)b + i];
        items[2 * (size_t)b + i] = swap;
    }
}

static void sift_pair(struct value *map, uint32_t count, uint32_t at)
{
    for (;;) {
        uint32_t largest = at, child = 2 * at + 1;
        for (uint32_t i = child; i < child + 2 && i < count; i++)
            if (compare_keys(key_at(map, i), key_at(map, largest)) > 0)
                largest = i;
        if (largest == at)
            return;
        swap_pairs(map->items, at, largest);
        at = largest;
    }
}

static bool is_ascending(const struct value *map)
{
    for (uint32_t i = 1; i < map->count; i++)
        if (compare_keys(key_at(map, i - 1), key_at(map, i)) >= 0)
            return false;
    return true;
}

/* A heap sort in place: n log n for hostile orders too, and no memory. */
bool value_sort_map(struct value *map)
{
    if (is_ascending(map))
        return true;
    for (uint32_t k = map->count / 2; k-- > 0;)
        sift_pair(map, map->count, k);
    for (uint32_t end = map->count; end > 1; end--) {
        swap_pairs(map->items, 0, end - 1);
        sift_pair(map, end - 1, 0);
    }
    return is_ascending(map);
}

static enum status decode_items(struct decoder *d, unsigned depth, bool is_map, struct value *out)
{
    uint32_t count = is_map ? mp_read_map(&d->reader) : mp_read_array(&d->reader);
    if (d->reader.is_bad)
        return malformed(d, "a container claims more items than there are bytes left");
    size_t values = is_map ? 2 * (size_t)count : count;
    if (values > VALUE_COUNT_MAX - d->value_count)
        return err_set(d->err, E_LIMIT, "MessagePack document: more than %d values",
                       VALUE_COUNT_MAX);
    void *items;
    TRY(allocate(d, values * sizeof(struct value), &items));
    *out = (struct value){.type = is_map ? VALUE_MAP : VALUE_ARRAY, .count = count, .items = items};
    for (size_t i = 0; i < values; i++) {
        TRY(decode(d, depth - 1, &out->items[i]));
        if (is_map && i % 2 == 0 && out->items[i].type != VALUE_STRING)
            return malformed(d, "a key is not a string");
    }
    if (is_map && !value_sort_map(out))
        return malformed(d, "a key comes twice");
    return OK;
}

static enum status decode(struct decoder *d, unsigned depth, struct value *out)
{
    if (depth == 0)
        return err_set(d->err, E_LIMIT, "MessagePack document: nested deeper than %d levels",
                       VALUE_DEPTH_MAX);
    d->value_count++;
    switch (mp_peek(&d->reader)) {
    case MP_NIL:
        d->reader.at++;
        *out = value_nil();
        return OK;
    case MP_BOOL: *out = value_bool(mp_read_bool(&d->reader)); return OK;
    case MP_INT: *out = value_int(mp_read_int(&d->reader)); break;
    case MP_REAL:
        *out = value_real(mp_read_real(&d->reader));
        if (!isfinite(out->real))
            return malformed(d, "a real is not finite");
        break;
    case MP_STR: return decode_bytes(d, true, out);
    case MP_BIN: return decode_bytes(d, false, out);
    case MP_ARRAY: return decode_items(d, depth, false, out);
    case MP_MAP: return decode_items(d, depth, true, out);
    case MP_END: return malformed(d, "ends too early");
    case MP_BAD: return malformed(d, "holds an extension type or the unused byte 0xc1");
    }
    return d->reader.is_bad ? malformed(d, "a number is cut off or out of range") : OK;
}

enum status value_decode(const uint8_t *bytes, size_t count, struct value_memory memory,
                         struct value *out, struct err *err)
{
    struct decoder d = {mp_reader(bytes, count), memory, 0, err};
    *out = value_nil();
    struct value value;
    enum status status = decode(&d, VALUE_DEPTH_MAX + 1, &value);
    if (status == OK)
        status = mp_reader_finish(&d.reader, "MessagePack document", err);
    if (status == OK)
        *out = value;
    return status;
}
