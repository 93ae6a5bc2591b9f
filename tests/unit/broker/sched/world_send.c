// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/sched/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

void world_fail(const struct world *world, const char *what)
{
    fprintf(stderr, "seed %llu, time %lld: %s\n", (unsigned long long)world->seed,
            (long long)world->now, what);
    abort();
}

bool world_chance(struct world *world, uint32_t percent)
{
    return rng_below(&world->rng, 100) < percent;
}

struct id world_make_id(uint32_t number, uint8_t kind)
{
    struct id id;
    struct rng rng = rng_seed((uint64_t)number * 256 + kind);
    for (uint32_t i = 0; i < ID_BYTES; i += 8) {
        uint64_t word = rng_next(&rng);
        memcpy(id.bytes + i, &word, 8);
    }
    return id;
}

struct artifact world_make_output(uint32_t task, uint32_t output)
{
    return (struct artifact){.id = world_make_id(task * 8 + output, 1), .bytes = 10};
}

static uint32_t find_task(const struct world *world, const struct id *id)
{
    for (uint32_t i = 0; i < WORLD_TASKS; i++)
        if (id_equal(&world->tasks[i].id, id))
            return i;
    world_fail(world, "a task that nobody submitted");
    return 0;
}

uint32_t world_task_of(const struct world *world, uint32_t index)
{
    struct sched_task_info info;
    sched_task_info(world->sched, index, &info);
    return find_task(world, &info.id);
}

/* ---- what the scheduler asks for ---- */

static struct world_worker *worker_by_number(struct world *world, uint32_t number)
{
    for (uint32_t i = 0; i < WORLD_WORKERS; i++)
        if (world->workers[i].is_connected && world->workers[i].number == number)
            return &world->workers[i];
    return NULL;
}

static void on_assign(struct world *world, const struct sched_action *action)
{
    struct world_worker *worker = worker_by_number(world, action->worker);
    uint32_t task = world_task_of(world, action->task);
    if (action->input_count != world->tasks[task].input_count)
        world_fail(world, "assigned with the wrong number of inputs");
    for (uint32_t i = 0; i < action->input_count; i++) {
        struct artifact expected = world_make_output(world->tasks[task].inputs[i], 0);
        if (!id_equal(&expected.id, &action->inputs[i].id))
            world_fail(world, "assigned with somebody else's input");
    }
    world->tasks[task].assigns++;
    if (!worker)
        world_fail(world, "assigned to a worker that is gone");
    if (worker->held_count == WORLD_HELD)
        world_fail(world, "a worker is given more than its credit");
    worker->held[worker->held_count++] = (struct world_attempt){task, action->attempt, false};
}

static void on_ack(struct world *world, const struct sched_action *action)
{
    if (action->frame >= world->frame_count || world->acks[action->frame])
        world_fail(world, "acknowledged twice, or what was never sent");
    world->acks[action->frame] = 1;
}

void world_drop_held(struct world_worker *worker, uint32_t at)
{
    worker->held[at] = worker->held[--worker->held_count];
}

static void handle(struct world *world, const struct sched_action *action)
{
    switch (action->type) {
    case SCHED_ASSIGN: on_assign(world, action); break;
    case SCHED_RESOLVE: world->resolves[world->resolve_count++] = action->task; break;
    case SCHED_PERSIST:
        world->persists[world->persist_count++] = world_task_of(world, action->task);
        world->is_commit_due = true;
        break;
    case SCHED_ALIAS:
    case SCHED_DROPPED: world->is_commit_due = true; break;
    case SCHED_FORGET: {
        struct world_task *task = &world->tasks[world_task_of(world, action->task)];
        task->forgets++;
        task->has_record = false;
        world->is_commit_due = true;
        break;
    }
    case SCHED_CHECK: world->checks[world->check_count++] = action->run; break;
    case SCHED_ACK: on_ack(world, action); break;
    case SCHED_WAKE_AT:
        if (action->at < world->wake_at)
            world->wake_at = action->at;
        break;
    case SCHED_RUN_OVER:
        for (uint32_t i = 0; i < world->run_count; i++) {
            if (world->runs[i].number != action->run || world->runs[i].is_over)
                continue;
            world->runs[i].is_over = true;
        }
        break;
    case SCHED_KILL:
    case SCHED_REVOKE: break; /* see answer_stops */
    case SCHED_PUBLISH: break;
    }
}

/* A worker told to stop something answers at once, sometimes. */
static void answer_stop(struct world *world, const struct sched_action *action)
{
    struct world_worker *worker = worker_by_number(world, action->worker);
    if (!worker || worker->is_hung || action->unknown)
        return;
    uint32_t task = world_task_of(world, action->task);
    for (uint32_t i = 0; i < worker->held_count; i++) {
        struct world_attempt held = worker->held[i];
        if (held.task != task || held.number != action->attempt)
            continue;
        struct sched_event event = {.now = world->now};
        struct attempt attempt = {world->tasks[task].id, held.number};
        if (action->type == SCHED_REVOKE && held.is_started)
            return;
        world_drop_held(worker, i);
        if (action->type == SCHED_REVOKE) {
            event.type = SCHED_REVOKED;
            event.worker.worker = worker->number;
            event.worker.attempt = attempt;
        } else {
            event.type = SCHED_FAILED;
            event.failed.worker = worker->number;
            event.failed.attempt = attempt;
            event.failed.code = E_CANCELLED;
            event.failed.text = "";
            event.failed.frame = world->frame_count++;
        }
        world_send(world, &event);
        return;
    }
}

static void grow_frames(struct world *world)
{
    if (world->frame_count + 8 < world->frame_capacity)
        return;
    uint32_t capacity = world->frame_capacity ? world->frame_capacity * 2 : 1024;
    world->acks = mem_resize(world->acks, capacity);
    memset(world->acks + world->frame_capacity, 0, capacity - world->frame_capacity);
    world->frame_capacity = capacity;
}

/* Actions of the step are copied, since answers step again. */
void world_send(struct world *world, struct sched_event *event)
{
    grow_frames(world);
    world->actions.count = 0;
    event->now = world->now;
    sched_step(world->sched, event, &world->actions);
    struct err err;
    if (!sched_check(world->sched, &err))
        world_fail(world, err.text);
    size_t count = world->actions.count;
    AUTO(mem_free) struct sched_action *copies = mem_alloc(count * sizeof *copies + 1);
    if (count)
        memcpy(copies, world->actions.items, count * sizeof *copies);
    for (size_t i = 0; i < count; i++)
        handle(world, &copies[i]);
    for (size_t i = 0; i < count; i++)
        if (copies[i].type == SCHED_KILL || copies[i].type == SCHED_REVOKE)
            answer_stop(world, &copies[i]);
}
