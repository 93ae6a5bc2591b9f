/* Events as lines: each task's end, several of one step together where nothing ran. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/cli/view.h"
#include "common/text/json.h"

/* Ends that say the same of tasks of one step, and are not shown yet. */
struct alike {
    struct buf step, ending, line; /* line: what is shown if it stays alone */
    uint32_t count;
};

static const char *text_of(const struct value *map, const char *key)
{
    const char *text = value_get_text(map, key);
    return text ? text : "";
}

static bool is_true(const struct value *map, const char *key)
{
    const struct value *value = value_get(map, key);
    return value && value->type == VALUE_BOOL && value->boolean;
}

static const char *ending_text(const struct value *event)
{
    const char *state = text_of(event, "state");
    if (strcmp(state, "succeeded") == 0 && is_true(event, "hit"))
        return "cached";
    if (strcmp(state, "succeeded") == 0 && is_true(event, "cutoff"))
        return "cached (its inputs turned out byte-identical)";
    if (strcmp(state, "unneeded") == 0)
        return "not needed";
    if (strcmp(state, "upstream_failed") == 0)
        return "not run: something above it failed";
    return state;
}

static void put_seconds(struct buf *out, double seconds)
{
    if (seconds < 1)
        buf_format(out, "%.0f ms", seconds * 1000);
    else
        buf_format(out, "%.1f s", seconds);
}

/* "train[case=small]: succeeded in 40 ms" */
static void put_line(const struct value *event, const char *ending, struct buf *out)
{
    AUTO(arena_fini) struct arena arena = {0};
    const struct value *seconds = value_get(event, "seconds"),
                       *attempts = value_get(event, "attempts");
    buf_format(out, "%s: %s", view_task_name(event, &arena), ending);
    bool has_time = seconds && seconds->type == VALUE_REAL && seconds->real > 0;
    if (strcmp(ending, "succeeded") == 0 && has_time) { /* else another broker saw it */
        buf_put_text(out, " in ");
        put_seconds(out, seconds->real);
    }
    long long tries = attempts && attempts->type == VALUE_INT ? attempts->integer : 0;
    if (strcmp(ending, "failed") == 0)
        buf_format(out, " after %lld attempt%s: %s", tries, tries == 1 ? "" : "s",
                   text_of(event, "text"));
}

static void show(struct alike *alike)
{
    if (alike->count > 1)
        fprintf(stderr, "%s (%u tasks): %s\n", buf_text(&alike->step), alike->count,
                buf_text(&alike->ending));
    else if (alike->count)
        fprintf(stderr, "%s\n", buf_text(&alike->line));
    alike->count = 0;
}

static void add(struct alike *alike, const struct value *event)
{
    const char *ending = ending_text(event), *step = text_of(event, "step");
    bool has_run = strcmp(ending, "succeeded") == 0 || strcmp(ending, "failed") == 0;
    if (strcmp(ending, "running") == 0)
        return;
    if (has_run || !alike->count || strcmp(buf_text(&alike->step), step) != 0 ||
        strcmp(buf_text(&alike->ending), ending) != 0)
        show(alike);
    struct buf *bufs[] = {&alike->step, &alike->ending, &alike->line};
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs && !alike->count; i++)
        buf_clear(bufs[i]);
    if (!alike->count) {
        buf_put_text(&alike->step, step);
        buf_put_text(&alike->ending, ending);
        put_line(event, ending, &alike->line);
    }
    alike->count++;
    if (has_run)
        show(alike);
}

void view_events(struct view *view, struct app *app, const char *run)
{
    struct alike alike = {.step = buf_init(0), .ending = buf_init(0), .line = buf_init(0)};
    struct app_event event;
    for (; app_next_event(app, run, view->event, &event); view->event = event.id) {
        AUTO(arena_fini) struct arena arena = {0};
        struct value document;
        bool is_task = strcmp(event.event, "task") == 0 && !view->is_live && !view->is_quiet;
        bool is_notice = strcmp(event.event, "notice") == 0;
        if ((!is_task && !is_notice) ||
            json_parse("event", event.json, event.json_bytes, &arena, &document, NULL) != OK)
            continue;
        if (is_task)
            add(&alike, &document);
        else
            view_note(view, text_of(&document, "text"));
    }
    show(&alike);
    buf_fini(&alike.step);
    buf_fini(&alike.ending);
    buf_fini(&alike.line);
}
