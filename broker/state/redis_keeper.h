/* What the journal's thread works with: a connection and a store of its own. Outbox → store
 * (keeper_drain), store and memory → server (keeper_put_back). Seen by redis_journal.c.
 *
 * Thread: the journal's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/state_redis.h"
#include "common/store/store.h"

/* The entries of a commit that are not in the store yet, as far as we know. */
struct recent {
    struct recent *next;
    struct mark last;
    size_t bytes;
    uint8_t data[];
};

struct keeper {
    const struct redis_url *url;
    struct store *store;
    struct redis_scripts scripts;
    struct redis_session session;
    uint64_t epoch, writer;
    uint64_t sequence;   /* of the segment last put */
    uint64_t put;        /* the number of our last entry that is in one */
    struct buf segment;  /* scratch */
    bool ignores_marks;  /* put back everything, whatever the server says it has */
    uint64_t epoch_seen; /* the highest that what was put back knows */
    struct state_recovered recovered;
};

void keeper_init(struct keeper *keeper, const struct redis_url *url, struct store *store);
void keeper_fini(struct keeper *keeper);
/* A connection that knows the scripts. */
MUST_USE enum status keeper_ready(struct keeper *keeper, struct err *err);
/* One answer that is owed: OK, E_FENCED, or what the server refuses. */
MUST_USE enum status keeper_answer(struct keeper *keeper, struct err *err);

/* Puts one segment and trims it off. *count entries were in the outbox; *last is the mark of the
 * last of them that this writer has committed, if any; of no entries, the last of this writer that
 * the server remembers. */
MUST_USE enum status keeper_drain(struct keeper *keeper, size_t *count, struct mark *last,
                                  struct err *err);
/* Puts back what the server has lost: what is in segments it does not know of, then `recent`.
 * *at is the mark of what it has now. */
MUST_USE enum status keeper_put_back(struct keeper *keeper, const struct recent *recent,
                                     struct mark *at, struct err *err);
