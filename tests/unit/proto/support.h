/* What the tests of proto/ share: an arena as memory, hex, JSON in, and mutated bytes. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/text/json.h"
#include "proto/value.h"

/* JSON text with ' for ". */
static inline struct value from_json(struct arena *arena, const char *text)
{
    char *copy = arena_text(arena, text, strlen(text));
    for (char *c = copy; *c; c++)
        if (*c == '\'')
            *c = '"';
    struct value value;
    struct err err = {0};
    if (json_parse("test", copy, strlen(copy), arena, &value, &err) != OK)
        fail_msg("%s in %s", err.text, copy);
    return value;
}

static inline uint8_t *from_hex(struct arena *arena, const char *hex, size_t *count)
{
    *count = strlen(hex) / 2;
    uint8_t *bytes = arena_alloc(arena, *count + 1);
    for (size_t i = 0; i < *count; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (uint8_t)byte;
    }
    return bytes;
}

/* JSON has no binary: {"$bin": hex} becomes one, and {"$id": "a1"} becomes 32 bytes of a1. */
static inline void make_binaries(struct arena *arena, struct value *value)
{
    if (value->type != VALUE_MAP && value->type != VALUE_ARRAY)
        return;
    const char *hex = value_get_text(value, "$bin"), *byte = value_get_text(value, "$id");
    size_t count;
    if (hex || byte) {
        uint8_t *bytes = from_hex(arena, hex ? hex : byte, &count);
        if (byte) {
            int fill = bytes[0];
            bytes = memset(arena_alloc(arena, 32), fill, 32);
            count = 32;
        }
        *value = (struct value){.type = VALUE_BINARY, .count = (uint32_t)count, .binary = bytes};
        return;
    }
    for (uint32_t i = 0; i < value->count; i++)
        make_binaries(arena, &value->items[value->type == VALUE_MAP ? 2 * i + 1 : i]);
}

static inline const char *to_hex(struct arena *arena, const uint8_t *bytes, size_t count)
{
    char *hex = arena_alloc(arena, 2 * count + 1);
    for (size_t i = 0; i < count; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    return hex;
}

/* A value's canonical bytes; fails the test when it has none. */
static inline uint8_t *encode_value(struct arena *arena, const struct value *value, size_t *count)
{
    *count = value_encode(value, NULL, 0);
    assert_true(*count > 0);
    uint8_t *bytes = arena_alloc(arena, *count);
    assert_int_equal(value_encode(value, bytes, *count), *count);
    return bytes;
}

static inline const char *encode_hex(struct arena *arena, const struct value *value)
{
    size_t count;
    uint8_t *bytes = encode_value(arena, value, &count);
    return to_hex(arena, bytes, count);
}

/* The canonical bytes of JSON text (with ' for "), binaries made. */
static inline uint8_t *json_bytes(struct arena *arena, const char *json, size_t *count)
{
    struct value value = from_json(arena, json);
    make_binaries(arena, &value);
    return encode_value(arena, &value, count);
}

/* A small generator with a fixed seed, so that a failure comes again. Source: Marsaglia, "Xorshift
 * RNGs" (2003). */
static inline uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Hands every truncation of `bytes`, then `rounds` mutations of them, to `decode`, each in an
 * allocation of its exact size, so that a sanitizer sees any byte read behind it. What decode
 * returns is its own affair; it must not crash. The mutations are replacements, insertions and
 * deletions of a few bytes. */
static inline void attack(const uint8_t *bytes, size_t count, unsigned rounds,
                          void (*decode)(const uint8_t *bytes, size_t count))
{
    static const uint8_t nasty[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                                    0xc1, 0xc4, 0xc5, 0xc6, 0xc7, 0xca, 0xcb, 0xcf, 0xd3,
                                    0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff};
    uint32_t state = 20240607;
    for (size_t length = 0; length <= count; length++) {
        uint8_t *copy = mem_alloc(length ? length : 1);
        memcpy(copy, bytes, length);
        decode(copy, length);
        mem_free(copy);
    }
    for (unsigned round = 0; round < rounds; round++) {
        size_t length = count;
        uint8_t *copy = mem_alloc(count + 8);
        memcpy(copy, bytes, count);
        for (uint32_t edits = 1 + next_random(&state) % 3; edits > 0 && length > 0; edits--) {
            size_t at = next_random(&state) % length;
            uint8_t byte = (uint8_t)next_random(&state);
            if (next_random(&state) % 2)
                byte = nasty[next_random(&state) % sizeof nasty];
            switch (next_random(&state) % 4) {
            case 0:
                memmove(copy + at, copy + at + 1, length - at - 1);
                length--;
                break;
            case 1:
                memmove(copy + at + 1, copy + at, length - at);
                length++;
                copy[at] = byte;
                break;
            default: copy[at] = byte; break;
            }
        }
        uint8_t *exact = mem_alloc(length ? length : 1);
        memcpy(exact, copy, length);
        decode(exact, length);
        mem_free(exact);
        mem_free(copy);
    }
}
