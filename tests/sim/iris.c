/* The example's graph, expanded by the broker's own pipeline code. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/pipeline/graph.h"
#include "common/fs.h"
#include "tests/sim/world.h"

static const char IRIS[] = "configs/iris.yaml";

static _Noreturn void give_up(const char *why)
{
    fprintf(stderr, "%s: %s (the simulator runs from the project's folder)\n", IRIS, why);
    exit(2);
}

static void take_over(const struct graph *graph, struct unit *units)
{
    for (uint32_t i = 0; i < graph->task_count; i++) {
        const struct task_node *node = &graph->tasks[i];
        struct unit *unit = &units[i];
        *unit = (struct unit){.id = node->id};
        unit->output_count = (uint8_t)graph->steps[node->step].output_count;
        unit->input_count = (uint8_t)node->edge_count;
        if (node->edge_count > UNIT_INPUTS_MAX || unit->output_count > UNIT_OUTPUTS_MAX)
            give_up("a task has too many inputs or outputs for the simulator");
        for (uint32_t j = 0; j < node->edge_count; j++) {
            const struct task_edge *edge = &graph->edges[node->first_edge + j];
            unit->inputs[j] = (struct unit_input){(uint8_t)edge->task, (uint8_t)edge->output};
        }
    }
}

uint32_t iris_load(struct unit *units)
{
    static struct unit loaded[UNITS_MAX];
    static uint32_t count;
    if (!count) {
        AUTO(buf_fini) struct buf text = buf_init(0);
        struct err err = {0};
        struct diagnostics d = {0};
        struct pipeline *pipeline;
        struct graph *graph;
        if (fs_read(IRIS, &text, &err) != OK)
            give_up(err.text);
        if (pipeline_parse(IRIS, (const char *)text.bytes, text.count, NULL, 0, &d, &pipeline))
            give_up(buf_text(&d.text));
        const struct source_need *needs;
        size_t sources = pipeline_sources(pipeline, &needs);
        for (size_t i = 0; i < sources; i++) {
            struct artifact artifact = {.bytes = 1};
            memset(artifact.id.bytes, (int)i + 1, ID_BYTES);
            pipeline_resolve_source(pipeline, i, &artifact);
        }
        if (graph_expand(pipeline, &d, &graph) != OK)
            give_up(buf_text(&d.text));
        if (graph->task_count > UNITS_MAX)
            give_up("more tasks than the simulator has room for");
        take_over(graph, loaded);
        count = graph->task_count;
        graph_free(graph);
        pipeline_free(pipeline);
        diagnostics_fini(&d);
    }
    memcpy(units, loaded, sizeof loaded);
    return count;
}
