/* A run as it is kept in the state: what submission_restore needs, who and when, and at the end the
 * result. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/local.h"

#include <string.h>
#include <unistd.h>

#include "common/base/doc.h"
#include "common/base/mem.h"

enum status run_document_put(struct app *app, const char *state, const struct value *result,
                             struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document = doc_map();
    doc_put(&arena, &document, "id", value_string(app->run_id));
    doc_put(&arena, &document, "pipeline", value_string(pipeline_name(app->submission->pipeline)));
    doc_put(&arena, &document, "state", value_string(state));
    doc_put(&arena, &document, "begun_us", value_int(app->begun_us));
    doc_put(&arena, &document, "ended_us", app->ended_us ? value_int(app->ended_us) : value_nil());
    doc_put(&arena, &document, "who", value_int((int64_t)getuid()));
    doc_put(&arena, &document, "params", *pipeline_params(app->submission->pipeline));
    submission_document(app->submission, &arena, &document);
    if (result)
        doc_put(&arena, &document, "result", *result);
    size_t bytes = value_encode(&document, NULL, 0);
    if (!bytes)
        return err_set(err, E_INVALID, "run %s: its document has no canonical form", app->run_id);
    AUTO(mem_free) uint8_t *encoded = mem_alloc(bytes);
    value_encode(&document, encoded, bytes);
    loop_put_run(app->loop, app->run_id, encoded, bytes);
    return OK;
}

enum status run_document_get(struct app *app, const char *ref, struct arena *arena,
                             struct value *out, struct err *err)
{
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    char id[RUN_ID_BYTES * 2];
    TRY(state_get_run(app->state, ref, id, sizeof id, &bytes, err));
    TRY(value_decode(bytes.bytes, bytes.count, arena_memory(arena), out, err));
    if (out->type != VALUE_MAP || !value_get_text(out, "id"))
        return err_set(err, E_CORRUPT, "run %s: its document is damaged", id);
    return OK;
}

/* A run without its text and result: what `list` shows. */
struct list {
    struct arena *arena;
    struct value *out;
};

static enum status list_one(void *context, const char *id, const uint8_t *bytes, size_t count,
                            struct err *err)
{
    (void)id;
    struct list *list = context;
    static const char *const shown[] = {"pipeline", "state", "begun_us", "ended_us", "params"};
    struct value document;
    TRY(value_decode(bytes, count, arena_memory(list->arena), &document, err));
    struct value *run = doc_add(list->arena, list->out, doc_map());
    doc_put(list->arena, run, "run", *value_get(&document, "id"));
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const struct value *field = value_get(&document, shown[i]);
        doc_put(list->arena, run, shown[i], field ? *field : value_nil());
    }
    const struct value *result = value_get(&document, "result");
    const struct value *tasks = result ? value_get(result, "tasks") : NULL;
    doc_put(list->arena, run, "tasks", tasks ? *tasks : value_nil());
    return OK;
}

enum status app_list(struct app *app, size_t limit, struct arena *arena, struct value *out,
                     struct err *err)
{
    *out = doc_list();
    enum status status = local_open_reader(app, err);
    if (status == E_NOTFOUND) /* an empty folder: no runs */
        return OK;
    if (status != OK)
        return status;
    struct list list = {arena, out};
    return state_each_run(app->state, limit, list_one, &list, err);
}
