// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/flight.h"

#include <string.h>

#include "broker/sched/grow.h"
#include "broker/sched/note.h"
#include "broker/sched/room.h"
#include "broker/sched/task.h"
#include "common/base/mem.h"

void flight_begin(struct sched *sched, uint32_t index, uint32_t worker_index, uint32_t attempt)
{
    uint32_t at;
    if (sched->free_flights.count > 0) {
        at = sched->free_flights.items[--sched->free_flights.count];
    } else {
        at = sched->flights.count;
        VECTOR_PUSH(sched->flights, ((struct flight){0}));
    }
    struct worker *worker = &sched->workers.items[worker_index];
    struct task *task = task_at(sched, index);
    sched->flights.items[at] = (struct flight){.task = index,
                                               .worker = worker_index,
                                               .attempt = attempt,
                                               .previous = worker->last,
                                               .next = NONE,
                                               .thief = NONE,
                                               .assigned_at = task_stamp(sched->now),
                                               .named = worker->lists};
    if (worker->last == NONE)
        worker->first = at;
    else
        sched->flights.items[worker->last].next = at;
    worker->last = at;
    worker->flights++;
    worker->unacked++;
    if (worker->rest_ms)
        worker->trial = at;
    sched->flight_count++;
    run_of(sched, task)->flights++;
    sched->slots_taken += rule_of(sched, task)->slots;
    room_take(sched, worker_index, task->rule);
    task->attempt = (uint16_t)attempt;
    task->worker = worker_index;
    task->place = at;
    task->started_at = task->finished_at = 0;
    task_set_stage(sched, index, STAGE_ASSIGNED);
    room_changed(sched, worker_index);
}

struct flight *flight_find(const struct sched *sched, uint32_t worker, uint32_t index,
                           uint32_t attempt)
{
    const struct task *task = task_at(sched, index);
    if (!task_is_in_flight(task))
        return NULL;
    struct flight *flight = &sched->flights.items[task->place];
    return flight->worker == worker && flight->attempt == attempt ? flight : NULL;
}

/* It has begun, or is gone: nobody need wait for its coming any more. */
static void stop_expecting(struct sched *sched, struct flight *flight)
{
    if (flight->thief == NONE)
        return;
    struct worker *thief = &sched->workers.items[flight->thief];
    if (thief->is_used && thief->joined == flight->thief_joined) {
        thief->expected--;
        VECTOR_PUSH(sched->hungry, flight->thief);
    }
    sched->workers.items[flight->worker].leaving--;
    flight->thief = NONE;
}

void flight_start(struct sched *sched, struct flight *flight)
{
    struct task *task = task_at(sched, flight->task);
    flight->named = sched->workers.items[flight->worker].lists;
    if (task->stage != STAGE_ASSIGNED)
        return;
    stop_expecting(sched, flight);
    task->started_at = task_stamp(sched->now);
    sched->workers.items[flight->worker].started++;
    task_set_stage(sched, flight->task, STAGE_RUNNING);
}

void flight_end(struct sched *sched, uint32_t index)
{
    struct task *task = task_at(sched, index);
    ASSERT(task_is_in_flight(task));
    struct flight *flight = &sched->flights.items[task->place];
    struct worker *worker = &sched->workers.items[flight->worker];
    if (flight->previous == NONE)
        worker->first = flight->next;
    else
        sched->flights.items[flight->previous].next = flight->next;
    if (flight->next == NONE)
        worker->last = flight->previous;
    else
        sched->flights.items[flight->next].previous = flight->previous;
    worker->flights--;
    worker->unacked--;
    worker->started -= task->stage == STAGE_RUNNING;
    if (worker->trial == task->place)
        worker->trial = NONE;
    sched->flight_count--;
    run_of(sched, task)->flights--;
    sched->slots_taken -= rule_of(sched, task)->slots;
    stop_expecting(sched, flight);
    room_give_back(sched, flight->worker, task->rule);
    if (!task->started_at) /* work too small to be announced began when it was given */
        task->started_at = flight->assigned_at;
    VECTOR_PUSH(sched->free_flights, task->place);
    task->place = NONE;
    room_gained(sched, flight->worker);
}

void flight_change_rule(struct sched *sched, uint32_t index, uint32_t rule)
{
    struct task *task = task_at(sched, index);
    /* One that has just ended keeps its stage until it is known what becomes of the task. */
    if (!task_is_in_flight(task) || task->place == NONE) {
        task->rule = rule;
        return;
    }
    uint32_t worker = sched->flights.items[task->place].worker;
    run_of(sched, task)->flights--;
    sched->slots_taken -= rule_of(sched, task)->slots;
    room_give_back(sched, worker, task->rule);
    task->rule = rule;
    run_of(sched, task)->flights++;
    sched->slots_taken += rule_of(sched, task)->slots;
    room_take(sched, worker, rule);
    room_gained(sched, worker);
}

static void tell(struct sched *sched, enum sched_action_type type, const struct flight *flight)
{
    struct sched_action *action = sched_act(sched, type);
    action->task = flight->task;
    action->run = rule_of(sched, task_at(sched, flight->task))->run;
    action->worker = flight->worker;
    action->attempt = flight->attempt;
}

void flight_stop(struct sched *sched, uint32_t index, bool kill)
{
    struct task *task = task_at(sched, index);
    struct flight *flight = &sched->flights.items[task->place];
    if (kill && !flight->is_killed) {
        flight->is_killed = true;
        tell(sched, SCHED_KILL, flight);
    } else if (!kill && !flight->is_revoking && task->stage == STAGE_ASSIGNED) {
        flight->is_revoking = true;
        tell(sched, SCHED_REVOKE, flight);
    }
}

void flight_ask_back(struct sched *sched, uint32_t index, uint32_t thief)
{
    struct flight *flight = &sched->flights.items[task_at(sched, index)->place];
    flight_stop(sched, index, false);
    flight->thief = thief;
    flight->thief_joined = sched->workers.items[thief].joined;
    sched->workers.items[thief].expected++;
    sched->workers.items[flight->worker].leaving++;
}

void flight_lose(struct sched *sched, uint32_t index, const char *text)
{
    const struct flight *flight = &sched->flights.items[task_at(sched, index)->place];
    uint32_t attempt = flight->attempt, instance = sched->workers.items[flight->worker].instance;
    flight_end(sched, index);
    struct past *past = note_add_past(sched, index, attempt, instance);
    past->is_kill = text != NULL;
    past->text = text ? mem_copy_text(text, strlen(text)) : NULL;
}
