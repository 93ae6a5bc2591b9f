/* A small random world around the scheduler: workers that run, crash, come back and repeat
 * themselves, a state that commits late, a store that loses blobs. One seed is one history. After
 * every event sched_check() recounts; when the faults have stopped, everything must come to an end.
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "broker/sched/sched.h"
#include "common/base/rng.h"

enum { WORLD_TASKS = 40, WORLD_RUNS = 6, WORLD_WORKERS = 5, WORLD_HELD = 600, WORLD_EDGES = 400 };

struct world_task {
    struct id id;
    uint32_t inputs[4], input_count, output_count;
    bool has_record, is_lost;
    bool always_fails;
    uint32_t persists, forgets, assigns, faults;
};

struct world_attempt {
    uint32_t task, number;
    bool is_started;
};

struct world_worker {
    bool is_connected, is_hung;
    uint32_t number; /* the router's */
    uint8_t instance[INSTANCE_BYTES];
    struct world_attempt held[WORLD_HELD];
    uint32_t held_count;
};

struct world_run {
    bool is_submitted, is_over, is_cancelled;
    uint32_t number;
    struct task_node nodes[2 * WORLD_TASKS];
    uint32_t universe[2 * WORLD_TASKS]; /* node → task of the world */
    struct task_edge edges[WORLD_EDGES];
    uint8_t is_forced[2 * WORLD_TASKS];
    uint32_t node_count, edge_count;
};

struct world {
    uint64_t seed;
    struct rng rng;
    ms_t now;
    struct sched *sched;
    struct sched_actions actions;
    struct world_task tasks[WORLD_TASKS];
    struct world_worker workers[WORLD_WORKERS];
    struct world_run runs[WORLD_RUNS];
    uint32_t run_count;
    bool is_faulty;
    /* what the scheduler has asked for */
    uint32_t resolves[WORLD_TASKS * 8], resolve_count; /* its task indices */
    uint32_t persists[WORLD_TASKS * 8], persist_count; /* tasks of the world */
    uint32_t forgets[WORLD_TASKS * 8], forget_count;
    uint32_t checks[WORLD_RUNS * 2], check_count;
    ms_t wake_at;
    bool is_commit_due;
    /* frames sent and acknowledged; the handle is the index */
    uint8_t *acks;
    uint32_t frame_count, frame_capacity;
};

/* ---- the part that talks to the scheduler: world_send.c ---- */

/* Says what is wrong with which seed, and ends. */
void world_fail(const struct world *world, const char *what);
bool world_chance(struct world *world, uint32_t percent);
struct id world_make_id(uint32_t number, uint8_t kind);
struct artifact world_make_output(uint32_t task, uint32_t output);
/* The world's number of a task of the scheduler. */
uint32_t world_task_of(const struct world *world, uint32_t index);
void world_drop_held(struct world_worker *worker, uint32_t at);
/* Steps the scheduler, recounts, does what it asks for. */
void world_send(struct world *world, struct sched_event *event);

/* ---- the part that makes things happen: world.c ---- */

void world_init(struct world *world, uint64_t seed);
void world_fini(struct world *world);
/* One random thing happens. */
void world_turn(struct world *world);
/* No more faults; turns until all runs are over. Fails the test after `turns_max`. */
void world_settle(struct world *world, uint32_t turns_max);
