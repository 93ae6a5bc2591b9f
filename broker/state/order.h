/* Sorting what is known by a number: a radix sort, linear in the count. Look-ups and the index walk
 * hundreds of thousands of keys in order, where comparing them would cost more than finding them.
 *
 * Source: Knuth, The Art of Computer Programming, vol. 3, §5.2.5 (least significant digit first).
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proto/id.h"

struct ordered {
    uint64_t key;
    uint32_t index; /* of whatever is sorted */
};

/* Ascending by key, stable. `scratch` has room for `count` too. */
void order_sort(struct ordered *items, struct ordered *scratch, size_t count);
/* The first four bytes of an id as a number that sorts as they do. That is as much order as a walk
 * through a tree of ids gains from. */
uint64_t order_of_id(const struct id *id);
