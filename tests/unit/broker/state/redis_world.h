/* A redis-server, a store for the journal beside it, and a worker's key, for one test. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "tests/unit/broker/state/commit.h"
#include "tests/unit/broker/state/redis_server.h"

struct redis_world {
    struct redis_server server;
    struct signer *signer;
    char journal[96]; /* its store, beside the server's files */
    struct err err;   /* of the last call that failed */
};
extern struct redis_world redis_world;

#define ASK(...) redis_server_ask(&redis_world.server, (const char *const[]){__VA_ARGS__, NULL})

extern const char *const redis_with_aof[];
/* Setup and teardown. Forgetful: kept in memory alone, a kill makes it forget everything. */
int redis_world_start(void **context);
int redis_world_start_forgetful(void **context);
int redis_world_start_with(const char *const *arguments);
int redis_world_stop(void **context);

MUST_USE enum status redis_world_try_open(const char *url, enum state_mode mode,
                                          struct state **out);
struct state *redis_world_open(enum state_mode mode);
/* One signed record, as often as it takes; how often it was begun again. */
int redis_world_commit(struct state *state, uint32_t task, const char *worker);
MUST_USE enum status redis_world_try_commit(struct state *state, uint32_t task);
/* The word must be in the last error's text. */
void redis_world_error_says(const char *word);
