/* The four beats: receive all that is ready, step the scheduler, commit every PERSIST in one batch
 * (and answer every RESOLVE), send. The only place where the pure core meets socket, state, store
 * and clock. While a commit is under way nothing is stepped and the scheduler's time stands still:
 * a slow state pauses a run and expires no lease. Thread: one. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/loop_stats.h"
#include "broker/sched/sched.h"
#include "broker/state/state.h"
#include "broker/work/router.h"
#include "common/store/store.h"

struct loop;

/* Called on the loop's thread. They look and remember; neither may step: what the actions of a step
 * point at lives until the next one. Any may be NULL. */
struct loop_hooks {
    void (*published)(void *context, uint32_t run,
                      uint32_t task); /* a task's visible state changed */
    /* Nothing of it is left to do. What is put into `keep` becomes a blob. */
    void (*run_ended)(void *context, uint32_t run, struct buf *keep);
    /* And what it made survives a power loss, as does the blob (NULL: there is none). */
    void (*run_over)(void *context, uint32_t run, const struct id *kept);
    void (*log)(void *context, uint32_t worker, const struct log_msg *log); /* see loop_watch */
    void *context;
};

struct loop_options {
    struct state *state;   /* borrowed */
    struct store *store;   /* for a thread of the loop's: nobody else uses it meanwhile */
    struct router *router; /* borrowed; NULL until there is work (all hits need no socket) */
    struct loop_hooks hooks;
    uint64_t seed;
    uint32_t lease_ms, workers_min; /* see struct sched_options */
    int wake_fd; /* readable: return from sleep (signals, child exits); −1 none */
};

struct loop *loop_new(const struct loop_options *options);
void loop_free(struct loop *loop);
struct sched *loop_sched(struct loop *loop);
void loop_set_router(struct loop *loop, struct router *router);
/* Steps the scheduler with an event of our own (SUBMIT, RESTORE, CANCEL). */
void loop_step(struct loop *loop, struct sched_event *event);
/* SUBMIT, and as many steps as it takes until all of its tasks are there. For whoever has no other
 * run that would have to wait meanwhile. */
void loop_submit(struct loop *loop, struct sched_event *submit);
/* Adds a run's document (copied) to the next commit, and has it flushed. What it returns is for
 * loop_has_kept. */
uint64_t loop_put_run(struct loop *loop, const char *id, const uint8_t *document, size_t bytes);
/* Is it there, whoever is killed? */
bool loop_has_committed(const struct loop *loop, uint64_t put);
/* Is it there, and does it survive a power loss? */
bool loop_has_kept(const struct loop *loop, uint64_t put);
/* Asks a worker for what an attempt has written; the hook `log` hears the answer. */
void loop_watch(struct loop *loop, uint32_t worker, const struct watch_msg *watch);
/* From a hook: the turn ends without sleeping, since somebody wants to hear of it. */
void loop_hurry(struct loop *loop);
/* Nothing is received or stepped any more; what is there is committed and sent. */
void loop_leave(struct loop *loop);
/* Removes records on behalf of whoever looks after the state, with one of the next commits: not
 * one with early cutoffs, which may point at them. Those of tasks that the scheduler knows by then
 * stay, unless `even_known`. Not while loop_is_removing: until it is committed, as is then all that
 * was put before. It is flushed, too, when loop_has_removed. */
void loop_remove_records(struct loop *loop, const struct id *tasks, uint32_t count,
                         bool even_known);
bool loop_is_removing(const struct loop *loop);
bool loop_has_removed(const struct loop *loop);
/* One round: sleeps at most `max_ms` when nothing is ready. Errors: E_FENCED, E_CORRUPT, E_BUG-like
 * ones that end the broker. */
MUST_USE enum status loop_turn(struct loop *loop, ms_t max_ms, struct err *err);
/* From now on, what state or store refuse is not tried again: the turn fails with it. */
void loop_give_up(struct loop *loop);
/* Is nothing left to commit? Else a look-up could find what a removal is about to take away. */
bool loop_is_settled(const struct loop *loop);
/* Is nothing left to commit, look up, send or end? Of a loop that is left: to commit or send? */
bool loop_is_idle(const struct loop *loop);
/* Also logged when a run is over (loop.stats). */
void loop_stats(const struct loop *loop, struct loop_stats *out);
