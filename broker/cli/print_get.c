/* What `get` shows a person: a run with its tasks, or a task's record. --json has all of it. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "broker/cli/view.h"
#include "common/base/doc.h"
#include "common/text/json.h"

enum { TASK_COLUMNS = 5, ID_DIGITS = 12 };

static void print_field(const char *name, const struct value *value)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    if (!value || value->type == VALUE_NIL)
        return;
    if (value->type == VALUE_STRING)
        buf_put_text(&text, value->text);
    else
        json_write(value, 0, &text);
    printf("%-9s %s\n", name, buf_text(&text));
}

const char *view_time(const struct value *us, struct arena *arena)
{
    if (!us || us->type != VALUE_INT)
        return "–";
    time_t seconds = (time_t)(us->integer / 1000000);
    struct tm local;
    localtime_r(&seconds, &local);
    char text[32];
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
    return arena_text(arena, text, strlen(text));
}

/* "a1b2c3d4e5f6  1234 bytes" for each output. */
static void print_outputs(const struct value *outputs)
{
    for (uint32_t i = 0; outputs && outputs->type == VALUE_MAP && i < outputs->count; i++) {
        const struct value *output = &outputs->items[2 * i + 1],
                           *bytes = value_get(output, "bytes");
        printf("  %-16s %.*s  %lld bytes%s\n", outputs->items[2 * i].text, ID_DIGITS,
               value_get_text(output, "id"), bytes ? (long long)bytes->integer : 0,
               value_get(output, "tree") ? ", a folder" : "");
    }
}

static void print_tasks(const struct value *steps)
{
    static const char *const head[TASK_COLUMNS] = {"task", "state", "attempts", "seconds", "id"};
    AUTO(arena_fini) struct arena arena = {0};
    const char **cells =
        arena_alloc(&arena, ((size_t)steps->count + 1) * TASK_COLUMNS * sizeof *cells);
    for (uint32_t i = 0; i < steps->count; i++) {
        const struct value *entry = &steps->items[i], *hit = value_get(entry, "hit"),
                           *attempts = value_get(entry, "attempts"),
                           *seconds = value_get(entry, "seconds");
        const char *id = value_get_text(entry, "task"), *state = value_get_text(entry, "state");
        const char **cell = cells + (size_t)i * TASK_COLUMNS;
        cell[0] = view_task_name(entry, &arena);
        cell[1] = hit && hit->type == VALUE_BOOL && hit->boolean ? "cached" : state ? state : "–";
        cell[2] = attempts ? arena_format(&arena, "%lld", (long long)attempts->integer) : "–";
        cell[3] = seconds && seconds->type == VALUE_REAL
                      ? arena_format(&arena, "%.3f", seconds->real)
                      : "–";
        cell[4] = id ? arena_format(&arena, "%.*s", ID_DIGITS, id) : "–";
    }
    view_table(head, cells, steps->count, TASK_COLUMNS, UINT32_MAX, false);
}

/* "26 total, 24 executed, 2 hit": the counts that are not 0. */
static void print_counts(const struct value *tasks)
{
    static const char *const shown[] = {"total",  "executed",        "hit",     "unneeded",
                                        "failed", "upstream_failed", "skipped", "cancelled"};
    AUTO(buf_fini) struct buf text = buf_init(0);
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const struct value *count = tasks ? value_get(tasks, shown[i]) : NULL;
        if (count && count->type == VALUE_INT && count->integer)
            buf_format(&text, "%s%lld %s", text.count ? ", " : "", (long long)count->integer,
                       shown[i]);
    }
    printf("%-9s %s\n", "tasks", buf_text(&text));
}

static void print_run(const struct value *run)
{
    AUTO(arena_fini) struct arena arena = {0};
    const struct value *result = value_get(run, "result"), *labels = value_get(run, "labels"),
                       *begun = value_get(run, "begun_us");
    print_field("run", value_get(run, "id"));
    print_field("pipeline", value_get(run, "pipeline"));
    print_field("file", value_get(run, "file"));
    print_field("params", value_get(run, "params"));
    print_field("name", value_get(run, "name"));
    if (labels && labels->count)
        print_field("labels", labels);
    print_field("who", value_get(run, "who"));
    if (begun)
        printf("%-9s %s\n", "begun", view_time(begun, &arena));
    print_field("state", value_get(run, "state"));
    print_field("error", value_get(run, "error"));
    if (!result)
        return;
    print_field("seconds", value_get(result, "seconds"));
    print_counts(value_get(result, "tasks"));
    const struct value *steps = value_get(result, "steps");
    if (steps && steps->type == VALUE_ARRAY && steps->count) {
        fputc('\n', stdout);
        print_tasks(steps);
    }
    view_failures(result, stdout);
}

static void print_record(const struct value *record)
{
    const struct value *action = value_get(record, "action"),
                       *metrics = value_get(record, "metrics");
    print_field("task", value_get(record, "task"));
    if (action && action->type == VALUE_MAP) {
        print_field("kind", value_get(action, "kind"));
        print_field("version", value_get(action, "version"));
        print_field("params", value_get(action, "params"));
    }
    print_field("worker", value_get(record, "worker"));
    print_field("attempt", value_get(record, "attempt"));
    print_field("seconds", value_get(record, "seconds"));
    if (metrics && metrics->count)
        print_field("metrics", metrics);
    print_field("log", value_get(record, "log"));
    fputs("outputs\n", stdout);
    print_outputs(value_get(record, "outputs"));
}

void view_get(const struct value *answer)
{
    if (value_get(answer, "pipeline"))
        print_run(answer);
    else
        print_record(answer);
}
