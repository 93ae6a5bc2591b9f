/* What stands under t:TASK and a:ACTION: a head, then the record.
 *
 *   head = flags u8 (1: an action follows) | epoch u64 | number u64 | offset u32 | action (32)?
 *
 * Epoch and number name the entry of the journal that the record came in, `offset` is where it lies
 * in the entry's area. Little-endian. The action is there so that a removal takes a:ACTION along
 * (the script reads it at byte 22). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

#include "broker/state/segment.h"

enum { VALUE_HEAD_BYTES = 21, VALUE_HEAD_BYTES_MAX = VALUE_HEAD_BYTES + ID_BYTES };

struct redis_value {
    uint64_t epoch, number;
    uint32_t offset;
    const uint8_t *record;
    size_t record_bytes;
};

/* Writes a head; its length. `action` may be NULL. */
size_t redis_value_head(struct mark mark, uint32_t offset, const struct id *action,
                        uint8_t out[VALUE_HEAD_BYTES_MAX]);
/* false: this is no value. */
bool redis_value_read(const void *bytes, size_t count, struct redis_value *out);
