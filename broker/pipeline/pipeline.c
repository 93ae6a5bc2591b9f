// SPDX-License-Identifier: Apache-2.0
#include "broker/pipeline/pipeline.h"

#include <string.h>

#include "broker/pipeline/step.h"
#include "common/base/mem.h"
#include "common/text/yaml.h"

enum {
    PIPELINE_VERSION = 1,
    /* What references to parameters may put into the document as a whole. */
    DOCUMENT_BUDGET_BYTES = 64 << 20,
};

/* ---- the top level: one function per key ---- */

static const struct value empty_map = {.type = VALUE_MAP};

/* The mapping under `key`; an absent or empty one is an empty mapping. */
static const struct value *get_map(struct pipeline *p, const char *key)
{
    const struct value *map = value_get(&p->root, key);
    if (map && map->type == VALUE_MAP)
        return map;
    if (map && map->type != VALUE_NIL)
        diagnostics_error(p->d, map, "%s: expected a mapping, not a %s", key,
                          value_type_name((enum value_type)map->type));
    return &empty_map;
}

static void read_version(struct pipeline *p)
{
    const struct value *version = value_get(&p->root, "version");
    if (!version)
        diagnostics_error(p->d, &p->root, "expected version: %d at the top", PIPELINE_VERSION);
    else if (version->type != VALUE_INT || version->integer != PIPELINE_VERSION)
        diagnostics_error(p->d, version, "version: this program reads version %d",
                          PIPELINE_VERSION);
}

static void read_name(struct pipeline *p)
{
    const struct value *name = value_get(&p->root, "name");
    p->name = "pipeline";
    if (!name)
        return;
    if (name->type != VALUE_STRING)
        diagnostics_error(p->d, name, "name: expected a text, not a %s",
                          value_type_name((enum value_type)name->type));
    else if (check_name(p, name, "a pipeline", true))
        p->name = name->text;
}

static void read_params(struct pipeline *p)
{
    const struct value *params = get_map(p, "params");
    struct scope scope = {.pipeline = p, .arena = &p->arena, .is_plain = true};
    for (uint32_t i = 0; i < params->count; i++)
        check_name(p, &params->items[2 * i], "a parameter", true);
    if (substitute(&scope, params, &p->params) != OK)
        p->params = *params; /* reported; the rest of the file is looked at */
    p->params_used = arena_alloc(&p->arena, p->params.count + 1);
}

static void read_source(struct pipeline *p, const struct value *key)
{
    struct scope scope = {.pipeline = p, .arena = &p->arena};
    struct value location;
    bool is_named = check_name(p, key, "a source", true);
    if (substitute(&scope, key + 1, &location) != OK || !is_named)
        return;
    if (location.type != VALUE_STRING || !location.count)
        diagnostics_error(p->d, key + 1, "source \"%s\": expected a path or a glob, not a %s",
                          key->text, value_type_name((enum value_type)location.type));
    else if (strstr(location.text, "://"))
        diagnostics_error(p->d, key + 1,
                          "source \"%s\": %.200s: a source is a path, a folder or a "
                          "glob beside the pipeline file",
                          key->text, location.text);
    source_add(p, key->text, location.type == VALUE_STRING ? location.text : "", key + 1);
}

static void read_sources(struct pipeline *p)
{
    const struct value *map = get_map(p, "sources");
    for (uint32_t i = 0; i < map->count; i++)
        read_source(p, &map->items[2 * i]);
    const char **names = arena_alloc(&p->arena, (p->source_count + 1) * sizeof *names);
    for (uint32_t i = 0; i < p->source_count; i++)
        names[i] = p->sources[i].name;
    name_index_init(&p->source_index, &p->arena, names, p->source_count);
}

/* ---- sources ---- */

static void *grow(struct arena *arena, const void *old, uint32_t count, size_t item_bytes)
{
    if (count & (count - 1))
        return NULL; /* room is doubled at the powers of two */
    void *grown = arena_alloc(arena, (count ? 2 * (size_t)count : 1) * item_bytes);
    if (count)
        memcpy(grown, old, count * item_bytes);
    return grown;
}

uint32_t source_add(struct pipeline *p, const char *name, const char *location,
                    const struct value *at)
{
    uint32_t count = p->source_count;
    struct source *sources = grow(&p->arena, p->sources, count, sizeof *sources);
    struct source_need *needs = grow(&p->arena, p->needs, count, sizeof *needs);
    p->sources = sources ? sources : p->sources;
    p->needs = needs ? needs : p->needs;
    p->sources[count] = (struct source){.name = name, .at = at};
    p->needs[count] = (struct source_need){.name = name, .location = location, .at = at};
    p->source_count++;
    return count;
}

static void rehash_code(struct pipeline *p)
{
    uint32_t old_mask = p->code_mask, *old = p->code_slots;
    uint32_t slots = old ? 2 * (old_mask + 1) : 64;
    p->code_slots = arena_alloc(&p->arena, slots * sizeof *p->code_slots);
    p->code_mask = slots - 1;
    for (uint32_t i = 0; old && i <= old_mask; i++) {
        if (!old[i])
            continue;
        uint32_t at = (uint32_t)name_hash(p->sources[old[i] - 1].name) & p->code_mask;
        while (p->code_slots[at])
            at = (at + 1) & p->code_mask;
        p->code_slots[at] = old[i];
    }
}

uint32_t source_add_code(struct pipeline *p, const struct value *path)
{
    if (!p->code_slots || 2 * p->code_count > p->code_mask)
        rehash_code(p);
    uint32_t at = (uint32_t)name_hash(path->text) & p->code_mask;
    for (; p->code_slots[at]; at = (at + 1) & p->code_mask)
        if (strcmp(p->sources[p->code_slots[at] - 1].name, path->text) == 0)
            return p->code_slots[at] - 1;
    uint32_t source = source_add(p, path->text, path->text, path);
    p->sources[source].is_used = true;
    p->code_slots[at] = source + 1;
    p->code_count++;
    return source;
}

/* ---- the passes ---- */

static void warn_unused(struct pipeline *p)
{
    matrix_warn_unused(p);
    for (uint32_t i = 0; i < p->source_count; i++)
        if (!p->sources[i].is_used)
            diagnostics_warning(p->d, p->sources[i].at, "nothing uses the source \"%s\"",
                                p->sources[i].name);
    for (uint32_t i = 0; i < p->params.count; i++)
        if (!p->params_used[i])
            diagnostics_warning(p->d, &p->params.items[2 * i], "nothing uses the parameter \"%s\"",
                                p->params.items[2 * i].text);
}

static void read_steps(struct pipeline *p)
{
    const struct value *steps = get_map(p, "steps");
    if (!steps->count)
        diagnostics_error(p->d, value_get(&p->root, "steps"), "the pipeline has no steps");
    step_read_all(p, steps);
    matrix_read_all(p);
    for (uint32_t i = 0; i < p->step_count; i++)
        params_scan(p, &p->steps[i]);
    for (uint32_t i = 0; i < p->step_count; i++)
        params_read_outputs(p, &p->steps[i]);
    for (uint32_t i = 0; i < p->step_count; i++)
        reference_read(p, &p->steps[i]);
    for (uint32_t i = 0; i < p->step_count; i++)
        reference_resolve(p, &p->steps[i]);
    order_steps(p);
    for (uint32_t i = 0; i < p->step_count; i++) {
        ports_check(p, &p->steps[i]);
        params_check(p, &p->steps[i]);
    }
    if (p->edge_count > EDGES_MAX)
        diagnostics_error(p->d, NULL,
                          "the tasks have %llu inputs from each other; at most %d are "
                          "possible",
                          (unsigned long long)p->edge_count, EDGES_MAX);
}

static void read_document(struct pipeline *p, const struct override *overrides, size_t count)
{
    static const char *const keys[] = {"version", "name",     "params", "sources",
                                       "steps",   "defaults", NULL};
    if (p->root.type != VALUE_MAP) {
        diagnostics_error(p->d, &p->root, "expected a mapping with version, steps, …, not a %s",
                          value_type_name((enum value_type)p->root.type));
        return;
    }
    /* A wrong override says nothing about the file: what follows would be confused by it. */
    if (override_apply(p, overrides, count) != OK)
        return;
    check_keys(p, &p->root, "at the top level", keys);
    read_version(p);
    read_name(p);
    read_params(p);
    read_sources(p);
    read_steps(p);
    if (!p->d->error_count)
        warn_unused(p);
}

enum status pipeline_parse(const char *file, const char *text, size_t bytes,
                           const struct override *overrides, size_t override_count,
                           struct diagnostics *d, struct pipeline **out)
{
    *out = NULL;
    d->file = file;
    AUTO(pipeline_free) struct pipeline *p = mem_alloc(sizeof *p);
    p->d = d;
    p->budget = DOCUMENT_BUDGET_BYTES;
    struct err err;
    if (yaml_parse(file, text, bytes, &p->arena, &p->root, &err) == OK)
        read_document(p, overrides, override_count);
    else
        diagnostics_failure(d, err.text);
    TRY(diagnostics_end(d));
    *out = TAKE(p);
    return OK;
}

void pipeline_free(struct pipeline *pipeline)
{
    arena_fini(&pipeline->arena);
    mem_free(pipeline);
}

const char *pipeline_name(const struct pipeline *pipeline)
{
    return pipeline->name;
}

const struct value *pipeline_params(const struct pipeline *pipeline)
{
    return &pipeline->params;
}

size_t pipeline_sources(const struct pipeline *pipeline, const struct source_need **out)
{
    *out = pipeline->needs;
    return pipeline->source_count;
}

void pipeline_resolve_source(struct pipeline *pipeline, size_t index,
                             const struct artifact *artifact)
{
    pipeline->sources[index].artifact = *artifact;
    pipeline->sources[index].is_resolved = true;
}
