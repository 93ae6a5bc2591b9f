/* Why a task would run, in words: what changed since the run before, named as the pipeline names
 * it. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/planning.h"

#include <string.h>

#include "broker/app/spec_diff.h"
#include "common/base/doc.h"

const char *plan_task_name(const struct plan *plan, uint32_t task)
{
    AUTO(buf_fini) struct buf name = buf_init(0);
    graph_task_name(plan->now->graph, task, &name);
    return arena_text(plan->arena, buf_text(&name), name.count);
}

uint32_t plan_task_before(const struct plan *plan, uint32_t task)
{
    uint32_t before;
    if (!plan->before)
        return UINT32_MAX;
    AUTO(buf_fini) struct buf name = buf_init(0);
    graph_task_name(plan->now->graph, task, &name);
    return submission_task(plan->before, buf_text(&name), name.count, &before, NULL) == OK
               ? before
               : UINT32_MAX;
}

uint32_t plan_open_producer(const struct plan *plan, uint32_t task)
{
    const struct task_node *node = &plan->now->graph->tasks[task];
    for (uint32_t i = 0; i < node->edge_count; i++) {
        uint32_t producer = plan->now->graph->edges[node->first_edge + i].task;
        if (!plan->is_known[producer])
            return producer;
    }
    return UINT32_MAX;
}

/* A small run's result lists tasks in the order of its graph. */
const struct value *plan_entry_before(const struct plan *plan, uint32_t task)
{
    const struct value *result = plan->before ? value_get(&plan->before_document, "result") : NULL;
    const struct value *steps = result ? value_get(result, "steps") : NULL;
    uint32_t before = steps ? plan_task_before(plan, task) : UINT32_MAX;
    bool is_listed = steps && steps->count == plan->before->graph->task_count;
    return is_listed && before != UINT32_MAX ? &steps->items[before] : NULL;
}

bool plan_failed_before(const struct plan *plan, uint32_t task)
{
    const struct value *entry = plan_entry_before(plan, task);
    const struct value *state = entry ? value_get(entry, "state") : NULL;
    return state && (value_is_text(state, "failed") || value_is_text(state, "upstream_failed"));
}

/* ---- what changed ---- */

static bool parse_spec(const struct graph *graph, uint32_t task, struct task_spec *out)
{
    return task_spec_parse(graph->tasks[task].spec, graph->tasks[task].spec_bytes, out, NULL) == OK;
}

static const struct source_need *find_source(const struct submission *s, const struct id *id)
{
    for (size_t i = 0; i < s->need_count; i++)
        if (id_equal(&s->sources[i].id, id))
            return &s->needs[i];
    return NULL;
}

/* The one thing that the input NAME of "inputs.NAME" refers to; false for a gather. */
static bool find_ref(const struct task_spec *spec, const char *name, struct task_ref *out)
{
    struct task_input input;
    for (size_t cursor = 0; task_spec_next_input(spec, &cursor, &input);) {
        size_t at = 0;
        if (input.name_bytes == strlen(name) && memcmp(input.name, name, input.name_bytes) == 0)
            return !input.is_gather && task_input_next_ref(&input, &at, out);
    }
    return false;
}

/* "data/iris.csv (sources.iris)", or the path alone of a code file. */
static const char *source_text(const struct plan *plan, const struct source_need *need)
{
    return strcmp(need->name, need->location) == 0
               ? need->location
               : arena_format(plan->arena, "%s (sources.%s)", need->location, need->name);
}

static const char *made_text(const struct plan *plan, uint32_t task, const struct task_ref *ref)
{
    const struct graph *graph = plan->now->graph;
    const struct task_node *node = &graph->tasks[task];
    for (uint32_t i = 0; i < node->edge_count; i++) {
        uint32_t producer = graph->edges[node->first_edge + i].task;
        if (id_equal(&graph->tasks[producer].id, &ref->task))
            return arena_format(plan->arena, "%s.%.*s", plan_task_name(plan, producer),
                                (int)ref->output_bytes, ref->output);
    }
    return NULL;
}

static const char *change_text(const struct plan *plan, uint32_t task, const struct task_spec *now,
                               const struct task_spec *before, const struct value *change)
{
    const char *field = value_get_text(change, "field"), *old = value_get_text(change, "old"),
               *new = value_get_text(change, "new");
    struct task_ref ref, old_ref;
    bool is_input = strncmp(field, "inputs.", 7) == 0;
    if (!is_input || !find_ref(now, field + 7, &ref) || !find_ref(before, field + 7, &old_ref) ||
        ref.is_task != old_ref.is_task)
        return arena_format(plan->arena, "%s: %s → %s", field, old, new);
    if (ref.is_task) {
        const char *made = made_text(plan, task, &ref);
        return arena_format(plan->arena, "%s: %s (%s → %s)", field, made ? made : "another task",
                            old, new);
    }
    const struct source_need *source = find_source(plan->now, &ref.artifact.id),
                             *old_source = find_source(plan->before, &old_ref.artifact.id);
    if (!source || !old_source)
        return arena_format(plan->arena, "%s: %s → %s", field, old, new);
    if (strcmp(source->location, old_source->location) != 0)
        return arena_format(plan->arena, "%s: %s → %s (%s → %s)", field,
                            source_text(plan, old_source), source_text(plan, source), old, new);
    return arena_format(plan->arena, "%s: %s changed (%s → %s)", field, source_text(plan, source),
                        old, new);
}

struct value plan_changes(const struct plan *plan, uint32_t task)
{
    struct value changes = doc_list();
    struct task_spec before, now;
    uint32_t old = plan_task_before(plan, task);
    if (old == UINT32_MAX || !parse_spec(plan->before->graph, old, &before) ||
        !parse_spec(plan->now->graph, task, &now))
        return changes;
    spec_diff(&before, &now, plan->arena, &changes);
    for (uint32_t i = 0; i < changes.count; i++) {
        struct value *change = (struct value *)(uintptr_t)&changes.items[i];
        doc_put(plan->arena, change, "text",
                value_string(change_text(plan, task, &now, &before, change)));
    }
    return changes;
}

/* ---- why ---- */

static const char *why_it_runs(const struct plan *plan, uint32_t task, const struct value *changes)
{
    if (plan_failed_before(plan, task))
        return value_is_text(value_get(plan_entry_before(plan, task), "state"), "failed")
                   ? "it failed in the last run"
                   : "something above it failed in the last run";
    if (changes->count > 1)
        return arena_format(plan->arena, "%s, and %u more change%s",
                            value_get_text(&changes->items[0], "text"), changes->count - 1,
                            changes->count == 2 ? "" : "s");
    if (changes->count)
        return value_get_text(&changes->items[0], "text");
    return plan_task_before(plan, task) == UINT32_MAX
               ? "it never ran"
               : "it has no record: it did not finish, or was forgotten";
}

const char *plan_why(const struct plan *plan, uint32_t task, const struct value *changes)
{
    const struct graph *graph = plan->now->graph;
    uint32_t producer;
    switch ((enum plan_action)plan->action[task]) {
    case PLAN_HIT: return "its record is there";
    case PLAN_UNNEEDED: return "nothing that has to run needs it";
    case PLAN_MAYBE:
        producer = plan_open_producer(plan, task);
        return arena_format(plan->arena,
                            "%s %s: only if that changes the bytes it reads (early cutoff)",
                            graph->steps[graph->tasks[producer].step].name,
                            plan->action[producer] == PLAN_MAYBE ? "may run" : "runs");
    case PLAN_RUN:
    case PLAN_ACTION_COUNT: break;
    }
    return why_it_runs(plan, task, changes);
}
