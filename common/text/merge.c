// SPDX-License-Identifier: Apache-2.0
#include "common/text/merge.h"

#include <string.h>

#include "common/base/mem.h"

/* The keys seen so far. Small mappings, which most are, compare one by one; the table is for the
 * rest. */
enum { TABLE_FROM = 16 };

struct key_set {
    const struct value **slots;
    size_t mask, count; /* mask 0: a plain list of `count` */
    const struct value *few[TABLE_FROM];
};

static uint64_t hash_text(const char *text)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a, its high half folded in */
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 1099511628211u;
    return hash ^ hash >> 32;
}

static void key_set_init(struct key_set *set, size_t capacity)
{
    *set = (struct key_set){.slots = NULL};
    if (capacity <= TABLE_FROM)
        return;
    size_t slots = 4 * (size_t)TABLE_FROM;
    while (slots < 2 * capacity)
        slots *= 2;
    set->slots = mem_alloc(slots * sizeof *set->slots);
    set->mask = slots - 1;
}

static void key_set_fini(struct key_set *set)
{
    mem_free(set->slots);
}
DEFINE_AUTO_VALUE(struct key_set, key_set_fini)

/* Adds `key` and returns NULL, or returns the equal key that is there. */
static const struct value *key_set_put(struct key_set *set, const struct value *key)
{
    if (!set->mask) {
        for (size_t i = 0; i < set->count; i++)
            if (value_is_text(set->few[i], key->text))
                return set->few[i];
        set->few[set->count++] = key;
        return NULL;
    }
    size_t at = hash_text(key->text) & set->mask;
    for (; set->slots[at]; at = (at + 1) & set->mask)
        if (strcmp(set->slots[at]->text, key->text) == 0)
            return set->slots[at];
    set->slots[at] = key;
    return NULL;
}

static bool is_merge(const struct value *pair)
{
    return value_is_text(pair, "<<");
}

static bool is_deferred(const struct value *merged)
{
    if (merged->type == VALUE_STRING)
        return true;
    for (uint32_t i = 0; merged->type == VALUE_ARRAY && i < merged->count; i++)
        if (merged->items[i].type == VALUE_STRING)
            return true;
    return false;
}

/* The mappings that one `<<` names. */
static uint32_t merged_maps(const struct value *merged, const struct value **maps)
{
    *maps = merged->type == VALUE_ARRAY ? merged->items : merged;
    return is_deferred(merged) ? 0 : merged->type == VALUE_ARRAY ? merged->count : 1;
}

static enum status count_merged(const struct value *merged, size_t *pairs, const struct value **at,
                                struct err *err)
{
    const struct value *maps;
    uint32_t count = merged_maps(merged, &maps);
    for (uint32_t i = 0; i < count; i++) {
        *at = &maps[i];
        if (maps[i].type != VALUE_MAP)
            return err_set(err, E_INVALID, "<< merges a mapping or a list of them, not a %s",
                           value_type_name((enum value_type)maps[i].type));
        *pairs += maps[i].count;
    }
    return OK;
}

static void put_pair(struct value *out, const struct value *pair)
{
    out->items[2 * out->count] = pair[0];
    out->items[2 * out->count++ + 1] = pair[1];
}

static void put_merged(struct value *out, const struct value *merged, struct key_set *set)
{
    const struct value *maps;
    uint32_t count = merged_maps(merged, &maps);
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < maps[i].count; k++)
            if (!key_set_put(set, &maps[i].items[2 * k]))
                put_pair(out, &maps[i].items[2 * k]);
}

enum status merge_pairs(const struct value *from, uint32_t count, struct arena *arena,
                        struct value *out, const struct value **at, struct err *err)
{
    size_t pairs = count;
    for (uint32_t i = 0; i < count; i++)
        if (is_merge(&from[2 * i]))
            TRY(count_merged(&from[2 * i + 1], &pairs, at, err));
    AUTO(key_set_fini) struct key_set set;
    key_set_init(&set, pairs);
    const struct value *merge = NULL; /* not in the set: a deferred one may be merged in */
    for (uint32_t i = 0; i < count; i++) {
        bool is_expanded = is_merge(&from[2 * i]) && !is_deferred(&from[2 * i + 1]);
        const struct value *old = is_expanded ? merge : key_set_put(&set, &from[2 * i]);
        if (is_expanded)
            merge = &from[2 * i];
        *at = &from[2 * i];
        if (old)
            return err_set(err, E_INVALID, "the key \"%.64s\" is already there, at line %u",
                           old->text, old->line);
    }
    out->type = VALUE_MAP;
    out->count = 0;
    out->items = arena_alloc(arena, 2 * pairs * sizeof *out->items);
    for (uint32_t i = 0; i < count; i++) {
        const struct value *pair = &from[2 * i];
        if (is_merge(pair) && !is_deferred(&pair[1]))
            put_merged(out, &pair[1], &set);
        else
            put_pair(out, pair);
    }
    return OK;
}
