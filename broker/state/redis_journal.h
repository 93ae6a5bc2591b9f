/* The thread that brings the outbox into the journal's store, segment by segment, and trims it; and
 * that puts back what a server has lost: first from the store, then from the memory of what this
 * writer has committed lately. It has a connection and a store of its own. What it can't do now
 * (the store is away) it tries again; the outbox grows meanwhile.
 *
 * Thread: all functions belong to the thread that commits. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/redis_script.h"
#include "common/base/ms.h"

enum {
    GATHER_MS = 500,            /* how long an entry waits for others to share an object */
    RECENT_BYTES_MAX = 64 << 20 /* of what was committed and is not in the store: kept in memory */
};

struct redis_journal_options {
    const struct redis_url *url; /* borrowed */
    const char *store;
    uint64_t epoch, writer;
    bool ignores_marks; /* the first time, everything is put back */
};

struct redis_journal;

/* Errors: of store_open; E_IO no descriptor or no thread to be had. */
MUST_USE enum status redis_journal_open(const struct redis_journal_options *options,
                                        struct redis_journal **out, struct err *err);
/* What is left in the outbox is brought over first, if it can be; else the next writer does it. */
void redis_journal_close(struct redis_journal *journal);
/* The entries of one commit, the last of them `mark`, are in the outbox. Copied. */
void redis_journal_added(struct redis_journal *journal, struct mark mark, struct mp_view entries);
/* From now on under this epoch; and what the journal has and the server has not is put back. */
void redis_journal_put_back(struct redis_journal *journal, uint64_t epoch);
/* true: all is back; or it has failed for good (*status, `err`). */
struct redis_back {
    struct mark at;      /* of the last commit */
    uint64_t epoch_seen; /* the journal knows it: ours must be higher */
};
bool redis_journal_is_back(struct redis_journal *journal, struct redis_back *out,
                           enum status *status, struct err *err);
/* From now on under this epoch. Until it is above what the journal knows, nothing is put. */
void redis_journal_lead(struct redis_journal *journal, uint64_t epoch);
void redis_journal_recovered(struct redis_journal *journal, struct state_recovered *out);
/* What was committed is brought over at once, not when there is more of it. */
void redis_journal_hurry(struct redis_journal *journal);
/* The number of our last entry that is in the store, all before it too. */
uint64_t redis_journal_stored(struct redis_journal *journal);
/* Readable when more is in the store than redis_journal_stored said, or all that was lost is back.
 */
int redis_journal_fd(const struct redis_journal *journal);
const char *redis_journal_store(const struct redis_journal *journal);
