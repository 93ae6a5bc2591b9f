/* Expansion and identity: pipeline text → graph with all task ids, one thread. Two shapes:
 * independent tasks, and pairs with an edge. The limit is hashing the same specifications and doing
 * nothing else. `bench_expand [TASKS]`. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/pipeline/graph.h"
#include "common/crypto/hash.h"
#include "proto/task_spec.h"
#include "tests/bench/report.h"

enum { TEXT_BYTES = 1024, NAME_BYTES = 64, TASKS_DEFAULT = 1000000 };

/* The number of values of the axis stands between the two texts. */
struct shape {
    const char *name, *before, *after;
    uint32_t steps;
};

static const struct shape independent = {"independent",
                                         "version: 1\n"
                                         "steps:\n"
                                         "  sleep:\n"
                                         "    kind: sleep\n"
                                         "    params: {seconds: 0, index: \"${matrix.i}\"}\n"
                                         "    matrix: {i: {range: [0, ",
                                         ", 1]}}\n", 1};

static const struct shape linked = {"linked",
                                    "version: 1\n"
                                    "steps:\n"
                                    "  use:\n"
                                    "    kind: exec\n"
                                    "    matrix: make\n"
                                    "    inputs: {made: make.made}\n"
                                    "    params: {command: [use, \"${inputs.made}\"]}\n"
                                    "  make:\n"
                                    "    kind: exec\n"
                                    "    outputs: {made: out}\n"
                                    "    params: {command: [make, \"n=${matrix.i}\"]}\n"
                                    "    matrix: {i: {range: [0, ",
                                    ", 1]}}\n", 2};

static void say(const struct shape *shape, const char *what, double value, const char *unit)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s, %s", shape->name, what);
    report(name, value, unit);
}

/* Hashing alone; the ids must come out as the expansion's. */
static double hash_again(const struct graph *graph)
{
    int64_t begun = clock_us();
    for (uint32_t i = 0; i < graph->task_count; i++) {
        struct id id;
        const struct task_node *task = &graph->tasks[i];
        hash_bytes(PERSON_TASK, task->spec, task->spec_bytes, &id);
        if (memcmp(&id, &task->id, sizeof id) != 0)
            report_fail("a task's id is not the hash of its specification");
    }
    return seconds_since(begun);
}

static void measure(const struct shape *shape, uint32_t count)
{
    char text[TEXT_BYTES];
    struct diagnostics d = {0};
    AUTO(pipeline_free) struct pipeline *pipeline = NULL;
    AUTO(graph_free) struct graph *graph = NULL;
    uint32_t values = count / shape->steps;
    int bytes = snprintf(text, sizeof text, "%s%u%s", shape->before, values, shape->after);
    int64_t begun = clock_us();
    if (pipeline_parse("bench.yaml", text, (size_t)bytes, NULL, 0, &d, &pipeline) != OK ||
        graph_expand(pipeline, &d, &graph) != OK)
        report_fail(buf_text(&d.text));
    say(shape, "expand", seconds_since(begun), "s");
    if (graph->task_count != values * shape->steps)
        report_fail("not as many tasks as asked for");
    say(shape, "hash alone", hash_again(graph), "s");
    say(shape, "edges", graph->edge_count, "");
    say(shape, "graph", (double)graph->arena.used_bytes / graph->task_count, "bytes/task");
    diagnostics_fini(&d);
}

int main(int argc, char **argv)
{
    uint32_t count = report_count(argc, argv, 1, TASKS_DEFAULT);
    measure(&independent, count);
    measure(&linked, count);
    return 0;
}
