/* Why does a task not run? One sentence that a person can act on. Tasks are named by the first
 * digits of their ids; whoever shows the sentence may put names in their place. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/core.h"
#include "broker/sched/explain_need.h"
#include "broker/sched/note.h"
#include "broker/sched/rest.h"
#include "broker/sched/task.h"

enum { ID_SHOWN_DIGITS = 12 };

void explain_put_task(const struct sched *sched, uint32_t task, struct buf *out)
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

/* ---- ready ---- */

/* Who could run it, and what keeps them. */
struct able {
    uint32_t workers, silent, unwritten; /* unwritten: has a free slot, but no credit left */
    uint32_t ailing;                     /* can be heard, but rest or are on trial: see rest.h */
    uint32_t last, first;                /* of all; of those that rest: whose rest is over first */
};

static struct able find_able(const struct sched *sched, uint32_t rule)
{
    struct able able = {.first = NONE};
    for (uint32_t i = 0; i < sched->workers.count; i++) {
        const struct worker *worker = &sched->workers.items[i];
        if (!worker->is_used || !sched->offers.items[worker->offer].fits[rule])
            continue;
        able.workers++;
        able.silent += worker->is_silent;
        able.ailing += !worker->is_silent && rest_is_kept(worker);
        if (!worker->is_silent && worker->is_resting &&
            (able.first == NONE ||
             worker->rest_until < sched->workers.items[able.first].rest_until))
            able.first = i;
        able.unwritten += !worker->is_silent && !rest_is_kept(worker) &&
                          worker->unacked >= worker->credit && worker->flights < worker->slots;
        able.last = i;
    }
    return able;
}

static void put_able(const struct sched *sched, const struct able *able, struct buf *out)
{
    if (able->workers == 1)
        buf_format(out, "%s, the only worker that could run it, is",
                   worker_name(sched, able->last));
    else if (able->workers == 2)
        buf_put_text(out, "both workers that could run it are");
    else
        buf_format(out, "all %u workers that could run it are", able->workers);
}

/* Ready tasks that go first whatever happens: those of higher priority. */
static uint32_t count_ahead(const struct sched *sched, const struct rule *rule)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sched->rules.count; i++) {
        const struct rule *other = &sched->rules.items[i];
        if (other->run != NONE && other->policy.priority > rule->policy.priority)
            count += other->queue.count;
    }
    return count;
}

static void explain_busy(const struct sched *sched, const struct rule *rule,
                         const struct able *able, struct buf *out)
{
    uint32_t ahead = count_ahead(sched, rule);
    buf_put_text(out, "is ready");
    if (rule->queue.count > 1)
        buf_format(out, ", one of %u of its step", rule->queue.count);
    buf_put_text(out, "; ");
    put_able(sched, able, out);
    buf_put_text(out, able->silent && able->ailing ? " busy, silent or resting"
                      : able->silent               ? " busy or silent"
                      : able->ailing               ? " busy or resting"
                                                   : " busy");
    if (ahead)
        buf_format(out, "; %u of higher priority go%s first", ahead, ahead == 1 ? "es" : "");
}

/* Nobody is left but those that rest or are on trial. */
static void explain_ailing(const struct sched *sched, const struct able *able, struct buf *out)
{
    buf_put_text(out, "is ready; ");
    put_able(sched, able, out);
    if (able->first == NONE) {
        buf_put_text(out, able->silent ? " silent or being tried again with one task"
                                       : " being tried again with one task");
        return;
    }
    const struct worker *first = &sched->workers.items[able->first];
    long long ms = first->rest_until - sched->now;
    buf_format(out, "%s resting after %s", able->silent ? " silent or" : "",
               status_name(first->rest_code));
    if (able->workers == 1)
        buf_format(out, ", and is tried again in %lld ms", ms);
    else
        buf_format(out, "; %s is tried again first, in %lld ms", worker_name(sched, able->first),
                   ms);
}

static void explain_ready(const struct sched *sched, const struct task *task, struct buf *out)
{
    const struct rule *rule = rule_of(sched, task);
    if (sched->options.workers_min && !sched->has_quorum) {
        buf_format(out, "waits until %u workers have joined; %u %s connected",
                   sched->options.workers_min, sched->worker_count,
                   sched->worker_count == 1 ? "is" : "are");
        return;
    }
    if (!sched->worker_count) {
        buf_put_text(out, "is ready, but no worker is connected");
        return;
    }
    struct able able = find_able(sched, task->rule);
    if (!able.workers) {
        explain_lack(sched, rule, out);
    } else if (able.silent == able.workers) {
        buf_put_text(out, "is ready; ");
        put_able(sched, &able, out);
        buf_put_text(out, " silent");
    } else if (able.silent + able.ailing == able.workers) {
        explain_ailing(sched, &able, out);
    } else if (able.unwritten == able.workers - able.silent - able.ailing) {
        buf_put_text(out, "is ready; ");
        put_able(sched, &able, out);
        buf_put_text(out, " waiting for results to be written: the credit is used up");
    } else if (!explain_taken(sched, task->rule, out)) {
        explain_busy(sched, rule, &able, out);
    }
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
        explain_put_task(sched, producer, out);
    buf_put_text(out, producer == NONE ? "an input that failed" : ", which failed");
}

/* ---- waiting, or at a worker ---- */

/* Goes up to a task that waits for no other. Each step is to a producer, so there are no more steps
 * than tasks. */
static uint32_t find_root(const struct sched *sched, uint32_t index)
{
    while (index != NONE && task_at(sched, index)->stage == STAGE_WAITING)
        index = find_input(sched, task_at(sched, index), is_open);
    return index;
}

static void explain_assigned(const struct sched *sched, const struct task *task, struct buf *out)
{
    const struct worker *worker = &sched->workers.items[task->worker];
    const char *name = worker_name(sched, task->worker);
    if (worker->started)
        buf_format(out, "is to be next at %s, which runs %u other%s", name, worker->started,
                   worker->started == 1 ? "" : "s");
    else
        buf_format(out, "was given to %s and has not begun", name);
}

static void explain_end(const struct sched *sched, const struct task *task, uint32_t index,
                        struct buf *out)
{
    switch ((enum stage)task->stage) {
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
    default: buf_put_text(out, "was forgotten"); break;
    }
}

/* Any stage but waiting. */
static void explain_itself(const struct sched *sched, uint32_t index, struct buf *out)
{
    const struct task *task = task_at(sched, index);
    switch ((enum stage)task->stage) {
    case STAGE_NEW: buf_put_text(out, "is being submitted with its run"); break;
    case STAGE_RESOLVING: buf_put_text(out, "is looked up by the bytes of its inputs"); break;
    case STAGE_READY: explain_ready(sched, task, out); break;
    case STAGE_BACKOFF: explain_backoff(sched, task, index, out); break;
    case STAGE_ASSIGNED: explain_assigned(sched, task, out); break;
    case STAGE_RUNNING: buf_format(out, "runs at %s", worker_name(sched, task->worker)); break;
    case STAGE_COMMITTING: buf_put_text(out, "is done, and its record is being written"); break;
    default: explain_end(sched, task, index, out); break;
    }
}

/* For whom, and why that one doesn't get on: at the end of the chain there is something to do. */
static void explain_waiting(const struct sched *sched, const struct task *task, struct buf *out)
{
    uint32_t producer = find_input(sched, task, is_open), root = find_root(sched, producer);
    buf_put_text(out, "waits for ");
    if (producer == NONE || root == NONE) {
        buf_put_text(out, "its inputs");
        return;
    }
    explain_put_task(sched, producer, out);
    if (root != producer) {
        buf_put_text(out, ", and first of all for ");
        explain_put_task(sched, root, out);
    }
    buf_put_text(out, ", which ");
    explain_itself(sched, root, out);
    if (task->pending > 1)
        buf_format(out, "; and for %u more", task->pending - 1);
}

void sched_explain(const struct sched *sched, uint32_t index, struct buf *out)
{
    const struct task *task = task_at(sched, index);
    if (task->stage == STAGE_WAITING)
        explain_waiting(sched, task, out);
    else
        explain_itself(sched, index, out);
}
