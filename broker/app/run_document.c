/* A run as it is kept in the state: what submission_restore needs, who and when, and at the end the
 * result. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/run.h"

#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"

struct value run_document_make(const struct run *run, const char *state, const struct value *result,
                               struct arena *arena)
{
    struct value document = doc_map();
    const struct value nil = value_nil();
    const struct {
        const char *key, *text;
    } texts[] = {{"id", run->id},     {"pipeline", pipeline_name(run->submission->pipeline)},
                 {"state", state},    {"who", run->who},
                 {"name", run->name}, {"key", run->key},
                 {"only", run->only}, {"force", run->force}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        doc_put(arena, &document, texts[i].key, texts[i].text ? value_string(texts[i].text) : nil);
    doc_put(arena, &document, "begun_us", value_int(run->begun_us));
    doc_put(arena, &document, "ended_us", run->ended_us ? value_int(run->ended_us) : nil);
    doc_put(arena, &document, "labels", run->labels);
    doc_put(arena, &document, "request", doc_id(arena, &run->request));
    doc_put(arena, &document, "force_all", value_bool(run->forces_all));
    doc_put(arena, &document, "cancelled", value_bool(run->is_cancelled));
    doc_put(arena, &document, "retries", value_int(run->retries));
    doc_put(arena, &document, "params", *pipeline_params(run->submission->pipeline));
    submission_document(run->submission, arena, &document);
    if (result)
        doc_put(arena, &document, "result", *result);
    if (result && run->has_task_list)
        doc_put(arena, &document, "task_list", doc_id(arena, &run->task_list));
    return document;
}

static enum status no_form(const char *id, struct err *err)
{
    return err_set(err, E_INVALID,
                   "run %s can't be kept: its parameters are nested too deep, or one is not a "
                   "finite number",
                   id);
}

enum status run_document_check(const struct run *run, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document = run_document_make(run, "running", NULL, &arena);
    return value_encode(&document, NULL, 0) ? OK : no_form(run->id, err);
}

enum status run_document_put(struct local *app, struct run *run, const char *state,
                             const struct value *result, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document = run_document_make(run, state, result, &arena);
    return run_document_store(app, run->id, &document, &run->put, err);
}

enum status run_document_store(struct local *app, const char *id, const struct value *document,
                               uint64_t *put, struct err *err)
{
    size_t bytes = value_encode(document, NULL, 0);
    if (!bytes)
        return no_form(id, err);
    AUTO(mem_free) uint8_t *encoded = mem_alloc(bytes);
    value_encode(document, encoded, bytes);
    app->put = loop_put_run(app->loop, id, encoded, bytes);
    if (put)
        *put = app->put;
    return OK;
}

enum status run_document_get(struct local *app, const char *ref, struct arena *arena,
                             struct value *out, struct err *err)
{
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    char id[STATE_RUN_ID_BYTES];
    TRY(state_get_run(app->state, ref, id, sizeof id, &bytes, err));
    TRY(value_decode(bytes.bytes, bytes.count, arena_memory(arena), out, err));
    if (out->type != VALUE_MAP || !value_get_text(out, "id"))
        return err_set(err, E_CORRUPT, "run %s: its document is damaged", id);
    return OK;
}
