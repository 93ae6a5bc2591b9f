// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/watch.h"

#include <stdio.h>

#include "broker/cli/command.h"
#include "broker/cli/signals.h"

enum { TURN_MS = 100 };

static enum status obey_signals(struct app *app, const char *run, struct view *view, int *obeyed,
                                struct err *err)
{
    int taken = signals_taken();
    if (taken <= *obeyed || *obeyed == 2)
        return OK;
    *obeyed = taken > 1 ? 2 : 1;
    view_note(view, *obeyed == 1 ? "stopping: what runs may finish; Ctrl-C again ends it now"
                                 : "ending what runs");
    char stopped[APP_RUN_ID_BYTES];
    enum status status = app_stop(app, run, *obeyed == 2, stopped, err);
    return status == E_CONFLICT ? OK : status; /* it has just ended */
}

static int leave(struct app *app, const char *run, struct view *view)
{
    view_finish(view, app, run);
    fprintf(stderr, "the run goes on; to see it again: %s watch %s; to stop it: %s stop %s\n",
            command_program(), run, command_program(), run);
    return EXIT_INTERRUPTED;
}

static int show_result(struct app *app, const char *run, const struct view *view,
                       const struct watch_options *options)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct err err = {0};
    struct value result;
    enum status status = app_result(app, run, options->full, &arena, &result, &err);
    if (status != OK)
        return command_fail(app, status, &err);
    view_summary(view, &result);
    if (options->json)
        command_print_json(&result, false);
    else
        view_comparisons(view, &result);
    bool is_interrupted = options->owns_run && signals_taken();
    if (is_interrupted && !view->is_quiet)
        fputs("interrupted: the same command goes on from here\n", stderr);
    if (is_interrupted)
        return EXIT_INTERRUPTED;
    return value_is_text(value_get(&result, "state"), "succeeded") ? EXIT_DONE : EXIT_TASK_FAILED;
}

int watch_run(struct app *app, const char *run, struct view *view,
              const struct watch_options *options)
{
    struct err err = {0};
    enum status status = OK;
    for (int obeyed = 0; status == OK && !app_run_is_over(app, run);) {
        if (options->owns_run)
            status = obey_signals(app, run, view, &obeyed, &err);
        else if (signals_taken())
            return leave(app, run, view);
        if (status == OK)
            status = app_turn(app, TURN_MS, &err);
        view_update(view, app, run);
    }
    view_finish(view, app, run);
    return status == OK ? show_result(app, run, view, options) : command_fail(app, status, &err);
}
