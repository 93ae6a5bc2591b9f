/* Commits of small, valid records, for tests of the state: task n has the id n n n …, its record
 * the action {"n": m}. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/state.h"

enum { COMMIT_ITEMS_MAX = 600 };

struct signer;

struct commit {
    struct buf frame;            /* everything that was added so far goes into one frame */
    const struct signer *signer; /* NULL: that frame is the records alone; else RESULTS, signed */
    struct state_record records[COMMIT_ITEMS_MAX];
    struct state_alias aliases[8];
    struct id removals[8];
    struct state_run runs[8];
    uint32_t record_count, alias_count, removal_count, run_count;
    bool is_signed; /* already */
};

struct id test_id(uint32_t n);
/* The key of action {"n": m}. */
struct id test_action(uint32_t m);

void commit_begin(struct commit *commit);
void commit_fini(struct commit *commit);
/* `worker` makes records of one action differ; with_action: its action key is written as well. */
void commit_record(struct commit *commit, uint32_t task, uint32_t action, const char *worker,
                   bool with_action);
/* One of the caller's making, without an action key. */
void commit_made(struct commit *commit, const struct id *task, const struct record *record,
                 const struct record_output *outputs);
void commit_alias(struct commit *commit, uint32_t task, uint32_t action);
void commit_removal(struct commit *commit, uint32_t task);
void commit_run(struct commit *commit, const char *id, const char *document);
MUST_USE enum status commit_try(struct commit *commit, struct state *state, struct err *err);
/* Must succeed; begins the next one. */
void commit_now(struct commit *commit, struct state *state);
/* As commit_now, but what can be waited for is begun again, as the loop does it; how often. */
int commit_patiently(struct commit *commit, struct state *state);
/* One record per commit. */
void commit_one(struct state *state, uint32_t task, const char *worker);

/* "" if there is no record, else the record's worker. The text lives until the next call. */
const char *worker_of_task(struct state *state, uint32_t task);
const char *worker_of_action(struct state *state, uint32_t action);
