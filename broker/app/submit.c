/* From a request to a run: parsed, sources in the store, expanded, what is known looked up, and
 * given to the scheduler. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/app/run.h"
#include "broker/loop_pause.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/crypto/sign.h"
#include "common/log.h"
#include "proto/limits.h"

enum {
    RESTORE_BATCH = 1024,
    PATIENCE_MS = 60000 /* with a state that is away before a run has begun; then its user hears */
};

/* ---- what is known ---- */

/* Records come one by one and go to the scheduler in batches. */
struct restore {
    struct local *app;
    struct run *run;
    struct arena arena;
    struct id tasks[RESTORE_BATCH];
    struct sched_known known[RESTORE_BATCH];
    uint32_t count;
};

static void restore_flush(struct restore *restore)
{
    if (!restore->count)
        return;
    struct sched_event event = {
        .type = SCHED_RESTORE,
        .restore = {.tasks = restore->tasks, .records = restore->known, .count = restore->count}};
    loop_step(restore->app->loop, &event);
    arena_fini(&restore->arena);
    restore->count = 0;
}

/* What was executed after the run began was executed by it, before a restart. */
static void note_done(struct run *run, uint32_t node, const struct record *record)
{
    if (!run->done || record->begun_us < run->begun_us)
        return;
    run->done[node] = 1;
    if (run->is_forced && run->is_forced[node])
        run->is_forced[node] = SCHED_FORCED_DONE;
}

static void restore_found(void *context, uint32_t task, const struct record *record)
{
    struct restore *restore = context;
    note_done(restore->run, task, record);
    struct artifact *outputs =
        arena_alloc(&restore->arena, (record->output_count + 1) * sizeof *outputs);
    struct record_output output;
    uint32_t count = 0;
    for (size_t cursor = 0; record_next_output(record, &cursor, &output);)
        outputs[count++] = output.artifact;
    const struct id *id = &restore->run->submission->graph->tasks[task].id;
    if (care_is_removing(restore->app, id))
        return;
    restore->tasks[restore->count] = *id;
    restore->known[restore->count++] = (struct sched_known){count, outputs};
    if (restore->count == RESTORE_BATCH)
        restore_flush(restore);
}

/* What waits to be committed may take away what would be found. */
static enum status settle(struct local *app, struct err *err)
{
    while (!loop_is_settled(app->loop)) {
        TRY(loop_turn(app->loop, 0, err));
        if (!loop_is_settled(app->loop))
            TRY(local_nap(app, err));
    }
    return OK;
}

/* A state that is away is asked again, as it is when a run goes on. What was found twice counts
 * once. A broker that serves waits for nothing: other runs go on, and who submits may ask again. */
static enum status look_up(struct local *app, struct run *run, struct restore *restore,
                           struct err *err)
{
    char quoted[2 * ERR_TEXT_BYTES];
    struct err why = {0};
    ms_t end = clock_ms() + PATIENCE_MS;
    for (bool is_told = false;; is_told = true) {
        if (!app->is_served)
            TRY(settle(app, err));
        enum status status =
            submission_look_up(run->submission, app->state,
                               &(struct submission_finder){NULL, restore_found, restore}, &why);
        if (status == OK || !loop_may_pass(status) || app->is_served || clock_ms() > end)
            return status == OK ? OK : err_set(err, status, "%s", why.text);
        if (!is_told)
            log_event(LOG_WARN, "state.waiting", "reason=%s",
                      log_quote(why.text, quoted, sizeof quoted));
        TRY(local_nap(app, err));
    }
}

static enum status restore_records(struct local *app, struct run *run, struct err *err)
{
    AUTO(mem_free) struct restore *restore = mem_alloc(sizeof *restore);
    restore->app = app;
    restore->run = run;
    care_spare(app, run->id, run->submission->graph);
    enum status status = look_up(app, run, restore, err);
    restore_flush(restore);
    arena_fini(&restore->arena);
    if (status != OK) /* some may have been told */
        loop_step(app->loop, &(struct sched_event){.type = SCHED_RESTORE});
    return status;
}

/* ---- what is wanted ---- */

/* 1 for every task of the step, else 0. */
static enum status mark_step(struct run *run, const char *name, uint8_t **out, struct err *err)
{
    const struct graph *graph = run->submission->graph;
    uint32_t step = submission_step(run->submission, name);
    if (step == UINT32_MAX)
        return submission_no_step(run->submission, name, err);
    uint8_t *marks = arena_alloc(&run->submission->arena, graph->task_count + 1);
    memset(marks + graph->steps[step].first_task, 1, graph->steps[step].task_count);
    *out = marks;
    return OK;
}

/* Forces nothing that the targets don't need. Backwards: consumers come behind their producers. */
static void keep_needed(const struct run *run, const uint8_t *targets, uint8_t *forced)
{
    const struct graph *graph = run->submission->graph;
    AUTO(mem_free) uint8_t *is_needed = mem_alloc(graph->task_count + 1);
    for (uint32_t i = graph->task_count; i-- > 0;) {
        const struct task_node *task = &graph->tasks[i];
        is_needed[i] |= targets[i];
        forced[i] &= is_needed[i];
        for (uint32_t j = 0; j < task->edge_count; j++)
            is_needed[graph->edges[task->first_edge + j].task] |= is_needed[i];
    }
}

static enum status mark_tasks(struct run *run, struct err *err)
{
    const struct graph *graph = run->submission->graph;
    uint8_t *targets = NULL, *forced = NULL;
    if (run->only)
        TRY(mark_step(run, run->only, &targets, err));
    if (run->force)
        TRY(mark_step(run, run->force, &forced, err));
    if (run->forces_all) {
        forced = arena_alloc(&run->submission->arena, graph->task_count + 1);
        memset(forced, 1, graph->task_count);
    }
    if (targets && forced)
        keep_needed(run, targets, forced);
    run->is_target = targets;
    run->is_forced = forced;
    return OK;
}

/* ---- the request ---- */

static const char *copy(struct arena *arena, const char *text)
{
    return text ? arena_text(arena, text, strlen(text)) : NULL;
}

static enum status check_text(const char *what, const char *text, struct err *err)
{
    if (!text)
        return OK;
    size_t bytes = strlen(text);
    if (!bytes || bytes > LABEL_BYTES_MAX)
        return err_set(err, E_INVALID, "%s \"%.40s\": expected 1 … %d bytes, not %zu", what, text,
                       LABEL_BYTES_MAX, bytes);
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return err_set(err, E_INVALID, "%s: control characters are not allowed in it", what);
    return OK;
}

static enum status take_label(struct run *run, const char *label, struct err *err)
{
    struct arena *arena = &run->submission->arena;
    const char *equals = strchr(label, '=');
    TRY(check_text("label", label, err));
    if (!equals || equals == label)
        return err_set(err, E_INVALID, "label \"%s\": expected KEY=VALUE, as in team=vision",
                       label);
    const char *key = arena_text(arena, label, (size_t)(equals - label));
    if (value_get(&run->labels, key))
        return err_set(err, E_INVALID, "label \"%s\" is given twice", key);
    doc_put(arena, &run->labels, key, value_string(copy(arena, equals + 1)));
    return OK;
}

static void put_part(struct buf *out, const void *bytes, size_t count)
{
    uint64_t length = count;
    buf_put(out, &length, sizeof length);
    buf_put(out, bytes, count);
}

static void put_text_part(struct buf *out, const char *text)
{
    put_part(out, text ? text : "", text ? strlen(text) : 0);
}

/* Of everything that makes a run what it is. */
static struct id fingerprint(const struct run *run)
{
    AUTO(buf_fini) struct buf all = buf_init(0);
    const struct submission *s = run->submission;
    put_part(&all, s->text, s->text_bytes);
    for (size_t i = 0; i < s->override_count; i++) {
        put_text_part(&all, s->overrides[i].is_set ? "--set" : "-p");
        put_text_part(&all, s->overrides[i].path);
        put_text_part(&all, s->overrides[i].value);
    }
    for (size_t i = 0; i < s->need_count; i++)
        put_part(&all, s->sources[i].id.bytes, ID_BYTES);
    const char *const texts[] = {run->only, run->force, run->forces_all ? "force" : NULL,
                                 run->name};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        put_text_part(&all, texts[i]);
    for (uint32_t i = 0; i < 2 * run->labels.count; i++)
        put_text_part(&all, run->labels.items[i].text);
    struct id id;
    hash_bytes(NULL, all.bytes, all.count, &id);
    return id;
}

/* Of a wish to make a run again, as it was said: what "latest" means may be another run when it is
 * said once more. */
static struct id fingerprint_again(const char *of, const struct app_request *changes)
{
    AUTO(buf_fini) struct buf all = buf_init(0);
    const char *const texts[] = {"again",
                                 of,
                                 changes->only_step,
                                 changes->force_step,
                                 changes->force_all ? "force" : NULL,
                                 changes->name};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        put_text_part(&all, texts[i]);
    const struct {
        const char *const *items;
        size_t count;
    } lists[] = {{changes->params, changes->param_count},
                 {changes->sets, changes->set_count},
                 {changes->labels, changes->label_count}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        put_part(&all, &lists[i].count, sizeof lists[i].count);
        for (size_t j = 0; j < lists[i].count; j++)
            put_text_part(&all, lists[i].items[j]);
    }
    struct id id;
    hash_bytes(NULL, all.bytes, all.count, &id);
    return id;
}

enum status run_take_request(struct run *run, const struct app_request *request, struct err *err)
{
    struct arena *arena = &run->submission->arena;
    TRY(check_text("name", request->name, err));
    TRY(check_text("who", request->who, err));
    TRY(check_text("idempotency key", request->idempotency_key, err));
    if (request->label_count > LABELS_MAX)
        return err_set(err, E_INVALID, "%zu labels, more than %d", request->label_count,
                       LABELS_MAX);
    run->name = copy(arena, request->name);
    run->who = request->who ? copy(arena, request->who)
                            : arena_format(arena, "uid %u", (unsigned)getuid());
    run->key = copy(arena, request->idempotency_key);
    run->only = copy(arena, request->only_step);
    run->force = copy(arena, request->force_step);
    run->forces_all = request->force_all;
    run->labels = doc_map();
    for (size_t i = 0; i < request->label_count; i++)
        TRY(take_label(run, request->labels[i], err));
    run->request = fingerprint(run);
    return OK;
}

/* ---- the run ---- */

/* Sorts by time: "20261121t091606123-1c22c3". One broker at a time writes here, and gives no
 * millisecond twice, so its runs are in order; the random part keeps those of several places
 * apart. */
void run_make_id(struct local *app, struct run *run)
{
    int64_t ms = run->begun_us / 1000;
    app->id_ms = ms > app->id_ms ? ms : app->id_ms + 1;
    uint8_t random[3];
    random_bytes(random, sizeof random);
    time_t seconds = (time_t)(app->id_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char stamp[20];
    strftime(stamp, sizeof stamp, "%Y%m%dt%H%M%S", &utc);
    snprintf(run->id, sizeof run->id, "%s%03d-%02x%02x%02x", stamp, (int)(app->id_ms % 1000),
             random[0], random[1], random[2]);
}

enum status run_begin(struct local *app, struct run *run, bool at_once, struct err *err)
{
    struct graph *graph = run->submission->graph;
    TRY(mark_tasks(run, err));
    TRY(restore_records(app, run, err));
    struct sched_event event = {.type = SCHED_SUBMIT,
                                .submit = {.run = run->number,
                                           .nodes = graph->tasks,
                                           .node_count = graph->task_count,
                                           .edges = graph->edges,
                                           .policies = graph->policies,
                                           .policy_count = graph->policy_count,
                                           .is_target = run->is_target,
                                           .is_forced = run->is_forced}};
    progress_open(run);
    if (at_once)
        loop_submit(app->loop, &event);
    else
        loop_step(app->loop, &event);
    return OK;
}

static enum status begin(struct local *app, struct run *run, struct err *err)
{
    if (!run->submission->graph)
        TRY(submission_expand(run->submission, err));
    run_make_id(app, run);
    TRY(run_document_check(run, err)); /* afterwards it can't be taken back */
    TRY(run_begin(app, run, !app->is_served, err));
    if (run->key)
        idempotency_add(&app->idempotency, run->key, run->id, &run->request);
    return run_document_put(app, run, "running", NULL, err);
}

/* The run that the same request began before; its id in `id`. */
static enum status find_same(struct local *app, const char *key, const struct id *request,
                             bool *is_found, char id[APP_RUN_ID_BYTES], struct err *err)
{
    struct id before;
    *is_found = key && idempotency_find(&app->idempotency, key, id, &before);
    if (*is_found && !id_equal(&before, request))
        return err_set(err, E_CONFLICT,
                       "the idempotency key \"%s\" was used for another request, which is run %s",
                       key, id);
    return OK;
}

/* `again`: the request's fingerprint, if it is not that of what the run is made of. */
static enum status submit(struct local *app, struct submission **submission,
                          const struct app_request *request, const struct id *again,
                          char id[APP_RUN_ID_BYTES], struct err *err)
{
    struct run *run = NULL;
    bool is_found = false;
    int64_t begun_us = clock_epoch_us();
    TRY(runs_add(app, &run, err));
    run->begun_us = begun_us;
    run->submission = TAKE(*submission);
    enum status status = run_take_request(run, request, err);
    if (again)
        run->request = *again;
    if (status == OK)
        status = find_same(app, run->key, &run->request, &is_found, id, err);
    if (status == OK && !is_found)
        status = begin(app, run, err);
    if (status == OK && !is_found)
        memcpy(id, run->id, sizeof run->id);
    else
        runs_remove(app, run);
    return status;
}

enum status local_submit(struct app *base, const struct app_request *request,
                         char id[APP_RUN_ID_BYTES], struct err *err)
{
    struct local *app = local_of(base);
    AUTO(submission_free) struct submission *submission = NULL;
    diagnostics_fini(&app->diagnostics);
    /* What can be said of the text alone is said before anything is made on disk. */
    TRY(submission_parse(request, &app->diagnostics, &submission, err));
    TRY(local_begin(app, err));
    TRY(submission_resolve(submission, request, app->store, app->source_cache, err));
    return submit(app, &submission, request, NULL, id, err);
}

enum status local_resubmit(struct app *base, const char *ref, const struct app_request *changes,
                           char out[APP_RUN_ID_BYTES], struct err *err)
{
    struct local *app = local_of(base);
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(submission_free) struct submission *submission = NULL;
    struct value document;
    struct id again = fingerprint_again(ref, changes);
    bool is_found;
    TRY(local_begin(app, err));
    TRY(find_same(app, changes->idempotency_key, &again, &is_found, out, err));
    if (is_found)
        return OK;
    TRY(run_document_get(app, ref, &arena, &document, err));
    diagnostics_fini(&app->diagnostics);
    TRY(submission_change(&document, changes, &app->diagnostics, &submission, err));
    return submit(app, &submission, changes, &again, out, err);
}
