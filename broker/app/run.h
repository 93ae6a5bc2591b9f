/* One run that goes on here: what was submitted, where its tasks are in the scheduler, what of them
 * has been counted and told, and how far its end is. Seen by broker/app/ alone.
 *
 *   submitted ── its tasks are there (is_begun) ── nothing is left to do (is_ended) ── the store is
 *   flushed (is_over) ── its result is on its way into the state (is_told) ── and there for good
 *   (is_kept)
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/local.h"
#include "common/base/side.h"

/* What of a step is where, kept up to date task by task: no view walks a million tasks ten times a
 * second. */
struct step_counts {
    uint32_t by_state[TASK_STATE_COUNT];
    uint32_t hit;
    ms_t first_started_at, last_finished_at;
};

enum { LOST_TOLD_MAX = 100 };

/* A step of which nobody can be given a task `since`; `told`: the reason that was given. */
struct stuck_step {
    ms_t since, seen_at;
    uint64_t told;
};

/* The scheduler's tasks → our nodes. */
struct run_nodes {
    uint32_t count, added; /* added: so many are known */
    uint32_t first_task; /* of node 0, if the others follow one by one; else UINT32_MAX, and … */
    struct side of_task; /* … the first node of each task */
    uint32_t *same_as_next; /* node → next node with the same id, or UINT32_MAX; NULL: no two */
};

struct run {
    uint32_t number; /* the scheduler's */
    char id[APP_RUN_ID_BYTES];
    struct submission *submission;
    /* As it was asked for; these live in the submission's arena. NULL: none. */
    const char *name, *who, *key, *only, *force;
    bool forces_all;
    struct value labels; /* a map */
    struct id request;   /* of all of it: an equal one is the same request */
    uint32_t retries;
    bool is_cancelled;
    int64_t begun_us, ended_us;
    uint8_t *is_forced, *is_target;
    bool is_begun;            /* its tasks are there */
    bool is_ended;            /* nothing is left to do; what its tasks became stands in `seen` */
    bool is_over;             /* what they made survives a power loss */
    ms_t tell_at, tell_until; /* its result is asked for again, and for how long; 0: not yet */
    bool has_task_list; /* a blob of the ids of its tasks, where its result does not list them */
    struct id task_list;
    uint32_t checked; /* of a large run: tasks before it have their records; 0: not begun */
    uint32_t lost[LOST_TOLD_MAX]; /* the first of them */
    uint32_t lost_count;          /* tasks that succeeded, and have no record any more */
    bool is_told;                 /* its result is on its way into the state … */
    uint64_t put;                 /* … as this (loop_put_run) */
    bool is_kept;                 /* and there */
    bool is_leaving;              /* the scheduler forgets it */
    /* Of a run that goes on after a restart, per node: 1 where it was executed before; else
     * NULL. */
    uint8_t *done;
    uint32_t done_count; /* tasks */

    struct run_nodes nodes;
    struct step_counts *steps;
    uint8_t *seen; /* per node: the state last counted, + SEEN_HIT */
    struct stuck_step *stuck;
    uint32_t failures_told;
    bool has_changed; /* since the last progress event */
    ms_t progress_at; /* when the next one is due */
    uint64_t progress_event;
};

/* runs.c: the list of those that go on here. Makes an empty one with a free number. Errors:
 * E_LIMIT. */
MUST_USE enum status runs_add(struct local *app, struct run **out, struct err *err);
void runs_remove(struct local *app, struct run *run);
void runs_fini(struct local *app);
/* NULL: it does not go on here. */
struct run *runs_get(const struct local *app, const char *id);
/* The same by id or unique prefix, or "latest", as state_get_run reads them. */
struct run *runs_find(const struct local *app, const char *ref);
bool runs_have_ended(const struct local *app);

/* submit.c: what a request says beside its text. Errors: E_INVALID. */
MUST_USE enum status run_take_request(struct run *run, const struct app_request *request,
                                      struct err *err);
void run_make_id(struct local *app, struct run *run);
/* Looks up what is known, and hands the run to the scheduler. `at_once`: its tasks are all there
 * afterwards, while nothing else goes on. On failure it is as if nothing had been asked. */
MUST_USE enum status run_begin(struct local *app, struct run *run, bool at_once, struct err *err);

/* progress.c: counting and telling. */
void progress_open(struct run *run); /* before it is submitted */
/* Its tasks are there: so many more nodes are counted; true: that was all. */
bool progress_begin(struct local *app, struct run *run, uint32_t nodes);
void progress_published(void *app, uint32_t run, uint32_t task);
void progress_end(struct local *app, struct run *run); /* nothing of it changes any more */
/* What a node became, or is. */
enum task_state progress_state(const struct run *run, uint32_t node, bool *is_hit);
/* The first node of a scheduler's task, or UINT32_MAX. */
uint32_t run_node(const struct run *run, uint32_t task);
/* A progress event, if it is time for one. */
void progress_tell(struct local *app, struct run *run, ms_t now);
void progress_tell_run(struct local *app, struct run *run);
void progress_close(struct run *run);
uint32_t local_step_count(const struct app *app, const char *run);
void local_step_progress(const struct app *app, const char *run, uint32_t step,
                         struct app_step_progress *out);

/* report.c: the run's result, also kept in its document; and what of it needs no look-up: all but
 * its steps. */
void report_head(const struct local *app, const struct run *run, struct arena *arena,
                 struct value *out);
MUST_USE enum status report_result(struct local *app, struct run *run, bool full,
                                   struct arena *arena, struct value *out, struct err *err);
MUST_USE enum status local_result(struct app *app, const char *run, bool full, struct arena *arena,
                                  struct value *out, struct err *err);
/* A large run's result looks no record up, so before it is told this does, some thousand tasks a
 * call, while the loop goes on: *is_done when all were looked at, and lost_count is known. Others
 * are done at once. */
MUST_USE enum status report_check(struct local *app, struct run *run, bool *is_done,
                                  struct err *err);
/* Of a run whose result does not list its tasks: their ids, one after the other. What it reached is
 * known by them when a kind's version, and so the expansion, has changed. */
void report_tasks(const struct local *app, const struct run *run, struct buf *out);
/* A record's outputs and metrics, as they stand in `steps`. */
void report_record(const struct record *record, struct arena *arena, struct value *entry);

/* run_document.c: as it is kept. */
struct value run_document_make(const struct run *run, const char *state, const struct value *result,
                               struct arena *arena);
/* Can it be kept? Errors: E_INVALID parameters nested too deep, or no numbers. */
MUST_USE enum status run_document_check(const struct run *run, struct err *err);
/* Into the next commit. */
MUST_USE enum status run_document_put(struct local *app, struct run *run, const char *state,
                                      const struct value *result, struct err *err);
/* `put` (may be NULL): what loop_put_run says. */
MUST_USE enum status run_document_store(struct local *app, const char *id,
                                        const struct value *document, uint64_t *put,
                                        struct err *err);
