// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/text/json.h"

enum { BAR_CELLS = 24, PAINT_EVERY_MS = 100, PLAIN_EVERY_MS = 5000, STEPS_SHOWN_MAX = 20 };

struct view view_init(bool is_quiet)
{
    const char *term = getenv("TERM");
    bool is_terminal = isatty(STDERR_FILENO) && (!term || strcmp(term, "dumb") != 0);
    const char *no_color = getenv("NO_COLOR");
    return (struct view){.is_live = is_terminal && !is_quiet,
                         .has_color = is_terminal && !(no_color && *no_color),
                         .is_quiet = is_quiet,
                         .begun_at = clock_ms()};
}

static uint32_t done_count(const struct app_step_progress *step)
{
    return step->succeeded + step->failed + step->upstream_failed + step->unneeded +
           step->cancelled;
}

static void put_duration(struct buf *out, ms_t ms)
{
    if (ms < 60000)
        buf_format(out, "%.1f s", (double)ms / 1000);
    else
        buf_format(out, "%lld min %02lld s", (long long)ms / 60000, (long long)ms / 1000 % 60);
}

/* "train     ██████████░░░░  5/8, 2 running, 1 failed, 3.1 s left" */
static void put_bar(struct buf *out, const struct app_step_progress *step, bool has_color, ms_t now)
{
    uint32_t done = done_count(step);
    uint32_t full = step->total ? (uint32_t)((uint64_t)done * BAR_CELLS / step->total) : BAR_CELLS;
    bool is_bad = step->failed + step->upstream_failed > 0;
    buf_format(out, "%-20.20s %s", step->name, !has_color ? "" : is_bad ? "\033[31m" : "\033[32m");
    for (uint32_t i = 0; i < BAR_CELLS; i++)
        buf_put_text(out, i < full ? "█" : "░");
    buf_format(out, "%s %u/%u", has_color ? "\033[0m" : "", done, step->total);
    if (step->hit)
        buf_format(out, ", %u cached", step->hit);
    if (step->running)
        buf_format(out, ", %u running", step->running);
    if (is_bad)
        buf_format(out, ", %u failed", step->failed + step->upstream_failed);
    uint32_t worked = done > step->hit ? done - step->hit : 0;
    if (worked && done < step->total && step->first_started_at != MS_NEVER) {
        buf_put_text(out, ", ");
        put_duration(out, (now - step->first_started_at) * (step->total - done) / worked);
        buf_put_text(out, " left");
    }
    buf_put_char(out, '\n');
}

static void erase(const struct view *view, struct buf *out)
{
    if (view->painted_lines)
        buf_format(out, "\033[%uA\033[J", view->painted_lines);
}

static void paint(struct view *view, struct app *app, ms_t now)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    erase(view, &out);
    uint32_t count = app_step_count(app), lines = 0;
    for (uint32_t i = 0; i < count && lines < STEPS_SHOWN_MAX; i++, lines++) {
        struct app_step_progress step;
        app_step_progress(app, i, &step);
        put_bar(&out, &step, view->has_color, now);
    }
    if (count > lines) {
        buf_format(&out, "… and %u more steps\n", count - lines);
        lines++;
    }
    view->painted_lines = lines;
    fwrite(out.bytes, 1, out.count, stderr);
}

static void put_lines(struct app *app)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    while (app_next_line(app, &out))
        buf_put_char(&out, '\n');
    if (out.count)
        fwrite(out.bytes, 1, out.count, stderr);
}

/* A large run on a pipe: a line now and then. */
static void put_totals(struct app *app)
{
    uint32_t done = 0, total = 0, running = 0;
    for (uint32_t i = 0; i < app_step_count(app); i++) {
        struct app_step_progress step;
        app_step_progress(app, i, &step);
        done += done_count(&step);
        total += step.total;
        running += step.running;
    }
    fprintf(stderr, "%u of %u tasks done, %u running\n", done, total, running);
}

void view_update(struct view *view, struct app *app)
{
    ms_t now = clock_ms();
    if (view->is_quiet)
        return;
    if (!view->is_live)
        put_lines(app);
    if (now < view->next_paint_at)
        return;
    if (view->is_live)
        paint(view, app, now);
    else if (view->next_paint_at)
        put_totals(app);
    view->next_paint_at = now + (view->is_live ? PAINT_EVERY_MS : PLAIN_EVERY_MS);
}

void view_finish(struct view *view, struct app *app)
{
    if (view->is_quiet)
        return;
    if (view->is_live)
        paint(view, app, clock_ms());
    else
        put_lines(app);
    view->painted_lines = 0;
}

/* ---- the end ---- */

static int64_t number(const struct value *map, const char *key)
{
    const struct value *value = map ? value_get(map, key) : NULL;
    return value && value->type == VALUE_INT ? value->integer : 0;
}

static const char *text_of(const struct value *map, const char *key)
{
    const char *text = map ? value_get_text(map, key) : NULL;
    return text ? text : "";
}

/* "train[case=small]", as other commands take it. */
static void put_task_name(const struct value *entry, struct buf *out)
{
    const struct value *axes = value_get(entry, "axes");
    buf_put_text(out, text_of(entry, "step"));
    for (uint32_t i = 0; axes && i < axes->count; i++) {
        const struct value *value = &axes->items[2 * i + 1];
        buf_format(out, "%c%s=", i ? ',' : '[', axes->items[2 * i].text);
        if (value->type == VALUE_STRING)
            buf_put_text(out, value->text);
        else
            json_write(value, 0, out);
    }
    if (axes && axes->count)
        buf_put_char(out, ']');
}

/* What failed and why, and where the rest of the story is. */
static void print_failures(const struct value *entries)
{
    for (uint32_t i = 0; entries && i < entries->count; i++) {
        const struct value *error = value_get(&entries->items[i], "error");
        if (!error)
            continue;
        AUTO(buf_fini) struct buf name = buf_init(0);
        put_task_name(&entries->items[i], &name);
        const char *quote = strpbrk(buf_text(&name), "[ $") ? "'" : "";
        fprintf(stderr, "failed: %s: %s\n", buf_text(&name), text_of(error, "text"));
        if (value_get(&entries->items[i], "log"))
            fprintf(stderr, "  its log: broker logs %s%s%s\n", quote, buf_text(&name), quote);
    }
}

void view_summary(const struct view *view, const struct value *result)
{
    const struct value *tasks = value_get(result, "tasks"), *seconds = value_get(result, "seconds");
    if (!view->is_quiet || !value_is_text(value_get(result, "state"), "succeeded"))
        print_failures(value_get(result, value_get(result, "failures") ? "failures" : "steps"));
    if (view->is_quiet)
        return;
    fprintf(stderr, "%s: %s in %.2f s: %lld tasks, %lld executed, %lld cached",
            text_of(result, "pipeline"), text_of(result, "state"), seconds ? seconds->real : 0,
            (long long)number(tasks, "total"), (long long)number(tasks, "executed"),
            (long long)number(tasks, "hit"));
    static const char *const others[] = {"unneeded", "failed", "upstream_failed", "cancelled"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (number(tasks, others[i]))
            fprintf(stderr, ", %lld %s", (long long)number(tasks, others[i]), others[i]);
    fprintf(stderr, " (run %s)\n", text_of(result, "run"));
}
