/* What follows a commit without holding it up: one thread takes what was committed into the index,
 * all that has queued as one sorted transaction; another brings the journal to the disk every
 * 100 ms. Both start before the first commit.
 *
 *   commit ──▶ front layer ──swap──▶ back layer ──one transaction──▶ index
 *
 * Look-ups see front and back through behind_lock. A full front makes the commit that filled it
 * last until it is swapped, so that memory is bounded. An index that cannot be written costs
 * memory and a log line, never a commit: it is tried again, and whatever is missing is read from
 * the journal at the next start.
 *
 * Thread: all functions belong to the thread that commits. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/journal.h"
#include "broker/state/lmdb_index.h"

struct behind;

/* Borrows both, which outlive it. Errors: E_IO no descriptor to be had. */
MUST_USE enum status behind_open(struct journal *journal, struct lmdb_index *index,
                                 struct behind **out, struct err *err);
/* Finishes what is queued, as far as the index can be written. */
void behind_free(struct behind *behind);

/* Before each commit: starts the threads, once. Errors: E_IO none to be had; try again later. */
MUST_USE enum status behind_start(struct behind *behind, struct err *err);

/* What the journal has now is to be on the disk; behind_fd is readable when it is. */
void behind_flush_begin(struct behind *behind);
/* Errors: E_CORRUPT. */
MUST_USE enum status behind_flush_poll(struct behind *behind, bool *is_done, struct err *err);

/* Between these two the layers stand still: front, then back. */
enum { BEHIND_LAYERS = 2 };
void behind_lock(struct behind *behind, struct layer *layers[BEHIND_LAYERS]);
void behind_unlock(struct behind *behind);
/* After something was added to the front. Called locked. */
void behind_added(struct behind *behind);
/* Has the front room for another commit? If not, behind_fd becomes readable when it has. */
bool behind_has_room(struct behind *behind);
int behind_fd(const struct behind *behind);
/* Waits until the index has all of it. Errors: what keeps the index from being written. */
MUST_USE enum status behind_drain(struct behind *behind, struct err *err);

DEFINE_AUTO(struct behind *, behind_free)
