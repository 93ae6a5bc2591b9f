/* The journal's index on disk: task ids, action keys and run ids → places in the journal, and how
 * far of the journal it has got. Kept in LMDB without syncs: kill -9 leaves it whole, after a power
 * loss it is made anew. The file grows by need, a doubling at a time. The door to LMDB.
 *
 * Thread: one writes (lmdb_index_apply) while another reads; a lock inside keeps reads out while
 * the map grows. Other processes may read at any time. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "broker/state/journal.h"
#include "broker/state/layer.h"

struct lmdb_index;

/* STATE_WRITE makes what is missing. Any failure but E_NOMEM, E_FULL and E_DENIED means: make it
 * anew. */
MUST_USE enum status lmdb_index_open(const char *path, enum state_mode mode,
                                     struct lmdb_index **out, struct err *err);
void lmdb_index_close(struct lmdb_index *index);
/* Up to where it holds the journal `id`; 0: none of it. */
MUST_USE enum status lmdb_index_reached(struct lmdb_index *index,
                                        const uint8_t id[JOURNAL_ID_BYTES], uint64_t *out,
                                        struct err *err);
/* Takes the layer in as one transaction; the index then has reached layer->journal_end of journal
 * `id`. */
MUST_USE enum status lmdb_index_apply(struct lmdb_index *index, const struct layer *layer,
                                      const uint8_t id[JOURNAL_ID_BYTES], struct err *err);

/* One key to look up, and what came of it. */
struct index_query {
    const struct id *key;
    struct place place;
    bool is_found;
};
/* All of them in one snapshot; quickest when sorted by key. */
MUST_USE enum status lmdb_index_find(struct lmdb_index *index, enum space space,
                                     struct index_query *queries, size_t count, struct err *err);
/* Up to `max` task keys behind `after` (NULL: from the first) with their places, in key order. */
MUST_USE enum status lmdb_index_list(struct lmdb_index *index, const struct id *after,
                                     struct layer_entry *out, size_t max, size_t *count,
                                     struct err *err);
/* Adds runs whose id begins with `prefix` to `layer`, newest first; `limit` 0: all. */
MUST_USE enum status lmdb_index_runs(struct lmdb_index *index, const char *prefix, size_t limit,
                                     struct layer *layer, struct err *err);

DEFINE_AUTO(struct lmdb_index *, lmdb_index_close)
