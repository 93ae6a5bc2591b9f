/* One tree for every document: YAML, JSON and MessagePack all parse into it, schemas validate it,
 * and it encodes to canonical MessagePack and to JSON. Plain data: nodes and strings live in memory
 * that the parser's caller owns (an arena, usually), so nothing here is freed one by one.
 *
 * A node remembers the line and column it was read from (1-based; 0: not from a text), so that any
 * later complaint can name the place.
 *
 * A map's `items` hold key, value, key, value, …; keys are VALUE_STRING. `count` counts pairs.
 * Parsers reject duplicate keys. Strings are UTF-8, NUL-terminated behind `bytes`, and may contain
 * NUL only if they came as MessagePack. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

enum value_type {
    VALUE_NIL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_REAL,
    VALUE_STRING,
    VALUE_BINARY,
    VALUE_ARRAY,
    VALUE_MAP
};

struct value {
    uint8_t type; /* enum value_type */
    uint32_t line, column;
    uint32_t count; /* array items, map pairs, or bytes of a string or binary */
    union {
        bool boolean;
        int64_t integer;
        double real;
        const char *text;
        const uint8_t *binary;
        struct value *items;
    };
};

/* Memory that a caller lends to a parser or builder: a bump allocator without growth.
 * common/base/arena.h offers the growing kind under the same two calls' contract. */
struct value_memory {
    void *(*allocate)(void *context, size_t bytes); /* NULL when exhausted; aligned to 8 */
    void *context;
};

/* "null", "boolean", "integer", "real", "string", "binary", "list", "mapping": for messages. */
const char *value_type_name(enum value_type type);

/* The value under `key`, or NULL. Linear in the pairs: documents' maps are small. */
const struct value *value_get(const struct value *map, const char *key);
/* NULL unless the value is there and a string; then its NUL-terminated text. */
const char *value_get_text(const struct value *map, const char *key);
/* Is it a string equal to `text`? */
bool value_is_text(const struct value *value, const char *text);
/* Equal trees: maps in any order; 1 and 1.0 differ. Places don't count. */
bool value_equal(const struct value *a, const struct value *b);

/* Sorts a map's pairs by key, in place. False when a key comes twice. Errors of types are the
 * caller's. */
bool value_sort_map(struct value *map);

/* Canonical MessagePack (design: §2): shortest integers, every real a float64, −0 written as 0, map
 * keys sorted by bytes, strings as str. `out` NULL measures. Returns the bytes needed, which may be
 * more than `out_bytes` (then nothing usable was written); 0 for a tree that has no canonical form
 * (NaN or infinity, deeper than VALUE_DEPTH_MAX, duplicate keys). */
size_t value_encode(const struct value *value, uint8_t *out, size_t out_bytes);
/* Strict: depth and count limits, no NaN, string keys, no trailing bytes, containers checked
 * against the bytes left before anything is allocated. Text is copied into `memory`. Errors:
 * E_PROTOCOL malformed, E_LIMIT, E_NOMEM. */
MUST_USE enum status value_decode(const uint8_t *bytes, size_t count, struct value_memory memory,
                                  struct value *out, struct err *err);

/* Builders for code that makes small documents; capacity is fixed at the start. */
static inline struct value value_nil(void)
{
    return (struct value){.type = VALUE_NIL};
}
static inline struct value value_bool(bool boolean)
{
    return (struct value){.type = VALUE_BOOL, .boolean = boolean};
}
static inline struct value value_int(int64_t integer)
{
    return (struct value){.type = VALUE_INT, .integer = integer};
}
static inline struct value value_real(double real)
{
    return (struct value){.type = VALUE_REAL, .real = real};
}
/* Borrows `text`, which must be NUL-terminated. */
struct value value_string(const char *text);
