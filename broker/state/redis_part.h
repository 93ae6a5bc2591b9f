/* A batch cut into parts that a server runs as one script each: whole frames, PART_RECORDS records
 * or PART_BYTES at most, or one frame that has more. Removals go with the first part, aliases and
 * runs with the last. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/state.h"

/* Longer scripts hold other clients up, and are no quicker. */
enum { PART_RECORDS = 1000, PART_BYTES = 16 << 20 };

struct part_cutter {
    const struct state_batch *batch;
    uint32_t next; /* record */
    bool has_begun;
    struct buf records; /* struct state_record each: those of the part */
};

static inline struct part_cutter part_cutter(const struct state_batch *batch)
{
    return (struct part_cutter){.batch = batch, .records = buf_init(0)};
}
static inline void part_cutter_fini(struct part_cutter *cutter)
{
    buf_fini(&cutter->records);
}
/* The next part, valid until the next call; false: there is none. A batch of nothing is one part of
 * nothing. */
bool part_cutter_next(struct part_cutter *cutter, struct state_batch *part);

DEFINE_AUTO_VALUE(struct part_cutter, part_cutter_fini)
