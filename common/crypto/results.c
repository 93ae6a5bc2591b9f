// SPDX-License-Identifier: Apache-2.0
#include "common/crypto/results.h"

#include "common/crypto/hash.h"
#include "proto/task_spec.h"

void results_sign(const struct signer *signer, const void *body, size_t bytes,
                  uint8_t out[SIGN_BYTES])
{
    struct id digest;
    hash_bytes(PERSON_FRAME, body, bytes, &digest);
    signer_sign(signer, &digest, out);
}

bool results_are_signed_by(const struct results_msg *results,
                           const uint8_t public_key[SIGN_PUBLIC_BYTES])
{
    struct id digest;
    hash_bytes(PERSON_FRAME, results->body, results->body_bytes, &digest);
    return sign_verify(public_key, &digest, results->signature);
}

bool results_find(struct mp_reader *body, uint32_t *left, const uint8_t *record,
                  struct result_msg *out)
{
    for (; *left && !body->is_bad; --*left) {
        msg_next_result(body, out);
        if (!body->is_bad && out->code == OK && out->record == record) {
            --*left;
            return true;
        }
    }
    return false;
}
