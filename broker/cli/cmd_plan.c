/* What would happen, and why: plan, explain, lint, graph. Nothing here runs a task. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/cli/command.h"
#include "broker/cli/view.h"

struct question {
    struct common_options common;
    struct request_options request;
    struct command_line line;
    struct app *app;
    struct app_request asked;
    struct err err;
};

static bool begin(struct question *q, const struct command *command, int argc, char **argv,
                  size_t argument_max, int *exit_code)
{
    command_line_request(&q->line, &q->request);
    command_line_common(&q->line, &q->common);
    if (!command_line_parse(&q->line, command, argc, argv, argument_max, exit_code))
        return false;
    *exit_code = EXIT_USAGE;
    const char *file = q->line.arguments.count ? q->line.arguments.items[0] : NULL;
    if (!command_request(command, &q->request, file, &q->asked))
        return false;
    return app_open(&q->common.app, &q->app, &q->err) == OK;
}

/* ---- plan ---- */

static void print_plan(const struct value *plan)
{
    const struct value *steps = value_get(plan, "steps"), *tasks = value_get(plan, "tasks");
    for (uint32_t i = 0; i < steps->count; i++) {
        const struct value *entry = &steps->items[i];
        printf("%-9s %s", value_get_text(entry, "action"), value_get_text(entry, "name"));
        printf("%*s%s\n", 2, "", value_get_text(entry, "why"));
    }
    printf("%lld tasks: %lld to run, %lld cached, %lld that run only if what they read changes, "
           "%lld not needed\n",
           (long long)value_get(tasks, "total")->integer,
           (long long)value_get(tasks, "run")->integer, (long long)value_get(tasks, "hit")->integer,
           (long long)value_get(tasks, "maybe")->integer,
           (long long)value_get(tasks, "unneeded")->integer);
}

static int plan(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    int exit_code = EXIT_DONE;
    AUTO(arena_fini) struct arena arena = {0};
    if (!begin(&q, command, argc, argv, 1, &exit_code))
        return exit_code;
    struct value answer;
    enum status status = app_plan(q.app, &q.asked, &arena, &answer, &q.err);
    if (status != OK)
        exit_code = command_fail(q.app, status, &q.err);
    else if (q.common.json)
        command_print_json(&answer, false);
    else
        print_plan(&answer);
    app_close(q.app);
    return status == OK ? EXIT_DONE : exit_code;
}

const struct command command_plan = {
    .name = "plan",
    .arguments = "FILE",
    .help = "Show what would run and why, and what is cached.",
    .details = "hit      known: its record is there\n"
               "run      has to run\n"
               "maybe    something above it runs; it runs only if that turns out other bytes "
               "(early cutoff)\n"
               "unneeded nothing that has to run needs it",
    .run = plan,
};

/* ---- explain ---- */

static void print_explanation(const struct value *answer)
{
    printf("%s: %s\n", value_get_text(answer, "name"), value_get_text(answer, "action"));
    const struct value *why = value_get(answer, "why"), *changes = value_get(answer, "changes");
    for (uint32_t i = 0; why && i < why->count; i++)
        printf("  %s\n", why->items[i].text);
    for (uint32_t i = 0; changes && i < changes->count; i++)
        printf("  %s: %s → %s\n", value_get_text(&changes->items[i], "field"),
               value_get_text(&changes->items[i], "old"),
               value_get_text(&changes->items[i], "new"));
}

static int explain(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    int exit_code = EXIT_DONE;
    AUTO(arena_fini) struct arena arena = {0};
    if (!begin(&q, command, argc, argv, 2, &exit_code))
        return exit_code;
    size_t count = q.line.arguments.count;
    const char *task = q.request.pipeline ? count == 1 ? q.line.arguments.items[0] : NULL
                       : count == 2       ? q.line.arguments.items[1]
                                          : NULL;
    struct value answer;
    if (!task) {
        fputs("broker explain: which task? As in: broker explain configs/iris.yaml prepare\n",
              stderr);
        app_close(q.app);
        return EXIT_USAGE;
    }
    enum status status = app_explain(q.app, &q.asked, task, &arena, &answer, &q.err);
    if (status != OK)
        exit_code = command_fail(q.app, status, &q.err);
    else if (q.common.json)
        command_print_json(&answer, false);
    else
        print_explanation(&answer);
    app_close(q.app);
    return status == OK ? EXIT_DONE : exit_code;
}

const struct command command_explain = {
    .name = "explain",
    .arguments = "FILE TASK",
    .help = "Say why a task will run: the field that changed, old → new.",
    .details = "TASK is a step, or step[axis=value].",
    .run = explain,
};

/* ---- lint, graph ---- */

static int lint(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    int exit_code = EXIT_DONE;
    if (!begin(&q, command, argc, argv, 1, &exit_code))
        return exit_code;
    enum status status = app_lint(q.app, &q.asked, &q.err);
    if (status != OK)
        exit_code = command_fail(q.app, status, &q.err);
    else
        fputs(app_diagnostics(q.app), stderr);
    app_close(q.app);
    return status == OK ? EXIT_DONE : exit_code;
}

const struct command command_lint = {
    .name = "lint",
    .arguments = "FILE",
    .help = "Check a pipeline file; all errors and warnings at once.",
    .run = lint,
};

static int graph(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    int exit_code = EXIT_DONE;
    const char *format = "dot";
    bool all_tasks = false;
    AUTO(buf_fini) struct buf out = buf_init(0);
    command_line_add(&q.line, (struct config_option){"format", 0, CONFIG_TEXT, NULL, "dot|mermaid",
                                                     &format, "what to draw it in (default dot)"});
    command_line_add(&q.line,
                     (struct config_option){"tasks", 0, CONFIG_FLAG, NULL, NULL, &all_tasks,
                                            "draw every task, not steps alone"});
    if (!begin(&q, command, argc, argv, 1, &exit_code))
        return exit_code;
    bool is_mermaid = strcmp(format, "mermaid") == 0;
    if (!is_mermaid && strcmp(format, "dot") != 0) {
        fprintf(stderr, "broker graph: --format %s: expected dot or mermaid\n", format);
        app_close(q.app);
        return EXIT_USAGE;
    }
    enum status status = app_graph(q.app, &q.asked, is_mermaid ? APP_GRAPH_MERMAID : APP_GRAPH_DOT,
                                   all_tasks, &out, &q.err);
    if (status != OK)
        exit_code = command_fail(q.app, status, &q.err);
    else
        fwrite(out.bytes, 1, out.count, stdout);
    app_close(q.app);
    return status == OK ? EXIT_DONE : exit_code;
}

const struct command command_graph = {
    .name = "graph",
    .arguments = "FILE",
    .help = "Draw a pipeline in DOT or Mermaid.",
    .run = graph,
};
