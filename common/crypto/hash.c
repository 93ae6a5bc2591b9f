// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/hash.h"

#include <sodium.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/crypto/ready.h"

_Static_assert(sizeof(struct hasher) >= sizeof(crypto_generichash_blake2b_state), "room");
_Static_assert(_Alignof(struct hasher) >= _Alignof(crypto_generichash_blake2b_state), "alignment");

static crypto_generichash_blake2b_state *state(struct hasher *hasher)
{
    return (crypto_generichash_blake2b_state *)(void *)hasher->opaque;
}

void hash_init(struct hasher *hasher, const char *person)
{
    crypto_ready();
    unsigned char padded[crypto_generichash_blake2b_PERSONALBYTES] = {0};
    size_t bytes = person ? strlen(person) : 0;
    ASSERT(bytes <= sizeof padded);
    if (bytes)
        memcpy(padded, person, bytes);
    int result = crypto_generichash_blake2b_init_salt_personal(state(hasher), NULL, 0, ID_BYTES,
                                                               NULL, padded);
    ASSERT(result == 0);
}

void hash_update(struct hasher *hasher, const void *data, size_t bytes)
{
    if (bytes)
        crypto_generichash_blake2b_update(state(hasher), data, bytes);
}

void hash_final(struct hasher *hasher, struct id *out)
{
    int result = crypto_generichash_blake2b_final(state(hasher), out->bytes, ID_BYTES);
    ASSERT(result == 0);
}

void hash_bytes(const char *person, const void *data, size_t bytes, struct id *out)
{
    struct hasher hasher;
    hash_init(&hasher, person);
    hash_update(&hasher, data, bytes);
    hash_final(&hasher, out);
}

void hash_keyed(const void *key, size_t key_bytes, const void *data, size_t bytes, struct id *out)
{
    crypto_ready();
    ASSERT(key_bytes <= crypto_generichash_blake2b_KEYBYTES_MAX);
    int result = crypto_generichash_blake2b(out->bytes, ID_BYTES, data, bytes, key, key_bytes);
    ASSERT(result == 0);
}
