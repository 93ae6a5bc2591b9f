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
    uint64_t epoch;
    struct buf heads; /* of the journal, as far as proofs were looked for (journal_seek) */
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
/* Where the task's record lies in the journal. */
MUST_USE enum status lmdb_find_place(struct state_lmdb *state, const struct id *task,
                                     struct place *out, bool *is_found, struct err *err);

/* Who writes (lmdb_lead.c). A writer gets an epoch above `above` and any before, a reader sees the
 * last one. */
MUST_USE enum status lmdb_take_epoch(struct state_lmdb *state, uint64_t above, struct err *err);
uint64_t lmdb_epoch(const struct state *base);
MUST_USE enum status lmdb_raise_epoch(struct state *base, uint64_t seen, struct err *err);
MUST_USE enum status lmdb_renew(struct state *base, struct err *err);
MUST_USE enum status lmdb_leader(struct state *base, struct state_lead *out, struct err *err);
MUST_USE enum status lmdb_find_proof(struct state *base, const struct id *task,
                                     struct state_proof *out, struct err *err);
MUST_USE enum status lmdb_examine(struct state *base, state_finding_fn *finding, void *context,
                                  struct err *err);
