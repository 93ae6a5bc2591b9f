// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/peers.h"

#include <stdio.h>
#include <string.h>

#include "broker/sched/flight.h"
#include "broker/sched/grow.h"
#include "broker/sched/match.h"
#include "broker/sched/note.h"
#include "broker/sched/rank.h"
#include "broker/sched/retry.h"
#include "broker/sched/room.h"
#include "broker/sched/share.h"
#include "broker/sched/task.h"

enum { REASON_BYTES = 160 };

static uint32_t find_instance(const struct sched *sched, const uint8_t instance[INSTANCE_BYTES],
                              struct id *id)
{
    *id = (struct id){0};
    memcpy(id->bytes, instance, INSTANCE_BYTES);
    return id_map_get(&sched->instance_ids, id);
}

static uint32_t instance_index(struct sched *sched, const uint8_t instance[INSTANCE_BYTES])
{
    struct id id;
    uint32_t at = find_instance(sched, instance, &id);
    if (at != ID_MAP_NONE)
        return at;
    if (sched->free_instances.count > 0) {
        at = sched->free_instances.items[--sched->free_instances.count];
    } else {
        at = sched->instances.count;
        VECTOR_PUSH(sched->instances, ((struct instance){.worker = NONE}));
    }
    sched->instances.items[at] = (struct instance){.id = id, .worker = NONE};
    id_map_put(&sched->instance_ids, &id, at);
    return at;
}

/* It lives: what it lost sight of did not cost it its life. */
static void acquit(struct sched *sched, uint32_t instance)
{
    if (!sched->instances.items[instance].pasts)
        return;
    for (uint32_t i = 0; i < sched->pasts.count; i++) {
        struct past *past = &sched->pasts.items[i];
        if (past->instance == instance && !past->is_failure)
            past->is_kill = false;
    }
}

static uint32_t lease_of(const struct sched *sched)
{
    return sched->options.lease_ms ? sched->options.lease_ms : LEASE_MS_DEFAULT;
}

static void renew_lease(struct sched *sched, struct worker *worker)
{
    worker->lease_at = sched->now + lease_of(sched);
}

/* Every worker that isn't silent has exactly one entry; it is moved on when its time comes. */
static void watch_lease(struct sched *sched, uint32_t index)
{
    struct worker *worker = &sched->workers.items[index];
    worker->watch = sched->watches++;
    heap_push(&sched->leases, (struct heap_entry){.major = (uint64_t)worker->lease_at,
                                                  .minor = worker->watch,
                                                  .item = index});
}

bool peers_hear(struct sched *sched, uint32_t index)
{
    if (index >= sched->workers.count || !sched->workers.items[index].is_used)
        return false;
    struct worker *worker = &sched->workers.items[index];
    renew_lease(sched, worker);
    if (worker->is_silent) {
        worker->is_silent = false;
        acquit(sched, worker->instance);
        watch_lease(sched, index);
        room_gained(sched, index);
    }
    return true;
}

/* What may have run: what was said to, and, since short work is not announced, the oldest of the
 * others, as many as there were slots for. */
static void find_suspects(struct sched *sched, const struct worker *worker)
{
    uint32_t silent = worker->slots > worker->started ? worker->slots - worker->started : 0;
    for (uint32_t at = worker->first; at != NONE; at = sched->flights.items[at].next) {
        struct flight *flight = &sched->flights.items[at];
        bool has_started = task_at(sched, flight->task)->stage == STAGE_RUNNING;
        flight->is_suspect = !flight->is_killed && (has_started || silent > 0);
        silent -= !has_started && silent > 0;
    }
}

/* All its attempts are lost sight of. `is_crash`: those that ran may be why. */
static void lose_flights(struct sched *sched, uint32_t index, bool is_crash, bool kill,
                         const char *fate)
{
    char text[REASON_BYTES];
    snprintf(text, sizeof text, "%s %s", worker_name(sched, index), fate);
    const struct worker *worker = &sched->workers.items[index];
    if (is_crash)
        find_suspects(sched, worker);
    for (uint32_t at = worker->first; kill && at != NONE; at = sched->flights.items[at].next)
        flight_stop(sched, sched->flights.items[at].task, true);
    while (worker->last != NONE) { /* the youngest first: each goes before the others again */
        const struct flight *flight = &sched->flights.items[worker->last];
        uint32_t task = flight->task;
        bool was_running = is_crash && flight->is_suspect;
        flight_lose(sched, task, was_running ? text : NULL);
        sched->work_left--;
        retry_worker_lost(sched, task, was_running, text);
    }
}

static void remove_worker(struct sched *sched, uint32_t index)
{
    struct worker *worker = &sched->workers.items[index];
    ASSERT(worker->flights == 0);
    worker->is_used = false;
    sched->worker_count--;
    sched->slots -= worker->slots;
    room_changed(sched, index);
    match_leave(sched, worker->offer);
    sched->instances.items[worker->instance].worker = NONE;
    note_release_instance(sched, worker->instance);
}

void peers_gone(struct sched *sched, const struct sched_event *event)
{
    uint32_t index = event->gone.worker;
    if (index >= sched->workers.count || !sched->workers.items[index].is_used)
        return;
    char fate[REASON_BYTES];
    snprintf(fate, sizeof fate, "went away (%s)",
             status_name(event->gone.code == OK ? E_GONE : event->gone.code));
    sched->workers.items[index].is_silent = true; /* nothing more for it meanwhile */
    lose_flights(sched, index, !event->gone.is_drain, false, fate);
    remove_worker(sched, index);
}

/* The same program under a new connection: its flights wait for what HELLO says of them. */
static void leave_old_connection(struct sched *sched, const uint8_t instance[INSTANCE_BYTES])
{
    struct id id;
    uint32_t at = find_instance(sched, instance, &id);
    uint32_t index = at == ID_MAP_NONE ? NONE : sched->instances.items[at].worker;
    if (index == NONE)
        return;
    sched->workers.items[index].is_silent = true;
    lose_flights(sched, index, false, false, "connected anew and had lost it");
    remove_worker(sched, index);
}

/* Takes over what the worker runs already, unless somebody else has begun it or it is done. An
 * attempt that failed or was given back is over: the worker lists it because that was not yet
 * acknowledged, and will not speak of it again. */
static void adopt(struct sched *sched, uint32_t index, const struct attempt *attempt)
{
    uint32_t at = id_map_get(&sched->ids, &attempt->task);
    struct task *task = at == ID_MAP_NONE ? NULL : task_at(sched, at);
    if (task && flight_find(sched, index, at, attempt->number))
        return; /* listed twice: a frame that came twice made it hold it twice */
    bool is_open = task && (task->stage == STAGE_READY || task->stage == STAGE_BACKOFF ||
                            task->stage == STAGE_RESOLVING);
    uint32_t instance = sched->workers.items[index].instance;
    struct past *past = is_open ? note_find_past(sched, task, at, attempt->number, instance) : NULL;
    bool is_over = is_open && attempt->number == task->attempt && !past;
    if (is_open && !is_over && attempt->number >= task->attempt && attempt->number < ATTEMPT_MAX) {
        if (past)
            past->attempt = 0; /* in flight again: if it ends there, it is over */
        task_unqueue(sched, at);
        flight_begin(sched, at, index, attempt->number);
        flight_start(sched, flight_find(sched, index, at, attempt->number));
        return;
    }
    /* Results that wait for an acknowledgement are on the list too: killing those is in vain, and
     * harmless. */
    struct sched_action *action = sched_act(sched, SCHED_KILL);
    action->task = at;
    action->run = task ? rule_of(sched, task)->run : NONE;
    action->worker = index;
    action->attempt = attempt->number;
    if (task)
        return;
    struct id *id = arena_alloc(&sched->scratch, sizeof *id);
    *id = attempt->task;
    action->unknown = id;
}

static void set_name(struct instance *instance, const struct sched_event *event)
{
    const char *name = event->hello.name;
    if (name && name[0])
        snprintf(instance->name, sizeof instance->name, "%s", name);
    else
        snprintf(instance->name, sizeof instance->name, "worker %u", event->hello.worker);
    instance->worker = event->hello.worker;
}

void peers_hello(struct sched *sched, const struct sched_event *event)
{
    uint32_t index = event->hello.worker;
    leave_old_connection(sched, event->hello.instance);
    uint32_t instance = instance_index(sched, event->hello.instance);
    acquit(sched, instance);
    set_name(&sched->instances.items[instance], event);
    GROW_ZERO(sched->workers.items, sched->workers.capacity, index + 1);
    if (sched->workers.count <= index)
        sched->workers.count = index + 1;
    ASSERT(!sched->workers.items[index].is_used);
    uint32_t slots = event->hello.slots < SLOTS_MAX ? event->hello.slots : SLOTS_MAX;
    uint32_t credit = event->hello.credit ? event->hello.credit : WORKER_CREDIT_MAX;
    struct worker *worker = &sched->workers.items[index];
    *worker = (struct worker){.is_used = true,
                              .has_gained = worker->has_gained, /* still listed */
                              .offer = match_join(sched, event),
                              .instance = instance,
                              .joined = sched->hellos++,
                              .slots = slots,
                              .credit = credit,
                              .first = NONE,
                              .last = NONE,
                              .crowd = NONE,
                              .trial = NONE};
    worker->depth = room_first_depth(worker);
    worker->list_at = sched->now;
    renew_lease(sched, worker);
    watch_lease(sched, index);
    sched->worker_count++;
    sched->slots += slots;
    room_gained(sched, index);
    for (uint32_t i = 0; i < event->hello.running_count; i++)
        adopt(sched, index, &event->hello.running[i]);
}

/* The flight an event of a worker is about, or NULL when it is stale. */
static struct flight *flight_of(struct sched *sched, uint32_t worker, const struct attempt *attempt)
{
    if (!peers_hear(sched, worker))
        return NULL;
    uint32_t task = id_map_get(&sched->ids, &attempt->task);
    return task == ID_MAP_NONE ? NULL : flight_find(sched, worker, task, attempt->number);
}

/* The youngest first: each goes before the others again. KILL, should it come there after all. */
static void lose_unnamed(struct sched *sched, uint32_t index)
{
    char text[REASON_BYTES];
    const struct worker *worker = &sched->workers.items[index];
    snprintf(text, sizeof text, "%s does not know of it", worker_name(sched, index));
    for (uint32_t at = worker->last; at != NONE;) {
        const struct flight *flight = &sched->flights.items[at];
        uint32_t task = flight->task;
        at = flight->previous;
        if (worker->lists - flight->named <= UNNAMED_LISTS)
            continue;
        flight_stop(sched, task, true);
        flight_lose(sched, task, NULL);
        sched->work_left--;
        retry_worker_lost(sched, task, false, text);
    }
}

void peers_heartbeat(struct sched *sched, const struct sched_event *event)
{
    uint32_t index = event->worker.worker;
    if (!peers_hear(sched, index))
        return;
    struct worker *worker = &sched->workers.items[index];
    if (sched->now >= worker->list_at + lease_of(sched) / 6) {
        worker->list_at = sched->now;
        worker->lists++;
        lose_unnamed(sched, index);
    }
    uint32_t task = id_map_get(&sched->ids, &event->worker.attempt.task);
    struct flight *flight =
        task == ID_MAP_NONE ? NULL : flight_find(sched, index, task, event->worker.attempt.number);
    if (flight)
        flight->named = worker->lists;
}

void peers_started(struct sched *sched, const struct sched_event *event)
{
    struct flight *flight = flight_of(sched, event->worker.worker, &event->worker.attempt);
    if (flight)
        flight_start(sched, flight);
}

void peers_progress(struct sched *sched, const struct sched_event *event)
{
    struct flight *flight = flight_of(sched, event->progress.worker, &event->progress.attempt);
    if (!flight)
        return;
    bool is_new = task_at(sched, flight->task)->stage == STAGE_ASSIGNED;
    flight_start(sched, flight);
    flight->step = event->progress.step;
    flight->total = event->progress.total;
    if (is_new)
        return; /* its start was published just now */
    struct sched_action *action = sched_act(sched, SCHED_PUBLISH);
    action->task = flight->task;
    action->run = rule_of(sched, task_at(sched, flight->task))->run;
}

void peers_revoked(struct sched *sched, const struct sched_event *event)
{
    struct flight *flight = flight_of(sched, event->worker.worker, &event->worker.attempt);
    if (!flight)
        return;
    uint32_t task = flight->task;
    uint32_t ready_at = task_at(sched, task)->ready_at;
    flight_end(sched, task);
    task_at(sched, task)->started_at = 0;
    task_settle(sched, task);
    rank_keep_age(sched, task, ready_at);
}

void peers_tick(struct sched *sched)
{
    while (sched->leases.count && (ms_t)heap_top(&sched->leases)->major <= sched->now &&
           sched->work_left-- > 0) {
        struct heap_entry entry = heap_pop(&sched->leases);
        struct worker *worker = &sched->workers.items[entry.item];
        if (!worker->is_used || worker->is_silent || worker->watch != entry.minor)
            continue;
        if (worker->lease_at > sched->now) {
            watch_lease(sched, entry.item);
            continue;
        }
        char fate[REASON_BYTES];
        snprintf(fate, sizeof fate, "was silent for %u ms", lease_of(sched));
        worker->is_silent = true;
        room_changed(sched, entry.item);
        lose_flights(sched, entry.item, true, true, fate);
    }
}
