// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/result.h"

#include "broker/sched/flight.h"
#include "broker/sched/grow.h"
#include "broker/sched/note.h"
#include "broker/sched/peers.h"
#include "broker/sched/rest.h"
#include "broker/sched/retry.h"
#include "broker/sched/room.h"
#include "broker/sched/task.h"

/* One per result, whatever it was: the loop counts them and then forgets the frame. */
static void acknowledge(struct sched *sched, uint32_t task, uint32_t worker, uint64_t frame,
                        uint32_t index)
{
    struct sched_action *action = sched_act(sched, SCHED_ACK);
    action->task = task;
    action->worker = worker;
    action->frame = frame;
    action->index = index;
}

static bool is_same_outputs(const struct sched *sched, const struct task *task,
                            const struct artifact *outputs, uint32_t count)
{
    if (task->output_count != count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!id_equal(&sched->artifacts.items[task->outputs + i].id, &outputs[i].id))
            return false;
    return true;
}

/* A success that comes too late, or from nowhere. */
static void drop_done(struct sched *sched, uint32_t index, const struct sched_event *event)
{
    const struct task *task = index == ID_MAP_NONE ? NULL : task_at(sched, index);
    bool has_outputs = task && (task->stage == STAGE_COMMITTING || task->stage == STAGE_SUCCEEDED);
    if (has_outputs &&
        !is_same_outputs(sched, task, event->done.outputs, event->done.output_count)) {
        struct sched_action *action = sched_act(sched, SCHED_DROPPED);
        action->task = index;
        action->run = rule_of(sched, task)->run;
        action->worker = event->done.worker;
        action->attempt = event->done.attempt.number;
        action->frame = event->done.frame;
        action->index = event->done.index;
    }
    struct commit commit = {.type = COMMIT_ANSWER,
                            .task = index,
                            .worker = event->done.worker,
                            .frame = event->done.frame,
                            .index = event->done.index};
    if (task && task->stage == STAGE_COMMITTING) /* nothing is acknowledged before it is durable */
        VECTOR_PUSH(sched->commits, commit);
    else
        acknowledge(sched, index, commit.worker, commit.frame, commit.index);
}

static void begin_commit(struct sched *sched, uint32_t index, struct commit commit)
{
    struct worker *worker = &sched->workers.items[commit.worker];
    commit.joined = worker->joined;
    worker->unacked++;
    room_changed(sched, commit.worker);
    VECTOR_PUSH(sched->commits, commit);
    struct task *task = task_at(sched, index);
    task_set_stage(sched, index, STAGE_COMMITTING);
    struct sched_action *action = sched_act(sched, SCHED_PERSIST);
    action->task = index;
    action->run = rule_of(sched, task)->run;
    action->worker = commit.worker;
    action->attempt = commit.attempt;
    action->frame = commit.frame;
    action->index = commit.index;
    action->is_replacement = (task->flags & (FLAG_FORCED | FLAG_STALE)) != 0;
}

/* Was this attempt given to this worker, with the task still open? Ends whatever else is under way.
 */
static bool accept_done(struct sched *sched, uint32_t index, const struct sched_event *event)
{
    uint32_t worker = event->done.worker, attempt = event->done.attempt.number;
    struct task *task = task_at(sched, index);
    if (flight_find(sched, worker, index, attempt)) {
        flight_end(sched, index);
        rest_succeeded(sched, worker);
        room_learn(sched, worker, event->done.took_us);
        return true;
    }
    if (task_is_final(task) || task->stage == STAGE_COMMITTING ||
        !note_find_past(sched, task, index, attempt, sched->workers.items[worker].instance))
        return false;
    if (task_is_in_flight(task)) {
        flight_stop(sched, index, true);
        flight_lose(sched, index, NULL);
    }
    task_unqueue(sched, index);
    task->worker = worker;
    if (!task->started_at)
        task->started_at = task_stamp(sched->now);
    return true;
}

void result_done(struct sched *sched, const struct sched_event *event)
{
    uint32_t worker = event->done.worker;
    uint32_t index = id_map_get(&sched->ids, &event->done.attempt.task);
    bool is_heard = peers_hear(sched, worker);
    if (!is_heard || index == ID_MAP_NONE || !accept_done(sched, index, event)) {
        drop_done(sched, index, event);
        return;
    }
    if (event->done.output_count > OUTPUTS_MAX) {
        retry_fail(sched, index, E_PROTOCOL,
                   "its worker reported more outputs than a task can have");
        acknowledge(sched, index, worker, event->done.frame, event->done.index);
        return;
    }
    task_set_outputs(sched, task_at(sched, index), event->done.outputs, event->done.output_count);
    begin_commit(sched, index,
                 (struct commit){.type = COMMIT_RESULT,
                                 .task = index,
                                 .worker = worker,
                                 .attempt = event->done.attempt.number,
                                 .frame = event->done.frame,
                                 .index = event->done.index});
}

void result_failed(struct sched *sched, const struct sched_event *event)
{
    uint32_t worker = event->failed.worker;
    uint32_t index = id_map_get(&sched->ids, &event->failed.attempt.task);
    const struct flight *flight = NULL;
    if (peers_hear(sched, worker) && index != ID_MAP_NONE)
        flight = flight_find(sched, worker, index, event->failed.attempt.number);
    if (flight) {
        struct failure failure = {.attempt = event->failed.attempt.number,
                                  .worker = worker,
                                  .code = event->failed.code,
                                  .text = event->failed.text,
                                  .text_bytes = event->failed.text_bytes,
                                  .log = event->failed.has_log ? &event->failed.log : NULL,
                                  .lost = event->failed.lost,
                                  .lost_count = event->failed.lost_count,
                                  .was_killed = flight->is_killed,
                                  .was_trial = sched->workers.items[worker].trial ==
                                               task_at(sched, index)->place};
        flight_end(sched, index);
        rest_failed(sched, worker, failure.was_trial, failure.code);
        retry_attempt_failed(sched, index, &failure);
    }
    acknowledge(sched, index, worker, event->failed.frame, 0);
}

void result_resolved(struct sched *sched, const struct sched_event *event)
{
    uint32_t index = event->resolved.task;
    if (index >= sched->tasks.count || task_at(sched, index)->stage != STAGE_RESOLVING)
        return;
    if (!event->resolved.is_found || event->resolved.record.output_count > OUTPUTS_MAX) {
        task_make_ready(sched, index);
        return;
    }
    struct task *task = task_at(sched, index);
    task_set_outputs(sched, task, event->resolved.record.outputs,
                     event->resolved.record.output_count);
    task_set_stage(sched, index, STAGE_COMMITTING);
    VECTOR_PUSH(sched->commits,
                ((struct commit){.type = COMMIT_ALIAS, .task = index, .worker = NONE}));
    struct sched_action *action = sched_act(sched, SCHED_ALIAS);
    action->task = index;
    action->run = rule_of(sched, task)->run;
}

static void count_acknowledged(struct sched *sched, const struct commit *commit)
{
    struct worker *worker = &sched->workers.items[commit->worker];
    if (!worker->is_used || worker->joined != commit->joined)
        return; /* it went away meanwhile */
    worker->unacked--;
    room_gained(sched, commit->worker);
}

void result_committed(struct sched *sched)
{
    for (uint32_t i = 0; i < sched->commits.count; i++) {
        struct commit commit = sched->commits.items[i];
        if (commit.type == COMMIT_ANSWER) {
            acknowledge(sched, commit.task, commit.worker, commit.frame, commit.index);
            continue;
        }
        ASSERT(task_at(sched, commit.task)->stage == STAGE_COMMITTING);
        if (commit.type == COMMIT_RESULT) {
            acknowledge(sched, commit.task, commit.worker, commit.frame, commit.index);
            count_acknowledged(sched, &commit);
        }
        task_succeed(sched, commit.task, commit.type == COMMIT_ALIAS ? FLAG_CUTOFF : 0);
    }
    sched->commits.count = 0;
}
