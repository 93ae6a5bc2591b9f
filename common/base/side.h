/* A map from dense numbers to dense numbers, for what few tasks have: failures, shares, buckets.
 * Open addressing, linear probing, removal by backward shift. Never iterated: its order means
 * nothing. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

#define SIDE_NONE UINT32_MAX

struct side_pair {
    uint32_t key, value; /* value SIDE_NONE: empty */
};

struct side {
    struct side_pair *pairs;
    uint32_t capacity, count; /* capacity: 0 or a power of two */
};

void side_fini(struct side *side);
/* The value, or SIDE_NONE. */
uint32_t side_get(const struct side *side, uint32_t key);
/* Sets or replaces; `value` isn't SIDE_NONE. */
void side_put(struct side *side, uint32_t key, uint32_t value);
void side_remove(struct side *side, uint32_t key);
