/* Which run an idempotency key has begun, for the newest runs with one: a client that heard no
 * answer asks again, within hours. Thread: the application's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app.h"
#include "common/base/buf.h"
#include "proto/id.h"

struct idempotency {
    struct buf items; /* struct idempotent each, a ring once it is full */
    size_t next;
};

void idempotency_fini(struct idempotency *keys);
/* `request`: what the run was asked for. */
void idempotency_add(struct idempotency *keys, const char *key, const char *run,
                     const struct id *request);
bool idempotency_find(const struct idempotency *keys, const char *key, char run[APP_RUN_ID_BYTES],
                      struct id *request);
