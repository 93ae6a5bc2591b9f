// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/sha256.h"

#include <sodium.h>

#include "common/crypto/ready.h"

_Static_assert(crypto_hash_sha256_BYTES == ID_BYTES, "a digest fits an id");

void sha256_bytes(const void *data, size_t bytes, struct id *out)
{
    crypto_ready();
    crypto_hash_sha256(out->bytes, data, bytes);
}

void sha256_hmac(struct sha256_key key, const void *data, size_t bytes, struct id *out)
{
    crypto_ready();
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key.data, key.bytes);
    crypto_auth_hmacsha256_update(&state, data, bytes);
    crypto_auth_hmacsha256_final(&state, out->bytes);
    sodium_memzero(&state, sizeof state);
}
