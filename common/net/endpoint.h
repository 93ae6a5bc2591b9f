/* Endpoints of the work plane, as people write them: ipc://PATH, tcp://HOST:PORT. What is on this
 * machine alone (ipc, 127.0.0.0/8, ::1) needs no keys; anything else does. A name is never taken
 * for this machine: what it leads to is not ours to know. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

#include "proto/err.h"
#include "proto/limits.h"

struct endpoint {
    bool is_ipc, is_local, is_ipv6, is_any_host;
    char host[ENDPOINT_BYTES_MAX + 1]; /* of tcp; an IPv6 address in its brackets */
    char port[8];
};

enum endpoint_use { ENDPOINT_LISTEN /* HOST may be *, PORT too */, ENDPOINT_CONNECT };

/* Errors: E_INVALID with what was expected; `setting` is for messages ("--broker"), or NULL. */
MUST_USE enum status endpoint_parse(const char *setting, const char *text, enum endpoint_use use,
                                    struct endpoint *out, struct err *err);
