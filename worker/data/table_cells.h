/* Inside of the table: a cell is a place in the text, packed into 64 bits. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "worker/data/table.h"

enum { CELL_OFFSET_BITS = 38, CELL_LENGTH_BITS = 25 };
#define CELL_MISSING (UINT64_C(1) << 63)

static inline uint64_t cell_pack(uint64_t offset, uint64_t bytes)
{
    return offset | bytes << CELL_OFFSET_BITS;
}
static inline uint64_t cell_offset(uint64_t cell)
{
    return cell & ((UINT64_C(1) << CELL_OFFSET_BITS) - 1);
}
static inline size_t cell_bytes(uint64_t cell)
{
    return (size_t)(cell >> CELL_OFFSET_BITS & ((UINT64_C(1) << CELL_LENGTH_BITS) - 1));
}
