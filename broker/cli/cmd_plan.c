/* What would happen, and why: plan, explain, lint, graph. Nothing here runs a task. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/cli/question.h"
#include "broker/cli/view.h"
#include "common/base/doc.h"

/* ---- plan ---- */

enum { PLAN_COLUMNS = 3, GROUPS_MAX = 16 };

/* Tasks of one step that share action and reason: one line. */
struct group {
    const char *action, *why, *name;
    uint32_t count;
};

struct plan_table {
    struct arena arena;
    const char **cells;
    uint32_t rows, capacity;
};

static void add_row(struct plan_table *table, const char *action, const char *name, const char *why)
{
    if (table->rows == table->capacity) {
        uint32_t capacity = table->capacity ? 2 * table->capacity : 32;
        const char **cells =
            arena_alloc(&table->arena, (size_t)capacity * PLAN_COLUMNS * sizeof *cells);
        for (uint32_t i = 0; i < table->rows * PLAN_COLUMNS; i++)
            cells[i] = table->cells[i];
        table->cells = cells;
        table->capacity = capacity;
    }
    const char **cell = table->cells + (size_t)table->rows++ * PLAN_COLUMNS;
    cell[0] = action;
    cell[1] = name;
    cell[2] = why;
}

static bool is_same(const struct group *group, const struct value *entry)
{
    return strcmp(group->action, value_get_text(entry, "action")) == 0 &&
           strcmp(group->why, value_get_text(entry, "why")) == 0;
}

/* The entries of one step: `count` of them from `entries` on. Reasons beyond those that fit are
 * summed up. */
static void add_step(struct plan_table *table, const struct value *entries, uint32_t count)
{
    struct group groups[GROUPS_MAX];
    uint32_t group_count = 0, other = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t g = 0;
        while (g < group_count && !is_same(&groups[g], &entries[i]))
            g++;
        if (g < group_count)
            groups[g].count++;
        else if (g < GROUPS_MAX)
            groups[group_count++] = (struct group){value_get_text(&entries[i], "action"),
                                                   value_get_text(&entries[i], "why"),
                                                   value_get_text(&entries[i], "name"), 1};
        else
            other++;
    }
    const char *step = value_get_text(entries, "step");
    for (uint32_t g = 0; g < group_count; g++) {
        const char *name =
            groups[g].count == count
                ? arena_format(&table->arena, "%s (%u tasks)", step, count)
                : arena_format(&table->arena, "%s (%u of %u tasks)", step, groups[g].count, count);
        add_row(table, groups[g].action, groups[g].count == 1 ? groups[g].name : name,
                groups[g].why);
    }
    if (other)
        add_row(table, "…", arena_format(&table->arena, "%s (%u of %u tasks)", step, other, count),
                "for other reasons; --json lists them");
}

static long long count_of(const struct value *tasks, const char *action)
{
    return (long long)value_get(tasks, action)->integer;
}

/* A step whose tasks are counted alone. */
static void add_counts(struct plan_table *table, const char *step, const struct value *tasks)
{
    static const char *const actions[] = {"hit", "run", "maybe", "unneeded"};
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (count_of(tasks, actions[i]))
            add_row(table, actions[i],
                    arena_format(&table->arena, "%s (%lld of %lld tasks)", step,
                                 count_of(tasks, actions[i]), count_of(tasks, "total")),
                    "too many to look at one by one; broker explain does one");
}

static void print_plan(const struct value *plan)
{
    static const char *const head[PLAN_COLUMNS] = {"action", "task", "why"};
    const struct value *steps = value_get(plan, "steps"), *tasks = value_get(plan, "tasks");
    struct plan_table table = {0};
    for (uint32_t i = 0, n; i < steps->count; i += n) {
        const char *step = value_get_text(&steps->items[i], "step");
        for (n = 1;
             i + n < steps->count && value_is_text(value_get(&steps->items[i + n], "step"), step);)
            n++;
        const struct value *counts = value_get(&steps->items[i], "tasks");
        if (counts)
            add_counts(&table, step, counts);
        else
            add_step(&table, &steps->items[i], n);
    }
    view_table(head, table.cells, table.rows, PLAN_COLUMNS, UINT32_MAX, false);
    printf("%lld tasks: %lld to run, %lld maybe, %lld cached, %lld not needed\n",
           count_of(tasks, "total"), count_of(tasks, "run"), count_of(tasks, "maybe"),
           count_of(tasks, "hit"), count_of(tasks, "unneeded"));
    arena_fini(&table.arena);
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
    const struct value *why = value_get(answer, "why"), *changes = value_get(answer, "changes");
    const char *since = value_get_text(answer, "since");
    printf("%s: %s\n", value_get_text(answer, "name"), value_get_text(answer, "action"));
    for (uint32_t i = 0; why && i < why->count; i++)
        printf("  %s\n", why->items[i].text);
    if (changes && changes->count)
        printf("  changed since run %s:\n", since ? since : "before");
    for (uint32_t i = 0; changes && i < changes->count; i++)
        printf("    %s\n", value_get_text(&changes->items[i], "text"));
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

/* {"ok": true, "problems": [one line each, as they stand in the file]} */
static void print_problems(bool ok, const char *text, struct arena *arena)
{
    struct value answer = doc_map();
    doc_put(arena, &answer, "ok", value_bool(ok));
    struct value *problems = doc_put(arena, &answer, "problems", doc_list());
    for (size_t bytes; *text; text += bytes + (text[bytes] == '\n')) {
        bytes = strcspn(text, "\n");
        doc_add(arena, problems, doc_text(arena, text, bytes));
    }
    command_print_json(&answer, false);
}

static int lint(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    int exit_code;
    if (!question_begin(&q, command, argc, argv, ABOUT_PIPELINE, 1, &exit_code))
        return exit_code;
    enum status status = app_lint(q.app, &q.asked, &q.err);
    if (q.common.json)
        print_problems(status == OK, app_diagnostics(q.app), &q.arena);
    else if (status == OK)
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
    if (status == OK && q.common.json)
        command_print_text("graph", format, buf_text(&out));
    else if (status == OK)
        fwrite(out.bytes, 1, out.count, stdout);
    return question_end_quietly(&q, status);
}

const struct command command_graph = {
    .name = "graph",
    .arguments = "FILE",
    .help = "Draw a pipeline in DOT or Mermaid.",
    .run = graph,
};
