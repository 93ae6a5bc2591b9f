/* Events and actions in words: one line each, as stories and debug logs show them. Events read
 * "done train#1 from w1", actions "assign train#1 to w1"; a task is name#attempt where an attempt
 * is meant. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/core.h"
#include "broker/sched/task.h"

struct trace {
    const struct sched *sched;
    sched_name_fn *name;
    void *context;
    struct buf *out;
};

enum { ID_SHOWN_DIGITS = 12 };

static void put_id(const struct trace *trace, const struct id *id)
{
    const char *name = trace->name ? trace->name(trace->context, id) : NULL;
    char hex[ID_HEX_BYTES];
    if (name)
        buf_put_text(trace->out, name);
    else
        buf_format(trace->out, "%.*s", ID_SHOWN_DIGITS, id_hex(id, hex));
}

static void put_task(const struct trace *trace, uint32_t task)
{
    if (task < trace->sched->tasks.count)
        put_id(trace, &task_at(trace->sched, task)->id);
    else
        buf_put_text(trace->out, "unknown");
}

static void put_attempt(const struct trace *trace, const struct attempt *attempt)
{
    put_id(trace, &attempt->task);
    buf_format(trace->out, "#%u", attempt->number);
}

/* ---- events ---- */

static void put_submit(const struct trace *trace, const struct sched_event *event)
{
    buf_format(trace->out, "submit run %u of %u tasks", event->submit.run,
               event->submit.node_count);
}

static void put_hello(const struct trace *trace, const struct sched_event *event)
{
    buf_format(trace->out, "hello w%u with %u slots", event->hello.worker, event->hello.slots);
    for (uint32_t i = 0; i < event->hello.running_count; i++) {
        buf_put_text(trace->out, i ? " " : " running ");
        put_attempt(trace, &event->hello.running[i]);
    }
}

static void put_worker_event(const struct trace *trace, const char *verb,
                             const struct sched_event *event)
{
    buf_format(trace->out, "%s ", verb);
    put_attempt(trace, &event->worker.attempt);
    buf_format(trace->out, " at w%u", event->worker.worker);
}

static void put_failed(const struct trace *trace, const struct sched_event *event)
{
    buf_put_text(trace->out, "failed ");
    put_attempt(trace, &event->failed.attempt);
    buf_format(trace->out, " at w%u: %s", event->failed.worker, status_name(event->failed.code));
    if (event->failed.text_bytes)
        buf_format(trace->out, ": %.*s",
                   (int)(event->failed.text_bytes < TEXT_BYTES_MAX ? event->failed.text_bytes
                                                                   : TEXT_BYTES_MAX),
                   event->failed.text);
}

static void put_event(const struct trace *trace, const struct sched_event *event)
{
    switch (event->type) {
    case SCHED_SUBMIT: put_submit(trace, event); break;
    case SCHED_RESTORE: buf_format(trace->out, "restore %u records", event->restore.count); break;
    case SCHED_EXTEND: buf_put_text(trace->out, "extend"); break;
    case SCHED_CANCEL:
        buf_format(trace->out, "%s run %u", event->cancel.kill ? "kill" : "cancel",
                   event->cancel.run);
        break;
    case SCHED_HELLO: put_hello(trace, event); break;
    case SCHED_HEARTBEAT: buf_format(trace->out, "heartbeat w%u", event->worker.worker); break;
    case SCHED_GONE:
        buf_format(trace->out, "%s w%u", event->gone.is_drain ? "goodbye" : "gone",
                   event->gone.worker);
        break;
    case SCHED_STARTED: put_worker_event(trace, "started", event); break;
    case SCHED_PROGRESS:
        buf_put_text(trace->out, "progress ");
        put_attempt(trace, &event->progress.attempt);
        buf_format(trace->out, " %llu of %llu", (unsigned long long)event->progress.step,
                   (unsigned long long)event->progress.total);
        break;
    case SCHED_DONE:
        buf_put_text(trace->out, "done ");
        put_attempt(trace, &event->done.attempt);
        buf_format(trace->out, " at w%u", event->done.worker);
        break;
    case SCHED_FAILED: put_failed(trace, event); break;
    case SCHED_REVOKED: put_worker_event(trace, "revoked", event); break;
    case SCHED_RESOLVED:
        buf_put_text(trace->out, "resolved ");
        put_task(trace, event->resolved.task);
        buf_put_text(trace->out, event->resolved.is_found ? ": found" : ": new");
        break;
    case SCHED_COMMITTED: buf_put_text(trace->out, "committed"); break;
    case SCHED_CHECKED:
        buf_format(trace->out, "checked run %u: %u missing", event->checked.run,
                   event->checked.missing_count);
        break;
    case SCHED_GO_ON: buf_put_text(trace->out, "go on"); break;
    case SCHED_TICK: buf_put_text(trace->out, "tick"); break;
    case SCHED_EVENT_COUNT: break;
    }
}

void sched_trace_event(const struct sched *sched, const struct sched_event *event,
                       sched_name_fn *name, void *context, struct buf *out)
{
    struct trace trace = {sched, name, context, out};
    put_event(&trace, event);
}

/* ---- actions ---- */

static void put_verb(const struct trace *trace, const char *verb, const struct sched_action *action)
{
    buf_format(trace->out, "%s ", verb);
    if (action->unknown)
        put_id(trace, action->unknown);
    else
        put_task(trace, action->task);
}

/* verb task#attempt preposition worker */
static void put_move(const struct trace *trace, const char *verb, const char *preposition,
                     const struct sched_action *action)
{
    put_verb(trace, verb, action);
    buf_format(trace->out, "#%u %s w%u", action->attempt, preposition, action->worker);
}

static void put_publish(const struct trace *trace, const struct sched_action *action)
{
    struct sched_task_info info;
    sched_task_info(trace->sched, action->task, &info);
    put_verb(trace, "publish", action);
    buf_format(trace->out, " %s", task_state_name(info.state));
    if (info.state == TASK_FAILED)
        buf_format(trace->out, ": %s", status_name(info.code));
}

static void put_action(const struct trace *trace, const struct sched_action *action)
{
    switch (action->type) {
    case SCHED_PERSIST:
        put_verb(trace, action->is_replacement ? "replace" : "persist", action);
        break;
    case SCHED_ALIAS: put_verb(trace, "alias", action); break;
    case SCHED_FORGET: put_verb(trace, "forget", action); break;
    case SCHED_RESOLVE: put_verb(trace, "resolve", action); break;
    case SCHED_CHECK:
        buf_format(trace->out, "check %u outputs of run %u", action->input_count, action->run);
        break;
    case SCHED_ASSIGN: put_move(trace, "assign", "to", action); break;
    case SCHED_REVOKE: put_move(trace, "revoke", "from", action); break;
    case SCHED_KILL: put_move(trace, "kill", "at", action); break;
    case SCHED_ACK:
        put_verb(trace, "ack", action);
        buf_format(trace->out, " to w%u", action->worker);
        break;
    case SCHED_DROPPED: put_move(trace, "dropped", "from", action); break;
    case SCHED_PUBLISH: put_publish(trace, action); break;
    case SCHED_WAKE_AT: buf_format(trace->out, "wake at %lld", (long long)action->at); break;
    case SCHED_REST:
        buf_format(trace->out, "rest w%u until %lld: %s", action->worker, (long long)action->at,
                   status_name(action->code));
        break;
    case SCHED_FREED:
        buf_format(trace->out, "freed %u numbers from %u", action->index, action->task);
        break;
    case SCHED_RUN_OVER: buf_format(trace->out, "run %u over", action->run); break;
    }
}

void sched_trace_action(const struct sched *sched, const struct sched_action *action,
                        sched_name_fn *name, void *context, struct buf *out)
{
    struct trace trace = {sched, name, context, out};
    put_action(&trace, action);
}
