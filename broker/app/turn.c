/* Working: the loop's turns, the local worker, and the end of runs. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/comparison.h"
#include "broker/app/run.h"
#include "broker/loop_pause.h"
#include "common/base/doc.h"
#include "common/clock.h"
#include "common/crypto/identity.h"
#include "common/log.h"

enum {
    BEGIN_NODES = 1 << 16, /* counted in one turn: a few ms */
    TELL_AGAIN_MS = 200,
    /* That Redis has forgotten what it had is noticed within a second or two, and then put back. */
    LOST_MS = 5000
};

/* The first time something has to run: a worker, and a socket if there is none yet. */
static enum status start_worker(struct local *app, struct err *err)
{
    if (!app->router) {
        TRY(listen_open(app, err));
        loop_set_router(app->loop, app->router);
    }
    char broker_key[ID_HEX_BYTES];
    AUTO(signer_free) struct signer *signer = NULL;
    bool has_key = identity_read(app->key_path, &signer, NULL) == OK;
    struct worker_process_options worker = {.endpoint = router_local_endpoint(app->router),
                                            .key = has_key ? app->key_path : NULL,
                                            .broker_key = keys_hex(app, broker_key),
                                            .store = app->store_url,
                                            .cache = app->worker_cache,
                                            .slots = app->slots,
                                            .is_tireless = app->is_served};
    return worker_process_start(&worker, &app->worker, err);
}

/* A dead worker's tasks are given up at once: nobody waits for a lease of a process that is known
 * to be gone. */
static enum status check_worker(struct local *app, struct err *err)
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

static bool is_work_ready(const struct local *app)
{
    struct sched_load load;
    sched_load(loop_sched(app->loop), &load);
    return load.ready > 0;
}

static void wait_to_tell(struct run *run, const char *reason, ms_t now)
{
    char quoted[2 * ERR_TEXT_BYTES];
    if (!run->tell_at)
        log_event(LOG_WARN, "run.waiting", "run=%s reason=%s", run->id,
                  log_quote(reason, quoted, sizeof quoted));
    run->tell_at = now + TELL_AGAIN_MS;
}

/* What has no canonical form, as axes that are nested too deep, must not end every broker that the
 * run is opened in: it is left out. */
static enum status keep_result(struct local *app, struct run *run, const struct value *result,
                               struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value head;
    struct err why = {0};
    const char *state = value_get_text(result, "state");
    if (run_document_put(app, run, state, result, &why) == OK)
        return OK;
    log_event(LOG_ERROR, "run.cut", "run=%s reason=\"its result is nested too deep\"", run->id);
    report_head(app, run, &arena, &head);
    doc_put(&arena, &head, "steps", doc_list());
    return run_document_put(app, run, state, &head, err);
}

/* A state that is away is asked again, and one that lacks a record may be getting it back. */
static enum status tell_result(struct local *app, struct run *run, ms_t now, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value result;
    struct err why = {0};
    bool gives_up = app->is_killed && !app->is_served;
    if (now < run->tell_at && !gives_up)
        return OK;
    run->tell_until = run->tell_until ? run->tell_until : now + LOST_MS;
    bool is_checked = true;
    enum status status = gives_up ? OK : report_check(app, run, &is_checked, &why);
    if (status == OK && !is_checked) {
        loop_hurry(app->loop);
        return OK;
    }
    if (status == OK)
        status = report_result(app, run, false, &arena, &result, &why);
    if (status == OK && run->lost_count && now < run->tell_until)
        err_set(&why, E_LOST, "the state lacks %u records of it", run->lost_count);
    if (!gives_up && (loop_may_pass(status) || (status == OK && why.code == E_LOST))) {
        wait_to_tell(run, why.text, now);
        return OK;
    }
    if (status != OK)
        return err_set(err, status, "run %s: %s", run->id, why.text);
    if (run->lost_count)
        log_event(LOG_ERROR, "run.lost", "run=%s records=%u", run->id, run->lost_count);
    run->is_told = true;
    return keep_result(app, run, &result, err);
}

/* Its result goes into the state, and to the disk. */
static enum status finish(struct local *app, struct run *run, ms_t now, struct err *err)
{
    if (!run->is_told)
        TRY(tell_result(app, run, now, err));
    if (!run->is_told)
        return OK;
    run->is_kept =
        loop_has_kept(app->loop, run->put) && (app->is_served || loop_is_idle(app->loop));
    if (!run->is_kept)
        return OK;
    progress_tell_run(app, run);
    run->is_leaving = app->is_served; /* whoever ran it alone may still ask */
    if (run->is_leaving) {
        sched_forget(loop_sched(app->loop), run->number);
        loop_step(app->loop, &(struct sched_event){.type = SCHED_GO_ON});
    }
    return OK;
}

/* One of a broker that serves is submitted step by step. */
static void begin_run(struct local *app, struct run *run, const struct sched_run_info *info)
{
    struct graph *graph = run->submission->graph;
    uint32_t nodes = app->is_served ? BEGIN_NODES : UINT32_MAX;
    if (run->nodes.added == run->nodes.count || !info->is_begun)
        return;
    if (progress_begin(app, run, nodes) && !comparison_is_due(graph))
        graph_forget_tasks(graph);
    if (run->nodes.added < run->nodes.count)
        loop_hurry(app->loop);
}

/* False: it is gone. */
static enum status drive(struct local *app, struct run *run, ms_t now, struct err *err)
{
    struct sched_run_info info;
    sched_run_info(loop_sched(app->loop), run->number, &info);
    if (run->is_leaving) {
        if (!info.is_known)
            runs_remove(app, run);
        return OK;
    }
    begin_run(app, run, &info);
    progress_tell(app, run, now);
    bool is_counted = run->nodes.added == run->nodes.count;
    return run->is_over && is_counted && !run->is_kept ? finish(app, run, now, err) : OK;
}

static enum status tend_worker(struct local *app, struct err *err)
{
    if (!app->worker && app->slots && !app->is_left && !runs_have_ended(app) && is_work_ready(app))
        TRY(start_worker(app, err));
    return app->worker && !app->is_left ? check_worker(app, err) : OK;
}

static enum status turn(struct local *app, ms_t max_ms, struct err *err)
{
    TRY(tend_worker(app, err));
    TRY(loop_turn(app->loop, max_ms, err));
    if (app->is_left)
        return OK;
    load_publish(app);
    stuck_look(app);
    care_turn(app);
    ms_t now = clock_ms();
    uint64_t event = events_last(app->events);
    for (uint32_t i = 0; i < app->run_count; i++)
        if (app->runs[i])
            TRY(drive(app, app->runs[i], now, err));
    app->is_watched = false;
    if (events_last(app->events) != event)
        loop_hurry(app->loop);
    if (!app->is_served && runs_have_ended(app))
        load_retract(app);
    return OK;
}

enum status local_turn(struct app *base, ms_t max_ms, struct err *err)
{
    struct local *app = local_of(base);
    return app->lead.stands_by ? lead_wait(app, max_ms, err)
                               : lead_judge(app, turn(app, max_ms, err), err);
}

void local_leave(struct app *base)
{
    struct local *app = local_of(base);
    app->is_left = true;
    if (app->loop)
        loop_leave(app->loop);
}

bool local_is_idle(const struct app *base)
{
    const struct local *app = (const struct local *)base;
    return !app->loop || loop_is_idle(app->loop);
}

bool local_run_is_over(struct app *base, const char *id)
{
    const struct run *run = runs_get(local_of(base), id);
    return !run || run->is_kept;
}

/* Why a run that does not go on here can't be asked to do anything. */
static enum status tell_over(struct local *app, const char *ref, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    TRY(local_open_reader(app, err));
    TRY(run_document_get(app, ref, &arena, &document, err));
    const char *state = value_get_text(&document, "state"), *id = value_get_text(&document, "id");
    return state && strcmp(state, "running") == 0
               ? err_set(err, E_CONFLICT,
                         "run %s goes on in another process, which has to be asked, or was "
                         "interrupted",
                         id)
               : err_set(err, E_CONFLICT, "run %s is over: %s", id, state ? state : "damaged");
}

enum status local_stop(struct app *base, const char *ref, bool kill, char out[APP_RUN_ID_BYTES],
                       struct err *err)
{
    struct local *app = local_of(base);
    struct run *run = runs_find(app, ref);
    if (!run)
        return tell_over(app, ref, err);
    memcpy(out, run->id, sizeof run->id);
    app->is_killed = app->is_killed || kill;
    if (kill && !app->is_served) /* its end waits for nothing any more */
        loop_give_up(app->loop);
    if (run->is_ended)
        return kill ? OK : err_set(err, E_CONFLICT, "run %s is over", run->id);
    struct sched_event event = {.type = SCHED_CANCEL, .cancel = {.run = run->number, .kill = kill}};
    loop_step(app->loop, &event);
    if (run->is_cancelled)
        return OK;
    run->is_cancelled = true; /* also after a restart */
    return run_document_put(app, run, "running", NULL, err);
}

enum status local_watch(struct app *base, const char *ref, struct err *err)
{
    struct local *app = local_of(base);
    if (runs_find(app, ref))
        return OK;
    enum status status = tell_over(app, ref, err);
    return status == E_CONFLICT ? E_UNSUPPORTED : status;
}
