/* What the end of a run needs of the store: are its results there (check), then what is to be kept
 * of it is put there, and all of it flushed.
 * Both may take long, so a thread with a store of its own does them, and other runs go on. What the
 * store can't do just now is tried again, so a run waits here for a disk that is full, a store that
 * is away, or one that refuses our keys. Checks are done one by one; one flush serves all runs that
 * asked before it began.
 *
 *   loop: check, flush ──▶ asked ──thread──▶ done ──▶ loop: take
 *
 * Seen by broker/loop.c alone. Thread: all functions belong to the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/store/store.h"
#include "proto/task_spec.h"

struct loop_ender;

/* What has been done for a run. */
struct loop_ended {
    uint32_t run;
    bool is_flush; /* else a check */
    enum status status;
    struct err err;
    /* Check: what the store lacks. A tree that lacks anything counts as missing itself: that is
     * what its producer makes again. */
    struct id *missing;
    uint32_t missing_count;
    bool has_kept; /* flush: the blob `kept` */
    struct id kept;
};

/* The store is the thread's from now on; it starts with the first thing to do. */
struct loop_ender *loop_ender_new(struct store *store);
/* Waits for what it is doing. */
void loop_ender_free(struct loop_ender *ender);
/* `artifacts` is copied. */
void loop_ender_check(struct loop_ender *ender, uint32_t run, const struct artifact *artifacts,
                      uint32_t count);
/* `keep` is moved in: bytes that become a blob; empty: none. */
void loop_ender_flush(struct loop_ender *ender, uint32_t run, struct buf *keep);
/* False: nothing new is done. The caller frees out->missing. */
bool loop_ender_take(struct loop_ender *ender, struct loop_ended *out);
/* Readable when there is something to take. */
int loop_ender_fd(const struct loop_ender *ender);
/* Nothing to do, and nothing to take? */
bool loop_ender_is_idle(struct loop_ender *ender);
/* What fails is not tried again from now on. */
void loop_ender_give_up(struct loop_ender *ender);

static inline void loop_ender_free_auto(struct loop_ender **ender)
{
    if (*ender)
        loop_ender_free(*ender);
}
