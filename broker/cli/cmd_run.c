/* broker run: submit, watch, report. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/cli/broker_options.h"
#include "broker/cli/signals.h"
#include "broker/cli/watch.h"

struct run_options {
    struct common_options common;
    struct request_options request;
    struct command_line line;
    struct broker_options broker;
    const char *force, *only, *json;
    bool is_quiet;
};

static void add_options(struct run_options *o)
{
    const struct config_option options[] = {
        {"json", 0, CONFIG_OPTIONAL_TEXT, NULL, "full", &o->json,
         "print the result as JSON; =full lists every task of a large run"},
        {"force", 0, CONFIG_OPTIONAL_TEXT, NULL, "STEP", &o->force,
         "run all tasks (or those of STEP) even if they are known"},
        {"only", 0, CONFIG_TEXT, NULL, "STEP", &o->only,
         "run STEP and what it needs, nothing behind it"},
        {"quiet", 'q', CONFIG_FLAG, NULL, NULL, &o->is_quiet, "show no progress"},
    };
    command_line_request(&o->line, &o->request);
    command_line_common(&o->line, &o->common);
    o->line.option_count--; /* --json takes a value here */
    command_line_listen(&o->line, &o->common);
    broker_options_add(&o->line, &o->broker,
                       "tasks at once in the local worker (default: one per core); 0: no local "
                       "worker");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        command_line_add(&o->line, options[i]);
}

static enum status check_options(struct run_options *o, struct err *err)
{
    if (o->json && *o->json && strcmp(o->json, "full") != 0)
        return err_set(err, E_INVALID, "--json=%s: expected --json or --json=full", o->json);
    return broker_options_take(&o->broker, &o->common.app, err);
}

static bool parse(struct run_options *o, const struct command *command, int argc, char **argv,
                  struct app_request *request, int *exit_code)
{
    struct err err = {0};
    struct command_line *line = &o->line;
    add_options(o);
    if (!command_line_parse(line, command, argc, argv, 1, exit_code))
        return false;
    *exit_code = EXIT_USAGE;
    if (check_options(o, &err) != OK) {
        fprintf(stderr, "broker run: %s\n", err.text);
        return false;
    }
    const char *file = line->arguments.count ? line->arguments.items[0] : NULL;
    return command_request(command, &o->request, file, request);
}

/* Said also when quiet: nobody else knows which port it is. */
static void tell_joining(const struct app *app)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    if (app_joining(app, &text))
        fprintf(stderr, "%s\n", buf_text(&text));
}

static int run_request(struct run_options *o, const struct app_request *request)
{
    struct err err = {0};
    char run[APP_RUN_ID_BYTES];
    AUTO(app_close) struct app *app = NULL;
    struct view view = view_init(o->is_quiet);
    enum status status = app_open(&o->common.app, &app, &err);
    if (status == OK)
        status = app_submit(app, request, run, &err);
    if (status != OK)
        return command_fail(app, status, &err);
    fputs(app_diagnostics(app), stderr); /* warnings */
    tell_joining(app);
    struct watch_options watch = {
        .full = o->json && strcmp(o->json, "full") == 0, .json = o->json != NULL, .owns_run = true};
    return watch_run(app, run, &view, &watch);
}

static int run(const struct command *command, int argc, char **argv)
{
    struct run_options o = {0};
    struct app_request request;
    int exit_code;
    bool goes_on = parse(&o, command, argc, argv, &request, &exit_code);
    if (goes_on && !signals_watch()) {
        fputs("broker run: cannot watch signals\n", stderr);
        exit_code = EXIT_ENVIRONMENT;
    } else if (goes_on) {
        request.force_all = o.force && !*o.force;
        request.force_step = o.force && *o.force ? o.force : NULL;
        request.only_step = o.only;
        o.common.app.wake_fd = signals_fd();
        exit_code = run_request(&o, &request);
    }
    command_line_fini(&o.line);
    return exit_code;
}

const struct command command_run = {
    .name = "run",
    .arguments = "FILE",
    .help = "Run a pipeline here: what is known is not done again.",
    .details = "More workers join at any moment by the command line that --listen prints, and end "
               "with the run.\n"
               "Ctrl-C once lets running tasks finish and stops; twice ends them now. The same "
               "command goes on\n"
               "where it stopped. Progress goes to stderr, the result to stdout.",
    .run = run,
};
