/* Work that no worker can be given, told to the person in time to do something about it: why, once
 * per step and reason. */
// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>
#include <string.h>

#include "broker/app/run.h"
#include "common/base/doc.h"
#include "common/clock.h"

enum {
    LOOK_EVERY_MS = 1000,
    /* A worker that is starting, or that lost its connection for a moment, is there by then. */
    TELL_AFTER_MS = 5000
};

static void tell(struct local *app, const char *run, struct buf *text)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value fields = doc_map();
    doc_put(&arena, &fields, "text", doc_text(&arena, buf_text(text), text->count));
    events_put(app->events, "notice", run, &fields);
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

static void look_at_task(struct local *app, struct run *run, uint32_t task, ms_t now)
{
    const struct graph *graph = run->submission->graph;
    uint32_t node = run_node(run, task);
    struct stuck_step *step = &run->stuck[graph_task_step(graph, node)];
    if (step->since == MS_NEVER)
        step->since = now;
    step->seen_at = now;
    if (now - step->since < TELL_AFTER_MS)
        return;
    AUTO(buf_fini) struct buf text = buf_init(0), why = buf_init(0);
    sched_explain(loop_sched(app->loop), task, &why);
    uint64_t reason = reason_of(buf_text(&why));
    if (reason == step->told)
        return;
    step->told = reason;
    graph_task_name(graph, node, &text);
    buf_format(&text, ": %s", buf_text(&why));
    tell(app, run->id, &text);
}

/* True: too few are there for anything to be given out, which needs to be said only once. */
static bool is_short(struct local *app, ms_t now)
{
    struct shortage *shortage = &app->shortage;
    struct sched_load load;
    sched_load(loop_sched(app->loop), &load);
    if (!load.ready || (load.workers && !load.workers_awaited)) {
        shortage->since = MS_NEVER;
        shortage->is_told = false;
        return false;
    }
    if (shortage->since == MS_NEVER)
        shortage->since = now;
    if (now - shortage->since < TELL_AFTER_MS || shortage->is_told)
        return true;
    shortage->is_told = true;
    AUTO(buf_fini) struct buf text = buf_init(0);
    if (load.workers_awaited)
        buf_format(&text,
                   "nothing is given out before %u workers are connected (--min-workers); %u are; ",
                   load.workers + load.workers_awaited, load.workers);
    else
        buf_put_text(&text, "no worker is connected; ");
    buf_put_text(&text, "join one with: ");
    listen_put_command(app, &text);
    tell(app, "", &text);
    return true;
}

static void look_at_run(struct local *app, struct run *run, bool is_short_now, ms_t now)
{
    const struct sched *sched = loop_sched(app->loop);
    struct sched_run_info info;
    uint32_t cursor = 0, task;
    sched_run_info(sched, run->number, &info);
    if (!run->is_begun || info.is_over || info.is_cancelled)
        return;
    while (!is_short_now && (task = sched_next_stuck(sched, run->number, &cursor)) != UINT32_MAX)
        look_at_task(app, run, task, now);
    for (uint32_t i = 0; i < run->submission->graph->step_count; i++)
        if (run->stuck[i].seen_at != now)
            run->stuck[i] = (struct stuck_step){.since = MS_NEVER};
}

void stuck_look(struct local *app)
{
    ms_t now = clock_ms();
    if (!app->router || now < app->shortage.look_at)
        return;
    app->shortage.look_at = now + LOOK_EVERY_MS;
    bool is_short_now = is_short(app, now);
    for (uint32_t i = 0; i < app->run_count; i++)
        if (app->runs[i])
            look_at_run(app, app->runs[i], is_short_now, now);
}
