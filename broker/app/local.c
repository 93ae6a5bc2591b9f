// SPDX-License-Identifier: Apache-2.0
#include "broker/app/local.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "broker/app/comparison.h"
#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/cores.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/log.h"

enum { RESTORE_BATCH = 1024, GRACE_MS = 3000 };

enum status app_open(const struct app_options *options, struct app **out, struct err *err)
{
    *out = NULL;
    if (options->listen)
        TRY(listen_check(options->listen, err));
    struct app *app = mem_alloc(sizeof *app);
    app->home = options->home ? options->home : ".penstock";
    app->home = arena_text(&app->arena, app->home, strlen(app->home));
    app->store_url =
        options->store ? options->store : arena_format(&app->arena, "%s/store", app->home);
    app->state_url =
        options->state ? options->state : arena_format(&app->arena, "%s/state", app->home);
    app->source_cache = arena_format(&app->arena, "%s/sources", app->home);
    app->worker_cache = arena_format(&app->arena, "%s/cache", app->home);
    app->slots = options->has_slots ? options->slots : cores_count();
    app->endpoint = options->listen
                        ? arena_text(&app->arena, options->listen, strlen(options->listen))
                        : arena_format(&app->arena, "ipc://%s/work.sock", app->home);
    app->workers_min = options->workers_min;
    app->is_serving = options->listen || !app->slots || app->workers_min > 1;
    app->lease_ms = options->lease_ms;
    app->wake_fd = options->wake_fd;
    app->publication.lock_fd = -1;
    app->diagnostics.text = buf_init(0);
    *out = app;
    return OK;
}

void app_close(struct app *app)
{
    load_retract(app);
    if (app->router)
        router_dismiss(app->router);
    if (app->worker)
        worker_process_stop(app->worker, app->is_killed ? 0 : GRACE_MS);
    if (app->loop)
        loop_free(app->loop);
    if (app->router)
        router_close(app->router);
    progress_fini(app);
    if (app->submission)
        submission_free(app->submission);
    if (app->state)
        state_close(app->state);
    if (app->store)
        store_close(app->store);
    if (app->is_writer) { /* after state_close: what was written behind is in it */
        int64_t main_us = clock_thread_cpu_us();
        log_event(LOG_INFO, "process.stats", "main_cpu_us=%lld other_cpu_us=%lld",
                  (long long)main_us, (long long)(clock_process_cpu_us() - main_us));
    }
    diagnostics_fini(&app->diagnostics);
    arena_fini(&app->arena);
    mem_free(app);
}

const char *app_diagnostics(struct app *app)
{
    return app->diagnostics.text.count ? buf_text(&app->diagnostics.text) : "";
}

static enum status open_both(struct app *app, enum state_mode mode, struct err *err)
{
    if (!app->store)
        TRY(store_open(app->store_url, &app->store, err));
    if (!app->state)
        TRY(state_open(app->state_url, mode, &app->state, err));
    return OK;
}

enum status local_open_reader(struct app *app, struct err *err)
{
    if (!app->state && !fs_exists(app->state_url) && !strchr(app->state_url, ':'))
        return err_set(err, E_NOTFOUND, "nothing has run here yet: no state in %s", app->state_url);
    return open_both(app, STATE_READ, err);
}

enum status local_open_writer(struct app *app, struct err *err)
{
    ASSERT(!app->state);
    TRY(fs_make_dirs(app->home, err));
    app->is_writer = true;
    return open_both(app, STATE_WRITE, err);
}

/* ---- submitting ---- */

/* Records come one by one and go to the scheduler in batches. */
struct restore {
    struct app *app;
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
    restore->tasks[restore->count] = restore->app->submission->graph->tasks[task].id;
    restore->known[restore->count++] = (struct sched_known){count, outputs};
    if (restore->count == RESTORE_BATCH)
        restore_flush(restore);
}

static enum status restore_records(struct app *app, struct err *err)
{
    AUTO(mem_free) struct restore *restore = mem_alloc(sizeof *restore);
    restore->app = app;
    enum status status =
        submission_look_up(app->submission, app->state,
                           &(struct submission_finder){NULL, restore_found, restore}, err);
    restore_flush(restore);
    arena_fini(&restore->arena);
    return status;
}

/* 1 for every task of the step, else 0. */
static enum status mark_step(struct app *app, const char *name, uint8_t **out, struct err *err)
{
    const struct graph *graph = app->submission->graph;
    uint32_t step = submission_step(app->submission, name);
    if (step == UINT32_MAX)
        return submission_no_step(app->submission, name, err);
    uint8_t *marks = arena_alloc(&app->submission->arena, graph->task_count + 1);
    memset(marks + graph->steps[step].first_task, 1, graph->steps[step].task_count);
    *out = marks;
    return OK;
}

/* Forces nothing that the targets don't need. Backwards: consumers come behind their producers. */
static void keep_needed(const struct app *app, const uint8_t *targets, uint8_t *forced)
{
    const struct graph *graph = app->submission->graph;
    AUTO(mem_free) uint8_t *is_needed = mem_alloc(graph->task_count + 1);
    for (uint32_t i = graph->task_count; i-- > 0;) {
        const struct task_node *task = &graph->tasks[i];
        is_needed[i] |= targets[i];
        forced[i] &= is_needed[i];
        for (uint32_t j = 0; j < task->edge_count; j++)
            is_needed[graph->edges[task->first_edge + j].task] |= is_needed[i];
    }
}

static enum status mark_tasks(struct app *app, const struct app_request *request, struct err *err)
{
    const struct graph *graph = app->submission->graph;
    uint8_t *targets = NULL, *forced = NULL;
    if (request->only_step)
        TRY(mark_step(app, request->only_step, &targets, err));
    if (request->force_step)
        TRY(mark_step(app, request->force_step, &forced, err));
    if (request->force_all) {
        forced = arena_alloc(&app->submission->arena, graph->task_count + 1);
        memset(forced, 1, graph->task_count);
    }
    if (targets && forced)
        keep_needed(app, targets, forced);
    app->is_target = targets;
    app->is_forced = forced;
    return OK;
}

static void submit(struct app *app)
{
    struct graph *graph = app->submission->graph;
    struct sched_event event = {.type = SCHED_SUBMIT,
                                .submit = {.run = RUN,
                                           .nodes = graph->tasks,
                                           .node_count = graph->task_count,
                                           .edges = graph->edges,
                                           .policies = graph->policies,
                                           .policy_count = graph->policy_count,
                                           .is_target = app->is_target,
                                           .is_forced = app->is_forced}};
    loop_submit(app->loop, &event);
    if (!comparison_is_due(graph))
        graph_forget_tasks(graph);
    progress_begin(app);
}

/* Sorts by time: "20261121t091606123-1c22c3". One broker at a time writes here, so milliseconds
 * order its runs; the random part keeps those of several places apart. */
static void make_run_id(int64_t begun_us, char out[RUN_ID_BYTES])
{
    uint8_t random[3];
    random_bytes(random, sizeof random);
    time_t seconds = (time_t)(begun_us / 1000000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    char stamp[20];
    strftime(stamp, sizeof stamp, "%Y%m%dt%H%M%S", &utc);
    snprintf(out, RUN_ID_BYTES, "%s%03d-%02x%02x%02x", stamp, (int)(begun_us / 1000 % 1000),
             random[0], random[1], random[2]);
}

static void run_over(void *context, uint32_t run)
{
    (void)run;
    struct app *app = context;
    app->is_over = true;
    app->ended_us = clock_epoch_us();
}

enum status app_submit(struct app *app, const struct app_request *request, struct err *err)
{
    app->begun_us = clock_epoch_us();
    app->begun_at = clock_ms();
    /* What can be said of the text alone is said before anything is made on disk. */
    TRY(app_lint(app, request, err));
    diagnostics_fini(&app->diagnostics);
    TRY(local_open_writer(app, err));
    if (app->is_serving)
        TRY(listen_open(app, err));
    TRY(submission_open(request, SUBMISSION_EXPANDED, app->store, app->source_cache,
                        &app->diagnostics, &app->submission, err));
    TRY(mark_tasks(app, request, err));
    make_run_id(app->begun_us, app->run_id);
    struct loop_options options = {.state = app->state,
                                   .store = app->store,
                                   .router = app->router,
                                   .lease_ms = app->lease_ms,
                                   .workers_min = app->workers_min,
                                   .hooks = {progress_published, run_over, app},
                                   .seed = (uint64_t)app->begun_us,
                                   .wake_fd = app->wake_fd};
    app->loop = loop_new(&options);
    TRY(restore_records(app, err));
    submit(app);
    return run_document_put(app, "running", NULL, err);
}

/* ---- working ---- */

/* The first time something has to run: a worker, and a socket if there is none yet. */
static enum status start_worker(struct app *app, struct err *err)
{
    if (!app->router) {
        TRY(listen_open(app, err));
        loop_set_router(app->loop, app->router);
    }
    struct worker_process_options worker = {.endpoint = router_endpoint(app->router),
                                            .store = app->store_url,
                                            .cache = app->worker_cache,
                                            .slots = app->slots};
    return worker_process_start(&worker, &app->worker, err);
}

/* A dead worker's tasks are given up at once: nobody waits for a lease of a process that is known
 * to be gone. */
static enum status check_worker(struct app *app, struct err *err)
{
    bool has_died = false;
    const char *name = NULL;
    TRY(worker_process_check(app->worker, clock_ms(), &has_died, &name, err));
    if (!has_died)
        return OK;
    uint32_t worker = router_worker_find(app->router, name);
    if (worker == UINT32_MAX)
        return OK;
    struct sched_event event = {.type = SCHED_GONE, .gone = {.worker = worker, .code = E_GONE}};
    loop_step(app->loop, &event);
    return OK;
}

static enum status finish(struct app *app, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value result;
    TRY(report_result(app, false, &arena, &result, err));
    return run_document_put(app, value_get_text(&result, "state"), &result, err);
}

static bool is_work_ready(const struct app *app)
{
    struct sched_load load;
    sched_load(loop_sched(app->loop), &load);
    return load.ready > 0;
}

enum status app_turn(struct app *app, ms_t max_ms, struct err *err)
{
    if (!app->worker && app->slots && !app->is_over && is_work_ready(app))
        TRY(start_worker(app, err));
    if (app->worker)
        TRY(check_worker(app, err));
    TRY(loop_turn(app->loop, app->is_over ? 0 : max_ms, err));
    load_publish(app);
    if (!app->is_over)
        return OK;
    load_retract(app);
    if (!app->is_told)
        TRY(finish(app, err));
    app->is_told = true;
    if (!loop_is_idle(app->loop))
        return OK;
    app->is_kept = true;
    return state_flush(app->state, err);
}

bool app_is_over(const struct app *app)
{
    return app->is_kept;
}

void app_stop(struct app *app, bool kill)
{
    app->is_killed = kill;
    if (kill)
        loop_give_up(app->loop);
    struct sched_event event = {.type = SCHED_CANCEL, .cancel = {.run = RUN, .kill = kill}};
    loop_step(app->loop, &event);
}
