/* broker serve: many runs at once, for as long as nobody stops it. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "broker/cli/broker_options.h"
#include "broker/cli/signals.h"
#include "common/clock.h"

enum {
    TURN_MS = 1000,
    /* What was received is committed within milliseconds; a state that is away may keep it. */
    LEAVE_MS_MAX = 10000
};

struct serve_options {
    struct common_options common;
    struct broker_options broker;
    struct command_line line;
};

/* Commits what is there. A second signal, or a state that does not answer, ends it at once: then
 * the workers bring their results again. */
static enum status leave(struct app *app, struct err *err)
{
    ms_t until = clock_ms() + LEAVE_MS_MAX;
    fputs("leaving: open runs go on with the next broker; again ends at once\n", stderr);
    for (app_leave(app); !app_is_idle(app) && signals_taken() < 2 && clock_ms() < until;)
        TRY(app_turn(app, TURN_MS / 10, err));
    return OK;
}

static void tell_ready(const struct app *app)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    if (app_joining(app, &text))
        fprintf(stderr, "%s\n", buf_text(&text));
    fputs("serving\n", stderr);
}

static int serve_requests(struct serve_options *o)
{
    struct err err = {0};
    AUTO(app_close) struct app *app = NULL;
    enum status status = app_open(&o->common.app, &app, &err);
    if (status == OK)
        status = app_serve(app, &err);
    if (status == OK)
        tell_ready(app);
    while (status == OK && signals_taken() == 0)
        status = app_turn(app, TURN_MS, &err);
    if (status == OK)
        status = leave(app, &err);
    return status == OK ? EXIT_DONE : command_fail(app, status, &err);
}

static int serve(const struct command *command, int argc, char **argv)
{
    struct serve_options o = {0};
    struct err err = {0};
    int exit_code;
    command_line_common(&o.line, &o.common);
    command_line_listen(&o.line, &o.common);
    broker_options_add(&o.line, &o.broker, "tasks at once in a local worker (default 0: none)");
    bool goes_on = command_line_parse(&o.line, command, argc, argv, 0, &exit_code);
    if (goes_on && broker_options_take(&o.broker, &o.common.app, &err) != OK) {
        fprintf(stderr, "broker serve: %s\n", err.text);
        exit_code = EXIT_USAGE;
    } else if (goes_on && !signals_watch()) {
        fputs("broker serve: cannot watch signals\n", stderr);
        exit_code = EXIT_ENVIRONMENT;
    } else if (goes_on) {
        o.common.app.has_slots = true;
        o.common.app.wake_fd = signals_fd();
        exit_code = serve_requests(&o);
    }
    command_line_fini(&o.line);
    return exit_code;
}

const struct command command_serve = {
    .name = "serve",
    .arguments = "",
    .help = "Be the broker of a team: many runs at once, until it is stopped.",
    .details =
        "Workers join by the command line that is printed. A run that was open when the broker\n"
        "ended, however it ended, goes on when it is started again. SIGTERM (or Ctrl-C): nothing\n"
        "new is given out, what was received is committed, and it leaves; workers stay and come\n"
        "back to the next broker. A second signal ends it at once; nothing is lost by that.",
    .run = serve};
