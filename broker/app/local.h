/* Inside the embedded application: what its files share. Seen by broker/app/ alone.
 *
 *   struct local   what is of the broker: state, store, loop, socket, local worker, events
 *   struct run     what is of one run: its submission, its place in the scheduler, what of it was
 *                  counted and told (run.h); it lives until its result is kept
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/backend.h"
#include "broker/app/events.h"
#include "broker/app/idempotency.h"
#include "broker/app/lead.h"
#include "broker/app/submission.h"
#include "broker/app/worker_process.h"
#include "broker/loop.h"
#include "broker/state/state.h"
#include "common/net/endpoint.h"
#include "common/store/store.h"

struct run;

/* See load.c. */
struct publication {
    int lock_fd; /* of HOME; −1: not open */
    bool is_live, is_failing, has_told;
    struct sched_load told;
    ms_t due_at;
};

/* See stuck.c: too few workers for anything to be given out. */
struct shortage {
    ms_t look_at, since;
    bool is_told;
};

struct local {
    struct app base;
    struct arena arena; /* paths */
    const char *home, *store_url, *state_url, *source_cache, *worker_cache;
    const char *endpoint;                /* where the router listens, or will */
    bool listens_early;                  /* before anything has to run */
    const char *key_path, *workers_path; /* the broker's identity; keys of workers */
    bool names_workers;                  /* the second was given */
    struct signer *identity;             /* NULL: `endpoint` is plain */
    struct endpoint listen;              /* where it was given */
    bool wants_keys;                     /* there, whether or not there are any */
    bool is_insecure;                    /* others can reach it, and no keys are asked for */
    uint32_t slots, lease_ms, workers_min;
    bool looks_only; /* it says how things are, and waits for nothing */
    int wake_fd;
    struct diagnostics diagnostics;

    struct store *store, *ending_store; /* the second is the loop's */
    struct state *state;
    bool is_writer;

    struct loop *loop;
    struct router *router;
    struct worker_process *worker;
    struct events *events;
    struct run **runs; /* by the scheduler's number; NULL: the number is free */
    uint32_t run_count, run_capacity;
    struct idempotency idempotency;
    int64_t id_ms;       /* of the last run's id */
    uint64_t put;        /* the last run's document (loop_put_run) */
    struct tails *tails; /* NULL: nobody follows a task's output */
    bool is_served, is_left, is_killed;
    bool is_watched; /* somebody has asked for events since the last turn */
    struct leadership lead;
    struct shortage shortage;
    struct publication publication;
    struct care *care; /* NULL: neither gc nor fsck was asked for */
};

static inline struct local *local_of(struct app *app)
{
    return (struct local *)app;
}

/* local.c */
MUST_USE enum status local_open_reader(struct local *app,
                                       struct err *err); /* state (if there is one) and store */
MUST_USE enum status local_open_writer(struct local *app, struct err *err);
/* Sleeps for a moment. Errors: E_CANCELLED it was woken by a signal. */
MUST_USE enum status local_nap(const struct local *app, struct err *err);
/* Closes all that there is while it leads: loop, runs, state. */
void local_forget(struct local *app);
/* Ready to run: the writer's lock, the loop, and the socket where it opens early. */
MUST_USE enum status local_begin(struct local *app, struct err *err);

/* submit.c */
MUST_USE enum status local_submit(struct app *app, const struct app_request *request,
                                  char run[APP_RUN_ID_BYTES], struct err *err);
MUST_USE enum status local_resubmit(struct app *app, const char *run,
                                    const struct app_request *changes, char out[APP_RUN_ID_BYTES],
                                    struct err *err);

/* reopen.c */
/* The runs that a former broker left open go on. */
MUST_USE enum status reopen_open_runs(struct local *app, struct err *err);
MUST_USE enum status local_retry(struct app *app, const char *run, char out[APP_RUN_ID_BYTES],
                                 struct err *err);

/* lead.c */
MUST_USE enum status local_listen(struct app *app, struct err *err);
MUST_USE enum status local_serve(struct app *app, const char *http, struct err *err);
void local_lead(const struct app *app, struct app_lead *out);

/* turn.c */
void local_leave(struct app *app);
bool local_is_idle(const struct app *app);
MUST_USE enum status local_turn(struct app *app, ms_t max_ms, struct err *err);
bool local_run_is_over(struct app *app, const char *run);
MUST_USE enum status local_stop(struct app *app, const char *run, bool kill,
                                char out[APP_RUN_ID_BYTES], struct err *err);
MUST_USE enum status local_watch(struct app *app, const char *run, struct err *err);

/* listen.c */
/* Reads the broker's keys where the endpoint needs them. Errors: E_INVALID no endpoint; E_DENIED no
 * keys. */
MUST_USE enum status listen_prepare(struct local *app, const struct app_options *options,
                                    struct err *err);
MUST_USE enum status listen_open(struct local *app, struct err *err);
/* The command line of a worker that joins: from another shell, or on another machine. */
void listen_put_command(const struct local *app, struct buf *out);
bool local_joining(const struct app *app, struct buf *out);

/* stuck.c: called often; tells what nobody can be given as notices. */
void stuck_look(struct local *app);

/* keys.c: the broker's identity. Errors: E_DENIED there is none, and how to make one. */
struct signer;
MUST_USE enum status keys_read(const struct local *app, struct signer **out, struct err *err);
/* The public key that workers must expect; "": no keys are asked for. */
const char *keys_hex(const struct local *app, char out[ID_HEX_BYTES]);
/* Is there a list of workers that can be read? */
MUST_USE enum status keys_check_list(const struct local *app, struct err *err);
MUST_USE enum status local_keys_init(struct app *app, struct arena *arena, struct value *out,
                                     struct err *err);
MUST_USE enum status local_keys_add(struct app *app, const struct app_new_key *key,
                                    struct arena *arena, struct value *out, struct err *err);
MUST_USE enum status local_keys_list(struct app *app, struct arena *arena, struct value *out,
                                     struct err *err);
MUST_USE enum status local_keys_revoke(struct app *app, const char *name_or_key,
                                       struct arena *arena, struct value *out, struct err *err);

/* load.c: called often; writes the numbers when it is time. */
void load_publish(struct local *app);
void load_retract(struct local *app);
MUST_USE enum status local_load(struct app *app, struct arena *arena, struct value *out,
                                struct err *err);

/* run_document.c: a stored run by reference; `out` lives in the arena. */
MUST_USE enum status run_document_get(struct local *app, const char *ref, struct arena *arena,
                                      struct value *out, struct err *err);
MUST_USE enum status local_list(struct app *app, const struct app_filter *filter,
                                struct arena *arena, struct value *out, struct err *err);

/* plan.c, explain.c */
MUST_USE enum status local_plan(struct app *app, const struct app_request *request,
                                struct arena *arena, struct value *out, struct err *err);
MUST_USE enum status local_explain(struct app *app, const struct app_request *request,
                                   const char *task, struct arena *arena, struct value *out,
                                   struct err *err);
MUST_USE enum status local_graph(struct app *app, const struct app_request *request,
                                 enum app_graph_format format, bool all_tasks, struct buf *out,
                                 struct err *err);
MUST_USE enum status local_lint(struct app *app, const struct app_request *request,
                                struct err *err);

/* workers.c, uploads.c */
MUST_USE enum status local_workers(struct app *app, struct arena *arena, struct value *out,
                                   struct err *err);
MUST_USE enum status local_uploads(struct app *app, const struct value *wanted, struct arena *arena,
                                   struct value *out, struct err *err);

/* lineage.c, logs.c, recover.c, doctor.c */
MUST_USE enum status local_get(struct app *app, const char *ref, bool spec, struct arena *arena,
                               struct value *out, struct err *err);
MUST_USE enum status local_lineage(struct app *app, const char *ref, struct arena *arena,
                                   struct value *out, struct err *err);
MUST_USE enum status local_artifact(struct app *app, const char *ref, struct arena *arena,
                                    struct value *out, struct err *err);
MUST_USE enum status local_urls(struct app *app, const char *ref, uint32_t seconds,
                                struct arena *arena, struct value *out, struct err *err);
MUST_USE enum status local_export(struct app *app, const char *ref, const char *path,
                                  struct buf *out, struct err *err);
MUST_USE enum status local_logs(struct app *app, const char *task, struct app_log *at,
                                struct buf *out, struct err *err);
MUST_USE enum status local_recover(struct app *app, struct arena *arena, struct value *out,
                                   struct err *err);
MUST_USE enum status local_doctor(struct app *app, struct arena *arena, struct value *out,
                                  struct err *err);

/* verify.c, attest.c */
MUST_USE enum status local_verify(struct app *app, const char *ref,
                                  const struct app_verify *options, struct arena *arena,
                                  struct value *out, struct err *err);
/* proof.c */
MUST_USE enum status local_proof(struct app *app, const char *task, struct app_proof *out,
                                 struct err *err);
MUST_USE enum status local_attest(struct app *app, const char *ref, bool all, struct buf *out,
                                  struct err *err);
MUST_USE enum status local_verify_attestation(struct app *app, const char *file,
                                              const char *artifact, const char *key,
                                              struct arena *arena, struct value *out,
                                              struct err *err);

/* care.c: gc and fsck. */
void care_turn(struct local *app); /* called often */
void care_fini(struct local *app);
/* A run is about to rest on the records of these tasks: from now on none of them is removed. */
void care_spare(struct local *app, const char *run, const struct graph *graph);
/* Is the record just being removed? Then it is no hit. */
bool care_is_removing(const struct local *app, const struct id *task);
MUST_USE enum status local_gc(struct app *app, const struct app_gc *options, struct err *err);
MUST_USE enum status local_fsck(struct app *app, const struct app_fsck *options, struct err *err);
MUST_USE enum status local_care_result(struct app *app, struct arena *arena, struct value *out,
                                       bool *is_done, struct err *err);
/* care_part.c */
MUST_USE enum status local_care_part(struct app *app, enum app_care_part part,
                                     const struct app_gc *gc, const struct app_fsck *fsck,
                                     int plan_fd, struct arena *arena, struct value *out,
                                     struct err *err);

/* tails.c: the output of tasks that run, as far as somebody follows it. */
void tails_heard(void *app, uint32_t worker, const struct log_msg *log);
/* What is known of the attempt from `at` on; asks its worker for more. */
void tails_read(struct local *app, uint32_t worker, const struct attempt *attempt,
                struct app_log *at, struct buf *out);
void tails_free(struct local *app);

/* ref.c: REF (design: §11) → the artifact, and the task that made it where REF names one. */
struct ref {
    struct artifact artifact;
    bool has_task;
    struct id task;
    const char *output; /* in the arena */
};
MUST_USE enum status ref_resolve(struct local *app, const char *text, struct arena *arena,
                                 struct ref *out, struct err *err);
/* The run of a name, expanded; NULL: digits name no run. The caller frees it. */
MUST_USE enum status ref_submission(struct local *app, const char *text, struct submission **out,
                                    struct err *err);
/* The OUTPUT of a name; NULL: it says none. */
const char *ref_output(const char *text);
/* The RUN of "RUN/name", else "latest". */
const char *ref_run(const char *text, struct arena *arena);
/* A task by name, "RUN/name", or id prefix: its id. */
MUST_USE enum status ref_task(struct local *app, const char *text, struct arena *arena,
                              struct id *out, struct err *err);
