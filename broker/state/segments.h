/* The journal's objects in a store (segment.h), one after the other; and small ones made one.
 *
 * A leader puts an object every half second of work, and nobody looks at most of them again.
 * Merging puts the entries of neighbours, verbatim and in their order, under the last one's name,
 * and then removes the others, the last first:
 *
 *     a b c d   →   a b c [abcd]   →   a b [abcd]   →   a [abcd]   →   [abcd]
 *
 * Reading any of these gives the same entries in the same order, those that came already left out:
 * so it may end anywhere, may go on beside a leader (which never puts a name twice) and beside
 * another who merges. A server that knows it has all up to an object has what is merged under that
 * name or an earlier one. That is told by the epoch and the writer, so objects of two writers of
 * one epoch are not merged; nor is one that is damaged. Who reads a list of names and finds one
 * gone lists what is behind the last that was there: its entries are in one of those.
 *
 * A put that a slow server was asked for twice may be carried out once more when nobody waits for
 * it any longer, and would leave the small object in the merged one's place. So what was put under
 * a name lately is let alone.
 *
 * Where a server says what it has, only what is of that epoch or a later one is listed. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/segment.h"
#include "common/store/store.h"

struct segments {
    struct store *store;
    const char *ns;
};

/* `visit` gets the objects that mark_is_after(…, after), in order; it sets *is_enough to end. */
typedef enum status segments_visit_fn(void *context, const char *name, struct mark mark,
                                      struct mp_view bytes, bool *is_enough, struct err *err);
MUST_USE enum status segments_each(const struct segments *segments, struct mark after,
                                   segments_visit_fn *visit, void *context, struct err *err);
/* Merges what was put before `before_s` (since 1970, by the store's clock). `merges` false: counts
 * what would be. */
enum { SEGMENTS_SETTLE_S = 3600 };
MUST_USE enum status segments_merge(const struct segments *segments, int64_t before_s, bool merges,
                                    struct state_merged *out, struct err *err);
