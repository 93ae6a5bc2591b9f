/* Overrides edit the document before anybody reads it. Subtrees may be shared (YAML aliases), so
 * the maps on the way are copied: nothing else changes with them. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/pipeline/step.h"
#include "common/text/yaml.h"

static const char *const top_keys[] = {"version", "name",     "params", "sources",
                                       "steps",   "defaults", NULL};

/* The item under `key`, in a map that may now be written; made if `create`. NULL otherwise. */
static struct value *enter_map(struct pipeline *p, struct value *map, const char *key, size_t bytes,
                               bool create)
{
    struct value *items = arena_alloc(&p->arena, 2 * ((size_t)map->count + 1) * sizeof *items);
    if (map->count)
        memcpy(items, map->items, 2 * (size_t)map->count * sizeof *items);
    map->items = items;
    for (uint32_t i = 0; i < map->count; i++)
        if (items[2 * i].count == bytes && memcmp(items[2 * i].text, key, bytes) == 0)
            return &items[2 * i + 1];
    if (!create)
        return NULL;
    struct value *added = &items[2 * map->count++];
    *added = value_string(arena_text(&p->arena, key, bytes));
    added->line = map->line;
    added->column = map->column;
    return added + 1;
}

static struct value *enter_list(struct pipeline *p, struct value *list, const char *key)
{
    uint64_t index = 0;
    size_t digits = strspn(key, "0123456789");
    for (size_t i = 0; i < digits && index < list->count; i++)
        index = index * 10 + (uint64_t)(key[i] - '0');
    if (!digits || (key[digits] && key[digits] != '.') || index >= list->count)
        return NULL;
    struct value *items = arena_alloc(&p->arena, list->count * sizeof *items);
    memcpy(items, list->items, list->count * sizeof *items);
    list->items = items;
    return &items[index];
}

static struct value *enter(struct pipeline *p, struct value *at, const char *part, size_t bytes)
{
    if (at->type == VALUE_NIL) {
        at->type = VALUE_MAP;
        at->count = 0;
        at->items = NULL;
    }
    if (at->type == VALUE_MAP)
        return enter_map(p, at, part, bytes, true);
    return at->type == VALUE_ARRAY ? enter_list(p, at, part) : NULL;
}

static enum status refuse(struct pipeline *p, const char *format, ...) PRINTF(2, 3);
static enum status refuse(struct pipeline *p, const char *format, ...)
{
    va_list args;
    struct err err;
    va_start(args, format);
    err_setv(&err, E_INVALID, format, args);
    va_end(args);
    diagnostics_error(p->d, NULL, "%s", err.text);
    return E_INVALID;
}

static enum status parse_value(struct pipeline *p, const struct override *o, struct value *out)
{
    *out = value_string("");
    struct err err;
    const char *flag = o->is_set ? "--set" : "-p";
    const char *name = arena_format(&p->arena, "%s %.80s", flag, o->path);
    if (*o->value && yaml_parse(name, o->value, strlen(o->value), &p->arena, out, &err) != OK)
        return refuse(p, "%s", err.text);
    return OK;
}

/* Values from the command line have no place in the file: what they replace says where they act. */
static void put(struct value *at, struct value value)
{
    value.line = at->line;
    value.column = at->column;
    *at = value;
}

/* Splits at dots and walks down; `from` is where the path begins. */
static enum status edit(struct pipeline *p, const struct override *o, struct value *from,
                        struct value value)
{
    struct value *at = from;
    for (const char *part = o->path; part;) {
        size_t bytes = strcspn(part, ".");
        if (!bytes)
            return refuse(p, "--set %.80s: an empty part in the path", o->path);
        enum value_type type = (enum value_type)at->type;
        at = enter(p, at, part, bytes);
        if (!at)
            return refuse(p, "--set %.80s: there is no \"%.*s\" inside a %s", o->path,
                          (int)(bytes > 64 ? 64 : bytes), part, value_type_name(type));
        part = part[bytes] ? part + bytes + 1 : NULL;
    }
    put(at, value);
    return OK;
}

static bool is_top_key(const char *word)
{
    for (const char *const *key = top_keys; *key; key++)
        if (strcmp(*key, word) == 0)
            return true;
    return false;
}

/* NULL-terminated keys of a map, with the top-level keys behind them. */
static const char *const *names_of(struct pipeline *p, const struct value *map)
{
    uint32_t count = map && map->type == VALUE_MAP ? map->count : 0;
    const char **names = arena_alloc(&p->arena, (count + sizeof top_keys) * sizeof *names);
    for (uint32_t i = 0; i < count; i++)
        names[i] = map->items[2 * i].text;
    memcpy(names + count, top_keys, sizeof top_keys);
    return names;
}

/* `--set train.params.model=mlp`: below `steps` if that has a step `train`, else a key of the top
 * level. */
static enum status apply_set(struct pipeline *p, const struct override *o, struct value value)
{
    const char *first = arena_text(&p->arena, o->path, strcspn(o->path, "."));
    const struct value *steps = value_get(&p->root, "steps");
    if (steps && steps->type == VALUE_MAP && value_get(steps, first))
        return edit(p, o, enter_map(p, &p->root, "steps", strlen("steps"), false), value);
    if (is_top_key(first))
        return edit(p, o, &p->root, value);
    return refuse(p, "--set %.80s: there is no step or key \"%.64s\"%s", o->path, first,
                  suggest(&p->arena, first, names_of(p, steps)));
}

static enum status apply_param(struct pipeline *p, const struct override *o, struct value value)
{
    const struct value *params = value_get(&p->root, "params");
    const char *first = arena_text(&p->arena, o->path, strcspn(o->path, "."));
    if (params && params->type == VALUE_MAP && value_get(params, first))
        return edit(p, o, enter_map(p, &p->root, "params", strlen("params"), false), value);
    static const struct value none = {.type = VALUE_MAP};
    const char *const *names = names_of(p, params ? params : &none);
    uint32_t count = params && params->type == VALUE_MAP ? params->count : 0;
    ((const char **)(uintptr_t)names)[count] = NULL; /* without the top-level keys */
    return refuse(p, "-p %.80s: the pipeline has no parameter \"%.64s\"%s", o->path, first,
                  suggest(&p->arena, first, names));
}

enum status override_apply(struct pipeline *p, const struct override *overrides, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct value value;
        if (parse_value(p, &overrides[i], &value) != OK)
            continue;
        enum status status = overrides[i].is_set ? apply_set(p, &overrides[i], value)
                                                 : apply_param(p, &overrides[i], value);
        (void)status; /* reported; the others are looked at, too */
    }
    return p->d->error_count ? E_INVALID : OK;
}
