/* What a record rests on: the frame it came in, signed by the worker that made it. Opening a proof
 * checks it; what fails any check is not handed out. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/local.h"
#include "common/crypto/sign.h"

struct proof {
    struct buf frame;
    struct record record; /* a view into the frame */
    uint8_t public_key[SIGN_PUBLIC_BYTES];
};

/* The record of the task: the state's answer and the signed one are the same bytes. Errors:
 * E_NOTFOUND there is no record, or no frame of it; E_CORRUPT not signed, signed by another key
 * than is kept with it, not what the state says, or damaged. */
MUST_USE enum status proof_open(struct local *app, const struct id *task, struct proof *out,
                                struct err *err);
void proof_fini(struct proof *proof);
DEFINE_AUTO_VALUE(struct proof, proof_fini)
