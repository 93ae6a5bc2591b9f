/* The one application interface: what the command line can do, an HTTP route can do, and the other
 * way round. Questions are answered with documents (struct value trees in the caller's arena) whose
 * shape is that of `--json`, so that rendering is the only thing left to a front end.
 *
 * broker/app/ implements it embedded: the scheduler lives in this process, state and store are
 * folders, and a worker is started only when something has to run. One struct app belongs to one
 * thread. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/ms.h"
#include "proto/err.h"
#include "proto/value.h"

struct app;

struct app_options {
    const char *home;  /* folder of everything local; default ".penstock" */
    const char *store; /* NULL: HOME/store */
    const char *state; /* NULL: HOME/state */
    /* Where workers may join beside the local one: "ipc://PATH", "tcp://127.0.0.1:PORT" or :*.
     * NULL: only the local worker is expected, behind a socket in HOME. */
    const char *listen;
    uint32_t slots; /* of the local worker, if `has_slots`; else one per core. 0: no local worker */
    bool has_slots;
    uint32_t lease_ms; /* 0: LEASE_MS_DEFAULT */
    uint32_t
        workers_min; /* nothing is given out before so many were connected; the local one counts */
    int wake_fd;     /* readable when a signal came in: app_turn returns early; −1 none */
};

/* Opens nothing yet: each call opens what it needs (a question needs no writer's lock). Errors:
 * E_INVALID `listen` is not an endpoint of this machine: links are not encrypted yet. */
MUST_USE enum status app_open(const struct app_options *options, struct app **out, struct err *err);
void app_close(struct app *app);

/* One pipeline with its overrides. */
struct app_request {
    const char *file; /* as given; sources are relative to its folder. "-": text */
    const char *text; /* NULL: read `file` */
    size_t text_bytes;
    const char *const *params; /* "-p" items: "name=value" */
    size_t param_count;
    const char *const *sets; /* "--set" items: "path=value" */
    size_t set_count;
    bool force_all;
    const char *force_step; /* NULL: none */
    const char *only_step;  /* NULL: all targets */
};

/* Problems of the request's file, one line each; filled by every call that takes a request, also
 * with warnings. */
const char *app_diagnostics(struct app *app);

/* ---- doing ---- */

/* Resolves sources (copying them into the store), expands, looks everything up, and begins the run.
 * Errors: E_INVALID (see app_diagnostics), E_CONFLICT another broker works in this folder, E_IO …;
 * nothing has run then. */
MUST_USE enum status app_submit(struct app *app, const struct app_request *request,
                                struct err *err);
/* Where workers may join the submitted run: "listening at ENDPOINT; to join: COMMAND", appended to
 * `out`. False: nowhere yet. The socket is open as soon as the run is submitted where others
 * than the local worker are expected (`listen`, `slots`, `workers_min`); else when something has to
 * run. */
bool app_joining(const struct app *app, struct buf *out);
/* Works for about `max_ms`. Errors end the run's process, not its result: a rerun continues. */
MUST_USE enum status app_turn(struct app *app, ms_t max_ms, struct err *err);
bool app_is_over(const struct app *app);
/* Ctrl-C: once to let running tasks finish, again (`kill`) to end them. */
void app_stop(struct app *app, bool kill);

/* For a live view; cheap enough for 10 times a second. */
struct app_step_progress {
    const char *name;
    uint32_t total, hit, succeeded, running, failed, upstream_failed, unneeded, cancelled;
    ms_t first_started_at, last_finished_at; /* MS_NEVER: none yet */
};
uint32_t app_step_count(const struct app *app);
void app_step_progress(const struct app *app, uint32_t step, struct app_step_progress *out);
/* What has been finished since the last call, for plain lines: the next task's one-line story
 * appended to `out`, false when there is no more. */
bool app_next_line(struct app *app, struct buf *out);
/* What the person should do something about: work that no worker can be given ("train[model=mlp]:
 * needs …"), once per step and reason. Likewise. */
bool app_next_notice(struct app *app, struct buf *out);

/* The document of design §11 for the submitted run; `full`: every task also in large runs. */
MUST_USE enum status app_result(struct app *app, bool full, struct arena *arena, struct value *out,
                                struct err *err);

/* ---- asking ---- */

/* {"pipeline", "tasks": {"total", "hit", "run", "maybe"}, "steps": [{"step", "axes", "task",
 * "action": "hit"|"run"|"maybe"|"unneeded", "why"}]} */
MUST_USE enum status app_plan(struct app *app, const struct app_request *request,
                              struct arena *arena, struct value *out, struct err *err);
/* One task, by name ("train[case=small]") or id prefix: {"task", "step", "state", "why":
 * [sentences], "changes": [{"field", "old", "new"}]} */
MUST_USE enum status app_explain(struct app *app, const struct app_request *request,
                                 const char *task, struct arena *arena, struct value *out,
                                 struct err *err);
enum app_graph_format { APP_GRAPH_DOT, APP_GRAPH_MERMAID };
MUST_USE enum status app_graph(struct app *app, const struct app_request *request,
                               enum app_graph_format format, bool all_tasks, struct buf *out,
                               struct err *err);
/* Parses and checks alone; warnings are in app_diagnostics. */
MUST_USE enum status app_lint(struct app *app, const struct app_request *request, struct err *err);

/* Runs, newest first. */
MUST_USE enum status app_list(struct app *app, size_t limit, struct arena *arena, struct value *out,
                              struct err *err);
/* A run ("latest", id or prefix) or a task (name or id prefix): its document. `spec`: the nested
 * specification of everything that made the task. */
MUST_USE enum status app_get(struct app *app, const char *ref, bool spec, struct arena *arena,
                             struct value *out, struct err *err);
/* Everything that made the artifact REF: {"artifact", "made_by": {action, "inputs": {name:
 * {…made_by}}}}. */
MUST_USE enum status app_lineage(struct app *app, const char *ref, struct arena *arena,
                                 struct value *out, struct err *err);
/* Writes REF to `path` (a tree: a folder); NULL: to `out`. */
MUST_USE enum status app_export(struct app *app, const char *ref, const char *path, struct buf *out,
                                struct err *err);
/* What a task (as for app_get) wrote to stdout and stderr, also of one that failed; empty if
 * nothing. */
MUST_USE enum status app_logs(struct app *app, const char *task, struct buf *out, struct err *err);
/* Of the run that is going on here, also in another process: {"is_running", "tasks": {"ready",
 * "running", "waiting"}, "workers", "slots", "slots_wanted"}; zeros where nothing runs. */
MUST_USE enum status app_load(struct app *app, struct arena *arena, struct value *out,
                              struct err *err);
/* [{"check", "ok", "found", "mend"}] */
MUST_USE enum status app_doctor(struct app *app, struct arena *arena, struct value *out,
                                struct err *err);

static inline void app_close_auto(struct app **app)
{
    if (*app)
        app_close(*app);
}
