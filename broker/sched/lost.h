/* Lost outputs: blobs that the store should have and has not. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* Ids that are missing, ordered for look-ups. Copies what it is given. */
struct lost_set {
    struct id *ids;
    uint32_t count;
};

struct lost_set lost_set_init(const struct id *ids, uint32_t count);
void lost_set_fini(struct lost_set *set);
/* Did the task succeed with an output that is in the set? */
bool lost_has_output(const struct sched *sched, uint32_t task, const struct lost_set *set);
/* Invalidates the producers whose outputs a failed consumer missed. True: some of its inputs are
 * being made again (by this, or since before). */
bool lost_inputs(struct sched *sched, uint32_t consumer, const struct id *ids, uint32_t count);
