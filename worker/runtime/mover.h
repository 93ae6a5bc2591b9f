/* Moves artifacts between the store and this machine: fetches into the cache, publishes out of work
 * folders. Small moves are done at once, by the caller's thread; large ones by a thread of their
 * own with a store handle of its own, so that heartbeats go on during an upload. A store on another
 * machine may have to be waited for, whatever the size: all its moves are done by threads, a few of
 * them, so that one round trip does not wait for the other. The threads share nothing but the two
 * lists of moves.
 *
 * Thread: the loop's; the store work of large moves is the mover's own threads. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"
#include "proto/task_spec.h"
#include "worker/runtime/cache.h"
#include "worker/runtime/publish.h"

enum {
    /* Up to this many bytes a move is done at once: a millisecond or so, which a heartbeat can
       spare. */
    MOVE_SMALL_BYTES = 1 << 20
};

/* One move; the caller's memory, from mover_submit until mover_take gives it back. */
struct move {
    struct move *next;
    uint32_t job; /* the caller's */
    bool is_publication;
    /* A fetch: `path` is where the artifact goes; what lies there already is kept if it is a file
     * that matches. */
    struct artifact artifact;
    char path[CACHE_PATH_BYTES];
    struct publication publication;
    /* How it ended. */
    enum status status;
    struct err err;
};

struct mover;

/* Opens the store (again for each thread, when it first needs it). One on another machine is tried
 * out: a wrong setting or a missing permission is told now (E_DENIED, E_INVALID), not by every task
 * that fails of it; one that does not answer is waited for later. */
MUST_USE enum status mover_open(const char *store_url, struct mover **out, struct err *err);
/* Waits for the moves under way; the moves not yet taken are forgotten, their memory is the
 * caller's. */
void mover_close(struct mover *mover);
/* `bytes`: what is to be moved, as far as known. */
void mover_submit(struct mover *mover, struct move *move, uint64_t bytes);
/* A move that has ended, or NULL. */
struct move *mover_take(struct mover *mover);
/* Readable while the threads have moves to give back. */
int mover_fd(const struct mover *mover);
/* The loop's own handle. */
struct store *mover_store(struct mover *mover);

/* Fetches `artifact` to `path`. Errors: E_LOST missing or corrupt; whatever the store says. */
MUST_USE enum status mover_fetch(struct store *store, const struct artifact *artifact,
                                 const char *path, struct err *err);

static inline void mover_close_auto(struct mover **mover)
{
    if (*mover)
        mover_close(*mover);
}
