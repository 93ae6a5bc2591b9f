/* CRC-32C (Castagnoli): tells a torn or damaged journal entry from a whole one. Guards against
 * accidents, not against people. By the processor's own instruction where it has one. Source: RFC
 * 3720, appendix B.4. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`, which is 0 at the beginning. */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);
/* The same by tables alone: what processors without the instruction get, and what tests compare
 * with. */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t bytes);
