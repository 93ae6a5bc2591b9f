/* What would happen, and why: plan, explain, lint, graph. Nothing here runs a task. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/cli/question.h"

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
    int exit_code;
    struct value answer = {0};
    if (!question_begin(&q, command, argc, argv, ABOUT_PIPELINE, 1, &exit_code))
        return exit_code;
    enum status status = app_plan(q.app, &q.asked, &q.arena, &answer, &q.err);
    return question_end(&q, status, &answer, print_plan);
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
    int exit_code;
    struct value answer = {0};
    if (!question_begin(&q, command, argc, argv, ABOUT_PIPELINE, 2, &exit_code))
        return exit_code;
    size_t words = q.line.arguments.count, before_task = q.request.pipeline ? 0 : 1;
    enum status status =
        words == before_task + 1
            ? app_explain(q.app, &q.asked, q.line.arguments.items[before_task], &q.arena, &answer,
                          &q.err)
            : err_set(&q.err, E_INVALID,
                      "which task? As in: broker explain configs/iris.yaml prepare");
    return question_end(&q, status, &answer, print_explanation);
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
    int exit_code;
    if (!question_begin(&q, command, argc, argv, ABOUT_PIPELINE, 1, &exit_code))
        return exit_code;
    enum status status = app_lint(q.app, &q.asked, &q.err);
    if (status == OK)
        fputs(app_diagnostics(q.app), stderr); /* warnings */
    return question_end_quietly(&q, status);
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
    int exit_code;
    const char *format = "dot";
    bool all_tasks = false;
    AUTO(buf_fini) struct buf out = buf_init(0);
    command_line_add(&q.line, (struct config_option){"format", 0, CONFIG_TEXT, NULL, "dot|mermaid",
                                                     &format, "what to draw it in (default dot)"});
    command_line_add(&q.line,
                     (struct config_option){"tasks", 0, CONFIG_FLAG, NULL, NULL, &all_tasks,
                                            "draw every task, not steps alone"});
    if (!question_begin(&q, command, argc, argv, ABOUT_PIPELINE, 1, &exit_code))
        return exit_code;
    enum app_graph_format as = strcmp(format, "mermaid") == 0 ? APP_GRAPH_MERMAID : APP_GRAPH_DOT;
    enum status status =
        as == APP_GRAPH_DOT && strcmp(format, "dot") != 0
            ? err_set(&q.err, E_INVALID, "--format %s: expected dot or mermaid", format)
            : app_graph(q.app, &q.asked, as, all_tasks, &out, &q.err);
    if (status == OK)
        fwrite(out.bytes, 1, out.count, stdout);
    return question_end_quietly(&q, status);
}

const struct command command_graph = {
    .name = "graph",
    .arguments = "FILE",
    .help = "Draw a pipeline in DOT or Mermaid.",
    .run = graph,
};
