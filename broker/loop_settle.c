// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_inside.h"
#include "common/base/mem.h"
#include "common/clock.h"

/* Rounds of commit and look-up within one beat: a chain of early cutoffs does not sleep between. */
enum { ROUNDS_MAX = 8, RESOLVE_BATCH = 1000 };

static enum status begin_commit(struct loop *loop, struct err *err)
{
    struct state_batch batch;
    if (loop_batch_join_removals(&loop->batch, loop->sched))
        loop->removed_with = loop->flush_wanted = loop->commits + 1;
    loop_batch_view(&loop->batch, &batch);
    TRY(state_begin(loop->options.state, &batch, err));
    loop_pause_begin_commit(&loop->pause);
    return OK;
}

/* Commits what the beat gathered. Sets *is_durable when nothing is left to wait for. */
static enum status commit(struct loop *loop, bool *is_durable, struct err *err)
{
    *is_durable = false;
    int64_t begun_us = clock_us();
    enum status status = loop->pause.is_committing ? OK : begin_commit(loop, err);
    if (status == OK)
        status = state_poll(loop->options.state, is_durable, err);
    loop->stats.commit_us += clock_us() - begun_us;
    if (status != OK)
        return loop_pause_fail(&loop->pause, status, err);
    if (!*is_durable)
        return OK;
    loop_go_on(loop);
    loop->stats.commits++;
    loop->commits++;
    if (loop->batch.runs.count) /* who asked for it waits for its answer */
        loop_hurry(loop);
    loop_batch_clear(&loop->batch);
    loop_batch_take_runs(&loop->batch, &loop->late);
    loop_do(loop, &(struct sched_event){.type = SCHED_COMMITTED});
    return OK;
}

struct resolving {
    struct loop *loop;
    const struct resolve *items;
    bool *is_found;
};

static void resolve_one(struct resolving *r, uint32_t index, const struct sched_known *known)
{
    struct sched_event event = {
        .type = SCHED_RESOLVED,
        .resolved = {.task = r->items[index].task, .is_found = known != NULL}};
    if (known)
        event.resolved.record = *known;
    r->loop->action = r->items[index].action;
    loop_do(r->loop, &event);
}

static void found_action(void *context, uint32_t index, const uint8_t *bytes, size_t count)
{
    struct resolving *r = context;
    struct artifact outputs[OUTPUTS_MAX];
    struct sched_known known = {0, outputs};
    r->is_found[index] = loop_batch_read_outputs(bytes, count, outputs, &known.output_count);
    if (r->is_found[index]) /* what can't be read is made again */
        resolve_one(r, index, &known);
}

/* Has somebody worked on these very bytes already? One batched look-up for all that became ready in
 * this beat. A state that can't answer is asked again. */
static enum status resolve(struct loop *loop, struct err *err)
{
    AUTO(buf_fini) struct buf asked = loop->batch.resolves;
    loop->batch.resolves = buf_init(0);
    const struct resolve *items = (const struct resolve *)(const void *)asked.bytes;
    uint32_t count = (uint32_t)(asked.count / sizeof *items);
    for (uint32_t first = 0; first < count; first += RESOLVE_BATCH) {
        struct id ids[RESOLVE_BATCH];
        bool is_found[RESOLVE_BATCH] = {0};
        uint32_t n = count - first < RESOLVE_BATCH ? count - first : RESOLVE_BATCH;
        for (uint32_t i = 0; i < n; i++)
            ids[i] = items[first + i].action;
        struct resolving r = {loop, items + first, is_found};
        enum status status = state_find_actions(loop->options.state, ids, n, found_action, &r, err);
        if (status != OK) {
            loop_batch_ask_again(&loop->batch, items + first, count - first, is_found, n);
            return loop_pause_fail(&loop->pause, status, err);
        }
        loop_go_on(loop);
        for (uint32_t i = 0; i < n; i++)
            if (!is_found[i])
                resolve_one(&r, i, NULL);
    }
    return OK;
}

/* What the store was asked for runs that end. */
enum status loop_hear_ender(struct loop *loop, struct err *err)
{
    const struct loop_hooks *hooks = &loop->options.hooks;
    struct loop_ended ended;
    while (loop_ender_take(loop->ender, &ended)) {
        AUTO(mem_free) struct id *missing = ended.missing;
        if (ended.status != OK)
            return err_set(err, ended.status, "%s", ended.err.text);
        struct sched_event event = {.type = SCHED_CHECKED,
                                    .checked = {.run = ended.run,
                                                .missing = missing,
                                                .missing_count = ended.missing_count}};
        if (!ended.is_flush) {
            loop_do(loop, &event);
            continue;
        }
        loop_hurry(loop);
        loop_stats_log(&loop->stats);
        if (hooks->run_over)
            hooks->run_over(hooks->context, ended.run, ended.has_kept ? &ended.kept : NULL);
    }
    return OK;
}

/* One flush at a time; what is committed meanwhile is for the next. */
enum status loop_flush(struct loop *loop, struct err *err)
{
    bool is_done = false, is_due = loop->flush_done < loop->flush_wanted;
    if (loop->flush_begun == loop->flush_done && is_due && loop->commits > loop->flush_done) {
        loop->flush_begun = loop->commits;
        state_flush_begin(loop->options.state);
    }
    if (loop->flush_begun == loop->flush_done)
        return OK;
    TRY(state_flush_poll(loop->options.state, &is_done, err));
    if (!is_done)
        return OK;
    loop->flush_done = loop->flush_begun;
    loop_hurry(loop);
    return OK;
}

/* Commits and looks up: until nothing is left, or the other beats want their turn. */
enum status loop_settle(struct loop *loop, struct err *err)
{
    if (loop->pause.is_waiting && clock_ms() < loop->pause.retry_at)
        return OK;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        bool is_durable = true;
        if (!loop_batch_is_empty(&loop->batch))
            TRY(commit(loop, &is_durable, err));
        if (!is_durable)
            return OK;
        if (!loop->batch.resolves.count || loop->is_left) {
            if (loop->pause.is_waiting) /* for a look-up that has answered for all that is left */
                loop_go_on(loop);
            return OK;
        }
        TRY(resolve(loop, err));
        if (loop->pause.is_waiting)
            return OK;
    }
    return OK;
}
