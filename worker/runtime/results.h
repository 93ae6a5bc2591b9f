/* RESULTS frames: filled entry by entry, closed (then signed once, over the body's hash), and kept
 * until acknowledged; after a reconnection all that is kept is sent again. Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "common/crypto/sign.h"
#include "proto/msg.h"

struct results;

/* Borrows the signer. */
struct results *results_new(const struct signer *signer);
void results_free(struct results *results);
/* Copies the entry into the open frame; closes that first if the entry does not fit any more. */
void results_add(struct results *results, const struct result_msg *result);
/* Closes the open frame, if it has an entry. */
void results_close(struct results *results);
/* The oldest closed frame that was not sent yet, a view until the next call of any of these; false:
 * none. It counts as sent. */
bool results_next_unsent(struct results *results, struct mp_view *out);
/* Everything kept is to be sent again. */
void results_unsend(struct results *results);
/* Forgets the frame; an unknown sequence is ignored. Returns how many are still kept. */
size_t results_acknowledge(struct results *results, uint64_t sequence);
/* The attempts of everything kept, for HELLO: appended to `out` as struct attempt each. */
void results_list(const struct results *results, struct buf *out);

static inline void results_free_auto(struct results **results)
{
    if (*results)
        results_free(*results);
}
