/* What would run and why, from ids and records alone: nothing is scheduled, nothing is written. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/local.h"
#include "broker/app/spec_diff.h"
#include "common/base/doc.h"
#include "common/fs.h"

enum plan_action { PLAN_HIT, PLAN_RUN, PLAN_MAYBE, PLAN_UNNEEDED };
static const char *const action_names[] = {"hit", "run", "maybe", "unneeded"};

struct plan {
    struct arena *arena;
    struct submission *now;
    struct submission *before; /* the newest run of the same pipeline, or NULL */
    struct value before_document;
    uint8_t *is_known, *is_needed, *action; /* per task */
};

/* ---- the pieces ---- */

struct newest {
    const char *pipeline;
    struct arena *arena;
    struct value *out;
    bool is_found;
};

static enum status match_pipeline(void *context, const char *id, const uint8_t *bytes, size_t count,
                                  struct err *err)
{
    (void)id;
    struct newest *newest = context;
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    TRY(value_decode(bytes, count, arena_memory(&arena), &document, err));
    if (newest->is_found || !value_is_text(value_get(&document, "pipeline"), newest->pipeline))
        return OK;
    *newest->out = doc_copy(newest->arena, &document);
    newest->is_found = true;
    return OK;
}

static enum status open_before(struct app *app, struct plan *plan, struct err *err)
{
    struct newest newest = {pipeline_name(plan->now->pipeline), plan->arena, &plan->before_document,
                            false};
    TRY(state_each_run(app->state, 0, match_pipeline, &newest, err));
    if (!newest.is_found)
        return OK;
    /* A run that an older program wrote may no longer parse: then there is nothing to compare with.
     */
    struct diagnostics ignored = {.file = "", .text = buf_init(0)};
    if (submission_restore(&plan->before_document, &ignored, &plan->before, NULL) != OK)
        plan->before = NULL;
    diagnostics_fini(&ignored);
    return OK;
}

static void mark_known(void *context, uint32_t task, const struct record *record)
{
    (void)record;
    struct plan *plan = context;
    plan->is_known[task] = 1;
}

/* Tasks are numbered producers first, so one pass from the end finds what is needed. */
static void mark_needed(struct plan *plan)
{
    const struct graph *graph = plan->now->graph;
    uint8_t *has_consumer = arena_alloc(plan->arena, graph->task_count + 1);
    for (uint32_t i = 0; i < graph->edge_count; i++)
        has_consumer[graph->edges[i].task] = 1;
    for (uint32_t task = graph->task_count; task-- > 0;) {
        const struct task_node *node = &graph->tasks[task];
        if (!has_consumer[task])
            plan->is_needed[task] = 1;
        for (uint32_t i = 0; i < node->edge_count && plan->is_needed[task] && !plan->is_known[task];
             i++)
            plan->is_needed[graph->edges[node->first_edge + i].task] = 1;
    }
}

/* The task of the same name in the run before, or UINT32_MAX. */
static uint32_t task_before(const struct plan *plan, uint32_t task)
{
    if (!plan->before)
        return UINT32_MAX;
    AUTO(buf_fini) struct buf name = buf_init(0);
    graph_task_name(plan->now->graph, task, &name);
    uint32_t before;
    return submission_task(plan->before, buf_text(&name), name.count, &before, NULL) == OK
               ? before
               : UINT32_MAX;
}

static bool parse_spec(const struct graph *graph, uint32_t task, struct task_spec *out)
{
    return task_spec_parse(graph->tasks[task].spec, graph->tasks[task].spec_bytes, out, NULL) == OK;
}

static struct value changes_of(const struct plan *plan, uint32_t task)
{
    struct value changes = doc_list();
    struct task_spec before, now;
    uint32_t old = task_before(plan, task);
    if (old != UINT32_MAX && parse_spec(plan->before->graph, old, &before) &&
        parse_spec(plan->now->graph, task, &now))
        spec_diff(&before, &now, plan->arena, &changes);
    return changes;
}

/* The first task this one waits for that is not known, or UINT32_MAX. */
static uint32_t first_open_producer(const struct plan *plan, uint32_t task)
{
    const struct task_node *node = &plan->now->graph->tasks[task];
    for (uint32_t i = 0; i < node->edge_count; i++) {
        uint32_t producer = plan->now->graph->edges[node->first_edge + i].task;
        if (plan->action[producer] != PLAN_HIT)
            return producer;
    }
    return UINT32_MAX;
}

/* Only inputs made by other tasks differ from last time: those may turn out to be the same bytes.
 */
static bool only_made_inputs_differ(const struct value *changes, const struct plan *plan,
                                    uint32_t task)
{
    if (task_before(plan, task) == UINT32_MAX)
        return false;
    for (uint32_t i = 0; i < changes->count; i++) {
        const char *now = value_get_text(&changes->items[i], "new");
        if (strncmp(value_get_text(&changes->items[i], "field"), "inputs.", 7) != 0 ||
            strncmp(now, "blob ", 5) == 0 || strncmp(now, "tree ", 5) == 0)
            return false;
    }
    return true;
}

static void decide(struct plan *plan, uint32_t task)
{
    if (plan->is_known[task])
        plan->action[task] = PLAN_HIT;
    else if (!plan->is_needed[task])
        plan->action[task] = PLAN_UNNEEDED;
    else if (first_open_producer(plan, task) == UINT32_MAX)
        plan->action[task] = PLAN_RUN;
    else {
        struct value changes = changes_of(plan, task);
        plan->action[task] = only_made_inputs_differ(&changes, plan, task) ? PLAN_MAYBE : PLAN_RUN;
    }
}

/* ---- words ---- */

static const char *producer_name(const struct plan *plan, uint32_t producer)
{
    AUTO(buf_fini) struct buf name = buf_init(0);
    graph_task_name(plan->now->graph, producer, &name);
    return arena_text(plan->arena, buf_text(&name), name.count);
}

static const char *why(const struct plan *plan, uint32_t task, const struct value *changes)
{
    uint32_t producer;
    switch ((enum plan_action)plan->action[task]) {
    case PLAN_HIT: return "its record is there";
    case PLAN_UNNEEDED: return "nothing that has to run needs it";
    case PLAN_MAYBE:
        producer = first_open_producer(plan, task);
        return arena_format(
            plan->arena,
            "%s %s; this runs only if what it reads turns out other bytes (early cutoff)",
            producer_name(plan, producer),
            plan->action[producer] == PLAN_MAYBE ? "may run" : "runs");
    case PLAN_RUN: break;
    }
    if (changes->count)
        return arena_format(
            plan->arena, "%s: %s → %s%s", value_get_text(&changes->items[0], "field"),
            value_get_text(&changes->items[0], "old"), value_get_text(&changes->items[0], "new"),
            changes->count > 1 ? ", and more" : "");
    return task_before(plan, task) == UINT32_MAX
               ? "it never ran"
               : "it has no record: it did not finish, or was forgotten";
}

static enum status plan_open(struct app *app, const struct app_request *request,
                             struct arena *arena, struct plan *plan, struct err *err)
{
    *plan = (struct plan){.arena = arena};
    diagnostics_fini(&app->diagnostics);
    const char *cache = fs_exists(app->home) ? app->source_cache : NULL;
    TRY(submission_open(request, SUBMISSION_EXPANDED, NULL, cache, &app->diagnostics,
                        &app->submission, err));
    plan->now = app->submission;
    uint32_t count = plan->now->graph->task_count;
    plan->is_known = arena_alloc(arena, count + 1);
    plan->is_needed = arena_alloc(arena, count + 1);
    plan->action = arena_alloc(arena, count + 1);
    enum status status = local_open_reader(app, err);
    if (status != OK && status != E_NOTFOUND)
        return status;
    if (status == OK) {
        TRY(submission_look_up(plan->now, app->state, mark_known, plan, err));
        TRY(open_before(app, plan, err));
    }
    mark_needed(plan);
    for (uint32_t task = 0; task < count; task++)
        decide(plan, task);
    return OK;
}

static void plan_close(struct plan *plan)
{
    if (plan->before)
        submission_free(plan->before);
}

static struct value plan_entry(const struct plan *plan, uint32_t task, const struct value *changes)
{
    const struct graph *graph = plan->now->graph;
    struct value entry = doc_map();
    doc_put(plan->arena, &entry, "name", value_string(producer_name(plan, task)));
    doc_put(plan->arena, &entry, "step", value_string(graph->steps[graph->tasks[task].step].name));
    doc_put(plan->arena, &entry, "axes", submission_axes(plan->now, task, plan->arena));
    doc_put(plan->arena, &entry, "task", doc_id(plan->arena, &graph->tasks[task].id));
    doc_put(plan->arena, &entry, "action", value_string(action_names[plan->action[task]]));
    doc_put(plan->arena, &entry, "why", value_string(why(plan, task, changes)));
    return entry;
}

enum status app_plan(struct app *app, const struct app_request *request, struct arena *arena,
                     struct value *out, struct err *err)
{
    struct plan plan;
    enum status status = plan_open(app, request, arena, &plan, err);
    if (status == OK) {
        int64_t counts[4] = {0};
        struct value steps = doc_list();
        uint32_t count = plan.now->graph->task_count;
        for (uint32_t task = 0; task < count; task++) {
            struct value changes =
                plan.action[task] == PLAN_RUN ? changes_of(&plan, task) : doc_list();
            doc_add(arena, &steps, plan_entry(&plan, task, &changes));
            counts[plan.action[task]]++;
        }
        *out = doc_map();
        doc_put(arena, out, "pipeline", value_string(pipeline_name(plan.now->pipeline)));
        struct value *tasks = doc_put(arena, out, "tasks", doc_map());
        doc_put(arena, tasks, "total", value_int(count));
        for (size_t i = 0; i < 4; i++)
            doc_put(arena, tasks, action_names[i], value_int(counts[i]));
        doc_put(arena, out, "steps", steps);
    }
    plan_close(&plan);
    return status;
}

/* ---- explain ---- */

/* The entry of a task in the last run's result, or NULL. */
static const struct value *last_entry(const struct plan *plan, const struct id *task)
{
    const struct value *result = plan->before ? value_get(&plan->before_document, "result") : NULL;
    const struct value *steps = result ? value_get(result, "steps") : NULL;
    char hex[ID_HEX_BYTES];
    id_hex(task, hex);
    for (uint32_t i = 0; steps && i < steps->count; i++)
        if (value_is_text(value_get(&steps->items[i], "task"), hex))
            return &steps->items[i];
    return NULL;
}

static struct value sentences(const struct plan *plan, uint32_t task, const struct value *changes)
{
    struct value list = doc_list();
    doc_add(plan->arena, &list, value_string(why(plan, task, changes)));
    const struct value *entry = last_entry(plan, &plan->now->graph->tasks[task].id);
    const struct value *cutoff = entry ? value_get(entry, "cutoff") : NULL;
    if (plan->action[task] == PLAN_HIT && cutoff && cutoff->boolean)
        doc_add(plan->arena, &list,
                value_string("in the last run its inputs turned out byte-identical to ones already "
                             "worked on, so it "
                             "did not run (early cutoff)"));
    const struct value *error = entry ? value_get(entry, "error") : NULL;
    if (error && plan->action[task] != PLAN_HIT)
        doc_add(plan->arena, &list,
                doc_format(plan->arena, "in the last run it failed: %s",
                           value_get_text(error, "text")));
    return list;
}

enum status app_explain(struct app *app, const struct app_request *request, const char *name,
                        struct arena *arena, struct value *out, struct err *err)
{
    struct plan plan;
    enum status status = plan_open(app, request, arena, &plan, err);
    uint32_t task = 0;
    if (status == OK)
        status = submission_task(plan.now, name, strlen(name), &task, err);
    if (status == OK) {
        struct value changes = plan.action[task] == PLAN_HIT ? doc_list() : changes_of(&plan, task);
        *out = plan_entry(&plan, task, &changes);
        *(struct value *)(uintptr_t)value_get(out, "why") = sentences(&plan, task, &changes);
        doc_put(arena, out, "changes", changes);
    }
    plan_close(&plan);
    return status;
}

/* ---- lint, graph ---- */

enum status app_lint(struct app *app, const struct app_request *request, struct err *err)
{
    struct submission *submission = NULL;
    diagnostics_fini(&app->diagnostics);
    enum status status = submission_open(request, SUBMISSION_PARSED, NULL, NULL, &app->diagnostics,
                                         &submission, err);
    if (submission)
        submission_free(submission);
    return status;
}

enum status app_graph(struct app *app, const struct app_request *request,
                      enum app_graph_format format, bool all_tasks, struct buf *out,
                      struct err *err)
{
    diagnostics_fini(&app->diagnostics);
    TRY(submission_open(request, SUBMISSION_EXPANDED, NULL, NULL, &app->diagnostics,
                        &app->submission, err));
    if (format == APP_GRAPH_DOT)
        graph_dot(app->submission->graph, all_tasks, out);
    else
        graph_mermaid(app->submission->graph, all_tasks, out);
    return OK;
}
