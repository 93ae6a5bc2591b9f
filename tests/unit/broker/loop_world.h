/* A loop with a real scheduler, state and store in memory, a worker by hand at a socket. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/loop.h"
#include "tests/unit/broker/moody.h"
#include "tests/unit/broker/work/peer.h"

enum { NODES_MAX = 600, SPEC_MAX = 128 };

struct world {
    struct moody state;
    struct store *store;
    struct router *router;
    struct loop *loop;
    struct peer peer;
    struct task_node nodes[NODES_MAX];
    struct task_edge edges[NODES_MAX];
    uint8_t specs[NODES_MAX][SPEC_MAX];
    uint32_t node_count, edge_count;
    uint32_t executed, acks, overs, published;
    uint64_t sequence;
    bool tells_lies, is_idle_peer, is_plain; /* plain: tasks take no named resource */
    const char *content; /* what every task puts out; NULL: something of its own */
};

void loop_world_new_loop(struct world *world, bool has_router);
/* cmocka's setup and teardown. */
int loop_world_open(void **context);
int loop_world_close(void **context);
/* A `sleep` task with the parameter n that reads the output of `input` (or nothing: UINT32_MAX). */
uint32_t loop_world_add_task(struct world *world, uint32_t n, uint32_t input);
void loop_world_submit(struct world *world, uint32_t retry_limit);
/* What the worker does with what lies in its socket. */
void loop_world_serve(struct world *world);
void loop_world_join(struct world *world);
/* The loop's turn, then the worker's. */
void loop_world_turn(struct world *world);
void loop_world_run_to_the_end(struct world *world);
bool loop_world_has_record(struct world *world, const struct id *task);
struct sched_task_info loop_world_task_info(struct world *world, uint32_t node);

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, loop_world_open, loop_world_close)
