// SPDX-License-Identifier: Apache-2.0
#include "broker/app/local.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "broker/app/run.h"
#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/cores.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/landlock.h"
#include "common/log.h"

enum { GRACE_MS = 3000, NAP_MS = 100 };

static const struct app_backend local_backend;
static void local_close(struct app *base);

enum status app_open_local(const struct app_options *options, struct app **out, struct err *err)
{
    *out = NULL;
    landlock_close_self(); /* our own worker's programs run as our user */
    struct local *app = mem_alloc(sizeof *app);
    app->base.backend = &local_backend;
    app->home = options->home ? options->home : ".penstock";
    app->home = arena_text(&app->arena, app->home, strlen(app->home));
    app->store_url =
        options->store ? options->store : arena_format(&app->arena, "%s/store", app->home);
    const char *redis = getenv("REDIS_URL");
    app->state_url = options->state    ? options->state
                     : redis && *redis ? arena_text(&app->arena, redis, strlen(redis))
                                       : arena_format(&app->arena, "%s/state", app->home);
    app->source_cache = arena_format(&app->arena, "%s/sources", app->home);
    app->worker_cache = arena_format(&app->arena, "%s/cache", app->home);
    app->key_path = options->key ? arena_text(&app->arena, options->key, strlen(options->key))
                                 : arena_format(&app->arena, "%s/keys/broker", app->home);
    app->workers_path =
        options->workers_file
            ? arena_text(&app->arena, options->workers_file, strlen(options->workers_file))
            : arena_format(&app->arena, "%s/keys/workers", app->home);
    app->names_workers = options->workers_file != NULL;
    app->slots = options->has_slots ? options->slots : cores_count();
    app->endpoint = options->listen
                        ? arena_text(&app->arena, options->listen, strlen(options->listen))
                        : arena_format(&app->arena, "ipc://%s/work.sock", app->home);
    app->workers_min = options->workers_min;
    app->listens_early = options->listen || !app->slots || app->workers_min > 1;
    app->lease_ms = options->lease_ms;
    app->looks_only = options->looks_only;
    app->wake_fd = options->wake_fd;
    app->shortage.since = MS_NEVER;
    app->publication.lock_fd = -1;
    app->diagnostics.text = buf_init(0);
    enum status status = listen_prepare(app, options, err);
    if (status == OK)
        status = lead_prepare(app, options->advertised, options->advertised_count, err);
    if (status == OK)
        *out = &app->base;
    else
        local_close(&app->base);
    return status;
}

void local_forget(struct local *app)
{
    load_retract(app);
    care_fini(app);
    if (app->loop)
        loop_free(TAKE(app->loop));
    runs_fini(app);
    idempotency_fini(&app->idempotency);
    tails_free(app);
    if (app->events)
        events_free(TAKE(app->events));
    if (app->state)
        state_close(TAKE(app->state));
    if (app->ending_store)
        store_close(TAKE(app->ending_store));
}

static void local_close(struct app *base)
{
    struct local *app = local_of(base);
    if (app->identity)
        signer_free(app->identity);
    load_retract(app);
    care_fini(app);
    if (app->router && !app->is_served) /* else they come back to the next broker */
        router_dismiss(app->router);
    if (app->worker)
        /* Of a broker that leaves, nobody told it to go; what it runs is the next one's to give. */
        worker_process_stop(app->worker, app->is_killed || app->is_served ? 0 : GRACE_MS);
    if (app->loop)
        loop_free(TAKE(app->loop));
    if (app->router)
        router_close(app->router);
    local_forget(app);
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

static const char *local_diagnostics(struct app *base)
{
    struct local *app = local_of(base);
    return app->diagnostics.text.count ? buf_text(&app->diagnostics.text) : "";
}

enum status local_nap(const struct local *app, struct err *err)
{
    struct pollfd wake = {.fd = app->wake_fd, .events = POLLIN};
    return poll(&wake, 1, NAP_MS) > 0 ? err_set(err, E_CANCELLED, "interrupted") : OK;
}

/* A server that was started just before us is waited for, as it is when a run goes on. A broker
 * that serves stands by meanwhile (lead.c). */
static enum status open_state(struct local *app, const struct state_options *options,
                              struct err *err)
{
    char quoted[2 * ERR_TEXT_BYTES];
    struct err why = {0};
    for (bool is_told = false;; is_told = true) {
        enum status status = state_open(options, &app->state, &why);
        if (status == OK)
            return OK;
        if (!state_is_loading(&why) || app->looks_only || app->is_served)
            return err_set(err, status, "%s", why.text);
        if (!is_told)
            log_event(LOG_WARN, "state.waiting", "reason=%s",
                      log_quote(why.text, quoted, sizeof quoted));
        TRY(local_nap(app, err));
    }
}

static enum status open_both(struct local *app, enum state_mode mode, struct err *err)
{
    if (!app->store)
        TRY(store_open(app->store_url, &app->store, err));
    struct state_options options = {.url = app->state_url,
                                    .mode = mode,
                                    .holder = app->lead.holder[0] ? app->lead.holder : NULL,
                                    .epoch_min = app->lead.epoch_seen,
                                    .waits_not = app->is_served,
                                    .journal_store = app->store_url};
    if (!app->state)
        TRY(open_state(app, &options, err));
    return OK;
}

enum status local_open_reader(struct local *app, struct err *err)
{
    if (!app->state && !fs_exists(app->state_url) && !strchr(app->state_url, ':'))
        return err_set(err, E_NOTFOUND, "nothing has run here yet: no state in %s", app->state_url);
    return open_both(app, STATE_READ, err);
}

enum status local_open_writer(struct local *app, struct err *err)
{
    ASSERT(!app->state);
    TRY(fs_make_dirs(app->home, err));
    app->is_writer = true;
    return open_both(app, STATE_WRITE, err);
}

static void run_ended(void *context, uint32_t number, struct buf *keep)
{
    struct local *app = context;
    progress_end(app, app->runs[number]);
    report_tasks(app, app->runs[number], keep);
}

static void run_over(void *context, uint32_t number, const struct id *kept)
{
    struct local *app = context;
    struct run *run = app->runs[number];
    run->is_over = true;
    run->has_task_list = kept != NULL;
    if (kept)
        run->task_list = *kept;
}

enum status local_begin(struct local *app, struct err *err)
{
    if (app->loop)
        return OK;
    TRY(local_open_writer(app, err));
    TRY(store_open(app->store_url, &app->ending_store, err));
    if (app->listens_early && !app->router)
        TRY(listen_open(app, err));
    struct loop_options options = {
        .state = app->state,
        .store = app->ending_store,
        .router = app->router,
        .lease_ms = app->lease_ms,
        .workers_min = app->workers_min,
        .hooks = {progress_published, run_ended, run_over, tails_heard, app},
        .seed = (uint64_t)clock_epoch_us(),
        .wake_fd = app->wake_fd};
    app->events = events_new();
    app->loop = loop_new(&options);
    app->put = 0;
    return OK;
}

static bool local_next_event(struct app *base, const char *run, uint64_t after,
                             struct app_event *out)
{
    struct local *app = local_of(base);
    app->is_watched = true;
    return app->events && events_next(app->events, run, after, out);
}

static uint64_t local_last_order(const struct app *base)
{
    return ((const struct local *)base)->put;
}

static bool local_is_committed(const struct app *base, uint64_t order)
{
    const struct local *app = (const struct local *)base;
    return app->loop && loop_has_committed(app->loop, order);
}

static uint64_t local_last_event(const struct app *base)
{
    const struct local *app = (const struct local *)base;
    return app->events ? events_last(app->events) : 0;
}

static const struct app_backend local_backend = {
    .name = "a broker that is not served",
    .close = local_close,
    .diagnostics = local_diagnostics,
    .listen = local_listen,
    .serve = local_serve,
    .lead = local_lead,
    .leave = local_leave,
    .is_idle = local_is_idle,
    .submit = local_submit,
    .retry = local_retry,
    .resubmit = local_resubmit,
    .joining = local_joining,
    .turn = local_turn,
    .run_is_over = local_run_is_over,
    .stop = local_stop,
    .watch = local_watch,
    .step_count = local_step_count,
    .step_progress = local_step_progress,
    .next_event = local_next_event,
    .last_event = local_last_event,
    .last_order = local_last_order,
    .is_committed = local_is_committed,
    .result = local_result,
    .plan = local_plan,
    .explain = local_explain,
    .graph = local_graph,
    .lint = local_lint,
    .list = local_list,
    .get = local_get,
    .lineage = local_lineage,
    .artifact = local_artifact,
    .export = local_export,
    .urls = local_urls,
    .verify = local_verify,
    .proof = local_proof,
    .attest = local_attest,
    .verify_attestation = local_verify_attestation,
    .gc = local_gc,
    .fsck = local_fsck,
    .care_result = local_care_result,
    .care_part = local_care_part,
    .logs = local_logs,
    .workers = local_workers,
    .uploads = local_uploads,
    .load = local_load,
    .recover = local_recover,
    .doctor = local_doctor,
    .keys_init = local_keys_init,
    .keys_add = local_keys_add,
    .keys_list = local_keys_list,
    .keys_revoke = local_keys_revoke,
};
