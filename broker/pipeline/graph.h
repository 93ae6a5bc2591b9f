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
#include "proto/task_node.h"

struct graph_step {
    const char *name;
    const char *kind, *variant; /* "train", "gradient_boosting" (of the first task; may vary by
                                   task: see policy) */
    uint32_t first_task, task_count;
    uint32_t axis_count;
    const char *const *axis_names;
    const uint32_t *axis_sizes;
    struct axis *const *axes; /* the pipeline's; see graph_task_axis */
    uint32_t output_count;
    const char *const *outputs; /* sorted */
};

struct graph {
    struct arena arena;
    struct task_node *tasks;
    uint32_t task_count;
    struct task_edge *edges;
    uint32_t edge_count;
    struct graph_step *steps;
    uint32_t step_count;
    struct task_policy *policies;
    uint32_t policy_count;
};

/* Errors: E_INVALID with diagnostics (an axis value the producer lacks, …), E_LIMIT more than
 * TASKS_MAX or EDGES_MAX. The graph borrows names and values from the pipeline, which must outlive
 * it. */
MUST_USE enum status graph_expand(const struct pipeline *pipeline, struct diagnostics *d,
                                  struct graph **out);
void graph_free(struct graph *graph);
/* Frees the tasks and their edges, 64 bytes and more each, when the scheduler has its own; specs,
 * steps and names stay. */
void graph_forget_tasks(struct graph *graph);
/* The index of its step. */
uint32_t graph_task_step(const struct graph *graph, uint32_t task);
/* "train[model=mlp]" or "train[case=shallow,seed=1]", or "prepare" where it has no axes. */
void graph_task_name(const struct graph *graph, uint32_t task, struct buf *out);
/* The tasks of a step whose axes show what stands between the brackets of a task's name:
 * "case=shallow,seed=1", in any order; axes that are left out may have any value. Returns how many
 * there are, and the first of them in `*first`. Takes no look at the tasks. */
uint32_t graph_find_tasks(const struct graph *graph, uint32_t step, const char *axes, size_t bytes,
                          uint32_t *first);
/* The value of one axis for a task, valid until the next call for the same axis. */
const struct value *graph_task_axis(const struct graph *graph, uint32_t task, uint32_t axis);
/* DOT or Mermaid text of the steps (or of all tasks). */
void graph_dot(const struct graph *graph, bool all_tasks, struct buf *out);
void graph_mermaid(const struct graph *graph, bool all_tasks, struct buf *out);

static inline void graph_free_auto(struct graph **g)
{
    if (*g)
        graph_free(*g);
}
