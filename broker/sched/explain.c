/* Why does a task not run? One sentence that a person can act on. Tasks are named by the first
 * digits of their ids; whoever shows the sentence may put names in their place. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/core.h"
#include "broker/sched/match.h"
#include "broker/sched/note.h"
#include "broker/sched/task.h"

enum { ID_SHOWN_DIGITS = 12 };

static void put_task(const struct sched *sched, uint32_t task, struct buf *out)
{
    char hex[ID_HEX_BYTES];
    buf_format(out, "%.*s", ID_SHOWN_DIGITS, id_hex(&task_at(sched, task)->id, hex));
}

/* The first input that satisfies the question, or NONE. */
static uint32_t find_input(const struct sched *sched, const struct task *task,
                           bool (*is_it)(enum stage stage))
{
    uint32_t count;
    const uint32_t *inputs = task_inputs(sched, task, &count);
    for (uint32_t i = 0; i < count; i++)
        if (is_it(task_at(sched, inputs[i] >> OUTPUT_BITS)->stage))
            return inputs[i] >> OUTPUT_BITS;
    return NONE;
}

static bool is_open(enum stage stage)
{
    return stage != STAGE_SUCCEEDED;
}

static bool is_failed(enum stage stage)
{
    return stage == STAGE_FAILED || stage == STAGE_UPSTREAM_FAILED;
}

static void explain_waiting(const struct sched *sched, const struct task *task, struct buf *out)
{
    uint32_t producer = find_input(sched, task, is_open);
    buf_put_text(out, "waits for ");
    if (producer == NONE) {
        buf_put_text(out, "its inputs");
        return;
    }
    put_task(sched, producer, out);
    buf_format(out, ", which is %s",
               task_state_name(task_state_of(task_at(sched, producer)->stage)));
    if (task->pending > 1)
        buf_format(out, ", and for %u more", task->pending - 1);
}

/* How many connected workers there are, and the one thing that each kind of them lacks most. */
static void explain_no_offer(const struct sched *sched, const struct rule *rule, struct buf *out)
{
    uint32_t workers = 0, by_kind = 0;
    const struct task_policy *policy = &rule->policy;
    struct task_policy kind_alone = {.kind_version = policy->kind_version};
    for (uint32_t i = 0; i < sched->offers.count; i++) {
        const struct offer *offer = &sched->offers.items[i];
        workers += offer->worker_count;
        by_kind += match_fits(&kind_alone, offer) ? offer->worker_count : 0;
    }
    if (!workers) {
        buf_put_text(out, "is ready, but no worker is connected");
    } else if (!by_kind) {
        buf_format(out, "needs kind %s, which none of %u connected workers offers",
                   policy->kind_version ? policy->kind_version : "", workers);
    } else {
        buf_format(out, "needs %u.%02u cores, %llu bytes of memory", policy->cpu_hundredths / 100,
                   policy->cpu_hundredths % 100, (unsigned long long)policy->memory_bytes);
        for (uint32_t i = 0; i < policy->label_count; i++)
            buf_format(out, ", %s=%s", policy->labels[2 * i], policy->labels[2 * i + 1]);
        buf_format(out, ", which none of the %u workers of its kind has", by_kind);
    }
}

static void explain_ready(const struct sched *sched, const struct task *task, struct buf *out)
{
    const struct rule *rule = rule_of(sched, task);
    uint32_t fitting = 0, silent = 0;
    for (uint32_t i = 0; i < sched->workers.count; i++) {
        const struct worker *worker = &sched->workers.items[i];
        bool fits =
            worker->is_used && match_fits(&rule->policy, &sched->offers.items[worker->offer]);
        fitting += fits;
        silent += fits && worker->is_silent;
    }
    if (!fitting)
        explain_no_offer(sched, rule, out);
    else if (silent == fitting)
        buf_format(out, "is ready, but every worker that could run it (%u) is silent", fitting);
    else
        buf_format(out,
                   "is ready, one of %u of its step; every worker that could run it (%u) is busy",
                   rule->queue.count, fitting - silent);
}

static void explain_backoff(const struct sched *sched, const struct task *task, uint32_t index,
                            struct buf *out)
{
    const struct note *note = note_find(sched, task, index);
    ms_t at = sched->now;
    for (uint32_t i = 0; i < sched->backoffs.count; i++)
        if (sched->backoffs.entries[i].item == index &&
            sched->backoffs.entries[i].minor == task->attempt)
            at = (ms_t)sched->backoffs.entries[i].major;
    buf_format(out, "failed (%s), and is tried again in %lld ms (retry %u of %u)",
               note ? status_name(note->code) : "unknown", (long long)(at - sched->now),
               note ? note->retries : 0, rule_of(sched, task)->policy.retry_limit);
}

static void explain_failed(const struct sched *sched, const struct task *task, uint32_t index,
                           struct buf *out)
{
    const struct note *note = note_find(sched, task, index);
    buf_format(out, "failed after %u attempt%s: %s", task->attempt, task->attempt == 1 ? "" : "s",
               note ? status_name(note->code) : "unknown");
    if (note && note->text && note->text[0])
        buf_format(out, ": %s", note->text);
}

/* Goes up to a task that failed itself. Each step is to a producer, so there are no more steps
 * than tasks. */
static void explain_upstream(const struct sched *sched, const struct task *task, struct buf *out)
{
    uint32_t producer = find_input(sched, task, is_failed);
    while (producer != NONE && task_at(sched, producer)->stage == STAGE_UPSTREAM_FAILED)
        producer = find_input(sched, task_at(sched, producer), is_failed);
    buf_put_text(out, "cannot run, since it needs ");
    if (producer != NONE)
        put_task(sched, producer, out);
    buf_put_text(out, producer == NONE ? "an input that failed" : ", which failed");
}

void sched_explain(const struct sched *sched, uint32_t index, struct buf *out)
{
    const struct task *task = task_at(sched, index);
    switch ((enum stage)task->stage) {
    case STAGE_FREE:
    case STAGE_COUNT: buf_put_text(out, "was forgotten"); break;
    case STAGE_WAITING: explain_waiting(sched, task, out); break;
    case STAGE_RESOLVING: buf_put_text(out, "is looked up by the bytes of its inputs"); break;
    case STAGE_READY: explain_ready(sched, task, out); break;
    case STAGE_BACKOFF: explain_backoff(sched, task, index, out); break;
    case STAGE_ASSIGNED:
        buf_format(out, "was given to worker %u, which has not begun it", task->worker);
        break;
    case STAGE_RUNNING: buf_format(out, "runs at worker %u", task->worker); break;
    case STAGE_COMMITTING: buf_put_text(out, "is done, and its record is being written"); break;
    case STAGE_SUCCEEDED:
        buf_put_text(out, task->flags & FLAG_HIT ? "has run before, with the same inputs"
                          : task->flags & FLAG_CUTOFF
                              ? "ran before on the same bytes, though what made them ran again"
                              : "is done");
        break;
    case STAGE_FAILED: explain_failed(sched, task, index, out); break;
    case STAGE_UPSTREAM_FAILED: explain_upstream(sched, task, out); break;
    case STAGE_CANCELLED: buf_put_text(out, "was cancelled"); break;
    case STAGE_UNNEEDED: buf_put_text(out, "is not needed: what would use it is there"); break;
    }
}
