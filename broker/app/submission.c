// SPDX-License-Identifier: Apache-2.0
#include "broker/app/submission.h"

#include <string.h>

#include "broker/source/source.h"
#include "common/base/assert.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/store/tree.h"
#include "proto/limits.h"

static enum status read_text(struct submission *s, const struct app_request *request,
                             struct err *err)
{
    s->file = arena_text(&s->arena, request->file, strlen(request->file));
    if (request->text) {
        s->text = arena_text(&s->arena, request->text, request->text_bytes);
        s->text_bytes = request->text_bytes;
        return OK;
    }
    ASSERT(!request->is_remote);
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

/* Behind those that are there: the last of equal ones counts. */
static enum status add_overrides(struct submission *s, const struct app_request *request,
                                 struct err *err)
{
    size_t count = s->override_count + request->param_count + request->set_count;
    struct override *overrides = arena_alloc(&s->arena, (count + 1) * sizeof *overrides);
    if (s->override_count)
        memcpy(overrides, s->overrides, s->override_count * sizeof *overrides);
    s->overrides = overrides;
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

/* ---- sources that are known ---- */

static const struct value *find_known(const struct value *sources, const struct source_need *need)
{
    for (uint32_t i = 0; sources && sources->type == VALUE_ARRAY && i < sources->count; i++) {
        const struct value *item = &sources->items[i];
        const struct value *name = item->type == VALUE_MAP ? value_get(item, "name") : NULL;
        const struct value *location = name ? value_get(item, "location") : NULL;
        if (name && value_is_text(name, need->name) &&
            (!location || value_is_text(location, need->location)))
            return item;
    }
    return NULL;
}

static enum status read_known(const struct value *item, struct artifact *out, struct err *err)
{
    const struct value *id = value_get(item, "id"), *bytes = value_get(item, "bytes"),
                       *is_tree = value_get(item, "is_tree");
    if (!id || id->type != VALUE_STRING)
        return err_set(err, E_INVALID, "it has no \"id\"");
    TRY(id_parse(id->text, id->count, &out->id, err));
    out->bytes = bytes && bytes->type == VALUE_INT ? (uint64_t)bytes->integer : 0;
    out->is_tree = is_tree && is_tree->type == VALUE_BOOL && is_tree->boolean;
    return OK;
}

/* NULL: it is not asked whether they are there. */
static enum status check_known(const struct artifact *artifact, struct store *store,
                               struct err *err)
{
    char hex[ID_HEX_BYTES];
    bool has = false;
    if (!store)
        return OK;
    /* Made new, since nothing names it yet that would keep it from being collected. */
    if (artifact->is_tree)
        TRY(tree_renew(store, &artifact->id, &has, err));
    else
        TRY(store_renew(store, &artifact->id, 1, false, &has, err));
    return has ? OK
               : err_set(err, E_NOTFOUND, "%s %s is not in the store; upload it first",
                         artifact->is_tree ? "tree" : "blob", id_hex(&artifact->id, hex));
}

/* Nothing is read from disk: who submits says what the pipeline takes from outside. */
static enum status take_sources(struct submission *s, const struct value *sources,
                                struct store *store, struct err *err)
{
    enum status worst = OK;
    for (size_t i = 0; i < s->need_count; i++) {
        struct err problem = {0};
        const struct value *item = find_known(sources, &s->needs[i]);
        enum status status = item ? read_known(item, &s->sources[i], &problem) : E_INVALID;
        if (!item)
            err_set(&problem, status,
                    "it has to be uploaded and named in the request's \"sources\": a path is not "
                    "opened here (broker submit does both)");
        if (status == OK)
            status = check_known(&s->sources[i], store, &problem);
        if (status == OK) {
            pipeline_resolve_source(s->pipeline, i, &s->sources[i]);
            continue;
        }
        diagnostics_error(s->diagnostics, s->needs[i].at, "source \"%s\" (%s): %s",
                          s->needs[i].name, s->needs[i].location, problem.text);
        worst = worst == OK ? status : worst;
    }
    return worst == OK ? OK : found_errors(s, worst, err);
}

/* ---- the whole ---- */

enum status submission_expand(struct submission *s, struct err *err)
{
    enum status status = graph_expand(s->pipeline, s->diagnostics, &s->graph);
    return status == OK ? OK : found_errors(s, status, err);
}

enum status submission_parse(const struct app_request *request, struct diagnostics *diagnostics,
                             struct submission **out, struct err *err)
{
    *out = NULL;
    AUTO(submission_free) struct submission *s = mem_alloc(sizeof *s);
    s->diagnostics = diagnostics;
    TRY(read_text(s, request, err));
    TRY(add_overrides(s, request, err));
    TRY(parse(s, err));
    *out = TAKE(s);
    return OK;
}

enum status submission_resolve(struct submission *s, const struct app_request *request,
                               struct store *store, const char *cache_path, struct err *err)
{
    return request->is_remote ? take_sources(s, request->sources, store, err)
                              : resolve_sources(s, store, cache_path, err);
}

enum status submission_open(const struct app_request *request, struct store *store,
                            const char *cache_path, struct diagnostics *diagnostics,
                            struct submission **out, struct err *err)
{
    *out = NULL;
    AUTO(submission_free) struct submission *s = NULL;
    TRY(submission_parse(request, diagnostics, &s, err));
    TRY(submission_resolve(s, request, store, cache_path, err));
    TRY(submission_expand(s, err));
    *out = TAKE(s);
    return OK;
}

enum status submission_draw(const struct app_request *request, enum app_graph_format format,
                            bool all_tasks, struct diagnostics *diagnostics, struct buf *out,
                            struct err *err)
{
    AUTO(submission_free) struct submission *s = NULL;
    TRY(submission_open(request, NULL, NULL, diagnostics, &s, err));
    if (all_tasks && request->is_remote && s->graph->task_count > LISTED_TASKS_MAX)
        return err_set(err, E_LIMIT, "%s: %u tasks, more than %d, make no drawing; draw its steps",
                       s->file, s->graph->task_count, LISTED_TASKS_MAX);
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

enum status submission_change(const struct value *document, const struct app_request *changes,
                              struct diagnostics *diagnostics, struct submission **out,
                              struct err *err)
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
    TRY(add_overrides(s, changes, err));
    TRY(parse(s, err));
    TRY(take_sources(s, value_get(document, "sources"), NULL, err));
    TRY(submission_expand(s, err));
    *out = TAKE(s);
    return OK;
}

enum status submission_restore(const struct value *document, struct diagnostics *diagnostics,
                               struct submission **out, struct err *err)
{
    return submission_change(document, &(struct app_request){0}, diagnostics, out, err);
}
