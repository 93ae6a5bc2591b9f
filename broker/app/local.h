/* Inside the embedded application: what its files share. Seen by broker/app/ alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app.h"
#include "broker/app/submission.h"
#include "broker/app/worker_process.h"
#include "broker/loop.h"
#include "broker/state/state.h"
#include "common/store/store.h"

enum { RUN_ID_BYTES = 32, RUN = 0 /* the scheduler's number of the one run here */ };

/* What of a step is where, kept up to date task by task: no view walks a million tasks ten times a
 * second. */
struct step_counts {
    uint32_t by_state[TASK_STATE_COUNT];
    uint32_t hit;
    ms_t first_started_at, last_finished_at;
};

/* See load.c. */
struct publication {
    int lock_fd; /* of HOME; −1: not open */
    bool is_live, is_failing, has_told;
    struct sched_load told;
    ms_t due_at;
};

struct app {
    struct arena arena; /* paths */
    const char *home, *store_url, *state_url, *source_cache, *worker_cache;
    const char *endpoint; /* where the router listens, or will */
    bool is_serving;      /* it does so from the start */
    uint32_t slots, lease_ms, workers_min;
    int wake_fd;
    struct diagnostics diagnostics;

    struct store *store;
    struct state *state;
    bool is_writer;

    /* The submitted run. */
    struct submission *submission;
    char run_id[RUN_ID_BYTES];
    int64_t begun_us, ended_us;
    ms_t begun_at;
    struct loop *loop;
    struct router *router;
    struct worker_process *worker;
    bool is_over; /* nothing is left to do */
    bool is_told; /* its result is on its way into the state */
    bool is_kept; /* and there */
    bool is_killed;
    const uint8_t *is_forced, *is_target;
    struct step_counts *steps;
    uint8_t *seen;          /* per node: the state last counted, + SEEN_HIT */
    uint32_t *node_of_task; /* scheduler's index → the first of our nodes */
    /* node → next node with the same id, or UINT32_MAX; NULL: no two are equal */
    uint32_t *same_as_next;
    uint32_t scheduler_tasks;
    uint32_t *lines; /* nodes that became final and were not shown yet; NULL in large runs */
    uint32_t line_count, line_shown;
    struct stuck *stuck; /* NULL: nothing is submitted */
    struct publication publication;
};

/* local.c */
MUST_USE enum status local_open_reader(struct app *app,
                                       struct err *err); /* state (if there is one) and store */
MUST_USE enum status local_open_writer(struct app *app, struct err *err);

/* listen.c */
MUST_USE enum status listen_check(const char *endpoint, struct err *err);
MUST_USE enum status listen_open(struct app *app, struct err *err);
/* The command line of a worker that joins from another shell of this machine. */
void listen_put_command(const struct app *app, struct buf *out);

/* progress.c */
void progress_begin(struct app *app);
void progress_published(void *app, uint32_t run, uint32_t task);
void progress_fini(struct app *app);

/* stuck.c */
struct stuck *stuck_new(uint32_t step_count);
void stuck_free(struct stuck *stuck);

/* load.c: called often; writes the numbers when it is time. */
void load_publish(struct app *app);
void load_retract(struct app *app);

/* report.c: the run's result, also kept in its document. */
MUST_USE enum status report_result(struct app *app, bool full, struct arena *arena,
                                   struct value *out, struct err *err);
/* report.c: a record's outputs and metrics, as they stand in `steps`. */
void report_record(const struct record *record, struct arena *arena, struct value *entry);

/* run_document.c */
MUST_USE enum status run_document_put(struct app *app, const char *state,
                                      const struct value *result, struct err *err);
/* A stored run by reference; `out` lives in the arena. */
MUST_USE enum status run_document_get(struct app *app, const char *ref, struct arena *arena,
                                      struct value *out, struct err *err);

/* ref.c: REF (design: §11) → the artifact, and the task that made it where REF names one. */
struct ref {
    struct artifact artifact;
    bool has_task;
    struct id task;
    const char *output; /* in the arena */
};
MUST_USE enum status ref_resolve(struct app *app, const char *text, struct arena *arena,
                                 struct ref *out, struct err *err);
/* The RUN of "RUN/name", else "latest". */
const char *ref_run(const char *text, struct arena *arena);
/* A task by name, "RUN/name", or id prefix: its id. */
MUST_USE enum status ref_task(struct app *app, const char *text, struct arena *arena,
                              struct id *out, struct err *err);
