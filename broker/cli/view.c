// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "broker/cli/command.h"
#include "common/clock.h"
#include "common/text/json.h"

enum {
    BAR_CELLS = 20,
    NAME_CELLS_MAX = 20,
    PAINT_EVERY_MS = 100,
    PLAIN_EVERY_MS = 5000,
    STEPS_SHOWN_MAX = 20
};

static bool is_screen(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
}

struct view view_init(bool is_quiet)
{
    const char *no_color = getenv("NO_COLOR");
    bool wants_color = !(no_color && *no_color);
    return (struct view){.is_live = is_screen(STDERR_FILENO) && !is_quiet,
                         .has_color = is_screen(STDERR_FILENO) && wants_color,
                         .has_table_color = is_screen(STDOUT_FILENO) && wants_color,
                         .is_quiet = is_quiet,
                         .begun_at = clock_ms()};
}

/* A cancelled task is over, but not done. */
static uint32_t done_count(const struct app_step_progress *step)
{
    return step->succeeded + step->failed + step->upstream_failed + step->unneeded;
}

static void put_duration(struct buf *out, ms_t ms)
{
    if (ms < 1000)
        buf_format(out, "%lld ms", (long long)ms);
    else if (ms < 60000)
        buf_format(out, "%.1f s", (double)ms / 1000);
    else
        buf_format(out, "%lld min %02lld s", (long long)ms / 60000, (long long)ms / 1000 % 60);
}

/* What is left at the pace up to the last task that ended; MS_NEVER: nothing to go by. */
static ms_t left_ms(const struct app_step_progress *step, uint32_t done, ms_t now)
{
    uint32_t worked = done > step->hit ? done - step->hit : 0;
    if (!worked || done + step->cancelled >= step->total || step->first_started_at == MS_NEVER ||
        step->last_finished_at == MS_NEVER)
        return MS_NEVER;
    ms_t took = step->last_finished_at - step->first_started_at;
    ms_t left = took * (step->total - done) / worked - (now - step->last_finished_at);
    return left > 0 ? left : 0;
}

/* "train     ██████████░░░░  5/8, 2 running, 1 failed, 3.1 s left" */
static void put_bar(struct buf *out, const struct app_step_progress *step, int name_cells,
                    bool has_color, ms_t now)
{
    uint32_t done = done_count(step);
    uint32_t full = step->total ? (uint32_t)((uint64_t)done * BAR_CELLS / step->total) : BAR_CELLS;
    bool is_bad = step->failed + step->upstream_failed > 0;
    buf_format(out, "%-*.*s %s", name_cells, name_cells, step->name,
               !has_color ? ""
               : is_bad   ? "\033[31m"
                          : "\033[32m");
    for (uint32_t i = 0; i < BAR_CELLS; i++)
        buf_put_text(out, i < full ? "█" : "░");
    buf_format(out, "%s %u/%u", has_color ? "\033[0m" : "", done, step->total);
    if (step->hit)
        buf_format(out, ", %u cached", step->hit);
    if (step->running)
        buf_format(out, ", %u running", step->running);
    if (is_bad)
        buf_format(out, ", %u failed", step->failed + step->upstream_failed);
    if (step->cancelled)
        buf_format(out, ", %u cancelled", step->cancelled);
    ms_t left = left_ms(step, done, now);
    if (left != MS_NEVER) {
        buf_put_text(out, ", ");
        put_duration(out, left);
        buf_put_text(out, " left");
    }
    buf_put_char(out, '\n');
}

/* The longest name, within reason. */
static int name_cells(struct app *app, const char *run)
{
    size_t cells = 0;
    for (uint32_t i = 0, count = app_step_count(app, run); i < count; i++) {
        struct app_step_progress step;
        app_step_progress(app, run, i, &step);
        if (strlen(step.name) > cells)
            cells = strlen(step.name);
    }
    return cells > NAME_CELLS_MAX ? NAME_CELLS_MAX : (int)cells;
}

static void erase(const struct view *view, struct buf *out)
{
    if (view->painted_lines)
        buf_format(out, "\033[%uA\033[J", view->painted_lines);
}

/* Rows that repainting may use: what has scrolled away can't be painted over. */
static uint32_t rows_free(void)
{
    struct winsize size;
    uint32_t rows =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row ? size.ws_row : STEPS_SHOWN_MAX;
    return rows > STEPS_SHOWN_MAX + 2 ? STEPS_SHOWN_MAX : rows > 4 ? rows - 2 : 2;
}

/* Where more steps are than fit, those from the first unfinished one on are shown. */
static uint32_t first_shown(struct app *app, const char *run, uint32_t count, uint32_t shown)
{
    uint32_t first = 0;
    for (; first + shown < count; first++) {
        struct app_step_progress step;
        app_step_progress(app, run, first, &step);
        if (done_count(&step) < step.total)
            break;
    }
    return first;
}

static void paint(struct view *view, struct app *app, const char *run, ms_t now)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    uint32_t count = app_step_count(app, run), fitting = rows_free();
    uint32_t shown = count <= fitting ? count : fitting - 1;
    uint32_t first = first_shown(app, run, count, shown);
    int cells = name_cells(app, run);
    erase(view, &out);
    buf_put_text(&out,
                 "\033[?7l"); /* a narrow terminal cuts lines off: wrapped ones can't be counted */
    for (uint32_t i = first; i < first + shown; i++) {
        struct app_step_progress step;
        app_step_progress(app, run, i, &step);
        put_bar(&out, &step, cells, view->has_color, now);
    }
    if (shown < count)
        buf_format(&out, "… and %u steps before, %u behind\n", first, count - first - shown);
    buf_put_text(&out, "\033[?7h");
    view->painted_lines = shown + (shown < count);
    fwrite(out.bytes, 1, out.count, stderr);
}

void view_note(struct view *view, const char *text)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    /* The terminal has echoed ^C at the line's start. */
    if (view->is_live)
        buf_put_char(&out, '\r');
    erase(view, &out);
    buf_format(&out, "%s\n", text);
    view->painted_lines = 0;
    view->next_paint_at = 0;
    fwrite(out.bytes, 1, out.count, stderr);
}

/* A large run on a pipe: a line now and then. */
static void put_totals(struct app *app, const char *run)
{
    uint32_t done = 0, total = 0, running = 0;
    for (uint32_t i = 0; i < app_step_count(app, run); i++) {
        struct app_step_progress step;
        app_step_progress(app, run, i, &step);
        done += done_count(&step);
        total += step.total;
        running += step.running;
    }
    fprintf(stderr, "%u of %u tasks done, %u running\n", done, total, running);
}

void view_update(struct view *view, struct app *app, const char *run)
{
    ms_t now = clock_ms();
    view_events(view, app, run);
    if (view->is_quiet)
        return;
    if (now < view->next_paint_at)
        return;
    if (view->is_live)
        paint(view, app, run, now);
    else if (view->next_paint_at)
        put_totals(app, run);
    view->next_paint_at = now + (view->is_live ? PAINT_EVERY_MS : PLAIN_EVERY_MS);
}

void view_finish(struct view *view, struct app *app, const char *run)
{
    view_events(view, app, run);
    if (view->is_live)
        paint(view, app, run, clock_ms());
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

const char *view_task_name(const struct value *entry, struct arena *arena)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    const struct value *axes = value_get(entry, "axes");
    buf_put_text(&out, text_of(entry, "step"));
    for (uint32_t i = 0; axes && i < axes->count; i++) {
        const struct value *value = &axes->items[2 * i + 1];
        buf_format(&out, "%c%s=", i ? ',' : '[', axes->items[2 * i].text);
        if (value->type == VALUE_STRING)
            buf_put_text(&out, value->text);
        else
            json_write(value, 0, &out);
    }
    if (axes && axes->count)
        buf_put_char(&out, ']');
    return arena_text(arena, buf_text(&out), out.count);
}

void view_failures(const struct value *result, FILE *out)
{
    const struct value *entries =
        value_get(result, value_get(result, "failures") ? "failures" : "steps");
    for (uint32_t i = 0; entries && i < entries->count; i++) {
        const struct value *error = value_get(&entries->items[i], "error");
        if (!error)
            continue;
        AUTO(arena_fini) struct arena arena = {0};
        const char *name = view_task_name(&entries->items[i], &arena);
        const char *quote = strpbrk(name, "[ $") ? "'" : "";
        fprintf(out, "failed: %s: %s\n", name, text_of(error, "text"));
        if (value_get(&entries->items[i], "log"))
            fprintf(out, "  its log: %s logs %s%s/%s%s\n", command_program(), quote,
                    text_of(result, "run"), name, quote);
    }
}

void view_summary(const struct view *view, const struct value *result)
{
    const struct value *tasks = value_get(result, "tasks"), *seconds = value_get(result, "seconds");
    if (!view->is_quiet || !value_is_text(value_get(result, "state"), "succeeded"))
        view_failures(result, stderr);
    if (view->is_quiet)
        return;
    AUTO(buf_fini) struct buf took = buf_init(0);
    put_duration(&took, seconds ? (ms_t)(seconds->real * 1000) : 0);
    fprintf(stderr, "%s: %s in %s: %lld task%s, %lld executed, %lld cached",
            text_of(result, "pipeline"), text_of(result, "state"), buf_text(&took),
            (long long)number(tasks, "total"), number(tasks, "total") == 1 ? "" : "s",
            (long long)number(tasks, "executed"), (long long)number(tasks, "hit"));
    static const char *const others[] = {"unneeded", "failed", "upstream_failed", "cancelled"};
    static const char *const words[] = {"not needed", "failed", "behind a failure", "cancelled"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (number(tasks, others[i]))
            fprintf(stderr, ", %lld %s", (long long)number(tasks, others[i]), words[i]);
    fprintf(stderr, " (run %s)\n", text_of(result, "run"));
}
