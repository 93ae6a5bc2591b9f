/* Graphs of up to four tasks, as a bit for each pair. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "tests/sim/world.h"

bool small_has_edge(uint32_t edges, uint32_t from, uint32_t to)
{
    return edges >> (to * (to - 1) / 2 + from) & 1;
}

/* Of graphs that differ in the order of their tasks alone, the one with the least number counts. */
bool small_is_canonical(uint32_t count, uint32_t edges)
{
    uint32_t order[SMALL_NODES] = {0, 1, 2, 3};
    for (uint32_t p = 0; p < 24; p++) {
        uint32_t left[SMALL_NODES] = {0, 1, 2, 3}, rest = p, renamed = 0;
        bool is_ordered = true;
        for (uint32_t i = 0, size = SMALL_NODES; i < SMALL_NODES; i++, size--) {
            uint32_t at = rest % size;
            rest /= size;
            order[i] = left[at];
            memmove(left + at, left + at + 1, (size - at - 1) * sizeof *left);
        }
        for (uint32_t i = 0; i < SMALL_NODES; i++)
            is_ordered &= i < count ? order[i] < count : order[i] == i;
        for (uint32_t to = 1; is_ordered && to < count; to++)
            for (uint32_t from = 0; from < to; from++) {
                if (!small_has_edge(edges, from, to))
                    continue;
                is_ordered &= order[from] < order[to];
                if (is_ordered)
                    renamed |= UINT32_C(1) << (order[to] * (order[to] - 1) / 2 + order[from]);
            }
        if (is_ordered && renamed < edges)
            return false;
    }
    return true;
}
