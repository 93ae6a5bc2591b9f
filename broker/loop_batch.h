/* What one beat commits and asks: records, aliases, removals, run documents for the state; action
 * keys to look up. Filled while the scheduler steps, emptied when the commit is done. Seen by
 * broker/loop.c alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/sched.h"
#include "broker/state/state.h"
#include "broker/work/router.h"
#include "common/base/arena.h"
#include "common/base/buf.h"

/* A task that waits for the look-up of its action key. */
struct resolve {
    uint32_t task;
    struct id action;
};

struct loop_batch {
    struct arena arena;   /* run documents */
    struct buf frames;    /* struct mp_view each */
    struct buf keys;      /* public keys of the frames, PUBLIC_KEY_BYTES each */
    struct buf records;   /* struct state_record each */
    struct buf aliases;   /* struct state_alias each */
    struct buf removals;  /* struct id each */
    struct buf runs;      /* struct state_run each */
    struct buf wanted;    /* struct id each: removals that wait for a batch they may be in */
    bool is_wanting;      /* they do, or whoever put them there wants to know when that is */
    bool even_known;      /* these, also of tasks that the scheduler knows */
    bool is_removing;     /* what was wanted is in this batch */
    struct buf resolves;  /* struct resolve each */
    struct buf ahead;     /* struct id each: actions that will be looked up behind the commit */
    struct buf scratch;   /* an action, or a task's inputs and resources, being encoded */
    uint64_t last_handle; /* of the frame last added */
};

void loop_batch_init(struct loop_batch *batch);
void loop_batch_fini(struct loop_batch *batch);
/* Nothing to commit? */
bool loop_batch_is_empty(const struct loop_batch *batch);
void loop_batch_clear(struct loop_batch *batch); /* but the resolves */
void loop_batch_view(const struct loop_batch *batch, struct state_batch *out);

/* A record within a held frame. `action` is NULL for a task without task inputs. `replaces`: the
 * one that is there is removed in the same commit. */
void loop_batch_record(struct loop_batch *batch, const struct router_frame *frame, uint64_t handle,
                       const struct router_record *record, const struct id *task,
                       const struct id *action, bool replaces);
void loop_batch_alias(struct loop_batch *batch, const struct id *task, const struct id *action);
void loop_batch_removal(struct loop_batch *batch, const struct id *task);
void loop_batch_want_removals(struct loop_batch *batch, const struct id *tasks, uint32_t count,
                              bool even_known);
/* When a batch is about to be committed; true: they are in it. */
bool loop_batch_join_removals(struct loop_batch *batch, const struct sched *sched);
/* Wanted, or being committed? */
bool loop_batch_is_removing(const struct loop_batch *batch);
void loop_batch_run(struct loop_batch *batch, const char *id, const uint8_t *document,
                    size_t bytes); /* copied */
/* Moves the run documents of `from` to `batch`, which has none. */
void loop_batch_take_runs(struct loop_batch *batch, struct loop_batch *from);
/* The action key of a spec whose inputs are resolved. */
struct id loop_batch_action(struct loop_batch *batch, const uint8_t *spec, size_t spec_bytes,
                            const struct artifact *inputs, uint32_t input_count);
/* To be looked up. */
void loop_batch_resolve(struct loop_batch *batch, uint32_t task, struct id action);
/* Its action will be looked up when this is committed. Of more than STATE_AHEAD_MAX none is asked
 * for ahead: such a beat is long beside the round trip. */
void loop_batch_look_ahead(struct loop_batch *batch, const struct sched_work *work,
                           const struct artifact *inputs, uint32_t input_count);
/* Puts those without an answer back, before any that came meanwhile: all but the `found` ones among
 * the first `asked`. */
void loop_batch_ask_again(struct loop_batch *batch, const struct resolve *items, uint32_t count,
                          const bool *is_found, uint32_t asked);
/* How a worker is told of an ASSIGN, valid until the next call that encodes. */
struct task_msg loop_batch_task(struct loop_batch *batch, const struct sched_action *action,
                                const struct sched_work *work);
/* The outputs of a record that was found; false: it can't be read. */
bool loop_batch_read_outputs(const uint8_t *record, size_t bytes,
                             struct artifact outputs[OUTPUTS_MAX], uint32_t *count);
