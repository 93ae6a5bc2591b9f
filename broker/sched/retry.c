// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/retry.h"

#include <stdio.h>
#include <string.h>

#include "broker/sched/lost.h"
#include "broker/sched/note.h"
#include "broker/sched/rank.h"
#include "broker/sched/rest.h"
#include "broker/sched/share.h"
#include "broker/sched/task.h"
#include "common/base/mem.h"

enum { CRASH_TEXT_BYTES = 256, CRASH_WORDS_BYTES = 160 };

uint32_t retry_delay(const struct task_policy *policy, uint32_t retry, struct rng *rng)
{
    uint64_t most = policy->backoff_ms;
    for (uint32_t i = 1; i < retry && most < policy->backoff_max_ms; i++)
        most *= 2;
    if (most > policy->backoff_max_ms)
        most = policy->backoff_max_ms;
    return rng_below(rng, (uint32_t)(most < UINT32_MAX ? most + 1 : most));
}

void retry_fail(struct sched *sched, uint32_t index, enum status code, const char *text)
{
    note_set_text(note_make(sched, index), code, text, strlen(text));
    task_end(sched, index, STAGE_FAILED);
}

static uint32_t poison_kills(const struct sched *sched, const struct task *task)
{
    uint32_t kills = rule_of(sched, task)->policy.poison_kills;
    return kills ? kills : POISON_KILLS_DEFAULT;
}

/* True: it has cost too many their life, and has failed for that. */
static bool fail_if_poison(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    struct note *note = note_find(sched, task, index);
    if (!note || note_kills(sched, note) < poison_kills(sched, task))
        return false;
    AUTO(buf_fini) struct buf text = buf_init(TEXT_BYTES_MAX);
    uint32_t kills = note_kills(sched, note);
    buf_format(&text, "%u of its attempts cost a worker or slot its life: ", kills);
    note_put_kills(sched, note, &text);
    retry_fail(sched, index, E_POISON, buf_text(&text));
    return true;
}

static void begin_backoff(struct sched *sched, uint32_t index, uint32_t retry)
{
    struct task *task = task_at(sched, index);
    uint32_t delay = retry_delay(&rule_of(sched, task)->policy, retry, &sched->rng);
    task->started_at = task->finished_at = 0;
    if (!delay) {
        task_settle(sched, index);
        return;
    }
    task_set_stage(sched, index, STAGE_BACKOFF);
    heap_push(&sched->backoffs, (struct heap_entry){.major = (uint64_t)(sched->now + delay),
                                                    .minor = task->attempt,
                                                    .item = index});
}

/* A run that is being stopped tries nothing again. */
static bool end_if_cancelled(struct sched *sched, uint32_t index, const struct failure *failure)
{
    share_rehome(sched, index);
    if (!run_of(sched, task_at(sched, index))->is_cancelled)
        return false;
    bool is_ours = failure->was_killed || failure->code == E_CANCELLED || failure->code == E_GONE;
    task_end(sched, index, is_ours ? STAGE_CANCELLED : STAGE_FAILED);
    return true;
}

static void remember(struct sched *sched, uint32_t index, const struct failure *failure)
{
    struct note *note = note_make(sched, index);
    note_set_text(note, failure->code, failure->text ? failure->text : "", failure->text_bytes);
    note->has_log = failure->log != NULL;
    if (failure->log)
        note->log = *failure->log;
    if (failure->code != E_CRASHED || failure->was_killed)
        return;
    char text[CRASH_TEXT_BYTES];
    snprintf(text, sizeof text, "its slot at %s died (%.*s)", worker_name(sched, failure->worker),
             CRASH_WORDS_BYTES, note->text);
    struct past *past = note_add_past(sched, index, failure->attempt,
                                      sched->workers.items[failure->worker].instance);
    past->is_kill = past->is_failure = true;
    past->text = mem_copy_text(text, strlen(text));
}

/* True: an input is being made again, and the task waits for it. That costs no retry,
 * LOSSES_MAX times. */
static bool wait_for_lost(struct sched *sched, uint32_t index, const struct failure *failure)
{
    if (failure->code != E_LOST || !lost_inputs(sched, index, failure->lost, failure->lost_count))
        return false;
    struct note *note = note_find(sched, task_at(sched, index), index);
    if (note->losses >= LOSSES_MAX)
        return false;
    note->losses++;
    task_settle(sched, index);
    return true;
}

/* The worker was on trial, and is as it was. Others are well: that is all that it says. */
static bool is_known_of_worker(const struct sched *sched, uint32_t index,
                               const struct failure *failure)
{
    return failure->was_trial && rest_is_due(failure->code) &&
           rest_has_well(sched, task_at(sched, index)->rule);
}

void retry_attempt_failed(struct sched *sched, uint32_t index, const struct failure *failure)
{
    remember(sched, index, failure);
    if (end_if_cancelled(sched, index, failure))
        return;
    /* Ended at our wish, by a run that is gone or a lease that ran out: others still want it. */
    if (failure->was_killed || failure->code == E_CANCELLED) {
        task_settle(sched, index);
        return;
    }
    if (wait_for_lost(sched, index, failure))
        return;
    if (is_known_of_worker(sched, index, failure)) {
        task_settle(sched, index);
        return;
    }
    struct note *note = note_find(sched, task_at(sched, index), index);
    uint32_t limit = rule_of(sched, task_at(sched, index))->policy.retry_limit;
    if (!status_is_retryable(failure->code) || note->retries >= limit)
        task_end(sched, index, STAGE_FAILED);
    else if (!fail_if_poison(sched, index))
        begin_backoff(sched, index, ++note->retries);
}

void retry_worker_lost(struct sched *sched, uint32_t index, bool was_running, const char *text)
{
    struct failure failure = {
        .worker = NONE, .code = E_GONE, .text = text, .text_bytes = strlen(text)};
    if (was_running)
        remember(sched, index, &failure);
    if (end_if_cancelled(sched, index, &failure))
        return;
    if (was_running && fail_if_poison(sched, index))
        return;
    uint32_t ready_at = task_at(sched, index)->ready_at;
    task_settle(sched, index);
    rank_keep_age(sched, index, ready_at);
}

void retry_tick(struct sched *sched)
{
    while (sched->backoffs.count && (ms_t)heap_top(&sched->backoffs)->major <= sched->now &&
           sched->work_left-- > 0) {
        struct heap_entry entry = heap_pop(&sched->backoffs);
        const struct task *task = task_at(sched, entry.item);
        if (task->stage == STAGE_BACKOFF && task->attempt == entry.minor)
            task_settle(sched, entry.item);
    }
}
