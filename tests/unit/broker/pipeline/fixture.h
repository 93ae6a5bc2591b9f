/* A pipeline and its graph, made from text; sources are blobs named by their index. For the tests
 * of this folder. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/pipeline/graph.h"

static struct diagnostics d;
static struct pipeline *pipeline;
static struct graph *graph;

static inline int teardown(void **state)
{
    (void)state;
    if (graph)
        graph_free(graph);
    if (pipeline)
        pipeline_free(pipeline);
    graph = NULL;
    pipeline = NULL;
    diagnostics_fini(&d);
    d = (struct diagnostics){0};
    return 0;
}

static inline void expand_with(const char *text, const struct override *overrides, size_t count)
{
    teardown(NULL);
    if (pipeline_parse("p.yaml", text, strlen(text), overrides, count, &d, &pipeline) != OK)
        fail_msg("%s", buf_text(&d.text));
    const struct source_need *needs;
    size_t source_count = pipeline_sources(pipeline, &needs);
    for (size_t i = 0; i < source_count; i++) {
        struct artifact artifact = {.bytes = 1};
        memset(artifact.id.bytes, (int)i + 1, ID_BYTES);
        pipeline_resolve_source(pipeline, i, &artifact);
    }
    if (graph_expand(pipeline, &d, &graph) != OK)
        fail_msg("%s", buf_text(&d.text));
}

static inline void expand(const char *text)
{
    expand_with(text, NULL, 0);
}

static inline uint32_t find(const char *name)
{
    AUTO(buf_fini) struct buf shown = buf_init(0);
    for (uint32_t i = 0; i < graph->task_count; i++) {
        buf_clear(&shown);
        graph_task_name(graph, i, &shown);
        if (strcmp(buf_text(&shown), name) == 0)
            return i;
    }
    fail_msg("no task %s", name);
    return 0;
}

static inline struct id id_of(const char *name)
{
    return graph->tasks[find(name)].id;
}

/* The tasks that `name` takes from, in order: "a[i=1] a[i=2]". */
static inline void expect_edges(const char *name, const char *expected)
{
    const struct task_node *task = &graph->tasks[find(name)];
    AUTO(buf_fini) struct buf shown = buf_init(0);
    for (uint32_t i = 0; i < task->edge_count; i++) {
        if (i)
            buf_put_char(&shown, ' ');
        graph_task_name(graph, graph->edges[task->first_edge + i].task, &shown);
    }
    buf_put_text(&shown, "");
    assert_string_equal(buf_text(&shown), expected);
}

/* The canonical params of a task's spec, as a value. */
static inline struct value params_of(const char *name, struct arena *arena)
{
    const struct task_node *task = &graph->tasks[find(name)];
    struct value spec;
    struct err err;
    if (value_decode(task->spec, task->spec_bytes, arena_memory(arena), &spec, &err) != OK)
        fail_msg("%s", err.text);
    const struct value *params = value_get(&spec, "params");
    return params ? *params : value_nil();
}

#define HEAD "version: 1\nsteps:\n"
#define A_STEP                                                                                     \
    "  a: {kind: exec, matrix: {i: [1, 2], k: [x, y]}, outputs: {o: o}, params: {command: "        \
    "\"${matrix.i} ${matrix.k}\"}}\n"

#define TRAIN_HEAD                                                                                 \
    "version: 1\nparams: {seed: 42}\nsources: {iris: data/iris.csv}\nsteps:\n"                     \
    "  prepare: {kind: preprocess, inputs: {table: sources.iris}, params: {target: y, split: "     \
    "{seed: \"${params.seed}\"}}}\n"

static inline const struct task_policy *policy_of(const char *name)
{
    return &graph->policies[graph->tasks[find(name)].policy];
}

/* The text does not parse, and `line` is among what is said. */
static inline void expect_parse_error(const char *text, const char *line)
{
    teardown(NULL);
    assert_int_equal(pipeline_parse("p.yaml", text, strlen(text), NULL, 0, &d, &pipeline),
                     E_INVALID);
    if (!strstr(buf_text(&d.text), line))
        fail_msg("expected \"%s\" in:\n%s", line, buf_text(&d.text));
}
