// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/sign.h"

#include <sodium.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/crypto/ready.h"

struct signer {
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    uint8_t secret_key[crypto_sign_SECRETKEYBYTES];
};

_Static_assert((int)SIGN_PUBLIC_BYTES == (int)crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert((int)SIGN_BYTES == (int)crypto_sign_BYTES, "Ed25519");
_Static_assert((int)SIGN_SEED_BYTES == (int)crypto_sign_SEEDBYTES, "Ed25519");
_Static_assert((int)WIRE_KEY_BYTES == (int)crypto_scalarmult_BYTES, "Curve25519");

struct signer *signer_new(void)
{
    struct signer *signer = secret_new(sizeof *signer);
    crypto_sign_keypair(signer->public_key, signer->secret_key);
    sodium_mprotect_readonly(signer);
    return signer;
}

struct signer *signer_of_seed(const uint8_t seed[SIGN_SEED_BYTES])
{
    struct signer *signer = secret_new(sizeof *signer);
    crypto_sign_seed_keypair(signer->public_key, signer->secret_key, seed);
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

void signer_copy_seed(const struct signer *signer, uint8_t out[SIGN_SEED_BYTES])
{
    crypto_sign_ed25519_sk_to_seed(out, signer->secret_key);
}

void signer_copy_wire(const struct signer *signer, uint8_t public_key[WIRE_KEY_BYTES],
                      uint8_t secret_key[WIRE_KEY_BYTES])
{
    crypto_sign_ed25519_sk_to_curve25519(secret_key, signer->secret_key);
    crypto_scalarmult_base(public_key, secret_key);
}

bool wire_public(const uint8_t public_key[SIGN_PUBLIC_BYTES], uint8_t out[WIRE_KEY_BYTES])
{
    crypto_ready();
    return crypto_sign_ed25519_pk_to_curve25519(out, public_key) == 0;
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
