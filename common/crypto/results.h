/* The signature of a RESULTS frame: Ed25519 over the BLAKE2b of its body (PROTOCOL.md §7), once for
 * all the results in it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/crypto/sign.h"
#include "proto/msg.h"

void results_sign(const struct signer *signer, const void *body, size_t bytes,
                  uint8_t out[SIGN_BYTES]);
bool results_are_signed_by(const struct results_msg *results,
                           const uint8_t public_key[SIGN_PUBLIC_BYTES]);
/* Goes on to the result of the `left` in the body whose record begins at `record`; false: it is
 * none of them, or its task failed. */
bool results_find(struct mp_reader *body, uint32_t *left, const uint8_t *record,
                  struct result_msg *out);
