/* plan: the tasks, what each would do, and why; lint and graph, which need the text alone. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/planning.h"

#include <string.h>

#include "common/base/doc.h"
#include "common/fs.h"
#include "proto/limits.h"

static const char *const action_names[] = {"hit", "run", "maybe", "unneeded"};

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
    if (newest->is_found)
        return OK;
    TRY(value_decode(bytes, count, arena_memory(&arena), &document, err));
    if (!value_is_text(value_get(&document, "pipeline"), newest->pipeline))
        return OK;
    *newest->out = doc_copy(newest->arena, &document);
    newest->is_found = true;
    return OK;
}

static enum status open_before(struct local *app, struct plan *plan, struct err *err)
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

/* It was done last time, and only inputs made by other tasks differ: those may turn out to be the
 * same bytes. */
static bool only_made_inputs_differ(const struct value *changes, const struct plan *plan,
                                    uint32_t task)
{
    if (plan_task_before(plan, task) == UINT32_MAX || !changes->count ||
        plan_failed_before(plan, task))
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
    else if (plan_open_producer(plan, task) == UINT32_MAX)
        plan->action[task] = PLAN_RUN;
    else {
        struct value changes = plan_changes(plan, task);
        plan->action[task] = only_made_inputs_differ(&changes, plan, task) ? PLAN_MAYBE : PLAN_RUN;
    }
}

enum status plan_open(struct local *app, const struct app_request *request, struct arena *arena,
                      struct plan *plan, struct err *err)
{
    *plan = (struct plan){.arena = arena};
    diagnostics_fini(&app->diagnostics);
    const char *cache = fs_exists(app->home) ? app->source_cache : NULL;
    TRY(submission_open(request, NULL, cache, &app->diagnostics, &plan->now, err));
    uint32_t count = plan->now->graph->task_count;
    plan->is_known = arena_alloc(arena, count + 1);
    plan->is_needed = arena_alloc(arena, count + 1);
    plan->action = arena_alloc(arena, count + 1);
    enum status status = local_open_reader(app, err);
    if (status != OK && status != E_NOTFOUND)
        return status;
    if (status == OK) {
        TRY(submission_look_up(plan->now, app->state,
                               &(struct submission_finder){NULL, mark_known, plan}, err));
        TRY(open_before(app, plan, err));
    }
    mark_needed(plan);
    for (uint32_t task = 0; task < count; task++)
        decide(plan, task);
    return OK;
}

void plan_close(struct plan *plan)
{
    if (plan->before)
        submission_free(plan->before);
    if (plan->now)
        submission_free(plan->now);
}

struct value plan_entry(const struct plan *plan, uint32_t task, const struct value *changes)
{
    const struct graph *graph = plan->now->graph;
    struct value entry = doc_map();
    doc_put(plan->arena, &entry, "name", value_string(plan_task_name(plan, task)));
    doc_put(plan->arena, &entry, "step", value_string(graph->steps[graph->tasks[task].step].name));
    doc_put(plan->arena, &entry, "axes", submission_axes(plan->now, task, plan->arena));
    doc_put(plan->arena, &entry, "task", doc_id(plan->arena, &graph->tasks[task].id));
    doc_put(plan->arena, &entry, "action", value_string(action_names[plan->action[task]]));
    doc_put(plan->arena, &entry, "why", value_string(plan_why(plan, task, changes)));
    return entry;
}

static struct value list_tasks(const struct plan *plan)
{
    struct value steps = doc_list();
    for (uint32_t task = 0; task < plan->now->graph->task_count; task++) {
        struct value changes =
            plan->action[task] == PLAN_RUN ? plan_changes(plan, task) : doc_list();
        doc_add(plan->arena, &steps, plan_entry(plan, task, &changes));
    }
    return steps;
}

/* {"total", "hit", "run", "maybe", "unneeded"} of tasks that stand one behind the other. */
static struct value count_tasks(const struct plan *plan, uint32_t first, uint32_t count)
{
    int64_t counts[PLAN_ACTION_COUNT] = {0};
    struct value tasks = doc_map();
    for (uint32_t task = first; task < first + count; task++)
        counts[plan->action[task]]++;
    doc_put(plan->arena, &tasks, "total", value_int(count));
    for (size_t i = 0; i < PLAN_ACTION_COUNT; i++)
        doc_put(plan->arena, &tasks, action_names[i], value_int(counts[i]));
    return tasks;
}

static struct value list_steps(const struct plan *plan)
{
    const struct graph *graph = plan->now->graph;
    struct value steps = doc_list();
    for (uint32_t i = 0; i < graph->step_count; i++) {
        const struct graph_step *step = &graph->steps[i];
        struct value *entry = doc_add(plan->arena, &steps, doc_map());
        doc_put(plan->arena, entry, "step", value_string(step->name));
        doc_put(plan->arena, entry, "tasks", count_tasks(plan, step->first_task, step->task_count));
    }
    return steps;
}

/* A broker that serves has others waiting: it lists no million tasks. */
enum status local_plan(struct app *base, const struct app_request *request, struct arena *arena,
                       struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    struct plan plan;
    enum status status = plan_open(app, request, arena, &plan, err);
    if (status == OK) {
        uint32_t count = plan.now->graph->task_count;
        bool lists_tasks = !app->is_served || count <= LISTED_TASKS_MAX;
        *out = doc_map();
        doc_put(arena, out, "pipeline", value_string(pipeline_name(plan.now->pipeline)));
        doc_put(arena, out, "tasks", count_tasks(&plan, 0, count));
        doc_put(arena, out, "steps", lists_tasks ? list_tasks(&plan) : list_steps(&plan));
        *out = doc_copy(arena, out); /* names are the pipeline's, which goes now */
    }
    plan_close(&plan);
    return status;
}

/* ---- lint, graph ---- */

enum status local_lint(struct app *base, const struct app_request *request, struct err *err)
{
    struct local *app = local_of(base);
    struct submission *submission = NULL;
    diagnostics_fini(&app->diagnostics);
    enum status status = submission_parse(request, &app->diagnostics, &submission, err);
    if (submission)
        submission_free(submission);
    return status;
}

enum status local_graph(struct app *base, const struct app_request *request,
                        enum app_graph_format format, bool all_tasks, struct buf *out,
                        struct err *err)
{
    struct local *app = local_of(base);
    diagnostics_fini(&app->diagnostics);
    return submission_draw(request, format, all_tasks, &app->diagnostics, out, err);
}
