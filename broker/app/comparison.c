// SPDX-License-Identifier: Apache-2.0
#include "broker/app/comparison.h"

#include <string.h>

#include "common/base/doc.h"
#include "common/text/json.h"
#include "proto/limits.h"

/* The producers of one gathered input, in gather order. */
struct gathered {
    uint32_t count;
    const struct task_edge *edges;
};

/* Edges stand in the order of the spec's task references, so walking the inputs finds where each
 * begins. */
static struct gathered gathered_input(const struct graph *graph, uint32_t task, const char *name)
{
    struct task_spec spec;
    const struct task_node *node = &graph->tasks[task];
    if (task_spec_parse(node->spec, node->spec_bytes, &spec, NULL) != OK)
        return (struct gathered){0};
    struct task_input input;
    const struct task_edge *edge = graph->edges + node->first_edge;
    for (size_t cursor = 0; task_spec_next_input(&spec, &cursor, &input);) {
        uint32_t tasks = 0;
        struct task_ref ref;
        for (size_t at = 0; task_input_next_ref(&input, &at, &ref);)
            tasks += ref.is_task;
        if (input.is_gather && input.name_bytes == strlen(name) &&
            memcmp(input.name, name, input.name_bytes) == 0)
            return (struct gathered){tasks, edge};
        edge += tasks;
    }
    return (struct gathered){0};
}

/* What a task was told, as its canonical parameters have it (defaults left out). */
static struct value settings_of(const struct graph *graph, uint32_t task, struct arena *arena)
{
    struct task_spec spec;
    struct value params = doc_map();
    const struct task_node *node = &graph->tasks[task];
    if (task_spec_parse(node->spec, node->spec_bytes, &spec, NULL) == OK && spec.params &&
        value_decode(spec.params, spec.params_bytes, arena_memory(arena), &params, NULL) != OK)
        return doc_map();
    return params;
}

static const struct value *field(const struct value *map, const char *key)
{
    static const struct value nil = {.type = VALUE_NIL};
    const struct value *value = map && map->type == VALUE_MAP ? value_get(map, key) : NULL;
    return value ? value : &nil;
}

/* The selecting task's `metrics` output, read from the store. */
static enum status read_selection(struct local *app, const struct value *entry, struct arena *arena,
                                  struct value *out, struct err *err)
{
    const struct value *id = field(field(field(entry, "outputs"), "metrics"), "id");
    struct id blob;
    if (id->type != VALUE_STRING)
        return err_set(err, E_NOTFOUND, "it has no `metrics` output");
    TRY(id_parse(id->text, id->count, &blob, err));
    AUTO(buf_fini) struct buf text = buf_init(PIPELINE_BYTES_MAX);
    TRY(store_get(app->store, &blob, &text, err));
    return json_parse("metrics", buf_text(&text), text.count, arena, out, err);
}

static struct value comparison_row(const struct run *run, const struct value *steps,
                                   struct arena *arena, uint32_t report, uint32_t model,
                                   bool is_winner)
{
    struct value row = doc_map();
    doc_put(arena, &row, "axes", submission_axes(run->submission, report, arena));
    doc_put(arena, &row, "settings", settings_of(run->submission->graph, model, arena));
    doc_put(arena, &row, "metrics", *field(&steps->items[report], "metrics"));
    doc_put(arena, &row, "seconds", *field(&steps->items[model], "seconds"));
    doc_put(arena, &row, "winner", value_bool(is_winner));
    return row;
}

static void compare_one(struct local *app, const struct run *run, struct arena *arena,
                        const struct value *steps, uint32_t task, struct value *comparisons)
{
    const struct graph *graph = run->submission->graph;
    struct gathered reports = gathered_input(graph, task, "reports");
    struct gathered models = gathered_input(graph, task, "models");
    struct value selection;
    /* A result is worth showing without its table: a blob that can't be read now is told by whoever
     * needs it. */
    if (!reports.count || read_selection(app, &steps->items[task], arena, &selection, NULL) != OK)
        return;
    const struct value *winner = field(&selection, "winner");
    struct value *comparison = doc_add(arena, comparisons, doc_map());
    doc_put(arena, comparison, "step", *field(&steps->items[task], "step"));
    doc_put(arena, comparison, "metric", *field(field(&selection, "select"), "metric"));
    doc_put(arena, comparison, "mode", *field(field(&selection, "select"), "mode"));
    struct value *rows = doc_put(arena, comparison, "rows", doc_list());
    for (uint32_t i = 0; i < reports.count; i++) {
        uint32_t report = reports.edges[i].task;
        uint32_t model = models.count == reports.count ? models.edges[i].task : report;
        bool is_winner = winner->type == VALUE_INT && winner->integer == i;
        doc_add(arena, rows, comparison_row(run, steps, arena, report, model, is_winner));
    }
}

bool comparison_is_due(const struct graph *graph)
{
    for (uint32_t i = 0; i < graph->step_count; i++)
        if (strcmp(graph->steps[i].kind, "metrics") == 0)
            return true;
    return false;
}

void comparison_add(struct local *app, const struct run *run, struct arena *arena,
                    struct value *result)
{
    const struct graph *graph = run->submission->graph;
    const struct value *steps = value_get(result, "steps");
    struct value comparisons = doc_list();
    for (uint32_t i = 0; graph->tasks && i < graph->step_count; i++)
        for (uint32_t t = 0;
             t < graph->steps[i].task_count && strcmp(graph->steps[i].kind, "metrics") == 0; t++)
            compare_one(app, run, arena, steps, graph->steps[i].first_task + t, &comparisons);
    doc_put(arena, result, "comparisons", comparisons);
}
