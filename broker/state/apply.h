/* A commit, once it is in the journal, put into the newest layer. The same function serves a commit
 * that just happened and one that is read again after a restart, so both give the same state.
 * Order: removals, records, aliases, runs. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/layer.h"

/* How to see what was there before: `find` looks through all layers and the index, `read` calls
 * back with a record. */
struct apply_source {
    bool (*find)(void *context, enum space space, const struct id *key, struct place *out);
    enum status (*read)(void *context, struct place place, state_found_fn *found,
                        void *found_context, struct err *err);
    void *context;
};

/* `area` is where the batch's first frame lies in the journal (journal_entry). An alias to an
 * action that is not known (any more) does nothing. */
void apply_batch(struct layer *layer, const struct state_batch *batch, uint64_t area,
                 const struct apply_source *source);
