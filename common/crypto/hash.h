/* BLAKE2b-256, whole and streamed: every identity of the system. `person` is one of the PERSON_…
 * strings of proto/task_spec.h, or NULL for a blob id (what `b2sum -l 256` prints). The door to
 * libsodium's hashing. Source: RFC 7693; Aumasson et al., "BLAKE2: simpler, smaller, fast as MD5"
 * (personalisation, §2.8). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proto/id.h"

struct hasher {
    _Alignas(64) uint8_t opaque[384];
};

void hash_init(struct hasher *hasher, const char *person);
void hash_update(struct hasher *hasher, const void *data, size_t bytes);
void hash_final(struct hasher *hasher, struct id *out);
void hash_bytes(const char *person, const void *data, size_t bytes, struct id *out);
/* BLAKE2b-256 keyed with `key` (≤ 64 bytes): the `hash` split's row draw. */
void hash_keyed(const void *key, size_t key_bytes, const void *data, size_t bytes, struct id *out);
