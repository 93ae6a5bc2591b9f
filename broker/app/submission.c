// SPDX-License-Identifier: Apache-2.0
#include "broker/app/submission.h"

#include <stdio.h>
#include <string.h>

#include "broker/source/source.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "common/log.h"
#include "proto/limits.h"
#include "proto/schema.h"

enum { STEPS_NAMED = 8 };

static enum status read_text(struct submission *s, const struct app_request *request,
                             struct err *err)
{
    s->file = arena_text(&s->arena, request->file, strlen(request->file));
    if (request->text) {
        s->text = arena_text(&s->arena, request->text, request->text_bytes);
        s->text_bytes = request->text_bytes;
        return OK;
    }
    AUTO(buf_fini) struct buf text = buf_init(PIPELINE_BYTES_MAX);
    TRY(fs_read(request->file, &text, err));
    s->text = arena_text(&s->arena, (const char *)text.bytes, text.count);
    s->text_bytes = text.count;
    return OK;
}

static enum status read_override(struct submission *s, const char *item, bool is_set,
                                 struct err *err)
{
    const char *equals = strchr(item, '=');
    if (!equals || equals == item)
        return err_set(err, E_INVALID, "%s \"%s\": expected NAME=VALUE, as in %s",
                       is_set ? "--set" : "-p", item,
                       is_set ? "--set train.params.seed=7" : "-p seed=7");
    s->overrides[s->override_count++] =
        (struct override){.path = arena_text(&s->arena, item, (size_t)(equals - item)),
                          .value = arena_text(&s->arena, equals + 1, strlen(equals + 1)),
                          .is_set = is_set};
    return OK;
}

static enum status read_overrides(struct submission *s, const struct app_request *request,
                                  struct err *err)
{
    size_t count = request->param_count + request->set_count;
    s->overrides = arena_alloc(&s->arena, (count + 1) * sizeof *s->overrides);
    for (size_t i = 0; i < request->param_count; i++)
        TRY(read_override(s, request->params[i], false, err));
    for (size_t i = 0; i < request->set_count; i++)
        TRY(read_override(s, request->sets[i], true, err));
    return OK;
}

/* The problems themselves stand in the diagnostics. */
static enum status found_errors(const struct submission *s, enum status status, struct err *err)
{
    uint32_t count = s->diagnostics->error_count;
    return err_set(err, status, "%s: %u error%s", s->file, count, count == 1 ? "" : "s");
}

static enum status parse(struct submission *s, struct err *err)
{
    enum status status = pipeline_parse(s->file, s->text, s->text_bytes, s->overrides,
                                        s->override_count, s->diagnostics, &s->pipeline);
    if (status != OK)
        return found_errors(s, status, err);
    s->need_count = pipeline_sources(s->pipeline, &s->needs);
    s->sources = arena_alloc(&s->arena, (s->need_count + 1) * sizeof *s->sources);
    return OK;
}

/* All sources are tried, so that every missing file is told at once. */
static enum status resolve_sources(struct submission *s, struct store *store,
                                   const char *cache_path, struct err *err)
{
    bool saves = store != NULL;
    AUTO(store_close) struct store *hasher = NULL;
    if (!store) {
        TRY(store_open("null:", &hasher, err));
        store = hasher;
    }
    const char *slash = strrchr(s->file, '/');
    const char *base = slash ? arena_text(&s->arena, s->file, (size_t)(slash - s->file)) : ".";
    if (slash == s->file)
        base = "/";
    AUTO(source_cache_free)
    struct source_cache *cache = cache_path ? source_cache_open(cache_path) : NULL;
    enum status worst = OK;
    for (size_t i = 0; i < s->need_count; i++) {
        struct err problem = {0};
        enum status status =
            source_resolve(&s->needs[i], base, store, cache, &s->sources[i], &problem);
        if (status == OK) {
            pipeline_resolve_source(s->pipeline, i, &s->sources[i]);
            continue;
        }
        diagnostics_error(s->diagnostics, s->needs[i].at, "%s", problem.text);
        if (worst == OK)
            worst = status == E_NOTFOUND ? E_INVALID : status;
    }
    if (worst != OK)
        return found_errors(s, worst, err);
    /* What is remembered only saves time: a cache that can't be written is no reason to stop. */
    if (cache && saves && source_cache_save(cache, err) != OK)
        log_event(LOG_WARN, "sources.unsaved", "path=%s", cache_path);
    return OK;
}

static enum status expand(struct submission *s, struct err *err)
{
    enum status status = graph_expand(s->pipeline, s->diagnostics, &s->graph);
    return status == OK ? OK : found_errors(s, status, err);
}

enum status submission_open(const struct app_request *request, enum submission_depth depth,
                            struct store *store, const char *cache_path,
                            struct diagnostics *diagnostics, struct submission **out,
                            struct err *err)
{
    *out = NULL;
    AUTO(submission_free) struct submission *s = mem_alloc(sizeof *s);
    s->diagnostics = diagnostics;
    TRY(read_text(s, request, err));
    TRY(read_overrides(s, request, err));
    TRY(parse(s, err));
    if (depth >= SUBMISSION_RESOLVED)
        TRY(resolve_sources(s, store, cache_path, err));
    if (depth == SUBMISSION_EXPANDED)
        TRY(expand(s, err));
    *out = TAKE(s);
    return OK;
}

enum status submission_draw(const struct app_request *request, enum app_graph_format format,
                            bool all_tasks, struct diagnostics *diagnostics, struct buf *out,
                            struct err *err)
{
    AUTO(submission_free) struct submission *s = NULL;
    TRY(submission_open(request, SUBMISSION_EXPANDED, NULL, NULL, diagnostics, &s, err));
    if (format == APP_GRAPH_DOT)
        graph_dot(s->graph, all_tasks, out);
    else
        graph_mermaid(s->graph, all_tasks, out);
    return OK;
}

void submission_free(struct submission *s)
{
    if (s->graph)
        graph_free(s->graph);
    if (s->pipeline)
        pipeline_free(s->pipeline);
    arena_fini(&s->arena);
    mem_free(s);
}

/* ---- to and from a run's document ---- */

void submission_document(const struct submission *s, struct arena *arena, struct value *document)
{
    doc_put(arena, document, "file", doc_text(arena, s->file, strlen(s->file)));
    doc_put(arena, document, "text", doc_text(arena, s->text, s->text_bytes));
    struct value overrides = doc_list();
    for (size_t i = 0; i < s->override_count; i++) {
        struct value *item = doc_add(arena, &overrides, doc_list());
        doc_add(arena, item, value_bool(s->overrides[i].is_set));
        doc_add(arena, item, value_string(s->overrides[i].path));
        doc_add(arena, item, value_string(s->overrides[i].value));
    }
    doc_put(arena, document, "overrides", overrides);
    struct value sources = doc_list();
    for (size_t i = 0; i < s->need_count; i++) {
        struct value *item = doc_add(arena, &sources, doc_map());
        doc_put(arena, item, "name", value_string(s->needs[i].name));
        doc_put(arena, item, "location", value_string(s->needs[i].location));
        doc_put(arena, item, "id", doc_id(arena, &s->sources[i].id));
        doc_put(arena, item, "bytes", value_int((int64_t)s->sources[i].bytes));
        doc_put(arena, item, "is_tree", value_bool(s->sources[i].is_tree));
    }
    doc_put(arena, document, "sources", sources);
}

static enum status damaged(struct err *err)
{
    return err_set(err, E_CORRUPT, "the run's document is damaged: it lacks what a run is made of");
}

static enum status restore_sources(struct submission *s, const struct value *sources,
                                   struct err *err)
{
    if (!sources || sources->type != VALUE_ARRAY || sources->count != s->need_count)
        return damaged(err);
    for (uint32_t i = 0; i < sources->count; i++) {
        const struct value *id = value_get(&sources->items[i], "id");
        const struct value *bytes = value_get(&sources->items[i], "bytes");
        const struct value *is_tree = value_get(&sources->items[i], "is_tree");
        if (!id || id->type != VALUE_STRING || !bytes || !is_tree)
            return damaged(err);
        struct artifact *artifact = &s->sources[i];
        TRY(id_parse(id->text, id->count, &artifact->id, err));
        artifact->bytes = (uint64_t)bytes->integer;
        artifact->is_tree = is_tree->boolean;
        pipeline_resolve_source(s->pipeline, i, artifact);
    }
    return OK;
}

enum status submission_restore(const struct value *document, struct diagnostics *diagnostics,
                               struct submission **out, struct err *err)
{
    *out = NULL;
    const struct value *text = value_get(document, "text"),
                       *overrides = value_get(document, "overrides");
    const char *file = value_get_text(document, "file");
    if (!file || !text || text->type != VALUE_STRING || !overrides ||
        overrides->type != VALUE_ARRAY)
        return damaged(err);
    AUTO(submission_free) struct submission *s = mem_alloc(sizeof *s);
    s->diagnostics = diagnostics;
    s->file = arena_text(&s->arena, file, strlen(file));
    s->text = arena_text(&s->arena, text->text, text->count);
    s->text_bytes = text->count;
    s->overrides = arena_alloc(&s->arena, (overrides->count + 1) * sizeof *s->overrides);
    for (uint32_t i = 0; i < overrides->count; i++) {
        const struct value *item = &overrides->items[i];
        if (item->type != VALUE_ARRAY || item->count != 3 || item->items[1].type != VALUE_STRING ||
            item->items[2].type != VALUE_STRING)
            return damaged(err);
        s->overrides[s->override_count++] = (struct override){
            .is_set = item->items[0].boolean,
            .path = arena_text(&s->arena, item->items[1].text, item->items[1].count),
            .value = arena_text(&s->arena, item->items[2].text, item->items[2].count)};
    }
    TRY(parse(s, err));
    TRY(restore_sources(s, value_get(document, "sources"), err));
    TRY(expand(s, err));
    *out = TAKE(s);
    return OK;
}

/* ---- finding tasks ---- */

uint32_t submission_step(const struct submission *s, const char *name)
{
    for (uint32_t i = 0; i < s->graph->step_count; i++)
        if (strcmp(s->graph->steps[i].name, name) == 0)
            return i;
    return UINT32_MAX;
}

static const char *suggest_step(const struct submission *s, const char *word, struct arena *arena)
{
    const char **names = arena_alloc(arena, (s->graph->step_count + 1) * sizeof *names);
    for (uint32_t i = 0; i < s->graph->step_count; i++)
        names[i] = s->graph->steps[i].name;
    return schema_suggest(word, names);
}

/* "; did you mean "train"?", or the steps there are. */
static const char *step_hint(const struct submission *s, const char *word, struct arena *arena)
{
    const char *near = suggest_step(s, word, arena);
    if (near && strcmp(near, word) != 0)
        return arena_format(arena, "did you mean \"%s\"?", near);
    AUTO(buf_fini) struct buf steps = buf_init(0);
    for (uint32_t i = 0; i < s->graph->step_count && i < STEPS_NAMED; i++)
        buf_format(&steps, "%s%s", i ? ", " : "", s->graph->steps[i].name);
    return arena_format(arena, "its steps: %s%s", buf_text(&steps),
                        s->graph->step_count > STEPS_NAMED ? ", …" : "");
}

enum status submission_no_step(const struct submission *s, const char *name, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    return err_set(err, E_INVALID, "%s: there is no step \"%s\"; %s", s->file, name,
                   step_hint(s, name, &arena));
}

static enum status no_task(const struct submission *s, const char *name, size_t bytes,
                           struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    size_t step_bytes = strcspn(name, "[");
    const char *word = arena_text(&arena, name, step_bytes < bytes ? step_bytes : bytes);
    uint32_t step = submission_step(s, word);
    if (step == UINT32_MAX)
        return err_set(err, E_NOTFOUND, "no task \"%.*s\" in the pipeline %s; %s", (int)bytes, name,
                       pipeline_name(s->pipeline), step_hint(s, word, &arena));
    AUTO(buf_fini) struct buf example = buf_init(0);
    graph_task_name(s->graph, s->graph->steps[step].first_task, &example);
    return err_set(err, E_NOTFOUND, "no task \"%.*s\": the step \"%s\" has %u, as \"%s\"",
                   (int)bytes, name, word, s->graph->steps[step].task_count, buf_text(&example));
}

/* Does "[a=1,b=2]" (or nothing) of `name` hold for the task? Each given axis must; axes left out
 * match any. */
static bool axes_match(const struct submission *s, uint32_t task, const char *name, size_t bytes)
{
    AUTO(buf_fini) struct buf full = buf_init(0);
    graph_task_name(s->graph, task, &full);
    if (full.count == bytes && memcmp(full.bytes, name, bytes) == 0)
        return true;
    const char *open = memchr(name, '[', bytes);
    if (!open || name[bytes - 1] != ']')
        return !open;
    const char *have = strchr(buf_text(&full), '[');
    if (!have)
        return false;
    for (const char *at = open + 1, *end = name + bytes - 1; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t n = (size_t)((comma ? comma : end) - at);
        bool is_there = false;
        for (const char *p = have; p && *p && !is_there; p = strpbrk(p + 1, "[,"))
            is_there = strncmp(p + 1, at, n) == 0 && (p[1 + n] == ',' || p[1 + n] == ']');
        if (!is_there)
            return false;
        at += n + 1;
    }
    return true;
}

enum status submission_task(const struct submission *s, const char *name, size_t bytes,
                            uint32_t *out, struct err *err)
{
    size_t step_bytes = strcspn(name, "[");
    if (step_bytes > bytes)
        step_bytes = bytes;
    for (uint32_t i = 0; i < s->graph->step_count; i++) {
        const struct graph_step *step = &s->graph->steps[i];
        if (strlen(step->name) != step_bytes || memcmp(step->name, name, step_bytes) != 0)
            continue;
        uint32_t match_count = 0;
        for (uint32_t t = step->first_task; t < step->first_task + step->task_count; t++)
            if (axes_match(s, t, name, bytes) && match_count++ == 0)
                *out = t;
        if (match_count == 1)
            return OK;
        if (match_count == 0)
            return no_task(s, name, bytes, err);
        AUTO(buf_fini) struct buf example = buf_init(0);
        graph_task_name(s->graph, *out, &example);
        return err_set(err, E_INVALID, "\"%.*s\" names %u tasks; say which, as in \"%s\"",
                       (int)bytes, name, match_count, buf_text(&example));
    }
    return no_task(s, name, bytes, err);
}

/* ---- looking up ---- */

struct look_up {
    uint32_t first;
    const struct submission_finder *finder;
    struct err *err;
    enum status status;
};

static void found_one(void *context, uint32_t index, const uint8_t *bytes, size_t count)
{
    struct look_up *look_up = context;
    struct record record;
    enum status status = record_parse(bytes, count, &record, look_up->err);
    if (status != OK)
        look_up->status = status;
    else
        look_up->finder->found(look_up->finder->context, look_up->first + index, &record);
}

enum status submission_look_up(const struct submission *s, struct state *state,
                               const struct submission_finder *finder, struct err *err)
{
    uint32_t total = s->graph->task_count, most = total < STATE_FIND_MAX ? total : STATE_FIND_MAX;
    AUTO(mem_free) struct id *ids = mem_alloc(most * sizeof *ids + 1);
    struct look_up look_up = {.finder = finder, .err = err};
    for (uint32_t first = 0; first < total; first += most) {
        uint32_t count = total - first < most ? total - first : most;
        for (uint32_t i = 0; i < count; i++)
            ids[i] = finder->id_of ? finder->id_of(finder->context, first + i)
                                   : s->graph->tasks[first + i].id;
        look_up.first = first;
        TRY(state_find_tasks(state, ids, count, found_one, &look_up, err));
        if (look_up.status != OK)
            return look_up.status;
    }
    return OK;
}

struct value submission_axes(const struct submission *s, uint32_t task, struct arena *arena)
{
    const struct graph_step *step = &s->graph->steps[graph_task_step(s->graph, task)];
    struct value axes = doc_map();
    for (uint32_t i = 0; i < step->axis_count; i++) {
        const struct value *value = graph_task_axis(s->graph, task, i);
        const struct value *name = value->type == VALUE_MAP ? value_get(value, "name") : value;
        doc_put(arena, &axes, step->axis_names[i], name ? *name : *value);
    }
    return axes;
}
