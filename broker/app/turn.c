/* Working: the loop's turns, the local worker, and the end of runs. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/run.h"
#include "common/clock.h"
#include "common/crypto/identity.h"

/* The first time something has to run: a worker, and a socket if there is none yet. */
static enum status start_worker(struct local *app, struct err *err)
{
    if (!app->router) {
        TRY(listen_open(app, err));
        loop_set_router(app->loop, app->router);
    }
    AUTO(signer_free) struct signer *signer = NULL;
    bool has_key = identity_read(app->key_path, &signer, NULL) == OK;
    struct worker_process_options worker = {.endpoint = router_plain_endpoint(app->router),
                                            .key = has_key ? app->key_path : NULL,
                                            .store = app->store_url,
                                            .cache = app->worker_cache,
                                            .slots = app->slots};
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

/* Its result goes into the state, and to the disk. */
static enum status finish(struct local *app, struct run *run, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value result;
    if (!run->is_told) {
        TRY(report_result(app, run, false, &arena, &result, err));
        TRY(run_document_put(app, run, value_get_text(&result, "state"), &result, err));
        run->is_told = true;
    }
    run->is_kept = loop_has_kept(app->loop, run->put) && loop_is_idle(app->loop);
    if (run->is_kept)
        progress_tell_run(app, run);
    return OK;
}

enum status local_turn(struct app *base, ms_t max_ms, struct err *err)
{
    struct local *app = local_of(base);
    if (!app->worker && app->slots && !runs_have_ended(app) && is_work_ready(app))
        TRY(start_worker(app, err));
    if (app->worker)
        TRY(check_worker(app, err));
    TRY(loop_turn(app->loop, max_ms, err));
    load_publish(app);
    stuck_look(app);
    care_turn(app);
    ms_t now = clock_ms();
    for (uint32_t i = 0; i < app->run_count; i++) {
        struct run *run = app->runs[i];
        if (run)
            progress_tell(app, run, now);
        if (run && run->is_over && !run->is_kept)
            TRY(finish(app, run, err));
    }
    if (runs_have_ended(app))
        load_retract(app);
    return OK;
}

bool local_run_is_over(struct app *base, const char *id)
{
    const struct run *run = runs_find(local_of(base), id);
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

enum status local_stop(struct app *base, const char *ref, bool kill, struct err *err)
{
    struct local *app = local_of(base);
    struct run *run = runs_find(app, ref);
    if (!run)
        return tell_over(app, ref, err);
    app->is_killed = app->is_killed || kill;
    if (kill) /* its end waits for nothing any more */
        loop_give_up(app->loop);
    if (run->is_ended)
        return kill ? OK : err_set(err, E_CONFLICT, "run %s is over", run->id);
    struct sched_event event = {.type = SCHED_CANCEL, .cancel = {.run = run->number, .kill = kill}};
    loop_step(app->loop, &event);
    return OK;
}

enum status local_watch(struct app *base, const char *ref, struct err *err)
{
    struct local *app = local_of(base);
    if (runs_find(app, ref))
        return OK;
    enum status status = tell_over(app, ref, err);
    return status == E_CONFLICT ? E_UNSUPPORTED : status;
}
