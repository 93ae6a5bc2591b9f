/* What a state back end provides; seen by broker/state/ alone. state.c checks arguments and picks
 * the back end. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/layer.h"
#include "broker/state/state.h"

struct state_backend {
    /* `place` is the URL behind the scheme. */
    enum status (*open)(const char *place, const struct state_options *options, struct state **out,
                        struct err *err);
    void (*close)(struct state *state);
    enum status (*begin)(struct state *state, const struct state_batch *batch, struct err *err);
    enum status (*poll)(struct state *state, bool *is_done, struct err *err);
    int (*fd)(const struct state *state);
    bool looks_ahead;
    void (*flush_begin)(struct state *state);
    enum status (*flush_poll)(struct state *state, bool *is_done, struct err *err);
    enum status (*find)(struct state *state, enum space space, const struct id *keys,
                        uint32_t count, state_found_fn *found, void *context, struct err *err);
    enum status (*has_all)(struct state *state, const struct id *tasks, uint32_t count,
                           bool *has_all, struct err *err); /* NULL: it forgets nothing */
    /* One that is damaged may be visited as NULL (state_audit_records). */
    enum status (*each_record)(struct state *state, state_visit_fn *visit, void *context,
                               struct err *err);
    /* Runs whose id begins with `prefix`, newest first; `limit` 0: all. */
    enum status (*each_run)(struct state *state, const char *prefix, size_t limit,
                            state_run_fn *visit, void *context, struct err *err);
    uint64_t (*epoch)(const struct state *state);
    enum status (*leader)(struct state *state, struct state_lead *out, struct err *err);
    bool (*is_cut_off)(const struct state *state); /* NULL: never */
    enum status (*renew)(struct state *state, struct err *err);
    enum status (*raise_epoch)(struct state *state, uint64_t seen, struct err *err);
    enum status (*find_proof)(struct state *state, const struct id *task, struct state_proof *out,
                              struct err *err);
    void (*recovered)(struct state *state, struct state_recovered *out); /* NULL: nothing, ever */
    enum status (*merge)(struct state *state, bool merges, struct state_merged *out,
                         struct err *err); /* NULL: nothing is in pieces */
    enum status (*examine)(struct state *state, state_finding_fn *finding, void *context,
                           struct err *err);
};

/* Every back end's struct begins with this. */
struct state {
    const struct state_backend *backend;
};

extern const struct state_backend state_lmdb, state_mem, state_redis;
