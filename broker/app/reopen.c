/* Runs from their documents: those that a former broker left open go on when this one begins to
 * serve; a run that has ended is tried again.
 *
 * A document that can't be read keeps no broker from starting: its run has failed, and says why. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/run.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/log.h"

/* ---- one run ---- */

static const char *text_of(struct arena *arena, const struct value *map, const char *key)
{
    const struct value *value = value_get(map, key);
    return value && value->type == VALUE_STRING ? arena_text(arena, value->text, value->count)
                                                : NULL;
}

static bool is_true(const struct value *map, const char *key)
{
    const struct value *value = value_get(map, key);
    return value && value->type == VALUE_BOOL && value->boolean;
}

static int64_t int_of(const struct value *map, const char *key)
{
    const struct value *value = value_get(map, key);
    return value && value->type == VALUE_INT ? value->integer : 0;
}

static enum status take_document(struct run *run, const struct value *document, struct err *err)
{
    struct arena *arena = &run->submission->arena;
    const char *id = text_of(arena, document, "id"), *who = text_of(arena, document, "who");
    const struct value *labels = value_get(document, "labels"),
                       *request = value_get(document, "request");
    if (!id || strlen(id) >= sizeof run->id)
        return err_set(err, E_CORRUPT, "the run's document is damaged: it has no id");
    memcpy(run->id, id, strlen(id) + 1);
    run->who = who ? who : "";
    run->name = text_of(arena, document, "name");
    run->key = text_of(arena, document, "key");
    run->only = text_of(arena, document, "only");
    run->force = text_of(arena, document, "force");
    run->forces_all = is_true(document, "force_all");
    run->is_cancelled = is_true(document, "cancelled");
    run->retries = (uint32_t)int_of(document, "retries");
    run->begun_us = int_of(document, "begun_us");
    run->labels = labels && labels->type == VALUE_MAP ? doc_copy(arena, labels) : doc_map();
    if (request && request->type == VALUE_STRING)
        TRY(id_parse(request->text, request->count, &run->request, err));
    return OK;
}

static enum status run_restore(struct local *app, struct run *run, const struct value *document,
                               struct err *err)
{
    diagnostics_fini(&app->diagnostics);
    TRY(submission_restore(document, &app->diagnostics, &run->submission, err));
    return take_document(run, document, err);
}

/* As it was; what it executed then counts as executed by it. */
static enum status reopen(struct local *app, const struct value *document, bool at_once,
                          struct run **out, struct err *err)
{
    TRY(runs_add(app, out, err));
    struct run *run = *out;
    enum status status = run_restore(app, run, document, err);
    if (status == OK) {
        run->done = mem_alloc(run->submission->graph->task_count + 1);
        status = run_begin(app, run, at_once, err);
    }
    if (status != OK) {
        runs_remove(app, run);
        *out = NULL;
    }
    return status;
}

static void cancel(struct local *app, const struct run *run, bool kill)
{
    struct sched_event event = {.type = SCHED_CANCEL, .cancel = {.run = run->number, .kill = kill}};
    loop_step(app->loop, &event);
}

/* ---- those that were open ---- */

/* An open run as it was stored. */
struct open_run {
    char id[STATE_RUN_ID_BYTES];
    uint8_t *document;
    size_t bytes;
};

struct look {
    struct local *app;
    struct arena arena;
    struct buf open; /* struct open_run each, newest first */
    struct buf keys; /* struct key_run each, newest first */
};

struct key_run {
    char *key;
    char run[APP_RUN_ID_BYTES];
    struct id request;
};

static bool is_open(const struct value *document)
{
    const struct value *state = value_get(document, "state");
    return state && (value_is_text(state, "running") || value_is_text(state, "queued"));
}

static void note_key(struct look *look, const char *id, const struct value *document)
{
    struct arena arena = {0};
    struct key_run item = {0};
    const char *key = text_of(&arena, document, "key"),
               *request = text_of(&arena, document, "request");
    if (key && request && strlen(id) < sizeof item.run &&
        look->keys.count < IDEMPOTENCY_KEYS_MAX * sizeof item &&
        id_parse(request, strlen(request), &item.request, NULL) == OK) {
        item.key = arena_text(&look->arena, key, strlen(key));
        memcpy(item.run, id, strlen(id) + 1);
        buf_put(&look->keys, &item, sizeof item);
    }
    arena_fini(&arena);
}

/* What can't be decoded may have been open; it is looked at once more when it is begun again. */
static enum status look_at(void *context, const char *id, const uint8_t *bytes, size_t count,
                           struct err *err)
{
    (void)err;
    struct look *look = context;
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    bool is_whole = value_decode(bytes, count, arena_memory(&arena), &document, NULL) == OK &&
                    document.type == VALUE_MAP;
    if (is_whole)
        note_key(look, id, &document);
    if (is_whole && !is_open(&document))
        return OK;
    struct open_run run = {.document = arena_alloc(&look->arena, count + 1), .bytes = count};
    memcpy(run.id, id, strlen(id) + 1);
    memcpy(run.document, bytes, count);
    buf_put(&look->open, &run, sizeof run);
    return OK;
}

/* Its document says so from now on, with all that can be read of the old one. */
static enum status fail_run(struct local *app, const char *id, const struct value *old,
                            const char *text, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    char quoted[2 * ERR_TEXT_BYTES];
    static const char *const kept[] = {"pipeline", "begun_us", "who",       "name", "params",
                                       "labels",   "file",     "overrides", "text", "sources"};
    log_event(LOG_ERROR, "run.damaged", "run=%s reason=%s", id,
              log_quote(text, quoted, sizeof quoted));
    struct value document = doc_map();
    doc_put(&arena, &document, "id", value_string(id));
    doc_put(&arena, &document, "state", value_string("failed"));
    doc_put(&arena, &document, "ended_us", value_int(clock_epoch_us()));
    doc_put(&arena, &document, "error", value_string(text));
    for (size_t i = 0; old && i < sizeof kept / sizeof *kept; i++) {
        const struct value *field = value_get(old, kept[i]);
        if (field)
            doc_put(&arena, &document, kept[i], *field);
    }
    return run_document_store(app, id, &document, NULL, err);
}

static enum status open_again(struct local *app, const struct open_run *stored, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    struct err why = {0};
    struct run *run;
    bool is_whole = value_decode(stored->document, stored->bytes, arena_memory(&arena), &document,
                                 &why) == OK &&
                    document.type == VALUE_MAP;
    if (!is_whole)
        return fail_run(app, stored->id, NULL,
                        "its document is damaged, so the run can't go on: submit it again", err);
    enum status status = reopen(app, &document, true, &run, &why);
    if (status == E_UNREACHABLE || status == E_IO ||
        status == E_LIMIT) /* not the document's fault */
        return err_set(err, status, "run %s: %s", stored->id, why.text);
    if (status != OK)
        return fail_run(app, stored->id, &document, why.text, err);
    if (run->is_cancelled) /* once stopped, it stays so */
        cancel(app, run, true);
    log_event(LOG_INFO, "run.reopened", "run=%s tasks=%u", run->id,
              run->submission->graph->task_count);
    return OK;
}

static enum status open_all(struct local *app, struct look *look, struct err *err)
{
    const struct open_run *runs = (const struct open_run *)(const void *)look->open.bytes;
    const struct key_run *keys = (const struct key_run *)(const void *)look->keys.bytes;
    for (size_t i = look->keys.count / sizeof *keys; i-- > 0;)
        idempotency_add(&app->idempotency, keys[i].key, keys[i].run, &keys[i].request);
    for (size_t i = look->open.count / sizeof *runs; i-- > 0;) { /* in the order they began */
        TRY(state_renew(app->state, err));
        TRY(open_again(app, &runs[i], err));
    }
    return OK;
}

enum status reopen_open_runs(struct local *app, struct err *err)
{
    struct look look = {.app = app, .open = buf_init(0), .keys = buf_init(0)};
    enum status status = state_each_run(app->state, 0, look_at, &look, err);
    if (status == OK)
        status = open_all(app, &look, err);
    buf_fini(&look.open);
    buf_fini(&look.keys);
    arena_fini(&look.arena);
    return status;
}

/* ---- again ---- */

static enum status get_ended(struct local *app, const char *ref, struct arena *arena,
                             struct value *out, struct err *err)
{
    const struct run *run = runs_find(app, ref);
    if (run)
        return err_set(err, E_CONFLICT, "run %s goes on", run->id);
    return run_document_get(app, ref, arena, out, err);
}

enum status local_retry(struct app *base, const char *ref, char out[APP_RUN_ID_BYTES],
                        struct err *err)
{
    struct local *app = local_of(base);
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    struct run *run;
    TRY(local_begin(app, err));
    TRY(get_ended(app, ref, &arena, &document, err));
    const char *state = value_get_text(&document, "state"), *id = value_get_text(&document, "id");
    if (state && strcmp(state, "succeeded") == 0)
        return err_set(err, E_CONFLICT, "run %s succeeded: nothing is left to try again", id);
    TRY(reopen(app, &document, !app->is_served, &run, err));
    run->is_cancelled = false;
    run->retries++;
    memcpy(out, run->id, sizeof run->id);
    return run_document_put(app, run, "running", NULL, err);
}
