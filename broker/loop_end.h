/* How a run ends: are its results in the store (CHECK), then store and state flushed, then over.
 * What the store or state cannot do just now is tried again, so a run waits here for a disk that is
 * full or a store that is away. Seen by broker/loop.c alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/state.h"
#include "common/store/store.h"
#include "proto/task_spec.h"

/* One thing to do for a run. */
struct loop_ending {
    uint32_t run;
    bool is_over; /* flush; else check */
    uint32_t artifact_count;
    struct artifact *artifacts;
};

/* What is still to do, in order. */
struct loop_endings {
    struct buf items; /* struct loop_ending each */
};

void loop_endings_init(struct loop_endings *endings);
void loop_endings_fini(struct loop_endings *endings);
bool loop_endings_is_empty(const struct loop_endings *endings);
/* `artifacts` is copied. */
void loop_endings_check(struct loop_endings *endings, uint32_t run,
                        const struct artifact *artifacts, uint32_t count);
void loop_endings_over(struct loop_endings *endings, uint32_t run);
/* There must be one. */
struct loop_ending loop_endings_first(const struct loop_endings *endings);
void loop_endings_drop_first(struct loop_endings *endings);

/* Appends the ids that are missing (struct id each); a tree that lacks anything counts as missing
 * itself: that is what its producer makes again. */
MUST_USE enum status loop_ending_find_missing(const struct loop_ending *ending, struct store *store,
                                              struct buf *missing, struct err *err);
