// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/state/redis_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/crypto/sign.h"

struct redis_world redis_world;
/* With `everysec` a slow disk holds what was acknowledged back from the file. */
const char *const redis_with_aof[] = {"--appendonly", "yes", "--appendfsync", "no", NULL};

int redis_world_start_with(const char *const *arguments)
{
    redis_server_start(&redis_world.server, arguments);
    snprintf(redis_world.journal, sizeof redis_world.journal, "%s/store",
             redis_world.server.folder);
    redis_world.signer = signer_new();
    return 0;
}

int redis_world_start(void **context)
{
    (void)context;
    return redis_world_start_with(redis_with_aof);
}

int redis_world_start_forgetful(void **context)
{
    (void)context;
    return redis_world_start_with(NULL);
}

int redis_world_stop(void **context)
{
    (void)context;
    redis_server_stop(&redis_world.server);
    signer_free(redis_world.signer);
    return 0;
}

enum status redis_world_try_open(const char *url, enum state_mode mode, struct state **out)
{
    struct state_options options = {.url = url,
                                    .mode = mode,
                                    .journal_store = redis_world.journal,
                                    .holder = "tcp://here:7000"};
    return state_open(&options, out, &redis_world.err);
}

struct state *redis_world_open(enum state_mode mode)
{
    struct state *state;
    if (redis_world_try_open(redis_world.server.url, mode, &state) != OK)
        fail_msg("%s", redis_world.err.text);
    return state;
}

int redis_world_commit(struct state *state, uint32_t task, const char *worker)
{
    struct commit commit;
    commit_begin(&commit);
    commit.signer = redis_world.signer;
    commit_record(&commit, task, task, worker, true);
    int tries = commit_patiently(&commit, state);
    commit_fini(&commit);
    return tries;
}

enum status redis_world_try_commit(struct state *state, uint32_t task)
{
    struct commit commit;
    commit_begin(&commit);
    commit_record(&commit, task, task, "w", true);
    enum status status = commit_try(&commit, state, &redis_world.err);
    commit_fini(&commit);
    return status;
}

void redis_world_error_says(const char *word)
{
    if (!strstr(redis_world.err.text, word))
        fail_msg("\"%s\" is not in: %s", word, redis_world.err.text);
}
