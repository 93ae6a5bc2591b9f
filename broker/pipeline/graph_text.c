// SPDX-License-Identifier: Apache-2.0
#include "broker/pipeline/graph.h"

#include <string.h>

#include "broker/pipeline/step.h"

static uint32_t axis_index(const struct graph_step *step, uint32_t offset, uint32_t axis)
{
    for (uint32_t k = step->axis_count; k-- > axis + 1;)
        offset /= step->axis_sizes[k];
    return offset % step->axis_sizes[axis];
}

uint32_t graph_task_step(const struct graph *graph, uint32_t task)
{
    uint32_t from = 0, to = graph->step_count;
    while (to - from > 1) {
        uint32_t middle = from + (to - from) / 2;
        if (graph->steps[middle].first_task <= task)
            from = middle;
        else
            to = middle;
    }
    return from;
}

const struct value *graph_task_axis(const struct graph *graph, uint32_t task, uint32_t axis)
{
    const struct graph_step *step = &graph->steps[graph_task_step(graph, task)];
    return axis_value(step->axes[axis], axis_index(step, task - step->first_task, axis));
}

void graph_task_name(const struct graph *graph, uint32_t task, struct buf *out)
{
    const struct graph_step *step = &graph->steps[graph_task_step(graph, task)];
    buf_put_text(out, step->name);
    for (uint32_t k = 0; k < step->axis_count; k++) {
        buf_format(out, "%c%s=", k ? ',' : '[', step->axis_names[k]);
        axis_show(graph_task_axis(graph, task, k), out);
    }
    if (step->axis_count)
        buf_put_char(out, ']');
}

/* The axis with whose name and "=" the text begins, or the number of axes. */
static uint32_t axis_named(const struct graph_step *step, const char *text, size_t bytes)
{
    const char *equals = memchr(text, '=', bytes);
    size_t name_bytes = equals ? (size_t)(equals - text) : 0;
    for (uint32_t k = 0; k < step->axis_count && equals; k++)
        if (strlen(step->axis_names[k]) == name_bytes &&
            memcmp(step->axis_names[k], text, name_bytes) == 0)
            return k;
    return step->axis_count;
}

/* Behind the value at the beginning of the text, which ends where another axis begins: it may have
 * commas in it. */
static size_t value_end(const struct graph_step *step, const char *text, size_t bytes)
{
    for (size_t end = 0; end < bytes; end++)
        if (text[end] == ',' &&
            axis_named(step, text + end + 1, bytes - end - 1) < step->axis_count)
            return end;
    return bytes;
}

uint32_t graph_find_tasks(const struct graph *graph, uint32_t index, const char *axes, size_t bytes,
                          uint32_t *first)
{
    const struct graph_step *step = &graph->steps[index];
    uint32_t choice[AXES_MAX], count = 1, offset = 0;
    AUTO(buf_fini) struct buf shown = buf_init(0);
    memset(choice, 0xff, sizeof choice); /* STEP_NONE */
    for (size_t at = 0; at < bytes;) {
        uint32_t k = axis_named(step, axes + at, bytes - at);
        if (k == step->axis_count || choice[k] != STEP_NONE)
            return 0;
        at += strlen(step->axis_names[k]) + 1;
        size_t value_bytes = value_end(step, axes + at, bytes - at);
        buf_clear(&shown);
        buf_put(&shown, axes + at, value_bytes);
        choice[k] = axis_find_shown(step->axes[k], &shown);
        if (choice[k] == STEP_NONE)
            return 0;
        at += value_bytes + 1;
    }
    for (uint32_t k = 0; k < step->axis_count; k++) {
        offset = offset * step->axis_sizes[k] + (choice[k] == STEP_NONE ? 0 : choice[k]);
        count *= choice[k] == STEP_NONE ? step->axis_sizes[k] : 1;
    }
    *first = step->first_task + offset;
    return count;
}

/* ---- drawings ---- */

/* What differs between the two languages. */
struct language {
    const char *begin, *end;
    const char *quote; /* what stands for a " in a label */
};

static const struct language dot = {"digraph pipeline {\n  rankdir=LR;\n  node [shape=box];\n",
                                    "}\n", "\\\""};
static const struct language mermaid = {"flowchart LR\n", "", "#quot;"};

static const char *escape(const struct language *language, const char *text, struct buf *out)
{
    buf_clear(out);
    for (; *text; text++)
        if (*text == '"')
            buf_put_text(out, language->quote);
        else if (*text == '\\' && language == &dot)
            buf_put_text(out, "\\\\");
        else
            buf_put_char(out, *text == '\n' ? ' ' : *text);
    return buf_text(out);
}

static void put_node(const struct language *language, uint32_t index, const char *label,
                     struct buf *out)
{
    AUTO(buf_fini) struct buf safe = buf_init(0);
    escape(language, label, &safe);
    if (language == &dot)
        buf_format(out, "  n%u [label=\"%s\"];\n", index, buf_text(&safe));
    else
        buf_format(out, "  n%u[\"%s\"]\n", index, buf_text(&safe));
}

static void put_edge(const struct language *language, uint32_t from, uint32_t to, const char *label,
                     struct buf *out)
{
    if (language == &dot)
        buf_format(out, "  n%u -> n%u [label=\"%s\"];\n", from, to, label);
    else
        buf_format(out, "  n%u -->|%s| n%u\n", from, label, to);
}

static void draw_tasks(const struct graph *graph, const struct language *language, struct buf *out)
{
    AUTO(buf_fini) struct buf name = buf_init(0);
    for (uint32_t i = 0; i < graph->task_count; i++) {
        buf_clear(&name);
        graph_task_name(graph, i, &name);
        put_node(language, i, buf_text(&name), out);
    }
    for (uint32_t i = 0; i < graph->task_count; i++)
        for (uint32_t k = 0; k < graph->tasks[i].edge_count; k++) {
            const struct task_edge *edge = &graph->edges[graph->tasks[i].first_edge + k];
            const struct graph_step *producer = &graph->steps[graph->tasks[edge->task].step];
            put_edge(language, edge->task, i, producer->outputs[edge->output], out);
        }
}

/* Each producer's output once per step: the edges of a step's first task name them all. */
static void draw_step_edges(const struct graph *graph, const struct language *language,
                            uint32_t index, struct buf *out)
{
    const struct task_node *task = &graph->tasks[graph->steps[index].first_task];
    uint32_t last_step = UINT32_MAX, last_output = UINT32_MAX;
    for (uint32_t k = 0; k < task->edge_count; k++) {
        const struct task_edge *edge = &graph->edges[task->first_edge + k];
        uint32_t from = graph->tasks[edge->task].step;
        if (from == last_step && edge->output == last_output)
            continue; /* the next of a gather */
        put_edge(language, from, index, graph->steps[from].outputs[edge->output], out);
        last_step = from;
        last_output = edge->output;
    }
}

static void draw_steps(const struct graph *graph, const struct language *language, struct buf *out)
{
    AUTO(buf_fini) struct buf label = buf_init(0);
    for (uint32_t i = 0; i < graph->step_count; i++) {
        const struct graph_step *step = &graph->steps[i];
        buf_clear(&label);
        buf_put_text(&label, step->name);
        if (step->task_count > 1)
            buf_format(&label, " × %u", step->task_count);
        put_node(language, i, buf_text(&label), out);
    }
    for (uint32_t i = 0; i < graph->step_count; i++)
        draw_step_edges(graph, language, i, out);
}

static void draw(const struct graph *graph, const struct language *language, bool all_tasks,
                 struct buf *out)
{
    buf_put_text(out, language->begin);
    if (all_tasks)
        draw_tasks(graph, language, out);
    else
        draw_steps(graph, language, out);
    buf_put_text(out, language->end);
}

void graph_dot(const struct graph *graph, bool all_tasks, struct buf *out)
{
    draw(graph, &dot, all_tasks, out);
}

void graph_mermaid(const struct graph *graph, bool all_tasks, struct buf *out)
{
    draw(graph, &mermaid, all_tasks, out);
}
