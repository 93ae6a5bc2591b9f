// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/rule.h"

#include <string.h>

#include "broker/sched/grow.h"
#include "broker/sched/match.h"
#include "broker/sched/room.h"
#include "common/base/mem.h"

static uint32_t new_lane(struct sched *sched, uint32_t run, int32_t priority)
{
    uint32_t at;
    if (sched->free_lanes.count > 0) {
        at = sched->free_lanes.items[--sched->free_lanes.count];
    } else {
        at = sched->lanes.count;
        VECTOR_PUSH(sched->lanes, ((struct lane){0}));
    }
    sched->lanes.items[at] = (struct lane){.run = run, .priority = priority, .busy = NONE};
    return at;
}

static uint32_t new_rule(struct sched *sched)
{
    if (sched->free_rules.count > 0)
        return sched->free_rules.items[--sched->free_rules.count];
    VECTOR_PUSH(sched->rules, ((struct rule){.run = NONE}));
    return sched->rules.count - 1;
}

static void copy_policy(struct arena *arena, struct task_policy *policy)
{
    if (policy->kind_version)
        policy->kind_version =
            arena_text(arena, policy->kind_version, strlen(policy->kind_version));
    struct resource *resources = NULL;
    if (policy->resource_count)
        resources = arena_alloc(arena, policy->resource_count * sizeof *resources);
    for (uint32_t i = 0; i < policy->resource_count; i++) {
        const struct resource *from = &policy->resources[i];
        resources[i] =
            (struct resource){arena_text(arena, from->name, strlen(from->name)), from->count};
    }
    policy->resources = resources;
    if (!policy->label_count)
        return;
    const char **labels = arena_alloc(arena, 2 * policy->label_count * sizeof *labels);
    for (uint32_t i = 0; i < 2 * policy->label_count; i++)
        labels[i] = arena_text(arena, policy->labels[i], strlen(policy->labels[i]));
    policy->labels = labels;
}

/* The lane of this priority; `lane_of` maps priorities of this run to lanes. */
static uint32_t lane_for(struct sched *sched, struct side *lane_of, uint32_t run, int32_t priority)
{
    uint32_t lane = side_get(lane_of, (uint32_t)priority);
    if (lane == SIDE_NONE) {
        lane = new_lane(sched, run, priority);
        side_put(lane_of, (uint32_t)priority, lane);
    }
    return lane;
}

void rule_add_run(struct sched *sched, uint32_t index, const struct sched_event *event)
{
    struct run *run = &sched->runs.items[index];
    run->rule_count = event->submit.policy_count;
    run->rules = arena_alloc(&run->arena, (run->rule_count + 1) * sizeof *run->rules);
    struct side lane_of = {0};
    for (uint32_t i = 0; i < run->rule_count; i++) {
        uint32_t at = run->rules[i] = new_rule(sched);
        struct rule *rule = &sched->rules.items[at];
        *rule = (struct rule){.policy = event->submit.policies[i], .run = index, .active = NONE};
        copy_policy(&run->arena, &rule->policy);
        rule->is_plain = room_is_plain(&rule->policy);
        rule->slots = room_slots(&rule->policy);
        rule->lane = lane_for(sched, &lane_of, index, rule->policy.priority);
        match_add_rule(sched, at);
    }
    side_fini(&lane_of);
}

void rule_drop_run(struct sched *sched, uint32_t index)
{
    const struct run *run = &sched->runs.items[index];
    for (uint32_t i = run->rule_count; i-- > 0;) {
        struct rule *rule = &sched->rules.items[run->rules[i]];
        ASSERT(rule->queue.count == 0);
        ready_fini(&sched->ready, &rule->queue);
        struct lane *lane = &sched->lanes.items[rule->lane];
        if (lane->run != NONE) {
            ASSERT(lane->active_count == 0);
            mem_free(lane->active);
            *lane = (struct lane){.run = NONE};
            VECTOR_PUSH(sched->free_lanes, rule->lane);
        }
        rule->run = NONE;
        VECTOR_PUSH(sched->free_rules, run->rules[i]);
    }
}
