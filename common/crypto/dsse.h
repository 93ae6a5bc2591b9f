/* Dead Simple Signing Envelope: a payload of some type with a signature that covers both, as one
 * line of JSON:
 *
 *   {"payloadType": TYPE, "payload": base64, "signatures": [{"keyid": hex, "sig": base64}]}
 *
 * What is signed (Ed25519) is "DSSEv1 LEN(type) type LEN(payload) payload", so that a payload is
 * not taken for one of another type. `keyid` is the public key in hex: a hint, never trusted.
 * Source: github.com/secure-systems-lab/dsse, protocol.md v1.0.2 and envelope.md. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "common/crypto/sign.h"

/* Appends the envelope, without a newline. */
void dsse_seal(const struct signer *signer, const char *type, const void *payload, size_t bytes,
               struct buf *out);
/* Appends the payload to `out` if one of the signatures is the pinned key's and the type is `type`;
 * `name` is the envelope's, for messages. Errors: E_INVALID no envelope; E_CORRUPT no signature by
 * that key, or another type; nothing was appended then. */
MUST_USE enum status dsse_open(const char *name, const char *text, size_t bytes, const char *type,
                               const uint8_t key[SIGN_PUBLIC_BYTES], struct buf *out,
                               struct err *err);
