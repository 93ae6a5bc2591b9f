// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/sign.h"

#include <sodium.h>

#include "common/base/assert.h"
#include "common/crypto/ready.h"

struct signer {
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret_key[crypto_sign_SECRETKEYBYTES];
};

_Static_assert((int)SIGN_PUBLIC_BYTES == (int)crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert((int)SIGN_BYTES == (int)crypto_sign_BYTES, "Ed25519");

struct signer *signer_new(void)
{
    crypto_ready();
    struct signer *signer = sodium_malloc(sizeof *signer);
    ASSERT(signer);
    crypto_sign_keypair(signer->public_key, signer->secret_key);
    sodium_mprotect_readonly(signer);
    return signer;
}

void signer_free(struct signer *signer)
{
    sodium_free(signer);
}

const uint8_t *signer_public(const struct signer *signer)
{
    return signer->public_key;
}

void signer_sign(const struct signer *signer, const struct id *digest, uint8_t out[SIGN_BYTES])
{
    signer_sign_bytes(signer, digest->bytes, ID_BYTES, out);
}

void signer_sign_bytes(const struct signer *signer, const void *data, size_t bytes,
                       uint8_t out[SIGN_BYTES])
{
    crypto_sign_detached(out, NULL, data, bytes, signer->secret_key);
}

bool sign_verify(const uint8_t public_key[SIGN_PUBLIC_BYTES], const struct id *digest,
                 const uint8_t signature[SIGN_BYTES])
{
    return sign_verify_bytes(public_key, digest->bytes, ID_BYTES, signature);
}

bool sign_verify_bytes(const uint8_t public_key[SIGN_PUBLIC_BYTES], const void *data, size_t bytes,
                       const uint8_t signature[SIGN_BYTES])
{
    crypto_ready();
    return crypto_sign_verify_detached(signature, data, bytes, public_key) == 0;
}

void random_bytes(void *out, size_t bytes)
{
    crypto_ready();
    randombytes_buf(out, bytes);
}
