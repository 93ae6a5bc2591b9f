/* From a request to a run: parsed, sources in the store, expanded, what is known looked up, and
 * given to the scheduler. */
// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/app/comparison.h"
#include "broker/app/run.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/sign.h"
#include "common/log.h"

enum {
    RESTORE_BATCH = 1024,
    LOOK_AGAIN_MS = 100,
    PATIENCE_MS = 60000 /* with a state that is away before a run has begun; then its user hears */
};

/* ---- what is known ---- */

/* Records come one by one and go to the scheduler in batches. */
struct restore {
    const struct local *app;
    const struct graph *graph;
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

static void restore_found(void *context, uint32_t task, const struct record *record)
{
    struct restore *restore = context;
    struct artifact *outputs =
        arena_alloc(&restore->arena, (record->output_count + 1) * sizeof *outputs);
    struct record_output output;
    uint32_t count = 0;
    for (size_t cursor = 0; record_next_output(record, &cursor, &output);)
        outputs[count++] = output.artifact;
    if (care_is_removing(restore->app, &restore->graph->tasks[task].id))
        return;
    restore->tasks[restore->count] = restore->graph->tasks[task].id;
    restore->known[restore->count++] = (struct sched_known){count, outputs};
    if (restore->count == RESTORE_BATCH)
        restore_flush(restore);
}

/* Sleeps, or is woken by a signal. */
static enum status nap(const struct local *app, struct err *err)
{
    struct pollfd wake = {.fd = app->wake_fd, .events = POLLIN};
    return poll(&wake, 1, LOOK_AGAIN_MS) > 0 ? err_set(err, E_CANCELLED, "interrupted") : OK;
}

/* What waits to be committed may take away what would be found. */
static enum status settle(struct local *app, struct err *err)
{
    while (!loop_is_settled(app->loop)) {
        TRY(loop_turn(app->loop, 0, err));
        if (!loop_is_settled(app->loop))
            TRY(nap(app, err));
    }
    return OK;
}

/* A state that is away is asked again, as it is when a run goes on. What was found twice counts
 * once. */
static enum status look_up(struct local *app, struct run *run, struct restore *restore,
                           struct err *err)
{
    char quoted[2 * ERR_TEXT_BYTES];
    struct err why = {0};
    ms_t end = clock_ms() + PATIENCE_MS;
    for (bool is_told = false;; is_told = true) {
        TRY(settle(app, err));
        enum status status =
            submission_look_up(run->submission, app->state,
                               &(struct submission_finder){NULL, restore_found, restore}, &why);
        bool can_wait = status == E_UNREACHABLE || status == E_IO || status == E_FULL;
        if (status == OK || !can_wait || clock_ms() > end)
            return status == OK ? OK : err_set(err, status, "%s", why.text);
        if (!is_told)
            log_event(LOG_WARN, "state.waiting", "reason=%s",
                      log_quote(why.text, quoted, sizeof quoted));
        TRY(nap(app, err));
    }
}

static enum status restore_records(struct local *app, struct run *run, struct err *err)
{
    AUTO(mem_free) struct restore *restore = mem_alloc(sizeof *restore);
    restore->app = app;
    restore->graph = run->submission->graph;
    care_spare(app, run->id, run->submission->graph);
    enum status status = look_up(app, run, restore, err);
    restore_flush(restore);
    arena_fini(&restore->arena);
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

static enum status mark_tasks(struct run *run, const struct app_request *request, struct err *err)
{
    const struct graph *graph = run->submission->graph;
    uint8_t *targets = NULL, *forced = NULL;
    if (request->only_step)
        TRY(mark_step(run, request->only_step, &targets, err));
    if (request->force_step)
        TRY(mark_step(run, request->force_step, &forced, err));
    if (request->force_all) {
        forced = arena_alloc(&run->submission->arena, graph->task_count + 1);
        memset(forced, 1, graph->task_count);
    }
    if (targets && forced)
        keep_needed(run, targets, forced);
    run->is_target = targets;
    run->is_forced = forced;
    return OK;
}

/* ---- the run ---- */

static void submit(struct local *app, struct run *run)
{
    struct graph *graph = run->submission->graph;
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
    loop_submit(app->loop, &event);
    if (!comparison_is_due(graph))
        graph_forget_tasks(graph);
    progress_begin(app, run);
}

/* Sorts by time: "20261121t091606123-1c22c3". One broker at a time writes here, so milliseconds
 * order its runs; the random part keeps those of several places apart. */
static void make_run_id(int64_t begun_us, char out[APP_RUN_ID_BYTES])
{
    uint8_t random[3];
    random_bytes(random, sizeof random);
    time_t seconds = (time_t)(begun_us / 1000000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char stamp[20];
    strftime(stamp, sizeof stamp, "%Y%m%dt%H%M%S", &utc);
    snprintf(out, APP_RUN_ID_BYTES, "%s%03d-%02x%02x%02x", stamp, (int)(begun_us / 1000 % 1000),
             random[0], random[1], random[2]);
}

static const char *user_name(struct arena *arena)
{
    return arena_format(arena, "uid %u", (unsigned)getuid());
}

static enum status begin(struct local *app, struct run *run, const struct app_request *request,
                         struct err *err)
{
    TRY(submission_open(request, SUBMISSION_EXPANDED, app->store, app->source_cache,
                        &app->diagnostics, &run->submission, err));
    TRY(mark_tasks(run, request, err));
    struct arena *arena = &run->submission->arena;
    if (request->name)
        run->name = arena_text(arena, request->name, strlen(request->name));
    run->who =
        request->who ? arena_text(arena, request->who, strlen(request->who)) : user_name(arena);
    make_run_id(run->begun_us, run->id);
    TRY(restore_records(app, run, err));
    submit(app, run);
    return run_document_put(app, run, "running", NULL, err);
}

enum status local_submit(struct app *base, const struct app_request *request,
                         char id[APP_RUN_ID_BYTES], struct err *err)
{
    struct local *app = local_of(base);
    struct run *run = NULL;
    int64_t begun_us = clock_epoch_us();
    /* What can be said of the text alone is said before anything is made on disk. */
    TRY(local_lint(base, request, err));
    diagnostics_fini(&app->diagnostics);
    TRY(local_begin(app, err));
    TRY(runs_add(app, &run, err));
    run->begun_us = begun_us;
    enum status status = begin(app, run, request, err);
    if (status == OK)
        memcpy(id, run->id, sizeof run->id);
    else
        runs_remove(app, run);
    return status;
}
