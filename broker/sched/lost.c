// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/lost.h"

#include <string.h>

#include "broker/sched/task.h"
#include "common/base/mem.h"

/* Bottom-up merge sort: no recursion, no worst case, nothing of stdlib. */
static void sort_ids(struct id *ids, struct id *spare, uint32_t count)
{
    for (uint64_t width = 1; width < count; width *= 2) {
        for (uint64_t from = 0; from < count; from += 2 * width) {
            uint64_t middle = from + width < count ? from + width : count;
            uint64_t end = from + 2 * width < count ? from + 2 * width : count;
            uint64_t left = from, right = middle;
            for (uint64_t to = from; to < end; to++) {
                bool is_left =
                    right == end || (left < middle && id_compare(&ids[left], &ids[right]) <= 0);
                spare[to] = is_left ? ids[left++] : ids[right++];
            }
        }
        memcpy(ids, spare, count * sizeof *ids);
    }
}

struct lost_set lost_set_init(const struct id *ids, uint32_t count)
{
    struct lost_set set = {.ids = mem_alloc((size_t)count * 2 * sizeof *ids + 1), .count = count};
    memcpy(set.ids, ids, count * sizeof *ids);
    sort_ids(set.ids, set.ids + count, count);
    return set;
}

void lost_set_fini(struct lost_set *set)
{
    mem_free(set->ids);
    *set = (struct lost_set){0};
}

static bool has(const struct lost_set *set, const struct id *id)
{
    uint32_t from = 0, to = set->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        int order = id_compare(&set->ids[middle], id);
        if (order == 0)
            return true;
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return false;
}

bool lost_has_output(const struct sched *sched, uint32_t index, const struct lost_set *set)
{
    const struct task *task = task_at(sched, index);
    if (task->stage != STAGE_SUCCEEDED)
        return false;
    for (uint32_t i = 0; i < task->output_count; i++)
        if (has(set, &sched->artifacts.items[task->outputs + i].id))
            return true;
    return false;
}

bool lost_inputs(struct sched *sched, uint32_t consumer, const struct id *ids, uint32_t count)
{
    uint32_t input_count;
    const uint32_t *inputs = task_inputs(sched, task_at(sched, consumer), &input_count);
    struct lost_set set = lost_set_init(ids, count);
    bool is_found = false;
    for (uint32_t i = 0; i < input_count; i++) {
        uint32_t producer = inputs[i] >> OUTPUT_BITS;
        const struct task *task = task_at(sched, producer);
        uint32_t output = inputs[i] & ((1 << OUTPUT_BITS) - 1);
        if (task->stage != STAGE_SUCCEEDED) {
            is_found = true;
        } else if (output < task->output_count &&
                   has(&set, &sched->artifacts.items[task->outputs + output].id)) {
            is_found = true;
            task_invalidate(sched, producer);
        }
    }
    lost_set_fini(&set);
    return is_found;
}
