/* Inside the embedded state: what its opening and committing half (state_lmdb.c, where the folder
 * is described) and its looking half (lmdb_find.c) share. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/apply.h"
#include "broker/state/backend.h"
#include "broker/state/behind.h"
#include "broker/state/journal.h"
#include "broker/state/lmdb_index.h"

struct state_lmdb {
    struct state base;
    char *folder;
    int lock_fd; /* −1: a reader */
    struct journal *journal;
    struct lmdb_index *index; /* NULL: a reader that found none it can use */
    struct behind *behind;    /* a writer's layers */
    struct layer *tail;       /* a reader's layer; a writer's while it starts */
    struct apply_source source;
    struct layer *seen[BEHIND_LAYERS]; /* what apply_batch looks through, set by its caller */
    size_t seen_count;
};

static inline struct state_lmdb *state_lmdb_of(struct state *state)
{
    return (struct state_lmdb *)state;
}

/* The contract's look-ups. */
MUST_USE enum status lmdb_find(struct state *base, enum space space, const struct id *keys,
                               uint32_t count, state_found_fn *found, void *context,
                               struct err *err);
MUST_USE enum status lmdb_each_record(struct state *base, state_visit_fn *visit, void *context,
                                      struct err *err);
MUST_USE enum status lmdb_each_run(struct state *base, const char *prefix, size_t limit,
                                   state_run_fn *visit, void *context, struct err *err);
/* What apply_batch needs to see. */
struct apply_source lmdb_source(struct state_lmdb *state);
