/* logs: what a task wrote. A failed task has no record; its log is named by the run's result. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/run.h"
#include "common/base/doc.h"
#include "proto/limits.h"

/* The entry of a task among those a result lists, or NULL. */
static const struct value *find_entry(const struct value *list, const struct id *task)
{
    char hex[ID_HEX_BYTES];
    id_hex(task, hex);
    for (uint32_t i = 0; list && i < list->count; i++) {
        const struct value *id = value_get(&list->items[i], "task");
        if (id && value_is_text(id, hex))
            return &list->items[i];
    }
    return NULL;
}

/* Large runs list no task but those that failed. */
static const struct value *entry_in_run(struct local *app, const char *run, const struct id *task,
                                        struct arena *arena)
{
    struct value document;
    if (run_document_get(app, run, arena, &document, NULL) != OK)
        return NULL;
    const struct value *result = value_get(&document, "result");
    const struct value *entry = result ? find_entry(value_get(result, "steps"), task) : NULL;
    return entry || !result ? entry : find_entry(value_get(result, "failures"), task);
}

struct found_log {
    bool has_record, has_log;
    struct id log;
    uint32_t attempt; /* of the record */
};

static void found_record(void *context, uint32_t index, const uint8_t *bytes, size_t count)
{
    (void)index;
    struct found_log *found = context;
    struct record record;
    if (record_parse(bytes, count, &record, NULL) != OK)
        return;
    found->has_record = true;
    found->has_log = record.has_log;
    found->attempt = record.attempt;
    found->log = record.log.id;
}

static enum status find_log(struct local *app, const char *text, struct arena *arena,
                            struct found_log *out, struct err *err)
{
    struct id task;
    TRY(ref_task(app, text, arena, &task, err));
    const struct value *entry = entry_in_run(app, ref_run(text, arena), &task, arena);
    const struct value *log = entry ? value_get(entry, "log") : NULL;
    bool has_failed = entry && value_get(entry, "error");
    if (log && log->type == VALUE_STRING) {
        out->has_log = true;
        return id_parse(log->text, log->count, &out->log, err);
    }
    TRY(state_find_tasks(app->state, &task, 1, found_record, out, err));
    if (has_failed)
        out->has_log = false; /* the record's log tells of another time */
    return out->has_record || has_failed
               ? OK
               : err_set(err, E_NOTFOUND, "%s: that task has no log: it did not run to an end",
                         text);
}

/* Of a run that goes on here, without a look at what is stored. */
static bool find_live(struct local *app, const char *text, struct arena *arena,
                      struct sched_task_info *out)
{
    const struct run *run = app->loop ? runs_find(app, ref_run(text, arena)) : NULL;
    const char *slash = strchr(text, '/'), *open = strchr(text, '[');
    const char *name = slash && (!open || slash < open) ? slash + 1 : text;
    struct id id;
    uint32_t at;
    if (strlen(text) == ID_HEX_BYTES - 1 && id_parse(text, strlen(text), &id, NULL) == OK) {
        at = app->loop ? sched_task_find(loop_sched(app->loop), &id) : UINT32_MAX;
        if (at != UINT32_MAX)
            sched_task_info(loop_sched(app->loop), at, out);
        return at != UINT32_MAX;
    }
    if (!run || !run->is_begun ||
        submission_task(run->submission, name, strlen(name), &at, NULL) != OK)
        return false;
    sched_node_info(loop_sched(app->loop), run->number, at, out);
    return true;
}

/* What is stored of a task that ended. */
static enum status read_stored(struct local *app, const struct found_log *found, struct app_log *at,
                               struct buf *out, struct err *err)
{
    AUTO(buf_fini) struct buf text = buf_init(LOG_BYTES_MAX);
    if (found->has_log)
        TRY(store_get(app->store, &found->log, &text, err));
    if (at->offset < text.count)
        buf_put(out, text.bytes + at->offset, text.count - at->offset);
    *at = (struct app_log){.attempt = at->attempt, .offset = text.count, .is_final = true};
    return OK;
}

static enum status read_live(struct local *app, const struct sched_task_info *info,
                             struct app_log *at, struct buf *out, struct err *err)
{
    struct found_log found = {0};
    struct attempt attempt = {info->id, info->attempts};
    at->is_final = false;
    if (info->state == TASK_RUNNING && info->worker != UINT32_MAX)
        tails_read(app, info->worker, &attempt, at, out);
    if (info->state < TASK_SUCCEEDED) /* not yet begun, or between two attempts */
        return OK;
    found.has_log = info->has_log;
    found.log = info->log.id;
    found.attempt = info->attempts;
    if (info->state == TASK_SUCCEEDED) /* maybe under another broker, whose attempt it was */
        TRY(state_find_tasks(app->state, &info->id, 1, found_record, &found, err));
    if (at->attempt && at->attempt != found.attempt)
        at->offset = 0;
    at->attempt = found.attempt;
    return read_stored(app, &found, at, out, err);
}

enum status local_logs(struct app *base, const char *task, struct app_log *at, struct buf *out,
                       struct err *err)
{
    struct local *app = local_of(base);
    AUTO(arena_fini) struct arena arena = {0};
    struct found_log found = {0};
    struct sched_task_info info;
    TRY(local_open_reader(app, err));
    const struct run *run = app->loop ? runs_find(app, ref_run(task, &arena)) : NULL;
    if (run && !run->is_begun) /* it is on its way */
        return OK;
    if (find_live(app, task, &arena, &info))
        return read_live(app, &info, at, out, err);
    TRY(find_log(app, task, &arena, &found, err));
    return read_stored(app, &found, at, out, err);
}
