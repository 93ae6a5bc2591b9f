// SPDX-License-Identifier: Apache-2.0
#include "broker/state/redis_part.h"

/* The records behind `first` that are in the same frame as it. */
static uint32_t end_of_frame(const struct state_batch *batch, uint32_t first)
{
    uint32_t end = first + 1;
    while (end < batch->record_count && batch->records[end].frame == batch->records[first].frame)
        end++;
    return end;
}

static uint32_t find_end(const struct state_batch *batch, uint32_t first)
{
    uint32_t end = first;
    size_t bytes = 0;
    while (end < batch->record_count) {
        uint32_t next = end_of_frame(batch, end);
        bytes += batch->frames[batch->records[end].frame].count;
        if (end > first && (next - first > PART_RECORDS || bytes > PART_BYTES))
            break;
        end = next;
    }
    return end;
}

/* The frames from the lowest to the highest that is needed, and records that count from there. */
static void take_records(struct part_cutter *cutter, uint32_t first, uint32_t end,
                         struct state_batch *part)
{
    const struct state_batch *batch = cutter->batch;
    uint32_t low = UINT32_MAX, high = 0;
    for (uint32_t i = first; i < end; i++) {
        uint32_t frame = batch->records[i].frame;
        low = frame < low ? frame : low;
        high = frame > high ? frame : high;
    }
    buf_clear(&cutter->records);
    for (uint32_t i = first; i < end; i++) {
        struct state_record record = batch->records[i];
        record.frame -= low;
        buf_put(&cutter->records, &record, sizeof record);
    }
    part->records = (const struct state_record *)(const void *)cutter->records.bytes;
    part->record_count = end - first;
    part->frames = batch->frames + low;
    part->frame_count = high - low + 1;
    part->frame_keys =
        batch->frame_keys ? batch->frame_keys + (size_t)low * PUBLIC_KEY_BYTES : NULL;
}

bool part_cutter_next(struct part_cutter *cutter, struct state_batch *part)
{
    const struct state_batch *batch = cutter->batch;
    uint32_t first = cutter->next;
    if (cutter->has_begun && first == batch->record_count)
        return false;
    *part = (struct state_batch){0};
    cutter->next = find_end(batch, first);
    if (cutter->next > first)
        take_records(cutter, first, cutter->next, part);
    if (!cutter->has_begun) {
        part->removals = batch->removals;
        part->removal_count = batch->removal_count;
    }
    cutter->has_begun = true;
    if (cutter->next < batch->record_count)
        return true;
    part->aliases = batch->aliases;
    part->alias_count = batch->alias_count;
    part->runs = batch->runs;
    part->run_count = batch->run_count;
    return true;
}
