/* Work that no worker can be given, told to the person in time to do something about it: why, once
 * per step and reason. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/local.h"

#include <ctype.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/clock.h"

enum {
    LOOK_EVERY_MS = 1000,
    /* A worker that is starting, or that lost its connection for a moment, is there by then. */
    TELL_AFTER_MS = 5000
};

/* A step that has been stuck `since`; `told`: the reason that was given. */
struct stuck_step {
    ms_t since, seen_at;
    uint64_t told;
};

struct stuck {
    ms_t look_at, short_since; /* of workers */
    bool is_short_told;
    struct stuck_step *steps;
    struct buf lines; /* to be shown, each with its end of line */
    size_t shown;     /* bytes of them */
};

struct stuck *stuck_new(uint32_t step_count)
{
    struct stuck *stuck = mem_alloc(sizeof *stuck);
    stuck->steps = mem_alloc((step_count + 1) * sizeof *stuck->steps);
    for (uint32_t i = 0; i < step_count; i++)
        stuck->steps[i].since = MS_NEVER;
    stuck->short_since = MS_NEVER;
    stuck->lines = buf_init(0);
    return stuck;
}

void stuck_free(struct stuck *stuck)
{
    buf_fini(&stuck->lines);
    mem_free(stuck->steps);
    mem_free(stuck);
}

/* Of a sentence without its numbers: how many workers there are is no reason to say it again. */
static uint64_t reason_of(const char *text)
{
    uint64_t hash = 1;
    for (; *text; text++)
        if (!isdigit((unsigned char)*text))
            hash = hash * 31 + (unsigned char)*text;
    return hash;
}

static void look_at_task(struct app *app, uint32_t task, ms_t now)
{
    struct stuck *stuck = app->stuck;
    const struct graph *graph = app->submission->graph;
    uint32_t node = app->node_of_task[task];
    struct stuck_step *step = &stuck->steps[graph_task_step(graph, node)];
    if (step->since == MS_NEVER)
        step->since = now;
    step->seen_at = now;
    if (now - step->since < TELL_AFTER_MS)
        return;
    AUTO(buf_fini) struct buf why = buf_init(0);
    sched_explain(loop_sched(app->loop), task, &why);
    uint64_t reason = reason_of(buf_text(&why));
    if (reason == step->told)
        return;
    step->told = reason;
    graph_task_name(graph, node, &stuck->lines);
    buf_format(&stuck->lines, ": %s\n", buf_text(&why));
}

/* True: too few are there for anything to be given out, which needs to be said only once. */
static bool is_short(struct app *app, ms_t now)
{
    struct stuck *stuck = app->stuck;
    struct sched_load load;
    sched_load(loop_sched(app->loop), &load);
    if (!load.ready || (load.workers && !load.workers_awaited)) {
        stuck->short_since = MS_NEVER;
        stuck->is_short_told = false;
        return false;
    }
    if (stuck->short_since == MS_NEVER)
        stuck->short_since = now;
    if (now - stuck->short_since < TELL_AFTER_MS || stuck->is_short_told)
        return true;
    stuck->is_short_told = true;
    if (load.workers_awaited)
        buf_format(&stuck->lines,
                   "nothing is given out before %u workers are connected (--min-workers); %u are; ",
                   load.workers + load.workers_awaited, load.workers);
    else
        buf_put_text(&stuck->lines, "no worker is connected; ");
    buf_put_text(&stuck->lines, "join one with: ");
    listen_put_command(app, &stuck->lines);
    buf_put_char(&stuck->lines, '\n');
    return true;
}

static void look(struct app *app, ms_t now)
{
    struct stuck *stuck = app->stuck;
    const struct sched *sched = loop_sched(app->loop);
    uint32_t cursor = 0, task;
    if (!is_short(app, now))
        while ((task = sched_next_stuck(sched, RUN, &cursor)) != UINT32_MAX)
            look_at_task(app, task, now);
    for (uint32_t i = 0; i < app->submission->graph->step_count; i++)
        if (stuck->steps[i].seen_at != now)
            stuck->steps[i] = (struct stuck_step){.since = MS_NEVER};
}

bool app_next_notice(struct app *app, struct buf *out)
{
    struct stuck *stuck = app->stuck;
    struct sched_run_info run;
    ms_t now = clock_ms();
    if (app->router && now >= stuck->look_at) {
        stuck->look_at = now + LOOK_EVERY_MS;
        sched_run_info(loop_sched(app->loop), RUN, &run);
        if (!run.is_over && !run.is_cancelled)
            look(app, now);
    }
    if (stuck->shown == stuck->lines.count) {
        buf_clear(&stuck->lines);
        stuck->shown = 0;
        return false;
    }
    const char *line = buf_text(&stuck->lines) + stuck->shown;
    size_t bytes = strcspn(line, "\n");
    buf_put(out, line, bytes);
    stuck->shown += bytes + 1;
    return true;
}
