/* list: the runs there were, newest first, as far as a filter lets them through. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/local.h"
#include "broker/care/document.h"
#include "common/base/doc.h"

struct list {
    const struct app_filter *filter;
    struct arena *arena;
    struct value *out;
};

static bool is_field(const struct value *document, const char *key, const char *wanted)
{
    const struct value *field = value_get(document, key);
    return !wanted || (field && value_is_text(field, wanted));
}

static bool passes(const struct app_filter *filter, const struct value *document)
{
    for (size_t i = 0; i < filter->label_count; i++)
        if (!document_has_label(document, filter->labels[i]))
            return false;
    return is_field(document, "state", filter->state) && is_field(document, "name", filter->name) &&
           is_field(document, "pipeline", filter->pipeline);
}

/* A run without its text and result. */
static enum status list_one(void *context, const char *id, const uint8_t *bytes, size_t count,
                            struct err *err)
{
    struct list *list = context;
    static const char *const shown[] = {"pipeline", "name",     "labels",   "who",
                                        "state",    "begun_us", "ended_us", "params"};
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    (void)err;
    if ((list->filter->limit && list->out->count == list->filter->limit) ||
        (list->filter->before && strcmp(id, list->filter->before) >= 0)) /* ids sort by time */
        return OK;
    if (value_decode(bytes, count, arena_memory(&arena), &document, NULL) != OK ||
        document.type != VALUE_MAP) { /* it keeps nobody from seeing the others */
        document = doc_map();
        doc_put(&arena, &document, "state", value_string("damaged"));
    }
    if (!passes(list->filter, &document))
        return OK;
    struct value *run = doc_add(list->arena, list->out, doc_map());
    doc_put(list->arena, run, "run", doc_text(list->arena, id, strlen(id)));
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const struct value *field = value_get(&document, shown[i]);
        doc_put(list->arena, run, shown[i], field ? doc_copy(list->arena, field) : value_nil());
    }
    const struct value *result = value_get(&document, "result");
    const struct value *tasks = result ? value_get(result, "tasks") : NULL;
    doc_put(list->arena, run, "tasks", tasks ? doc_copy(list->arena, tasks) : value_nil());
    return OK;
}

static enum status check(const struct app_filter *filter, struct err *err)
{
    static const char *const states[] = {"queued", "running",   "succeeded",
                                         "failed", "cancelled", "damaged"};
    bool is_known = !filter->state;
    for (size_t i = 0; i < sizeof states / sizeof *states && !is_known; i++)
        is_known = strcmp(states[i], filter->state) == 0;
    if (!is_known)
        return err_set(err, E_INVALID,
                       "state \"%.64s\": expected queued, running, succeeded, failed, cancelled "
                       "or damaged",
                       filter->state);
    for (size_t i = 0; i < filter->label_count; i++)
        if (!strchr(filter->labels[i], '='))
            return err_set(err, E_INVALID, "label \"%.64s\": expected KEY=VALUE, as in team=vision",
                           filter->labels[i]);
    return OK;
}

enum status local_list(struct app *base, const struct app_filter *filter, struct arena *arena,
                       struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    *out = doc_list();
    TRY(check(filter, err));
    enum status status = local_open_reader(app, err);
    if (status == E_NOTFOUND) /* an empty folder: no runs */
        return OK;
    if (status != OK)
        return status;
    bool picks =
        filter->state || filter->name || filter->pipeline || filter->before || filter->label_count;
    struct list list = {filter, arena, out};
    return state_each_run(app->state, picks ? 0 : filter->limit, list_one, &list, err);
}
