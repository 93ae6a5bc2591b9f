/* Looking on until a run is over: `run`, `submit --watch` and `watch`. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/cli/view.h"

struct watch_options {
    bool full, json; /* of the result */
    bool owns_run;   /* Ctrl-C stops the run; else it only ends the watching, and says how to */
};
/* The run is watched already (app_watch). Prints the result; returns the exit code. */
int watch_run(struct app *app, const char *run, struct view *view,
              const struct watch_options *options);
