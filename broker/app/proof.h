/* What a record rests on: the frame it came in, signed by the worker that made it. Opening a proof
 * checks it; what fails any check is not handed out. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app.h"
#include "proto/record.h"

struct local;

struct proof {
    struct app_proof kept;
    struct record record; /* a view into the frame, once it is checked */
    struct id made_for;   /* the task it was made for; another one's after an early cutoff */
};

/* The record of the task: the state's answer and the signed one are the same bytes. Errors:
 * E_NOTFOUND there is no record, or no frame of it; E_CORRUPT not signed, signed by another key
 * than is kept with it, not what the state says, or damaged. */
MUST_USE enum status proof_open(struct local *app, const struct id *task, struct proof *out,
                                struct err *err);
/* Is the frame signed by the key, and the record one of its results? Sets proof->record and
 * made_for. That it is this task's is not known by it: see verifying.h. Errors: E_CORRUPT it is not
 * so. */
MUST_USE enum status proof_check(struct proof *proof, const struct id *task, struct err *err);
void proof_fini(struct proof *proof);
DEFINE_AUTO_VALUE(struct proof, proof_fini)
