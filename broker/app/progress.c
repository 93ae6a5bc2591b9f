/* What of a run is where, counted as the scheduler tells it, and told as events. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/run.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "proto/limits.h"

enum { SEEN_HIT = 0x80, PROGRESS_EVERY_MS = 500 };
#define NO_NODE UINT32_MAX

/* ---- tasks and nodes ---- */

static uint32_t first_node(const struct run_nodes *nodes, uint32_t task)
{
    if (nodes->first_task == UINT32_MAX)
        return side_get(&nodes->of_task, task);
    return task - nodes->first_task < nodes->count ? task - nodes->first_task : NO_NODE;
}

uint32_t run_node(const struct run *run, uint32_t task)
{
    return first_node(&run->nodes, task);
}

static uint32_t next_node(const struct run_nodes *nodes, uint32_t node)
{
    return nodes->same_as_next ? nodes->same_as_next[node] : NO_NODE;
}

static void add_node(struct run_nodes *nodes, uint32_t task, uint32_t node)
{
    uint32_t first = side_get(&nodes->of_task, task);
    if (first == SIDE_NONE) {
        side_put(&nodes->of_task, task, node);
        return;
    }
    if (!nodes->same_as_next) {
        nodes->same_as_next = mem_alloc(nodes->count * sizeof *nodes->same_as_next);
        memset(nodes->same_as_next, 0xff, nodes->count * sizeof *nodes->same_as_next);
    }
    nodes->same_as_next[node] = nodes->same_as_next[first];
    nodes->same_as_next[first] = node;
}

/* ---- telling ---- */

static const char *worker_name(const struct local *app, const struct sched_task_info *info)
{
    return app->router && info->worker != UINT32_MAX && !info->is_hit && !info->is_cutoff
               ? router_worker_name(app->router, info->worker)
               : "";
}

static void tell_task(struct local *app, struct run *run, uint32_t node,
                      const struct sched_task_info *info, bool is_hit)
{
    AUTO(arena_fini) struct arena arena = {0};
    const struct graph *graph = run->submission->graph;
    struct value fields = doc_map();
    bool has_run = info->started_at != MS_NEVER && info->finished_at != MS_NEVER && !info->is_hit &&
                   !info->is_cutoff;
    doc_put(&arena, &fields, "step", value_string(graph->steps[graph_task_step(graph, node)].name));
    doc_put(&arena, &fields, "axes", submission_axes(run->submission, node, &arena));
    doc_put(&arena, &fields, "task", doc_id(&arena, &info->id));
    doc_put(&arena, &fields, "state", value_string(task_state_name(info->state)));
    doc_put(&arena, &fields, "hit", value_bool(is_hit));
    doc_put(&arena, &fields, "cutoff", value_bool(info->is_cutoff));
    doc_put(&arena, &fields, "attempts", value_int(info->attempts));
    doc_put(&arena, &fields, "seconds",
            value_real(has_run ? (double)(info->finished_at - info->started_at) / 1000 : 0));
    const char *worker = worker_name(app, info), *text = info->text;
    doc_put(&arena, &fields, "worker", doc_text(&arena, worker, strlen(worker)));
    if (info->state != TASK_FAILED)
        text = "";
    doc_put(&arena, &fields, "text", doc_text(&arena, text, strlen(text)));
    events_put(app->events, "task", run->id, &fields);
}

/* Large runs are told in numbers, but whoever watches wants to know what fails. */
static bool is_told(struct run *run, enum task_state state)
{
    if (state == TASK_READY || state == TASK_WAITING)
        return false;
    return run->nodes.count <= EVENT_TASKS_MAX ||
           (state == TASK_FAILED && run->failures_told++ < EVENT_FAILURES_MAX);
}

static void put_step(struct arena *arena, struct value *steps, const struct app_step_progress *step)
{
    struct value *entry = doc_add(arena, steps, doc_map());
    const struct {
        const char *key;
        uint32_t count;
    } counts[] = {{"total", step->total},         {"hit", step->hit},
                  {"succeeded", step->succeeded}, {"running", step->running},
                  {"failed", step->failed},       {"upstream_failed", step->upstream_failed},
                  {"unneeded", step->unneeded},   {"cancelled", step->cancelled}};
    doc_put(arena, entry, "step", value_string(step->name));
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        doc_put(arena, entry, counts[i].key, value_int(counts[i].count));
}

static void step_progress(const struct run *run, uint32_t index, struct app_step_progress *out)
{
    const struct graph_step *step = &run->submission->graph->steps[index];
    const struct step_counts *counts = &run->steps[index];
    *out = (struct app_step_progress){.name = step->name,
                                      .total = step->task_count,
                                      .hit = counts->hit,
                                      .succeeded = counts->by_state[TASK_SUCCEEDED],
                                      .running = counts->by_state[TASK_RUNNING],
                                      .failed = counts->by_state[TASK_FAILED],
                                      .upstream_failed = counts->by_state[TASK_UPSTREAM_FAILED],
                                      .unneeded = counts->by_state[TASK_UNNEEDED],
                                      .cancelled = counts->by_state[TASK_CANCELLED],
                                      .first_started_at = counts->first_started_at,
                                      .last_finished_at = counts->last_finished_at};
}

/* Every step in every event: of 10,000 it takes 25 ms, so it is written while somebody watches, and
 * at the end for who comes later. Whoever has a run of his own in this process looks at the counts
 * (local_step_progress). */
void progress_tell(struct local *app, struct run *run, ms_t now)
{
    bool is_wanted = app->is_served && (app->is_watched || run->is_ended);
    if (!is_wanted || !run->has_changed || now < run->progress_at || !run->is_begun)
        return;
    AUTO(arena_fini) struct arena arena = {0};
    struct value fields = doc_map();
    struct value *steps = doc_put(&arena, &fields, "steps", doc_list());
    for (uint32_t i = 0; i < run->submission->graph->step_count; i++) {
        struct app_step_progress step;
        step_progress(run, i, &step);
        put_step(&arena, steps, &step);
    }
    events_drop(app->events, run->progress_event);
    run->progress_event = events_put(app->events, "progress", run->id, &fields);
    run->has_changed = false;
    run->progress_at = now + PROGRESS_EVERY_MS;
}

void progress_tell_run(struct local *app, struct run *run)
{
    AUTO(arena_fini) struct arena arena = {0};
    static const char *const told[] = {"pipeline", "state", "tasks", "seconds"};
    struct value head, fields = doc_map();
    report_head(app, run, &arena, &head);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        doc_put(&arena, &fields, told[i], *value_get(&head, told[i]));
    doc_put(&arena, &fields, "name", run->name ? value_string(run->name) : value_nil());
    events_put(app->events, "run", run->id, &fields);
}

/* ---- counting ---- */

static void count_node(struct local *app, struct run *run, uint32_t node,
                       const struct sched_task_info *info)
{
    struct step_counts *step = &run->steps[graph_task_step(run->submission->graph, node)];
    bool is_hit = info->is_hit && !(run->done && run->done[node]);
    uint8_t before = run->seen[node], now = (uint8_t)(info->state | (is_hit ? SEEN_HIT : 0));
    if (before == now)
        return;
    step->by_state[before & ~SEEN_HIT]--;
    step->by_state[info->state]++;
    step->hit += (uint32_t)((now & SEEN_HIT) != 0) - (uint32_t)((before & SEEN_HIT) != 0);
    run->seen[node] = now;
    run->has_changed = true;
    if (info->started_at < step->first_started_at)
        step->first_started_at = info->started_at;
    if (info->finished_at != MS_NEVER &&
        (step->last_finished_at == MS_NEVER || info->finished_at > step->last_finished_at))
        step->last_finished_at = info->finished_at;
    if (is_told(run, info->state))
        tell_task(app, run, node, info, is_hit);
}

/* What a run that has ended saw of its tasks stays as it was. */
static void count_task(struct local *app, struct run *run, uint32_t task,
                       const struct sched_task_info *info)
{
    if (!run->is_begun || run->is_ended)
        return;
    struct sched_task_info own;
    for (uint32_t node = first_node(&run->nodes, task); node != NO_NODE;
         node = next_node(&run->nodes, node)) {
        if (info->is_shared) /* it may have left the task to others */
            sched_node_info(loop_sched(app->loop), run->number, node, &own);
        count_node(app, run, node, info->is_shared ? &own : info);
    }
}

void progress_published(void *context, uint32_t number, uint32_t task)
{
    struct local *app = context;
    struct sched_task_info info;
    sched_task_info(loop_sched(app->loop), task, &info);
    if (!info.is_shared && number < app->run_count && app->runs[number])
        count_task(app, app->runs[number], task, &info);
    for (uint32_t i = 0; info.is_shared && i < app->run_count; i++)
        if (app->runs[i])
            count_task(app, app->runs[i], task, &info);
}

void progress_open(struct run *run)
{
    const struct graph *graph = run->submission->graph;
    run->steps = mem_alloc((graph->step_count + 1) * sizeof *run->steps);
    run->stuck = mem_alloc((graph->step_count + 1) * sizeof *run->stuck);
    for (uint32_t i = 0; i < graph->step_count; i++) {
        run->steps[i].by_state[TASK_WAITING] = graph->steps[i].task_count;
        run->steps[i].first_started_at = run->steps[i].last_finished_at = MS_NEVER;
        run->stuck[i].since = MS_NEVER;
    }
    run->seen = mem_alloc(graph->task_count + 1);
    run->nodes.count = graph->task_count;
}

/* The first of equal nodes stands for the task. */
static void count_done(struct run *run, uint32_t node, uint32_t task)
{
    if (run->done && run->done[node] && first_node(&run->nodes, task) == node)
        run->done_count++;
    else if (run->done)
        run->done[node] = 0;
}

bool progress_begin(struct local *app, struct run *run, uint32_t nodes)
{
    const struct sched *sched = loop_sched(app->loop);
    uint32_t end =
        run->nodes.count - run->nodes.added < nodes ? run->nodes.count : run->nodes.added + nodes;
    if (!run->is_begun) {
        run->nodes.first_task = sched_first_task(sched, run->number);
        run->is_begun = run->has_changed = true;
        progress_tell_run(app, run);
    }
    for (; run->nodes.added < end; run->nodes.added++) {
        struct sched_task_info info;
        uint32_t node = run->nodes.added, task = sched_task_index(sched, run->number, node);
        sched_node_info(sched, run->number, node, &info);
        if (run->nodes.first_task == UINT32_MAX)
            add_node(&run->nodes, task, node);
        count_done(run, node, task);
        count_node(app, run, node, &info);
    }
    return run->nodes.added == run->nodes.count;
}

/* What a cancelled run left to others was not told. */
void progress_end(struct local *app, struct run *run)
{
    const struct sched *sched = loop_sched(app->loop);
    struct sched_run_info info;
    sched_run_info(sched, run->number, &info);
    for (uint32_t node = 0; info.is_cancelled && node < run->nodes.count; node++) {
        struct sched_task_info own;
        sched_node_info(sched, run->number, node, &own);
        count_node(app, run, node, &own);
    }
    run->is_ended = true;
    run->ended_us = clock_epoch_us();
}

enum task_state progress_state(const struct run *run, uint32_t node, bool *is_hit)
{
    *is_hit = (run->seen[node] & SEEN_HIT) != 0;
    return (enum task_state)(run->seen[node] & ~SEEN_HIT);
}

void progress_close(struct run *run)
{
    mem_free(run->steps);
    mem_free(run->stuck);
    mem_free(run->seen);
    mem_free(run->done);
    side_fini(&run->nodes.of_task);
    mem_free(run->nodes.same_as_next);
}

/* ---- for a live view ---- */

uint32_t local_step_count(const struct app *base, const char *id)
{
    const struct run *run = runs_get((const struct local *)base, id);
    return run ? run->submission->graph->step_count : 0;
}

void local_step_progress(const struct app *base, const char *id, uint32_t index,
                         struct app_step_progress *out)
{
    step_progress(runs_get((const struct local *)base, id), index, out);
}
