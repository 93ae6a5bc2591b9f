/* Ed25519: who made a RESULTS frame, and who is at the other end of the wire. A key pair is a
 * program's one identity; the Curve25519 pair of an encrypted connection is derived from it. Keys
 * live in locked memory (sodium_malloc). Source: RFC 8032; for the derivation, RFC 7748 §4.1 (the
 * map between the two curves) and PROTOCOL.md §6. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/crypto/secret.h"
#include "proto/err.h"
#include "proto/id.h"

enum { SIGN_PUBLIC_BYTES = 32, SIGN_SEED_BYTES = 32, SIGN_BYTES = 64, WIRE_KEY_BYTES = 32 };

struct signer;

/* A fresh random pair. */
struct signer *signer_new(void);
/* The pair of a seed (RFC 8032 calls it the private key). */
struct signer *signer_of_seed(const uint8_t seed[SIGN_SEED_BYTES]);
void signer_free(struct signer *signer);
const uint8_t *signer_public(const struct signer *signer);
/* Whoever copies a secret out of locked memory wipes it with secret_wipe. */
void signer_copy_seed(const struct signer *signer, uint8_t out[SIGN_SEED_BYTES]);
void signer_sign(const struct signer *signer, const struct id *digest, uint8_t out[SIGN_BYTES]);
bool sign_verify(const uint8_t public_key[SIGN_PUBLIC_BYTES], const struct id *digest,
                 const uint8_t signature[SIGN_BYTES]);
/* The same over any bytes, for formats that say what is signed (common/crypto/dsse.h). */
void signer_sign_bytes(const struct signer *signer, const void *data, size_t bytes,
                       uint8_t out[SIGN_BYTES]);
bool sign_verify_bytes(const uint8_t public_key[SIGN_PUBLIC_BYTES], const void *data, size_t bytes,
                       const uint8_t signature[SIGN_BYTES]);

/* The pair for ZeroMQ's CURVE, both halves. */
void signer_copy_wire(const struct signer *signer, uint8_t public_key[WIRE_KEY_BYTES],
                      uint8_t secret_key[WIRE_KEY_BYTES]);
/* The public half of somebody else. False: the bytes are no Ed25519 key (not a point of the curve,
 * or one of small order). */
MUST_USE bool wire_public(const uint8_t public_key[SIGN_PUBLIC_BYTES], uint8_t out[WIRE_KEY_BYTES]);

/* Random bytes from the system: instance names, temporary names, seeds. */
void random_bytes(void *out, size_t bytes);

DEFINE_AUTO(struct signer *, signer_free)
