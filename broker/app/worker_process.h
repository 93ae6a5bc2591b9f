/* The local worker of a broker: one child process, started when something has to run,
 * started again when it dies, ended with the run. Its own process group, so that Ctrl-C in a
 * terminal reaches the broker alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/ms.h"
#include "proto/err.h"

struct worker_process;

struct worker_process_options {
    const char *endpoint, *store, *cache;
    const char *key;        /* the broker's own identity, which its worker signs with; NULL: none */
    const char *broker_key; /* in hex, as the endpoint proves it; "": it asks for no keys */
    uint32_t slots;
    bool is_tireless; /* one that does not stay up is started again after a pause, for ever */
};

/* The names it will go by: "local", then "local-2" … after restarts. */
MUST_USE enum status worker_process_start(const struct worker_process_options *options,
                                          struct worker_process **out, struct err *err);
/* Sets *has_died when it was gone and has been started again; `died_name` is how the dead one was
 * called. Errors, unless it is tireless: E_CRASHED after several deaths in a row within a second
 * each, with how it ended. */
MUST_USE enum status worker_process_check(struct worker_process *process, ms_t now, bool *has_died,
                                          const char **died_name, struct err *err);
/* Waits up to `grace_ms` for it to leave by itself, then kills it. */
void worker_process_stop(struct worker_process *process, ms_t grace_ms);
