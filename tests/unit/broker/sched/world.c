// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/sched/world.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

static const char *const KIND = "work@1";
static const struct resource GPU = {"gpu", 1}, GPUS = {"gpu", 2};

/* ---- what happens ---- */

static void submit(struct world *world)
{
    if (world->run_count == WORLD_RUNS)
        return;
    struct world_run *run = &world->runs[world->run_count];
    run->number = world->run_count++;
    uint8_t is_in[WORLD_TASKS] = {0};
    uint32_t node_of[WORLD_TASKS];
    for (uint32_t i = 0; i < 5; i++)
        is_in[rng_below(&world->rng, WORLD_TASKS)] = 1;
    for (uint32_t i = WORLD_TASKS; i-- > 0;)
        for (uint32_t j = 0; is_in[i] && j < world->tasks[i].input_count; j++)
            is_in[world->tasks[i].inputs[j]] = 1;
    for (uint32_t i = 0; i < WORLD_TASKS; i++) {
        for (uint32_t copies = is_in[i] ? 1 + world_chance(world, 10) : 0; copies > 0; copies--) {
            uint32_t at = run->node_count++;
            run->nodes[at] = (struct task_node){.id = world->tasks[i].id,
                                                .policy = i % 3,
                                                .first_edge = run->edge_count,
                                                .edge_count = world->tasks[i].input_count};
            for (uint32_t j = 0; j < world->tasks[i].input_count; j++)
                run->edges[run->edge_count++] =
                    (struct task_edge){node_of[world->tasks[i].inputs[j]], 0};
            node_of[i] = at;
            run->universe[at] = i;
            run->is_forced[at] = world_chance(world, 3);
        }
    }
    for (uint32_t i = 0; i < WORLD_TASKS; i++) {
        if (!is_in[i] || !world->tasks[i].has_record)
            continue;
        struct artifact outputs[2] = {world_make_output(i, 0), world_make_output(i, 1)};
        struct sched_known known = {world->tasks[i].output_count, outputs};
        struct sched_event event = {.type = SCHED_RESTORE,
                                    .restore = {&world->tasks[i].id, &known, 1}};
        world_send(world, &event);
    }
    struct task_policy policies[3];
    for (int32_t i = 0; i < 3; i++)
        policies[i] = (struct task_policy){.retry_limit = 3,
                                           .backoff_ms = 20,
                                           .backoff_max_ms = 100,
                                           .cpu_hundredths = i == 1 ? 200 : 100,
                                           .memory_bytes = i == 2 ? 4 : 0,
                                           .resource_count = i == 2,
                                           .resources = &GPU,
                                           .poison_kills = 3,
                                           .priority = i % 2,
                                           .kind_version = KIND};
    struct sched_event event = {.type = SCHED_SUBMIT,
                                .submit = {.run = run->number,
                                           .nodes = run->nodes,
                                           .node_count = run->node_count,
                                           .edges = run->edges,
                                           .policies = policies,
                                           .policy_count = 3,
                                           .is_forced = run->is_forced}};
    run->is_submitted = true;
    world_send(world, &event);
}

static void connect_worker(struct world *world, struct world_worker *worker, bool is_new)
{
    static uint32_t instances;
    if (is_new) {
        worker->held_count = 0;
        instances++;
        memcpy(worker->instance, &instances, sizeof instances);
    }
    struct attempt running[WORLD_HELD];
    uint32_t count = 0;
    for (uint32_t i = 0; i < worker->held_count; i++)
        if (!world_chance(world, 10))
            running[count++] =
                (struct attempt){world->tasks[worker->held[i].task].id, worker->held[i].number};
    bool is_large = worker->number % 2 == 1; /* any task fits any of them */
    worker->is_connected = true;
    worker->is_hung = false;
    struct sched_event event = {.type = SCHED_HELLO,
                                .hello = {.worker = worker->number,
                                          .slots = is_large ? 3 : 1,
                                          .cpu_hundredths = is_large ? 400 : 200,
                                          .memory_bytes = is_large ? 10 : 5,
                                          .credit = 16,
                                          .resource_count = 1,
                                          .resources = is_large ? &GPUS : &GPU,
                                          .kind_count = 1,
                                          .kinds = &KIND,
                                          .running = running,
                                          .running_count = count}};
    memcpy(event.hello.instance, worker->instance, INSTANCE_BYTES);
    world_send(world, &event);
}

static void disconnect(struct world *world, struct world_worker *worker)
{
    for (uint32_t i = 0; i < worker->held_count; i++)
        world->tasks[worker->held[i].task].faults++;
    worker->is_connected = false;
    struct sched_event event = {
        .type = SCHED_GONE,
        .gone = {.worker = worker->number, .is_drain = world_chance(world, 30), .code = E_GONE}};
    world_send(world, &event);
}

/* A result of a held attempt: success, or one of the ways to fail. */
static void finish(struct world *world, struct world_worker *worker, uint32_t at)
{
    struct world_attempt held = worker->held[at];
    struct world_task *task = &world->tasks[held.task];
    struct sched_event event = {0};
    struct artifact outputs[2] = {world_make_output(held.task, 0), world_make_output(held.task, 1)};
    struct id lost[4];
    uint32_t lost_count = 0;
    for (uint32_t i = 0; i < task->input_count; i++)
        if (world->tasks[task->inputs[i]].is_lost)
            lost[lost_count++] = world_make_output(task->inputs[i], 0).id;
    bool fails = task->always_fails || lost_count || (world->is_faulty && world_chance(world, 15));
    bool is_repeated = world->is_faulty && world_chance(world, 10);
    struct attempt attempt = {task->id, held.number};
    if (fails) {
        task->faults++;
        event.type = SCHED_FAILED;
        event.failed.worker = worker->number;
        event.failed.attempt = attempt;
        event.failed.code = lost_count ? E_LOST : world_chance(world, 30) ? E_CRASHED : E_EXIT;
        event.failed.text = "it failed";
        event.failed.text_bytes = 9;
        event.failed.lost = lost;
        event.failed.lost_count = lost_count;
    } else {
        task->is_lost = false;
        event.type = SCHED_DONE;
        event.done.worker = worker->number;
        event.done.attempt = attempt;
        event.done.outputs = outputs;
        event.done.output_count = task->output_count;
    }
    world_drop_held(worker, at);
    for (int i = 0; i < 1 + is_repeated; i++) {
        if (fails)
            event.failed.frame = world->frame_count++;
        else
            event.done.frame = world->frame_count++;
        world_send(world, &event);
    }
}

static void work(struct world *world)
{
    struct world_worker *worker = &world->workers[rng_below(&world->rng, WORLD_WORKERS)];
    if (!worker->is_connected || worker->is_hung)
        return;
    struct sched_event heartbeat = {.type = SCHED_HEARTBEAT, .worker = {.worker = worker->number}};
    world_send(world, &heartbeat);
    if (!worker->held_count)
        return;
    uint32_t at = rng_below(&world->rng, worker->held_count);
    if (!worker->held[at].is_started) {
        worker->held[at].is_started = true;
        struct sched_event event = {
            .type = SCHED_STARTED,
            .worker = {worker->number,
                       {world->tasks[worker->held[at].task].id, worker->held[at].number}}};
        world_send(world, &event);
        return;
    }
    finish(world, worker, at);
}

static void resolve(struct world *world)
{
    if (!world->resolve_count)
        return;
    uint32_t index = world->resolves[--world->resolve_count];
    uint32_t task = world_task_of(world, index);
    struct artifact outputs[2] = {world_make_output(task, 0), world_make_output(task, 1)};
    struct sched_event event = {
        .type = SCHED_RESOLVED,
        .resolved = {index,
                     world->tasks[task].has_record && !world->tasks[task].is_lost,
                     {world->tasks[task].output_count, outputs}}};
    world_send(world, &event);
}

static void commit(struct world *world)
{
    if (!world->is_commit_due)
        return;
    for (uint32_t i = 0; i < world->persist_count; i++) {
        world->tasks[world->persists[i]].has_record = true;
        world->tasks[world->persists[i]].persists++;
    }
    world->persist_count = 0;
    world->is_commit_due = false;
    struct sched_event event = {.type = SCHED_COMMITTED};
    world_send(world, &event);
}

static void check(struct world *world)
{
    if (!world->check_count)
        return;
    uint32_t run = world->checks[--world->check_count];
    struct id missing[WORLD_TASKS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < WORLD_TASKS; i++)
        if (world->tasks[i].is_lost)
            missing[count++] = world_make_output(i, 0).id;
    struct sched_event event = {.type = SCHED_CHECKED, .checked = {run, missing, count}};
    world_send(world, &event);
}

static void pass_time(struct world *world)
{
    world->now += rng_below(&world->rng, 20);
    if (world->now < world->wake_at)
        return;
    world->wake_at = MS_NEVER;
    struct sched_event event = {.type = SCHED_TICK};
    world_send(world, &event);
}

static void break_something(struct world *world)
{
    struct world_worker *worker = &world->workers[rng_below(&world->rng, WORLD_WORKERS)];
    uint32_t task = rng_below(&world->rng, WORLD_TASKS);
    switch (rng_below(&world->rng, 5)) {
    case 0:
        if (worker->is_connected)
            disconnect(world, worker);
        break;
    case 1: worker->is_hung = true; break;
    case 2:
        if (world_chance(world, 20) && world->run_count) {
            struct world_run *run = &world->runs[rng_below(&world->rng, world->run_count)];
            struct sched_event event = {.type = SCHED_CANCEL,
                                        .cancel = {run->number, world_chance(world, 50)}};
            run->is_cancelled = true;
            world_send(world, &event);
        }
        break;
    case 3:
        if (world->tasks[task].has_record)
            world->tasks[task].is_lost = true;
        break;
    default: submit(world); break;
    }
}

void world_turn(struct world *world)
{
    if (world->is_faulty && world_chance(world, 6))
        break_something(world);
    struct world_worker *worker = &world->workers[rng_below(&world->rng, WORLD_WORKERS)];
    switch (rng_below(&world->rng, 8)) {
    case 0: pass_time(world); break;
    case 1: commit(world); break;
    case 2: resolve(world); break;
    case 3: check(world); break;
    case 4:
        if (!worker->is_connected)
            connect_worker(world, worker, world_chance(world, 50));
        else if (!world->is_faulty && worker->is_hung)
            worker->is_hung = false;
        break;
    default: work(world); break;
    }
}

/* Why each task of a run that does not end is not done. */
static void tell_open(const struct world *world)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    for (uint32_t i = 0; i < world->run_count; i++) {
        for (uint32_t j = 0; j < world->runs[i].node_count && !world->runs[i].is_over; j++) {
            uint32_t index = sched_task_index(world->sched, world->runs[i].number, j);
            buf_format(&text, "run %u: task %u ", i, index);
            sched_explain(world->sched, index, &text);
            buf_put_char(&text, '\n');
        }
    }
    fputs(buf_text(&text), stderr);
}

void world_settle(struct world *world, uint32_t turns_max)
{
    world->is_faulty = false;
    if (!world->run_count)
        submit(world);
    for (uint32_t turn = 0; turn < turns_max; turn++) {
        bool is_over = true;
        for (uint32_t i = 0; i < world->run_count; i++)
            is_over &= world->runs[i].is_over;
        if (is_over && !world->is_commit_due)
            return;
        world_turn(world);
    }
    tell_open(world);
    world_fail(world, "no end in sight");
}

void world_init(struct world *world, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->seed = seed;
    world->rng = rng_seed(seed);
    world->wake_at = MS_NEVER;
    world->now = 1000;
    world->is_faulty = true;
    /* Mostly a step may do next to nothing, so that everything is cut and others come between. */
    uint32_t step_work = seed % 4 ? 1 + (uint32_t)(seed % 9) : 0;
    struct sched_options options = {.seed = seed, .lease_ms = 200, .step_work = step_work};
    world->sched = sched_new(&options);
    for (uint32_t i = 0; i < WORLD_TASKS; i++) {
        struct world_task *task = &world->tasks[i];
        task->id = world_make_id(i, 0);
        task->output_count = 1 + rng_below(&world->rng, 2);
        task->always_fails = world_chance(world, 3);
        uint32_t count = i ? rng_below(&world->rng, 4) : 0;
        for (uint32_t j = 0; j < count; j++)
            task->inputs[task->input_count++] = rng_below(&world->rng, i);
    }
    for (uint32_t i = 0; i < WORLD_WORKERS; i++)
        world->workers[i].number = i;
}

void world_fini(struct world *world)
{
    sched_free(world->sched);
    sched_actions_fini(&world->actions);
    mem_free(world->acks);
}
