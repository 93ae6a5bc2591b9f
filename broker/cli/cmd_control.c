/* Orders to a served broker, and who works for it: stop, retry, workers. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "broker/cli/question.h"
#include "broker/cli/view.h"
#include "common/base/doc.h"
#include "common/text/json.h"

#define RUN_HELP "RUN is a run id, a unique prefix of one, or `latest`."

static int answer_run(struct question *q, enum status status, const char *run, const char *said)
{
    struct value answer = doc_map();
    if (status == OK && q->common.json) {
        doc_put(&q->arena, &answer, "run", value_string(run));
        command_print_json(&answer, false);
    } else if (status == OK) {
        fprintf(stderr, "%s %s\n", run, said);
    }
    return question_end_quietly(q, status);
}

static int stop(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    bool kills = false;
    char run[APP_RUN_ID_BYTES] = "";
    int exit_code;
    command_line_add(&q.line, (struct config_option){"kill", 0, CONFIG_FLAG, NULL, NULL, &kills,
                                                     "end what runs now; else it may finish"});
    if (!question_begin(&q, command, argc, argv, ABOUT_SERVED, 1, &exit_code))
        return exit_code;
    return answer_run(&q, app_stop(q.app, q.line.arguments.items[0], kills, run, &q.err), run,
                      kills ? "is stopped" : "stops: what runs may finish");
}

const struct command command_stop = {.name = "stop",
                                     .arguments = "RUN",
                                     .help = "Stop a run of a served broker.",
                                     .details = RUN_HELP,
                                     .run = stop};

static int retry(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    char run[APP_RUN_ID_BYTES] = "";
    int exit_code;
    if (!question_begin(&q, command, argc, argv, ABOUT_SERVED, 1, &exit_code))
        return exit_code;
    return answer_run(&q, app_retry(q.app, q.line.arguments.items[0], run, &q.err), run,
                      "tries again what failed");
}

const struct command command_retry = {
    .name = "retry",
    .arguments = "RUN",
    .help = "Try again what failed or was cancelled in a run that is over.",
    .details = RUN_HELP,
    .run = retry};

/* ---- workers ---- */

static const char *cell(const struct value *worker, const char *key, struct arena *arena)
{
    const struct value *value = value_get(worker, key);
    AUTO(buf_fini) struct buf text = buf_init(0);
    if (!value || value->type == VALUE_NIL)
        return "–";
    if (value->type == VALUE_STRING)
        return value->text;
    if (value->type == VALUE_MAP) {
        for (uint32_t i = 0; i < value->count; i++) {
            buf_format(&text, "%s%s=", i ? " " : "", value->items[2 * i].text);
            const struct value *of = &value->items[2 * i + 1];
            if (of->type == VALUE_STRING)
                buf_put_text(&text, of->text);
            else
                json_write(of, 0, &text);
        }
    } else {
        json_write(value, 0, &text);
    }
    return arena_text(arena, buf_text(&text), text.count);
}

/* "resting (disk_full, 4 s)" */
static const char *state_cell(const struct value *worker, const char *state, struct arena *arena)
{
    const struct value *rest = value_get(worker, "rest"), *left = value_get(rest, "left_ms");
    if (!left || left->type != VALUE_INT || !left->integer)
        return state;
    AUTO(buf_fini) struct buf text = buf_init(0);
    buf_format(&text, "%s (%s, %lld s)", state, value_get_text(rest, "code"),
               (long long)(left->integer + 999) / 1000);
    return arena_text(arena, buf_text(&text), text.count);
}

static void print_workers(const struct value *workers)
{
    static const char *const head[] = {"worker", "state", "slots", "running", "labels"};
    static const char *const keys[] = {"name", "state", "slots", "running", "labels"};
    enum { COLUMNS = sizeof keys / sizeof *keys };
    AUTO(arena_fini) struct arena arena = {0};
    if (!workers->count) {
        fputs("broker: no worker has joined\n", stderr);
        return;
    }
    const char **cells =
        arena_alloc(&arena, ((size_t)workers->count + 1) * COLUMNS * sizeof *cells);
    for (uint32_t i = 0; i < workers->count; i++) {
        for (size_t column = 0; column < COLUMNS; column++)
            cells[i * COLUMNS + column] = cell(&workers->items[i], keys[column], &arena);
        cells[i * COLUMNS + 1] = state_cell(&workers->items[i], cells[i * COLUMNS + 1], &arena);
    }
    view_table(head, cells, workers->count, COLUMNS, UINT32_MAX, false);
}

static int workers(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    struct value answer = {0};
    int exit_code;
    if (!question_begin(&q, command, argc, argv, ABOUT_SERVED, 0, &exit_code))
        return exit_code;
    return question_end(&q, app_workers(q.app, &q.arena, &answer, &q.err), &answer, print_workers);
}

const struct command command_workers = {.name = "workers",
                                        .arguments = "",
                                        .help = "List who works for a served broker.",
                                        .run = workers};
