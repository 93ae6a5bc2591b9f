/* What this machine has to confine programs with, for people: `worker doctor`, and one line in the
 * log of a worker that lacks something. Thread: any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proto/err.h"
#include "worker/runtime/sandbox_options.h"

enum { SANDBOX_LAYERS = 3, SANDBOX_FOUND_BYTES = 160 };

struct sandbox_layer {
    const char *name; /* landlock, seccomp, cgroup */
    bool is_there;
    bool is_optional; /* something else does it, less well */
    char found[SANDBOX_FOUND_BYTES];
    const char *mend; /* how it comes to be there */
};

void sandbox_look(struct sandbox_layer out[SANDBOX_LAYERS]);
/* Before anything is started. Errors: E_UNSUPPORTED a layer is missing that is required. */
MUST_USE enum status sandbox_check(const struct sandbox_options *options, struct err *err);
