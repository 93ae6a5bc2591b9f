/* A router with a worker by hand, and its events as a line of words. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/work/router.h"
#include "tests/unit/broker/work/peer.h"

struct world {
    struct router *router;
    struct peer peer, other;
    struct buf trace;
    ms_t now;
};

/* On tcp://127.0.0.1 with epoch 5; the peers are connected. For cmocka's set-up and teardown. */
int world_open(void **state);
/* A router of its own kind; the peers are not connected yet. */
struct world *world_new(const struct router_options *options);
int world_close(void **state);
/* Receives until `words` words have come, or half a second has passed; 0 words: for half a second.
 * hello0 heartbeat0 started0 revoked0 gone0:denied drained0 done0 failed0, with worker numbers. */
const char *world_receive(struct world *world, size_t words);
/* The peer says HELLO and is welcomed. */
void world_join(struct world *world);

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, world_open, world_close)
