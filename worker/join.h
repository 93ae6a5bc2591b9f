/* A worker that has joined a broker: the loop that ties link, agent, slots, fetch and publish
 * together. It decides nothing: what comes in becomes the agent's events, the agent's actions are
 * carried out.
 *
 * One beat: frames → slots' answers → moves that ended → signals → TICK → write to slots, send →
 * sleep. Thread: one; the mover has another for large moves. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/task_node.h"
#include "worker/runtime/sandbox_options.h"

struct join_options {
    const char *broker; /* endpoint, or several with commas between: a broker and its standbys */
    const char *broker_key; /* its public key; NULL or "": no keys */
    const char *key;        /* file of our identity; NULL or "": a new one for this process */
    bool insecure;          /* no keys, though others than this machine are talked to */
    const char *store;      /* URL */
    const char *name;       /* for people; NULL: HOST-PID */
    const char *cache;      /* folder */
    uint64_t cache_bytes;
    uint32_t slots;          /* 0: one per core */
    uint32_t cpu_hundredths; /* offered; 0: a core for each slot */
    uint64_t memory_bytes;   /* offered; 0: what the machine has for us */
    const struct resource *resources;
    uint32_t resource_count;
    uint32_t grace_ms;
    const char *const *labels; /* "key=value" */
    size_t label_count;
    struct sandbox_options sandbox;
    const char *secrets;   /* folder; NULL: none but those of the environment */
    bool dies_with_parent; /* SIGKILL when the parent ends, and Ctrl-C is the parent's business */
};

/* Works until it is dismissed or drained (SIGTERM, SIGINT). Errors: E_UNREACHABLE, E_VERSION, … why
 * it had to stop. */
MUST_USE enum status join_run(const struct join_options *options, struct err *err);
