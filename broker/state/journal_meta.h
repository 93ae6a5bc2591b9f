/* The meta part of a journal entry (journal.h has its form): a commit's lists ⇄ MessagePack. Pure.
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/state.h"
#include "common/base/arena.h"

/* Appends to `out`. */
void journal_meta_encode(const struct state_batch *batch, struct buf *out);
/* Lists in `arena`; frames and documents are views into `area`, which they must fill. Errors:
 * E_CORRUPT; E_NOMEM. */
MUST_USE enum status journal_meta_decode(struct mp_view meta, struct mp_view area,
                                         struct arena *arena, struct state_batch *out,
                                         struct err *err);
