// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/match.h"

#include <string.h>

#include "broker/sched/grow.h"
#include "broker/sched/room.h"
#include "common/base/mem.h"

/* ---- offers ---- */

static bool is_same_texts(const char *const *a, const char *const *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

static bool is_same_resources(const struct resource *a, const struct resource *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (a[i].count != b[i].count || strcmp(a[i].name, b[i].name) != 0)
            return false;
    return true;
}

static bool is_same_offer(const struct offer *offer, const struct sched_event *hello)
{
    return offer->is_used && offer->cpu_hundredths == hello->hello.cpu_hundredths &&
           offer->memory_bytes == hello->hello.memory_bytes &&
           offer->kind_count == hello->hello.kind_count &&
           offer->label_count == hello->hello.label_count &&
           offer->resource_count == hello->hello.resource_count &&
           is_same_texts((const char *const *)offer->kinds, hello->hello.kinds,
                         offer->kind_count) &&
           is_same_texts((const char *const *)offer->labels, hello->hello.labels,
                         2 * offer->label_count) &&
           is_same_resources(offer->resources, hello->hello.resources, offer->resource_count);
}

static const char **copy_texts(struct arena *arena, const char *const *texts, uint32_t count)
{
    const char **out = count ? arena_alloc(arena, count * sizeof *out) : NULL;
    for (uint32_t i = 0; i < count; i++)
        out[i] = arena_text(arena, texts[i], strlen(texts[i]));
    return out;
}

static struct resource *copy_resources(struct arena *arena, const struct resource *resources,
                                       uint32_t count)
{
    struct resource *out = count ? arena_alloc(arena, count * sizeof *out) : NULL;
    for (uint32_t i = 0; i < count; i++)
        out[i] = (struct resource){arena_text(arena, resources[i].name, strlen(resources[i].name)),
                                   resources[i].count};
    return out;
}

static bool has_text(const char **texts, uint32_t count, const char *text)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(texts[i], text) == 0)
            return true;
    return false;
}

static bool has_label(const struct offer *offer, const char *key, const char *value)
{
    for (uint32_t i = 0; i < offer->label_count; i++)
        if (strcmp(offer->labels[2 * i], key) == 0 && strcmp(offer->labels[2 * i + 1], value) == 0)
            return true;
    return false;
}

bool match_fits(const struct task_policy *policy, const struct offer *offer)
{
    if (policy->kind_version && policy->kind_version[0] &&
        !has_text(offer->kinds, offer->kind_count, policy->kind_version))
        return false;
    for (uint32_t i = 0; i < policy->label_count; i++)
        if (!has_label(offer, policy->labels[2 * i], policy->labels[2 * i + 1]))
            return false;
    for (uint32_t i = 0; i < policy->resource_count; i++)
        if (policy->resources[i].count > room_total(offer, policy->resources[i].name))
            return false;
    if (offer->cpu_hundredths && policy->cpu_hundredths > offer->cpu_hundredths)
        return false;
    return !offer->memory_bytes || policy->memory_bytes <= offer->memory_bytes;
}

void match_look_at(struct sched *sched, uint32_t index)
{
    if (sched->offers.items[index].is_dirty)
        return;
    sched->offers.items[index].is_dirty = true;
    VECTOR_PUSH(sched->dirty, index);
}

static void learn_rule(struct sched *sched, uint32_t index, uint32_t rule)
{
    struct offer *offer = &sched->offers.items[index];
    GROW_ZERO(offer->fits, offer->fits_capacity, rule + 1);
    offer->fits[rule] = match_fits(&sched->rules.items[rule].policy, offer);
}

uint32_t match_join(struct sched *sched, const struct sched_event *hello)
{
    uint32_t at = 0, free = NONE;
    for (; at < sched->offers.count && !is_same_offer(&sched->offers.items[at], hello); at++)
        if (!sched->offers.items[at].is_used && free == NONE)
            free = at;
    if (at < sched->offers.count) {
        sched->offers.items[at].worker_count++;
        return at;
    }
    if (free == NONE) {
        free = sched->offers.count;
        VECTOR_PUSH(sched->offers, ((struct offer){0}));
    }
    struct offer *offer = &sched->offers.items[free];
    bool is_dirty = offer->is_dirty; /* still listed from its former life */
    *offer = (struct offer){.is_used = true,
                            .is_dirty = is_dirty,
                            .worker_count = 1,
                            .cpu_hundredths = hello->hello.cpu_hundredths,
                            .memory_bytes = hello->hello.memory_bytes,
                            .kind_count = hello->hello.kind_count,
                            .label_count = hello->hello.label_count,
                            .resource_count = hello->hello.resource_count};
    ASSERT(offer->resource_count <= RESOURCES_MAX);
    offer->kinds = copy_texts(&offer->arena, hello->hello.kinds, hello->hello.kind_count);
    offer->labels = copy_texts(&offer->arena, hello->hello.labels, 2 * hello->hello.label_count);
    offer->resources =
        copy_resources(&offer->arena, hello->hello.resources, hello->hello.resource_count);
    for (uint32_t i = 0; i < ROOM_COUNT; i++)
        offer->room[i].first = offer->room[i].last = NONE;
    for (uint32_t i = 0; i < sched->rules.count; i++) {
        if (sched->rules.items[i].run != NONE)
            learn_rule(sched, free, i);
    }
    return free;
}

void match_offer_fini(struct offer *offer)
{
    mem_free(offer->fits);
    arena_fini(&offer->arena);
    *offer = (struct offer){.is_dirty = offer->is_dirty};
}

void match_leave(struct sched *sched, uint32_t index)
{
    struct offer *offer = &sched->offers.items[index];
    if (--offer->worker_count == 0)
        match_offer_fini(offer);
}

/* ---- rules with work ---- */

void match_add_rule(struct sched *sched, uint32_t rule)
{
    for (uint32_t i = 0; i < sched->offers.count; i++)
        if (sched->offers.items[i].is_used)
            learn_rule(sched, i, rule);
}

void match_rule_filled(struct sched *sched, uint32_t index)
{
    struct rule *rule = &sched->rules.items[index];
    struct lane *lane = &sched->lanes.items[rule->lane];
    GROW(lane->active, lane->active_capacity, lane->active_count + 1);
    rule->active = lane->active_count;
    lane->active[lane->active_count++] = index;
    if (lane->busy == NONE) {
        lane->busy = sched->busy_lanes.count;
        VECTOR_PUSH(sched->busy_lanes, rule->lane);
    }
    sched->heavy_ready += !rule->is_plain;
    for (uint32_t i = 0; i < sched->offers.count; i++) {
        if (!sched->offers.items[i].is_used || !sched->offers.items[i].fits[index])
            continue;
        sched->offers.items[i].has_new_heavy |= !rule->is_plain;
        match_look_at(sched, i);
    }
}

void match_rule_emptied(struct sched *sched, uint32_t index)
{
    struct rule *rule = &sched->rules.items[index];
    struct lane *lane = &sched->lanes.items[rule->lane];
    uint32_t moved = lane->active[--lane->active_count];
    sched->heavy_ready -= !rule->is_plain;
    lane->active[rule->active] = moved;
    sched->rules.items[moved].active = rule->active;
    rule->active = NONE;
    if (lane->active_count > 0)
        return;
    uint32_t last = sched->busy_lanes.items[--sched->busy_lanes.count];
    sched->busy_lanes.items[lane->busy] = last;
    sched->lanes.items[last].busy = lane->busy;
    lane->busy = NONE;
}
