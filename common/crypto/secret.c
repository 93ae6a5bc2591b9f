// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/secret.h"

#include <sodium.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/crypto/hash.h"
#include "common/crypto/ready.h"

void *secret_new(size_t bytes)
{
    crypto_ready();
    void *secret = sodium_malloc(bytes);
    ASSERT(secret);
    return secret;
}

char *secret_copy(const char *text, size_t bytes)
{
    char *secret = secret_new(bytes + 1);
    memcpy(secret, text, bytes);
    secret[bytes] = 0;
    return secret;
}

void secret_free(void *secret)
{
    sodium_free(secret);
}

void secret_wipe(void *secret, size_t bytes)
{
    sodium_memzero(secret, bytes);
}

/* Hashes are compared, so that lengths don't show. */
bool secret_is_equal(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    struct id of_a, of_b;
    hash_bytes(NULL, a, a_bytes, &of_a);
    hash_bytes(NULL, b, b_bytes, &of_b);
    return sodium_memcmp(&of_a, &of_b, sizeof of_a) == 0;
}
