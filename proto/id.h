/* A 32-byte identity: BLAKE2b-256 of something (design: blob, tree, task, action). Plain data, no
 * allocation; text form is 64 lower-case hex digits. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/err.h"

enum { ID_BYTES = 32, ID_HEX_BYTES = 65 };

struct id {
    uint8_t bytes[ID_BYTES];
};

static inline bool id_equal(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, ID_BYTES) == 0;
}
static inline int id_compare(const struct id *a, const struct id *b)
{
    return memcmp(a->bytes, b->bytes, ID_BYTES);
}
/* An id is uniformly distributed already, so its first 8 bytes are its hash. */
static inline uint64_t id_hash(const struct id *id)
{
    uint64_t h;
    memcpy(&h, id->bytes, sizeof h);
    return h;
}
bool id_is_zero(const struct id *id);
/* Writes 64 digits and a NUL; returns `hex`. */
char *id_hex(const struct id *id, char hex[ID_HEX_BYTES]);
/* Digits that name an id by its beginning: 8 or more, or all, and nothing else. */
bool id_is_prefix(const char *text);
/* Errors: E_INVALID when `text` is not exactly 64 lower-case hex digits. */
MUST_USE enum status id_parse(const char *text, size_t bytes, struct id *out, struct err *err);
