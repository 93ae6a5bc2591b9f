/* Blocks of items in a growable array, used again when they are given back: lists of inputs,
 * dependants and outputs, most of them a few items long. Of up to 16 items a block is as long as
 * asked for, above up to an eighth longer, so that few lengths serve all. Free blocks of one length
 * are linked through their first item, which has room for a number. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { BLOCK_LENGTHS = 256 };

struct block_pool {
    uint32_t first[BLOCK_LENGTHS]; /* + 1; 0: none is free */
};

/* How many items a block for `count` of them has: 1 ≤ count < 2^31. */
uint32_t block_length(uint32_t count);
/* The place of a free block for `count` items, or UINT32_MAX: append block_length(count). */
uint32_t block_take(struct block_pool *pool, const void *items, size_t item_bytes, uint32_t count);
/* Gives the block for `count` items at `at` back. */
void block_give(struct block_pool *pool, void *items, size_t item_bytes, uint32_t at,
                uint32_t count);
