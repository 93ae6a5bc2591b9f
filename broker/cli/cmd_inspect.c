/* What is there: list, get, logs, load, doctor. */
// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "broker/cli/question.h"
#include "broker/cli/signals.h"
#include "broker/cli/view.h"
#include "proto/limits.h"

enum { FOLLOW_MS = 250 };

/* ---- list ---- */

static const char *text_or_dash(const struct value *map, const char *key)
{
    const char *text = value_get_text(map, key);
    return text ? text : "–";
}

static const char *count_text(const struct value *tasks, const char *key, struct arena *arena)
{
    const struct value *count = tasks && tasks->type == VALUE_MAP ? value_get(tasks, key) : NULL;
    return count ? arena_format(arena, "%lld", (long long)count->integer) : "–";
}

static void print_list(const struct value *runs)
{
    enum { COLUMNS = 7 };
    static const char *const head[COLUMNS] = {"run",   "pipeline", "name",    "state",
                                              "begun", "tasks",    "executed"};
    if (!runs->count) {
        fputs("broker: nothing has run here yet\n", stderr);
        return;
    }
    AUTO(arena_fini) struct arena arena = {0};
    const char **cells = arena_alloc(&arena, ((size_t)runs->count + 1) * COLUMNS * sizeof *cells);
    for (uint32_t r = 0; r < runs->count; r++) {
        const struct value *run = &runs->items[r], *tasks = value_get(run, "tasks");
        const char **cell = cells + (size_t)r * COLUMNS;
        cell[0] = value_get_text(run, "run");
        cell[1] = text_or_dash(run, "pipeline");
        cell[2] = text_or_dash(run, "name");
        cell[3] = value_get_text(run, "state");
        cell[4] = view_time(value_get(run, "begun_us"), &arena);
        cell[5] = count_text(tasks, "total", &arena);
        cell[6] = count_text(tasks, "executed", &arena);
    }
    view_table(head, cells, runs->count, COLUMNS, UINT32_MAX, false);
}

static void print_picked(const struct value *runs)
{
    if (runs->count)
        print_list(runs);
    else
        fputs("broker: no run is like that\n", stderr);
}

static int list(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    struct app_filter filter = {0};
    struct config_list labels = {0};
    int64_t limit = LIST_DEFAULT;
    int exit_code;
    struct value answer = {0};
    const struct config_option options[] = {
        {"limit", 'n', CONFIG_COUNT, NULL, "N", &limit, "show the newest N; 0: all"},
        {"state", 0, CONFIG_TEXT, NULL, "STATE", &filter.state, "only runs in this state"},
        {"name", 0, CONFIG_TEXT, NULL, "NAME", &filter.name, "only runs of this name"},
        {"label", 'l', CONFIG_LIST, NULL, "KEY=VALUE", &labels, "only runs with this label"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        command_line_add(&q.line, options[i]);
    if (!question_begin(&q, command, argc, argv, ABOUT_STORED, 0, &exit_code))
        return exit_code;
    filter.limit = (size_t)(limit < 0 ? 0 : limit);
    filter.labels = labels.items;
    filter.label_count = labels.count;
    enum status status = app_list(q.app, &filter, &q.arena, &answer, &q.err);
    bool picks = filter.state || filter.name || filter.label_count;
    return question_end(&q, status, &answer, picks ? print_picked : print_list);
}

const struct command command_list = {
    .name = "list", .arguments = "", .help = "List the runs, newest first.", .run = list};

/* ---- get ---- */

static int get(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    bool spec = false;
    int exit_code;
    struct value answer = {0};
    command_line_add(&q.line, (struct config_option){
                                  "spec", 0, CONFIG_FLAG, NULL, NULL, &spec,
                                  "the nested specification of everything that made the task"});
    if (!question_begin(&q, command, argc, argv, ABOUT_STORED, 1, &exit_code))
        return exit_code;
    return question_end(&q,
                        app_get(q.app, q.line.arguments.items[0], spec, &q.arena, &answer, &q.err),
                        &answer, spec ? NULL : view_get);
}

#define TASK_HELP                                                                                  \
    "TASK is [RUN/]step[axis=value], or a task id or a prefix of at least 8 digits of it."

const struct command command_get = {
    .name = "get",
    .arguments = "RUN|TASK",
    .help = "Show a run, or a task's record.",
    .details = "RUN is a run id, a unique prefix of one, or `latest`.\n" TASK_HELP,
    .run = get};

/* ---- logs ---- */

static enum status print_log(struct question *q, const struct buf *bytes)
{
    if (fwrite(bytes->bytes, 1, bytes->count, stdout) == bytes->count && fflush(stdout) == 0)
        return OK;
    return err_set(&q->err, E_IO, "stdout: cannot write %zu bytes", bytes->count);
}

/* A broker that has answered before and is away is asked again; that is said once. */
static bool is_away(const struct question *q, enum status status, bool has_answered, bool was_away)
{
    bool is_it = status == E_UNREACHABLE && q->common.app.server && has_answered;
    if (is_it && !was_away)
        fprintf(stderr, "%s; trying again (the task goes on there)\n", q->err.text);
    else if (!is_it && was_away && status == OK)
        fputs("the broker is back\n", stderr);
    return is_it;
}

/* What it writes until it ends; Ctrl-C ends the looking on. */
static int follow(struct question *q, const char *task)
{
    struct app_log at = {0};
    bool has_answered = false, was_away = false;
    enum status status = signals_watch() ? OK : err_set(&q->err, E_IO, "cannot watch signals");
    while (status == OK && !at.is_final) {
        AUTO(buf_fini) struct buf bytes = buf_init(0);
        struct pollfd signalled = {.fd = signals_fd(), .events = POLLIN};
        status = app_logs(q->app, task, &at, &bytes, &q->err);
        was_away = is_away(q, status, has_answered, was_away);
        has_answered |= status == OK;
        if (was_away)
            status = OK;
        else if (status == OK)
            status = print_log(q, &bytes);
        if (status == OK && !at.is_final && poll(&signalled, 1, FOLLOW_MS) > 0)
            status = err_set(&q->err, E_CANCELLED, "%s goes on", task);
    }
    return question_end_quietly(q, status);
}

static int logs(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    bool follows = false;
    int exit_code;
    command_line_add(&q.line, (struct config_option){"follow", 'f', CONFIG_FLAG, NULL, NULL,
                                                     &follows, "go on until the task ends"});
    if (!question_begin(&q, command, argc, argv, ABOUT_STORED, 1, &exit_code))
        return exit_code;
    const char *task = q.line.arguments.items[0];
    if (follows)
        return follow(&q, app_pin_task(q.app, task, &q.arena));
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    struct app_log at = {0};
    enum status status = app_logs(q.app, task, &at, &bytes, &q.err);
    if (status == OK && q.common.json)
        command_print_text("task", task, buf_text(&bytes));
    else if (status == OK && !bytes.count)
        fprintf(stderr, "broker: %s wrote nothing\n", task);
    else if (status == OK)
        status = print_log(&q, &bytes);
    return question_end_quietly(&q, status);
}

const struct command command_logs = {.name = "logs",
                                     .arguments = "TASK",
                                     .help = "Show what a task wrote, also one that failed.",
                                     .details = TASK_HELP,
                                     .run = logs};

/* ---- load ---- */

static long long number(const struct value *map, const char *key)
{
    return (long long)value_get(map, key)->integer;
}

static void print_load(const struct value *load)
{
    if (!value_get(load, "is_running")->boolean) {
        fputs("broker: nothing runs here now\n", stderr);
        return;
    }
    const struct value *tasks = value_get(load, "tasks");
    printf("tasks    %lld ready, %lld running, %lld waiting\n", number(tasks, "ready"),
           number(tasks, "running"), number(tasks, "waiting"));
    printf("workers  %lld\nslots    %lld; there is work for %lld\n", number(load, "workers"),
           number(load, "slots"), number(load, "slots_wanted"));
}

static int load(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    int exit_code;
    struct value answer = {0};
    if (!question_begin(&q, command, argc, argv, ABOUT_STORED, 0, &exit_code))
        return exit_code;
    return question_end(&q, app_load(q.app, &q.arena, &answer, &q.err), &answer, print_load);
}

const struct command command_load = {
    .name = "load",
    .arguments = "",
    .help = "Show what the run that is going on would have work for.",
    .details = "The same numbers, for programs: HOME/metrics.prom, in Prometheus' text format, "
               "while a run works.",
    .run = load};
