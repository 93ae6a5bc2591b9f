/* Ed25519: who made a RESULTS frame. A key pair is a program's one identity. Keys live in locked
 * memory (sodium_malloc). Source: RFC 8032. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/id.h"

enum { SIGN_PUBLIC_BYTES = 32, SIGN_BYTES = 64 };

struct signer;

/* A fresh random pair. */
struct signer *signer_new(void);
void signer_free(struct signer *signer);
const uint8_t *signer_public(const struct signer *signer);
void signer_sign(const struct signer *signer, const struct id *digest, uint8_t out[SIGN_BYTES]);
bool sign_verify(const uint8_t public_key[SIGN_PUBLIC_BYTES], const struct id *digest,
                 const uint8_t signature[SIGN_BYTES]);
/* The same over any bytes, for formats that say what is signed (common/crypto/dsse.h). */
void signer_sign_bytes(const struct signer *signer, const void *data, size_t bytes,
                       uint8_t out[SIGN_BYTES]);
bool sign_verify_bytes(const uint8_t public_key[SIGN_PUBLIC_BYTES], const void *data, size_t bytes,
                       const uint8_t signature[SIGN_BYTES]);
/* Random bytes from the system: instance names, temporary names, seeds. */
void random_bytes(void *out, size_t bytes);

DEFINE_AUTO(struct signer *, signer_free)
