/* SHA-256 and HMAC-SHA-256, where others ask for them (AWS signatures); our own identities are
 * BLAKE2b (hash.h). Source: FIPS 180-4; RFC 2104. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>

#include "proto/id.h"

/* A digest has the size of an id, and is written as one (id_hex). */
void sha256_bytes(const void *data, size_t bytes, struct id *out);
struct sha256_key {
    const void *data;
    size_t bytes;
};
void sha256_hmac(struct sha256_key key, const void *data, size_t bytes, struct id *out);
