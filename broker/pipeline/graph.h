/* The expanded graph: every task of a run with its identity, known before anything runs. Dense
 * arrays and indices, no pointers between tasks; linear in tasks + edges; about 100 bytes a task
 * plus its spec. Pure.
 *
 * Tasks are numbered step by step in an order in which producers come first (topological), and
 * within a step by its axes' declaration order, last axis fastest. Two nodes may have one id (the
 * scheduler runs it once). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/pipeline/pipeline.h"
#include "proto/id.h"
#include "proto/limits.h"

/* What only places or retries work; not part of any id. Shared by all tasks of a step. */
struct policy {
    uint32_t retry_limit; /* further attempts after the first; default 2 */
    uint32_t
        backoff_ms; /* before the second attempt; doubles, full jitter, at most backoff_max_ms */
    uint32_t backoff_max_ms;
    uint32_t timeout_ms;     /* 0: none */
    uint32_t cpu_hundredths; /* default 100 */
    uint64_t memory_bytes;   /* 0: no limit, none reserved */
    int32_t priority;
    uint32_t poison_kills;
    const char
        *kind_version;    /* "train.gradient_boosting@1+xgboost-1.7.4": what a worker must offer */
    uint32_t label_count; /* label_count pairs: key, value, key, value, … */
    const char *const *labels;
};

struct graph_step {
    const char *name;
    const char *kind, *variant; /* "train", "gradient_boosting" (of the first task; may vary by
                                   task: see policy) */
    uint32_t first_task, task_count;
    uint32_t axis_count;
    const char *const *axis_names;
    const uint32_t *axis_sizes;
    const struct value *const *axis_values; /* [axis] → array of that axis's values */
    uint32_t output_count;
    const char *const *outputs; /* sorted */
};

struct graph_edge {
    uint32_t task;   /* the producer */
    uint32_t output; /* index into its step's sorted outputs */
};

struct graph_task {
    struct id id;
    const uint8_t *spec; /* canonical bytes */
    uint32_t spec_bytes;
    uint32_t step;
    uint32_t policy;
    uint32_t first_edge, edge_count; /* its task refs, in the order of proto/task_spec.h */
};

struct graph {
    struct arena arena;
    struct graph_task *tasks;
    uint32_t task_count;
    struct graph_edge *edges;
    uint32_t edge_count;
    struct graph_step *steps;
    uint32_t step_count;
    struct policy *policies;
    uint32_t policy_count;
};

/* Errors: E_INVALID with diagnostics (an axis value the producer lacks, …), E_LIMIT more than
 * TASKS_MAX or EDGES_MAX. The graph borrows names and values from the pipeline, which must outlive
 * it. */
MUST_USE enum status graph_expand(const struct pipeline *pipeline, struct diagnostics *d,
                                  struct graph **out);
void graph_free(struct graph *graph);
/* "train[model=mlp]" or "train[case=shallow,seed=1]", or "prepare" where it has no axes. */
void graph_task_name(const struct graph *graph, uint32_t task, struct buf *out);
/* The value of one axis for a task. */
const struct value *graph_task_axis(const struct graph *graph, uint32_t task, uint32_t axis);
/* DOT or Mermaid text of the steps (or of all tasks). */
void graph_dot(const struct graph *graph, bool all_tasks, struct buf *out);
void graph_mermaid(const struct graph *graph, bool all_tasks, struct buf *out);

static inline void graph_free_auto(struct graph **g)
{
    if (*g)
        graph_free(*g);
}
