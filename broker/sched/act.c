// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/core.h"
#include "common/base/mem.h"

void sched_actions_fini(struct sched_actions *actions)
{
    mem_free(actions->items);
    *actions = (struct sched_actions){0};
}

struct sched_action *sched_act(struct sched *sched, enum sched_action_type type)
{
    struct sched_actions *out = sched->out;
    if (out->count == out->capacity) {
        out->capacity = out->capacity ? 2 * out->capacity : 64;
        out->items = mem_resize(out->items, out->capacity * sizeof *out->items);
    }
    struct sched_action *action = &out->items[out->count++];
    *action = (struct sched_action){.type = type, .task = NONE, .run = NONE, .worker = NONE};
    return action;
}
