// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/question.h"

#include <stdio.h>

static void question_fini(struct question *q)
{
    if (q->app)
        app_close(q->app);
    arena_fini(&q->arena);
    command_line_fini(&q->line);
}

static bool parse(struct question *q, const struct command *command, int argc, char **argv,
                  enum question_about about, size_t arguments, int *exit_code)
{
    if (about == ABOUT_PIPELINE)
        command_line_request(&q->line, &q->request);
    command_line_common(&q->line, &q->common);
    if (about != ABOUT_FILES)
        command_line_server(&q->line, &q->common);
    if (!command_line_parse(&q->line, command, argc, argv, arguments, exit_code))
        return false;
    *exit_code = EXIT_USAGE;
    bool is_stored = about == ABOUT_STORED || about == ABOUT_SERVED;
    bool is_served = about == ABOUT_SERVED || about == ABOUT_SUBMITTED;
    if (is_served && !q->common.app.server)
        q->common.app.server = SERVER_DEFAULT;
    if (is_stored && q->line.arguments.count < arguments) {
        fprintf(stderr, "broker %s: expected %s; see broker %s --help\n", command->name,
                command->arguments, command->name);
        return false;
    }
    for (size_t i = 0; i < q->line.arguments.count; i++)
        if (!*q->line.arguments.items[i]) { /* a script's variable that was never set */
            fprintf(stderr, "broker %s: an argument is empty: expected %s\n", command->name,
                    command->arguments);
            return false;
        }
    const char *file = q->line.arguments.count ? q->line.arguments.items[0] : NULL;
    return about != ABOUT_PIPELINE || command_request(command, &q->request, file, &q->asked);
}

bool question_begin(struct question *q, const struct command *command, int argc, char **argv,
                    enum question_about about, size_t arguments, int *exit_code)
{
    if (parse(q, command, argc, argv, about, arguments, exit_code)) {
        enum status status = app_open(&q->common.app, &q->app, &q->err);
        if (status == OK)
            return true;
        *exit_code = command_fail(NULL, status, &q->err);
    }
    question_fini(q);
    return false;
}

int question_end(struct question *q, enum status status, const struct value *answer,
                 void (*print)(const struct value *answer))
{
    if (status == OK && (q->common.json || !print))
        command_print_json(answer, !q->common.json);
    else if (status == OK)
        print(answer);
    return question_end_quietly(q, status);
}

int question_end_quietly(struct question *q, enum status status)
{
    int exit_code = status == OK ? EXIT_DONE : command_fail(q->app, status, &q->err);
    question_fini(q);
    return exit_code;
}
