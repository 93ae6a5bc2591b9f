// SPDX-License-Identifier: Apache-2.0
#include "broker/state/order.h"

#include <endian.h>
#include <string.h>

enum { DIGIT_BITS = 8, DIGITS = 64 / DIGIT_BITS, DIGIT_VALUES = 1 << DIGIT_BITS };

static uint32_t digit_of(uint64_t key, uint32_t digit)
{
    return (uint32_t)(key >> digit * DIGIT_BITS) & (DIGIT_VALUES - 1);
}

/* One pass; false: all have the same digit, nothing was moved. */
static bool distribute(const struct ordered *from, struct ordered *to, size_t count, uint32_t digit)
{
    size_t next[DIGIT_VALUES] = {0};
    for (size_t i = 0; i < count; i++)
        next[digit_of(from[i].key, digit)]++;
    if (next[digit_of(from[0].key, digit)] == count)
        return false;
    for (size_t value = 0, at = 0; value < DIGIT_VALUES; value++) {
        size_t have = next[value];
        next[value] = at;
        at += have;
    }
    for (size_t i = 0; i < count; i++)
        to[next[digit_of(from[i].key, digit)]++] = from[i];
    return true;
}

static bool is_sorted(const struct ordered *items, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (items[i - 1].key > items[i].key)
            return false;
    return true;
}

void order_sort(struct ordered *items, struct ordered *scratch, size_t count)
{
    struct ordered *from = items, *to = scratch;
    if (is_sorted(items, count))
        return;
    for (uint32_t digit = 0; digit < DIGITS; digit++) {
        if (!distribute(from, to, count, digit))
            continue;
        struct ordered *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != items)
        memcpy(items, from, count * sizeof *items);
}

uint64_t order_of_id(const struct id *id)
{
    return be64toh(id_hash(id)) >> 32;
}
