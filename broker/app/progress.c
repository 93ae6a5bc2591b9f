// SPDX-License-Identifier: Apache-2.0
#include "broker/app/local.h"

#include <stdio.h>

#include "common/base/mem.h"

enum { LINES_MAX = 1000, SEEN_HIT = 0x80 };
#define NO_NODE UINT32_MAX

static bool is_final(enum task_state state)
{
    return state >= TASK_SUCCEEDED;
}

static void count_node(struct app *app, uint32_t node, const struct sched_task_info *info)
{
    struct step_counts *step = &app->steps[graph_task_step(app->submission->graph, node)];
    uint8_t before = app->seen[node], now = (uint8_t)(info->state | (info->is_hit ? SEEN_HIT : 0));
    step->by_state[before & ~SEEN_HIT]--;
    step->by_state[info->state]++;
    step->hit += (uint32_t)((now & SEEN_HIT) != 0) - (uint32_t)((before & SEEN_HIT) != 0);
    app->seen[node] = now;
    if (info->started_at < step->first_started_at)
        step->first_started_at = info->started_at;
    if (info->finished_at != MS_NEVER &&
        (step->last_finished_at == MS_NEVER || info->finished_at > step->last_finished_at))
        step->last_finished_at = info->finished_at;
    if (app->lines && is_final(info->state) && before != now)
        app->lines[app->line_count++] = node;
}

void progress_published(void *context, uint32_t run, uint32_t task)
{
    (void)run;
    struct app *app = context;
    if (!app->node_of_task || task >= app->scheduler_tasks)
        return;
    struct sched_task_info info;
    sched_task_info(loop_sched(app->loop), task, &info);
    for (uint32_t node = app->node_of_task[task]; node != NO_NODE;
         node = app->same_as_next ? app->same_as_next[node] : NO_NODE)
        if (app->seen[node] != (info.state | (info.is_hit ? SEEN_HIT : 0)))
            count_node(app, node, &info);
}

void progress_begin(struct app *app)
{
    const struct sched *sched = loop_sched(app->loop);
    const struct graph *graph = app->submission->graph;
    uint32_t count = graph->task_count;
    app->steps = mem_alloc((graph->step_count + 1) * sizeof *app->steps);
    for (uint32_t i = 0; i < graph->step_count; i++) {
        app->steps[i].by_state[TASK_WAITING] = graph->steps[i].task_count;
        app->steps[i].first_started_at = app->steps[i].last_finished_at = MS_NEVER;
    }
    app->stuck = stuck_new(graph->step_count);
    app->seen = mem_alloc(count);
    for (uint32_t node = 0; node < count; node++) {
        uint32_t task = sched_task_index(sched, RUN, node);
        if (task >= app->scheduler_tasks)
            app->scheduler_tasks = task + 1;
    }
    app->node_of_task = mem_alloc(app->scheduler_tasks * sizeof *app->node_of_task);
    for (uint32_t task = 0; task < app->scheduler_tasks; task++)
        app->node_of_task[task] = NO_NODE;
    if (count <= LINES_MAX)
        app->lines = mem_alloc(count * TASK_STATE_COUNT * sizeof *app->lines);
    if (app->scheduler_tasks < count)
        app->same_as_next = mem_alloc(count * sizeof *app->same_as_next);
    for (uint32_t node = count; node-- > 0;) {
        uint32_t task = sched_task_index(sched, RUN, node);
        if (app->same_as_next)
            app->same_as_next[node] = app->node_of_task[task];
        app->node_of_task[task] = node;
    }
    for (uint32_t task = 0; task < app->scheduler_tasks; task++)
        progress_published(app, RUN, task);
}

void progress_fini(struct app *app)
{
    mem_free(app->steps);
    mem_free(app->seen);
    mem_free(app->node_of_task);
    mem_free(app->same_as_next);
    mem_free(app->lines);
    if (app->stuck)
        stuck_free(app->stuck);
}

uint32_t app_step_count(const struct app *app)
{
    return app->submission->graph->step_count;
}

void app_step_progress(const struct app *app, uint32_t index, struct app_step_progress *out)
{
    const struct graph_step *step = &app->submission->graph->steps[index];
    const struct step_counts *counts = &app->steps[index];
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

static void put_seconds(struct buf *out, ms_t ms)
{
    if (ms < 1000)
        buf_format(out, "%lld ms", (long long)ms);
    else
        buf_format(out, "%.1f s", (double)ms / 1000);
}

static const char *ending_text(const struct sched_task_info *info)
{
    if (info->state == TASK_SUCCEEDED && info->is_hit)
        return "cached";
    if (info->state == TASK_SUCCEEDED && info->is_cutoff)
        return "cached (its inputs turned out byte-identical)";
    if (info->state == TASK_UNNEEDED)
        return "not needed";
    if (info->state == TASK_UPSTREAM_FAILED)
        return "not run: something above it failed";
    return task_state_name(info->state);
}

static void task_info(const struct app *app, uint32_t node, struct sched_task_info *out)
{
    const struct sched *sched = loop_sched(app->loop);
    sched_task_info(sched, sched_task_index(sched, RUN, node), out);
}

/* "train[case=small]: succeeded in 40 ms" */
static void put_line(struct app *app, uint32_t node, struct buf *out)
{
    struct sched_task_info info;
    task_info(app, node, &info);
    graph_task_name(app->submission->graph, node, out);
    buf_format(out, ": %s", ending_text(&info));
    if (info.state == TASK_SUCCEEDED && info.started_at != MS_NEVER && !info.is_hit &&
        !info.is_cutoff) {
        buf_put_text(out, " in ");
        put_seconds(out, info.finished_at - info.started_at);
    }
    if (info.state == TASK_FAILED)
        buf_format(out, " after %u attempt%s: %s", info.attempts, info.attempts == 1 ? "" : "s",
                   info.text);
}

/* How many of the waiting lines, from the next on, say the same of tasks of one step because
 * nothing ran. */
static uint32_t count_alike(const struct app *app)
{
    const struct graph *graph = app->submission->graph;
    struct sched_task_info first, info;
    uint32_t at = app->line_shown, step = graph_task_step(graph, app->lines[at]);
    task_info(app, app->lines[at], &first);
    if (first.state == TASK_FAILED ||
        (first.state == TASK_SUCCEEDED && !first.is_hit && !first.is_cutoff))
        return 1;
    while (++at < app->line_count && graph_task_step(graph, app->lines[at]) == step) {
        task_info(app, app->lines[at], &info);
        if (info.state != first.state || info.is_hit != first.is_hit ||
            info.is_cutoff != first.is_cutoff)
            break;
    }
    return at - app->line_shown;
}

bool app_next_line(struct app *app, struct buf *out)
{
    if (app->line_shown >= app->line_count)
        return false;
    const struct graph *graph = app->submission->graph;
    uint32_t node = app->lines[app->line_shown], alike = count_alike(app);
    if (alike == 1) {
        put_line(app, node, out);
    } else {
        struct sched_task_info info;
        task_info(app, node, &info);
        buf_format(out, "%s (%u tasks): %s", graph->steps[graph_task_step(graph, node)].name, alike,
                   ending_text(&info));
    }
    app->line_shown += alike;
    return true;
}
