/* The loop's inside, shared by loop.c (receive, step, send, sleep) and loop_settle.c (commit, look
 * up, flush). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/loop.h"
#include "broker/loop_batch.h"
#include "broker/loop_end.h"
#include "broker/loop_expect.h"
#include "broker/loop_lead.h"
#include "broker/loop_pause.h"

struct loop {
    struct loop_options options;
    struct sched *sched;
    struct sched_actions actions;
    struct loop_batch batch;
    struct loop_batch late; /* run documents that came while `batch` is being committed */
    ms_t wake_at;           /* the scheduler's wish */
    struct loop_lead lead;
    struct loop_pause pause;
    ms_t now;            /* the scheduler's time of this beat */
    uint32_t late_ticks; /* beats in a row in which a TICK was due and had to wait */
    struct loop_ender *ender;
    uint64_t commits;                               /* done so far */
    uint64_t flush_wanted, flush_begun, flush_done; /* commits that are to be flushed, and are */
    uint64_t removed_with; /* the commit that had the last of loop_remove_records */
    bool is_left;
    /* Of the DONE being stepped. */
    const struct router_record *record;
    struct id record_action; /* its action's key, if it has task inputs */
    bool has_action;
    struct loop_expect expect;
    struct id action; /* of the RESOLVED being stepped */
    bool is_hurried;  /* somebody wants to hear of this turn */
    struct loop_stats stats;
};

/* loop.c: steps the scheduler and carries out what it says. */
void loop_do(struct loop *loop, struct sched_event *event);
/* The scheduler's time goes on. */
void loop_go_on(struct loop *loop);

/* loop_settle.c: commits and looks up, until nothing is left or the other beats want their turn. */
MUST_USE enum status loop_settle(struct loop *loop, struct err *err);
/* What the store was asked for runs that end. */
MUST_USE enum status loop_hear_ender(struct loop *loop, struct err *err);
/* Has the state flushed what is to be flushed. */
MUST_USE enum status loop_flush(struct loop *loop, struct err *err);
