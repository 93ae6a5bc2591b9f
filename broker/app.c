// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/backend.h"
#include "broker/remote/remote.h"

/* One implementation can't do what the other can: a question about the past needs no broker, a log
 * that grows needs one. */
static enum status unsupported(const struct app *app, const char *what, struct err *err)
{
    return err_set(err, E_UNSUPPORTED, "%s: %s can't do that", what, app->backend->name);
}

enum status app_open(const struct app_options *options, struct app **out, struct err *err)
{
    return options->server ? remote_open(options, out, err) : app_open_local(options, out, err);
}

void app_close(struct app *app)
{
    app->backend->close(app);
}

const char *app_diagnostics(struct app *app)
{
    return app->backend->diagnostics(app);
}

enum status app_listen(struct app *app, struct err *err)
{
    return app->backend->listen ? app->backend->listen(app, err) : unsupported(app, "listen", err);
}

enum status app_serve(struct app *app, const char *http, struct err *err)
{
    return app->backend->serve ? app->backend->serve(app, http, err)
                               : unsupported(app, "serve", err);
}

void app_lead(const struct app *app, struct app_lead *out)
{
    *out = (struct app_lead){.is_ours = true, .who = "", .http = ""};
    if (app->backend->lead)
        app->backend->lead(app, out);
}

void app_leave(struct app *app)
{
    if (app->backend->leave)
        app->backend->leave(app);
}

bool app_is_idle(const struct app *app)
{
    return !app->backend->is_idle || app->backend->is_idle(app);
}

enum status app_submit(struct app *app, const struct app_request *request,
                       char run[APP_RUN_ID_BYTES], struct err *err)
{
    return app->backend->submit ? app->backend->submit(app, request, run, err)
                                : unsupported(app, "submit", err);
}

enum status app_uploads(struct app *app, const struct value *wanted, struct arena *arena,
                        struct value *out, struct err *err)
{
    return app->backend->uploads ? app->backend->uploads(app, wanted, arena, out, err)
                                 : unsupported(app, "uploads", err);
}

bool app_joining(const struct app *app, struct buf *out)
{
    return app->backend->joining && app->backend->joining(app, out);
}

enum status app_turn(struct app *app, ms_t max_ms, struct err *err)
{
    return app->backend->turn ? app->backend->turn(app, max_ms, err)
                              : unsupported(app, "turn", err);
}

bool app_run_is_over(struct app *app, const char *run)
{
    return !app->backend->run_is_over || app->backend->run_is_over(app, run);
}

enum status app_stop(struct app *app, const char *run, bool kill, char out[APP_RUN_ID_BYTES],
                     struct err *err)
{
    return app->backend->stop ? app->backend->stop(app, run, kill, out, err)
                              : unsupported(app, "stop", err);
}

enum status app_retry(struct app *app, const char *run, char out[APP_RUN_ID_BYTES], struct err *err)
{
    return app->backend->retry ? app->backend->retry(app, run, out, err)
                               : unsupported(app, "retry", err);
}

enum status app_resubmit(struct app *app, const char *run, const struct app_request *changes,
                         char out[APP_RUN_ID_BYTES], struct err *err)
{
    return app->backend->resubmit ? app->backend->resubmit(app, run, changes, out, err)
                                  : unsupported(app, "resubmit", err);
}

enum status app_watch(struct app *app, const char *run, struct err *err)
{
    return app->backend->watch ? app->backend->watch(app, run, err)
                               : unsupported(app, "watch", err);
}

uint32_t app_step_count(const struct app *app, const char *run)
{
    return app->backend->step_count ? app->backend->step_count(app, run) : 0;
}

void app_step_progress(const struct app *app, const char *run, uint32_t step,
                       struct app_step_progress *out)
{
    app->backend->step_progress(app, run, step, out);
}

bool app_next_event(struct app *app, const char *run, uint64_t after, struct app_event *out)
{
    return app->backend->next_event && app->backend->next_event(app, run, after, out);
}

uint64_t app_last_event(const struct app *app)
{
    return app->backend->last_event ? app->backend->last_event(app) : 0;
}

uint64_t app_last_order(const struct app *app)
{
    return app->backend->last_order ? app->backend->last_order(app) : 0;
}

bool app_is_committed(const struct app *app, uint64_t order)
{
    return !app->backend->is_committed || app->backend->is_committed(app, order);
}

enum status app_result(struct app *app, const char *run, bool full, struct arena *arena,
                       struct value *out, struct err *err)
{
    return app->backend->result ? app->backend->result(app, run, full, arena, out, err)
                                : unsupported(app, "result", err);
}

enum status app_plan(struct app *app, const struct app_request *request, struct arena *arena,
                     struct value *out, struct err *err)
{
    return app->backend->plan ? app->backend->plan(app, request, arena, out, err)
                              : unsupported(app, "plan", err);
}

enum status app_explain(struct app *app, const struct app_request *request, const char *task,
                        struct arena *arena, struct value *out, struct err *err)
{
    return app->backend->explain ? app->backend->explain(app, request, task, arena, out, err)
                                 : unsupported(app, "explain", err);
}

enum status app_graph(struct app *app, const struct app_request *request,
                      enum app_graph_format format, bool all_tasks, struct buf *out,
                      struct err *err)
{
    return app->backend->graph ? app->backend->graph(app, request, format, all_tasks, out, err)
                               : unsupported(app, "graph", err);
}

enum status app_lint(struct app *app, const struct app_request *request, struct err *err)
{
    return app->backend->lint ? app->backend->lint(app, request, err)
                              : unsupported(app, "lint", err);
}

enum status app_list(struct app *app, const struct app_filter *filter, struct arena *arena,
                     struct value *out, struct err *err)
{
    return app->backend->list ? app->backend->list(app, filter, arena, out, err)
                              : unsupported(app, "list", err);
}

enum status app_get(struct app *app, const char *ref, bool spec, struct arena *arena,
                    struct value *out, struct err *err)
{
    return app->backend->get ? app->backend->get(app, ref, spec, arena, out, err)
                             : unsupported(app, "get", err);
}

enum status app_lineage(struct app *app, const char *ref, struct arena *arena, struct value *out,
                        struct err *err)
{
    return app->backend->lineage ? app->backend->lineage(app, ref, arena, out, err)
                                 : unsupported(app, "lineage", err);
}

enum status app_artifact(struct app *app, const char *ref, struct arena *arena, struct value *out,
                         struct err *err)
{
    return app->backend->artifact ? app->backend->artifact(app, ref, arena, out, err)
                                  : unsupported(app, "artifact", err);
}

enum status app_export(struct app *app, const char *ref, const char *path, struct buf *out,
                       struct err *err)
{
    return app->backend->export ? app->backend->export(app, ref, path, out, err)
                                : unsupported(app, "export", err);
}

enum status app_urls(struct app *app, const char *ref, uint32_t seconds, struct arena *arena,
                     struct value *out, struct err *err)
{
    return app->backend->urls ? app->backend->urls(app, ref, seconds, arena, out, err)
                              : unsupported(app, "urls", err);
}

enum status app_verify(struct app *app, const char *ref, const struct app_verify *options,
                       struct arena *arena, struct value *out, struct err *err)
{
    return app->backend->verify ? app->backend->verify(app, ref, options, arena, out, err)
                                : unsupported(app, "verify", err);
}

enum status app_proof(struct app *app, const char *task, struct app_proof *out, struct err *err)
{
    return app->backend->proof ? app->backend->proof(app, task, out, err)
                               : unsupported(app, "proof", err);
}

enum status app_attest(struct app *app, const char *ref, bool all, struct buf *out, struct err *err)
{
    return app->backend->attest ? app->backend->attest(app, ref, all, out, err)
                                : unsupported(app, "attest", err);
}

enum status app_verify_attestation(struct app *app, const char *file, const char *artifact,
                                   const char *key, struct arena *arena, struct value *out,
                                   struct err *err)
{
    return app->backend->verify_attestation
               ? app->backend->verify_attestation(app, file, artifact, key, arena, out, err)
               : unsupported(app, "verify --attestation", err);
}

enum status app_gc(struct app *app, const struct app_gc *options, struct err *err)
{
    return app->backend->gc ? app->backend->gc(app, options, err) : unsupported(app, "gc", err);
}

enum status app_fsck(struct app *app, const struct app_fsck *options, struct err *err)
{
    return app->backend->fsck ? app->backend->fsck(app, options, err)
                              : unsupported(app, "fsck", err);
}

enum status app_care_result(struct app *app, struct arena *arena, struct value *out, bool *is_done,
                            struct err *err)
{
    *is_done = false;
    return app->backend->care_result ? app->backend->care_result(app, arena, out, is_done, err)
                                     : unsupported(app, "gc", err);
}

enum status app_care_part(struct app *app, enum app_care_part part, const struct app_gc *gc,
                          const struct app_fsck *fsck, int plan_fd, struct arena *arena,
                          struct value *out, struct err *err)
{
    return app->backend->care_part
               ? app->backend->care_part(app, part, gc, fsck, plan_fd, arena, out, err)
               : unsupported(app, "gc", err);
}

enum status app_logs(struct app *app, const char *task, struct app_log *at, struct buf *out,
                     struct err *err)
{
    return app->backend->logs ? app->backend->logs(app, task, at, out, err)
                              : unsupported(app, "logs", err);
}

const char *app_pin_task(struct app *app, const char *task, struct arena *arena)
{
    size_t at = strcspn(task, "/[");
    bool has_run = task[at] == '/';
    const char *run = has_run ? arena_text(arena, task, at) : "latest";
    struct value result;
    if (id_is_prefix(task) || app_result(app, run, false, arena, &result, NULL) != OK)
        return task; /* app_logs says what is wrong with it */
    const char *id = result.type == VALUE_MAP ? value_get_text(&result, "run") : NULL;
    return id ? arena_format(arena, "%s/%s", id, has_run ? task + at + 1 : task) : task;
}

enum status app_workers(struct app *app, struct arena *arena, struct value *out, struct err *err)
{
    return app->backend->workers ? app->backend->workers(app, arena, out, err)
                                 : unsupported(app, "workers", err);
}

enum status app_load(struct app *app, struct arena *arena, struct value *out, struct err *err)
{
    return app->backend->load ? app->backend->load(app, arena, out, err)
                              : unsupported(app, "load", err);
}

enum status app_doctor(struct app *app, struct arena *arena, struct value *out, struct err *err)
{
    return app->backend->doctor ? app->backend->doctor(app, arena, out, err)
                                : unsupported(app, "doctor", err);
}

enum status app_recover(struct app *app, struct arena *arena, struct value *out, struct err *err)
{
    return app->backend->recover ? app->backend->recover(app, arena, out, err)
                                 : unsupported(app, "recover", err);
}

enum status app_keys_init(struct app *app, struct arena *arena, struct value *out, struct err *err)
{
    return app->backend->keys_init ? app->backend->keys_init(app, arena, out, err)
                                   : unsupported(app, "keys", err);
}

enum status app_keys_add(struct app *app, const struct app_new_key *key, struct arena *arena,
                         struct value *out, struct err *err)
{
    return app->backend->keys_add ? app->backend->keys_add(app, key, arena, out, err)
                                  : unsupported(app, "keys", err);
}

enum status app_keys_list(struct app *app, struct arena *arena, struct value *out, struct err *err)
{
    return app->backend->keys_list ? app->backend->keys_list(app, arena, out, err)
                                   : unsupported(app, "keys", err);
}

enum status app_keys_revoke(struct app *app, const char *name_or_key, struct arena *arena,
                            struct value *out, struct err *err)
{
    return app->backend->keys_revoke ? app->backend->keys_revoke(app, name_or_key, arena, out, err)
                                     : unsupported(app, "keys", err);
}
