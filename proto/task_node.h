/* A task as a node of a graph: what the pipeline's expansion makes and the scheduler works on.
 * Plain arrays and indices, no pointers between tasks, so that a million of them are three
 * allocations. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/id.h"

/* A named count of something that tasks take and workers offer: gpu: 2, license: 1. */
struct resource {
    const char *name;
    uint32_t count;
};

/* What only places or retries work; not part of any id. Tasks that are treated alike share one. */
struct task_policy {
    uint32_t retry_limit;    /* further attempts after the first */
    uint32_t backoff_ms;     /* before the second attempt; doubles, full jitter */
    uint32_t backoff_max_ms; /* at most */
    uint32_t timeout_ms;     /* 0: none */
    uint32_t cpu_hundredths;
    uint32_t poison_kills; /* workers or slots it may cost their life */
    uint64_t memory_bytes; /* 0: no limit, none reserved */
    int32_t priority;
    uint32_t label_count;      /* pairs */
    const char *const *labels; /* key, value, key, value, … that a worker must have */
    uint32_t resource_count;
    const struct resource *resources; /* that it takes while it runs; names differ */
    /* "train.gradient_boosting@1+xgboost-1.7.4": what a worker must offer. */
    const char *kind_version;
};

/* A dependency: one output of one task. */
struct task_edge {
    uint32_t task;   /* the producer */
    uint32_t output; /* index into its sorted outputs */
};

struct task_node {
    struct id id;
    const uint8_t *spec; /* canonical bytes */
    uint32_t spec_bytes;
    uint32_t step;                   /* of the pipeline; the scheduler doesn't ask */
    uint32_t policy;                 /* index */
    uint32_t first_edge, edge_count; /* its task refs, in the order of proto/task_spec.h */
};
