/* Does this broker still lead, and under an epoch that no worker has seen a higher one than? What
 * gives out epochs may have forgotten the last ones (a Redis that failed over); the workers have
 * not. Seen by broker/loop.c alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/state.h"
#include "broker/work/router.h"

struct loop_lead {
    uint64_t told;  /* the epoch that the router has been told of; 0: none yet */
    uint64_t tried; /* the epoch of workers that could not be passed, which was logged once */
};

/* Every turn. `router` may be NULL. Errors: E_FENCED, E_DENIED; all else is tried again. */
MUST_USE enum status loop_lead(struct loop_lead *lead, struct state *state, struct router *router,
                               struct err *err);
