/* The one application interface: what the command line can do, an HTTP route can do, and the other
 * way round. Questions are answered with documents (struct value trees in the caller's arena) whose
 * shape is that of `--json`, so that rendering is the only thing left to a front end.
 *
 * Who implements it is a table of functions (broker/app/backend.h). broker/app/local.c does it
 * embedded: the scheduler lives in this process; `broker run` submits one run and leaves, `broker
 * serve` calls app_serve and goes on. What an implementation can't do is E_UNSUPPORTED.
 *
 * A run is named by its id; where a run is asked for, a unique prefix of one or "latest" will do.
 * Any number of runs goes on at once; a run that is over is in the state alone.
 *
 * One struct app belongs to one thread. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/ms.h"
#include "proto/err.h"
#include "proto/msg.h"
#include "proto/value.h"

struct app;

enum { APP_RUN_ID_BYTES = 32 };

struct app_options {
    const char *home;  /* folder of everything local; default ".penstock" */
    const char *store; /* NULL: HOME/store */
    const char *state; /* NULL: HOME/state */
    /* Where workers may join beside the local one: "ipc://PATH", "tcp://HOST:PORT" (or :*). NULL:
     * only the local worker is expected, behind a socket in HOME. */
    const char *listen;
    /* The endpoints by which others reach this broker, for workers (tcp://…) and for clients
     * (http://…), where they are not those it listens at. Borrowed. 0: none. */
    const char *const *advertised;
    size_t advertised_count;
    bool with_keys;  /* also at an endpoint of this machine alone */
    bool insecure;   /* not even at one that others can reach */
    bool looks_only; /* nothing is listened at: keys that it would need may be missing */
    uint32_t slots; /* of the local worker, if `has_slots`; else one per core. 0: no local worker */
    bool has_slots;
    uint32_t lease_ms; /* 0: LEASE_MS_DEFAULT */
    uint32_t
        workers_min; /* nothing is given out before so many were connected; the local one counts */
    const char *key; /* the broker's identity; NULL: HOME/keys/broker */
    const char *workers_file; /* keys of workers that are admitted; NULL: HOME/keys/workers */
    /* A served broker to ask, "http://HOST:PORT" (several with commas between); NULL: here. Then of
     * what stands above only `home` matters. */
    const char *server;
    const char *token;      /* NULL: what `token_file` says; else, for one on this machine, HOME */
    const char *token_file; /* NULL: none */
    const char *ca_file;    /* certificates to trust for https; NULL: the system's */
    int wake_fd; /* readable when a signal or a request came in: app_turn returns early; −1 none */
};

/* Opens nothing yet: each call opens what it needs (a question needs no writer's lock). Errors:
 * E_INVALID `listen` is no endpoint; E_DENIED others can reach it, and there are no keys. */
MUST_USE enum status app_open(const struct app_options *options, struct app **out, struct err *err);
/* Workers of an embedded run are told to go. Those of a broker that serves stay, and come back to
 * the next one. */
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
    /* For people, and to find the run again; NULL, 0: none. */
    const char *name;
    const char *const *labels; /* "key=value" */
    size_t label_count;
    const char *who; /* NULL: the user of this process */
    /* A second request with the same key is answered with the run that the first one began. */
    const char *idempotency_key;
    /* From another machine: `text` is given, and no path that stands in it is ever opened. What the
     * pipeline takes from outside is in the store already and named by `sources`: a list of {"name"
     * (or "location"), "id", "bytes", "is_tree"}, as a run's document has it. NULL: none. */
    bool is_remote;
    const struct value *sources;
};

/* Problems of the last request's file, one line each; filled by every call that takes a request,
 * also with warnings. */
const char *app_diagnostics(struct app *app);

/* ---- doing ---- */

/* The first half of app_serve, which does it if nobody has: opens the socket, before it a folder's
 * writer's lock. Errors: as app_serve. */
MUST_USE enum status app_listen(struct app *app, struct err *err);
/* Becomes the broker of this state: takes the writer's lock or lease, and begins again what runs a
 * former broker left open. Before any other call that does something. Where another broker has the
 * lease of a state in Redis, this one stands by: app_turn takes the lead when that has gone, and
 * gives it up when another has it. `http`: the URL at which it is served; NULL: none. Errors:
 * E_CONFLICT another broker works in this folder; E_UNREACHABLE, E_IO, E_CORRUPT … */
MUST_USE enum status app_serve(struct app *app, const char *http, struct err *err);
/* Who leads? While another does nothing can be asked of this one. */
struct app_lead {
    bool is_ours;
    uint64_t epoch;   /* goes up with each that takes the lead */
    const char *who;  /* its endpoints, or its machine and process; "": not known */
    const char *http; /* while another leads: its URL; "": not known */
};
void app_lead(const struct app *app, struct app_lead *out);
/* Nothing is received or given out any more; what was received is committed while app_turn is
 * called, until app_is_idle. Open runs stay open, for the next broker. */
void app_leave(struct app *app);
bool app_is_idle(const struct app *app);

/* Resolves sources (copying them into the store), expands, looks everything up, and begins the run,
 * whose id goes to `run`. Errors: E_INVALID (see app_diagnostics), E_NOTFOUND a source that the
 * store lacks, E_CONFLICT another broker works in this folder, or the idempotency key was used for
 * another request; E_LIMIT too many runs, E_IO …; nothing has run then. */
MUST_USE enum status app_submit(struct app *app, const struct app_request *request,
                                char run[APP_RUN_ID_BYTES], struct err *err);
/* Which of [{"id", "bytes", "is_tree"}] the store lacks, and where to PUT each: [{"id", "is_tree",
 * "url", "headers"}]; a `url` without a host is the broker's own. */
MUST_USE enum status app_uploads(struct app *app, const struct value *wanted, struct arena *arena,
                                 struct value *out, struct err *err);
/* Where workers may join: "listening at ENDPOINT; to join: COMMAND", appended to `out`. False:
 * nowhere yet. The socket is open as soon as a run is submitted where others than the local worker
 * are expected (`listen`, `slots`, `workers_min`); else when something has to run. */
bool app_joining(const struct app *app, struct buf *out);
/* Works for about `max_ms`, on all runs; returns at once when there is an event. Errors end the
 * process, not the runs: a rerun continues. */
MUST_USE enum status app_turn(struct app *app, ms_t max_ms, struct err *err);
/* Its result is kept. A run that isn't known here is over too. Takes a whole id. */
bool app_run_is_over(struct app *app, const char *run);
/* Once to let running tasks finish, again (`kill`) to end them; which run that is goes to `out`.
 * Errors: E_NOTFOUND; E_CONFLICT it is over. */
MUST_USE enum status app_stop(struct app *app, const char *run, bool kill,
                              char out[APP_RUN_ID_BYTES], struct err *err);
/* What failed or was cancelled in a run that is over is tried again, under the same id, which goes
 * to `out`. Errors: E_CONFLICT it goes on, or nothing is left to do. */
MUST_USE enum status app_retry(struct app *app, const char *run, char out[APP_RUN_ID_BYTES],
                               struct err *err);
/* A new run of the same pipeline text and sources; `changes` has what is to be different (params,
 * sets, force, only, name, labels, who, idempotency key; no file). Errors as app_submit. */
MUST_USE enum status app_resubmit(struct app *app, const char *run,
                                  const struct app_request *changes, char out[APP_RUN_ID_BYTES],
                                  struct err *err);

/* The number of the last order that changed a run (submit, stop, retry, …), and whether all up to
 * that number are committed: only then may their senders hear that they are accepted, for a broker
 * that is killed before has never heard of them. Of one that serves. */
uint64_t app_last_order(const struct app *app);
bool app_is_committed(const struct app *app, uint64_t order);

/* ---- watching ---- */

/* From now on app_turn brings the run's progress and events. A run that was submitted here is
 * watched already. Errors: E_UNSUPPORTED it goes on in another process. */
MUST_USE enum status app_watch(struct app *app, const char *run, struct err *err);
/* For a live view of a run that is watched; cheap enough for 10 times a second. */
struct app_step_progress {
    const char *name;
    uint32_t total, hit, succeeded, running, failed, upstream_failed, unneeded, cancelled;
    ms_t first_started_at, last_finished_at; /* MS_NEVER: none yet */
};
/* 0: the run is not known here (any more). */
uint32_t app_step_count(const struct app *app, const char *run);
void app_step_progress(const struct app *app, const char *run, uint32_t step,
                       struct app_step_progress *out);

/* What happened, one after the other. Documents, each with "id", "event" and "run":
 *   run       "pipeline", "name", "state", "tasks" {counts}, "seconds"; when it begins and when its
 *             result is kept
 *   task      "step", "axes", "task", "state", "hit", "cutoff", "attempts", "seconds", "worker",
 *             "text"; for each change of a task that a person sees. Of runs of more than 1,000
 *             tasks only failures
 *   progress  "steps" [{"step", "total", "hit", "succeeded", "running", …}], now and then while
 *             something changed; a later one replaces those before. Of a broker that is served,
 *             while somebody asks for events, and when the run has ended
 *   notice    "text": something a person should do, as work that no worker can be given
 *   lost      the reader fell behind (or the broker is another one): read the run's document, then
 *             go on behind "id"
 * Numbers rise, also over restarts; a bounded number of events is kept. */
struct app_event {
    uint64_t id;
    const char *event; /* "task" … */
    const char *run;   /* "": a notice that is about none */
    const char *json;  /* the document, on one line; all texts live until the next call that does
                          something */
    size_t json_bytes;
};
/* The first event after number `after` (0: from the oldest that is kept) of `run` (NULL: of all);
 * false: there is none yet. */
bool app_next_event(struct app *app, const char *run, uint64_t after, struct app_event *out);
/* The number of the newest event: where somebody begins who wants only what comes. */
uint64_t app_last_event(const struct app *app);

/* The document of design §11; of a run that goes on: what is known now. `full`: every task also in
 * large runs, as long as they go on here. */
MUST_USE enum status app_result(struct app *app, const char *run, bool full, struct arena *arena,
                                struct value *out, struct err *err);

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

/* Which runs; NULL, 0: all. */
struct app_filter {
    size_t limit;
    const char *state, *name, *pipeline;
    const char *before;        /* a run's id: only older ones */
    const char *const *labels; /* "key=value"; a run has all of them */
    size_t label_count;
};
/* Runs, newest first: [{"run", "pipeline", "name", "labels", "who", "state", "begun_us",
 * "ended_us", "params", "tasks"}] */
MUST_USE enum status app_list(struct app *app, const struct app_filter *filter, struct arena *arena,
                              struct value *out, struct err *err);
/* A run or a task (name or id prefix): its document; that of a run which goes on here has its
 * "result" so far. `spec`: the nested specification of everything that made the task. */
MUST_USE enum status app_get(struct app *app, const char *ref, bool spec, struct arena *arena,
                             struct value *out, struct err *err);
/* Everything that made the artifact REF: {"artifact", "made_by": {action, "inputs": {name:
 * {…made_by}}}}. */
MUST_USE enum status app_lineage(struct app *app, const char *ref, struct arena *arena,
                                 struct value *out, struct err *err);
/* Which artifact REF is: {"id", "bytes", "tree", "task", "output"}; the last two where REF names
 * them. */
MUST_USE enum status app_artifact(struct app *app, const char *ref, struct arena *arena,
                                  struct value *out, struct err *err);
/* Writes REF to `path` (a tree: a folder); NULL: to `out`. */
MUST_USE enum status app_export(struct app *app, const char *ref, const char *path, struct buf *out,
                                struct err *err);

/* URLs that anybody may get REF's bytes with for `seconds`, without a key: {"id", "tree",
 * "expires_seconds", "urls": [{"path": of a tree's file or null, "bytes", "url"}]}. Errors:
 * E_UNSUPPORTED a store without URLs (a folder). */
MUST_USE enum status app_urls(struct app *app, const char *ref, uint32_t seconds,
                              struct arena *arena, struct value *out, struct err *err);

/* Are the bytes of REF those of its record, and is the record signed, as are those of what made it?
 * {"artifact", "task", "ok", "checks": [{"check": "signature" | "signer" | "record" | "task" |
 * "bytes" | "reexecution", "subject", "ok", "found"}]}. Errors: what kept it from being found out;
 * that it is not so is an answer. */
struct app_verify {
    bool is_deep;       /* the bytes of all that made it, too */
    bool reexecutes;    /* the task runs again here, and has to make the same bytes */
    const char *signer; /* public key in hex that every record must be signed by; NULL: any */
};
MUST_USE enum status app_verify(struct app *app, const char *ref, const struct app_verify *options,
                                struct arena *arena, struct value *out, struct err *err);
/* What a task's record rests on, for whoever checks it: nothing here is checked. The caller frees
 * the frame, in any case. Errors: E_NOTFOUND there is no record, or no frame of it; E_CORRUPT it is
 * not signed. */
struct app_proof {
    struct buf frame; /* RESULTS, verbatim */
    uint8_t public_key[PUBLIC_KEY_BYTES];
    uint32_t offset, bytes; /* of the record within the frame */
};
MUST_USE enum status app_proof(struct app *app, const char *task, struct app_proof *out,
                               struct err *err);
/* The provenance of REF as a line of JSON: an in-toto Statement with SLSA provenance, signed by the
 * broker, appended to `out`; `all`: a line more for everything that made it. Errors: E_CORRUPT a
 * record's signature is not good; E_DENIED this broker has no key; E_LIMIT more than 10,000 records
 * made it, and the broker serves. */
MUST_USE enum status app_attest(struct app *app, const char *ref, bool all, struct buf *out,
                                struct err *err);
/* Is the file or folder `artifact` what one line of `file` says, and are all lines signed by `key`
 * (hex)? The statement goes to `out`. Asks nothing but these files. Errors: E_CORRUPT it is not so;
 * E_INVALID, E_NOTFOUND. */
MUST_USE enum status app_verify_attestation(struct app *app, const char *file, const char *artifact,
                                            const char *key, struct arena *arena, struct value *out,
                                            struct err *err);

/* ---- looking after what is kept ---- */

/* Begins to collect garbage: drops runs, and what none of the others needs, from the state and the
 * store. A run is dropped if it is over and everything given here holds for it; with nothing given
 * none is, and only what lies about goes. Open runs, and all that a kept run reaches, stay; so does
 * what was put in the last day. Errors: E_CONFLICT the last one goes on still, or another broker
 * works in this folder; E_INVALID. */
struct app_gc {
    bool removes;  /* else it is only told what would go */
    bool has_keep; /* not among the `keep` newest runs of its pipeline's name */
    uint32_t keep;
    bool has_age; /* ended longer ago */
    int64_t age_us;
    const char *const *labels; /* "key=value": has all of them */
    size_t label_count;
    uint64_t epoch; /* of app_care_part alone: of the broker that it works for */
};
MUST_USE enum status app_gc(struct app *app, const struct app_gc *options, struct err *err);
/* Puts everything that the journal in the store has back into Redis, signatures checked; what is
 * there stays. {"segments", "records", "refused": records whose signature does not hold, "damaged":
 * commits}. Errors: E_UNSUPPORTED a state that is its own journal; E_CONFLICT a broker works there.
 */
MUST_USE enum status app_recover(struct app *app, struct arena *arena, struct value *out,
                                 struct err *err);
/* Begins to look whether the store has what records and runs name. */
struct app_fsck {
    bool reads_bytes; /* all is read and hashed, too */
    bool signatures;  /* every record's signature is checked */
    bool repairs;     /* what is corrupt is put aside, records that name it are removed; where this
                         broker serves, runs that need them are submitted again */
};
MUST_USE enum status app_fsck(struct app *app, const struct app_fsck *options, struct err *err);
/* What became of the one begun last, which works while app_turn is called; *is_done false: not
 * there yet.
 *   gc    {"removes", "runs": [id], "runs_kept", "records", "records_kept", "removed": SUM, "kept":
 *         SUM, "young": SUM, "quarantine": SUM, "objects": SUM}  SUM = {"count", "bytes"}
 *   fsck  {"clean", "bytes_read", "runs", "records", "sound": SUM, "unnamed": SUM, "damaged",
 *         "tasks_damaged", "tasks": [{"task", "name", "run", "output", "id", "fault"}], "sources":
 *         [{"id", "name", "location", "run", "fault"}], "records_damaged": [{"task", "found"}],
 *         "repair": nil | {"put_aside", "removed", "runs": [id], "again": [command]}}
 * Errors: what it failed with. */
MUST_USE enum status app_care_result(struct app *app, struct arena *arena, struct value *out,
                                     bool *is_done, struct err *err);
/* One part of it, for the process that the broker starts for it: only reads the state. `plan_fd`:
 * where it writes which runs and records are to be removed. */
enum app_care_part { APP_GC_PLAN, APP_GC_SWEEP, APP_FSCK };
MUST_USE enum status app_care_part(struct app *app, enum app_care_part part,
                                   const struct app_gc *gc, const struct app_fsck *fsck,
                                   int plan_fd, struct arena *arena, struct value *out,
                                   struct err *err);

/* Where a reader of a task's log stands. Begins with zeros; app_logs moves it on, so that the same
 * call again brings what came since. */
struct app_log {
    uint32_t attempt; /* that the text is of; 0: none yet. A new attempt's text begins at 0 */
    uint64_t offset;  /* behind what was read */
    bool is_final;    /* that was all of it */
};
/* What a task (as for app_get) wrote to stdout and stderr from `at` on, also of one that failed,
 * appended to `out`. Of one that runs: what is known now; the first call asks its worker, which
 * keeps sending as long as somebody asks. A reader that fell far behind misses what is between. */
MUST_USE enum status app_logs(struct app *app, const char *task, struct app_log *at,
                              struct buf *out, struct err *err);
/* The task by a name that stays its own while other runs begin: "latest/say" and "say" become
 * "RUN/say". In `arena`, or `task` itself where nothing has to be said more exactly. */
const char *app_pin_task(struct app *app, const char *task, struct arena *arena);
/* [{"name", "state": "idle"|"busy"|"silent"|"resting", "slots", "running", "cpu", "memory",
 * "kinds", "labels", "resources"}]; of one that rests, or is tried with one task after it, also
 * "rest": {"code", "left_ms"}. */
MUST_USE enum status app_workers(struct app *app, struct arena *arena, struct value *out,
                                 struct err *err);
/* Of what goes on here, also in another process: {"is_running", "tasks": {"ready", "running",
 * "waiting"}, "workers", "slots", "slots_wanted"}; zeros where nothing runs. */
MUST_USE enum status app_load(struct app *app, struct arena *arena, struct value *out,
                              struct err *err);
/* [{"check", "ok", "found", "mend"}] */
MUST_USE enum status app_doctor(struct app *app, struct arena *arena, struct value *out,
                                struct err *err);

/* ---- keys: files of this machine, always ---- */

/* The broker's identity and an empty list of workers, where there are none yet: {"public_key",
 * "key": FILE, "workers": FILE, "is_new"}. */
MUST_USE enum status app_keys_init(struct app *app, struct arena *arena, struct value *out,
                                   struct err *err);
struct app_new_key {
    const char *name;       /* of the worker */
    const char *public_key; /* of an identity made elsewhere; NULL: it is made here */
    const char *path;       /* a new file for it, or NULL: it is written to `fd` */
    int fd;
};
/* Puts a worker on the list: {"name", "public_key", "key": FILE or nil, "broker_key"}. */
MUST_USE enum status app_keys_add(struct app *app, const struct app_new_key *key,
                                  struct arena *arena, struct value *out, struct err *err);
/* {"public_key", "workers": [{"name", "public_key"}]} */
MUST_USE enum status app_keys_list(struct app *app, struct arena *arena, struct value *out,
                                   struct err *err);
/* Takes a worker off, by name or public key: {"revoked"}. One that is connected is cut off. */
MUST_USE enum status app_keys_revoke(struct app *app, const char *name_or_key, struct arena *arena,
                                     struct value *out, struct err *err);

static inline void app_close_auto(struct app **app)
{
    if (*app)
        app_close(*app);
}
