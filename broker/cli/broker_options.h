/* What the commands have in common that are a broker for a while: run, serve, retry. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/cli/command.h"

struct broker_options {
    const char *lease;
    int64_t slots, workers_min; /* slots −1: not given */
};

/* `slots_help` says what the default of --slots is. */
void broker_options_add(struct command_line *line, struct broker_options *options,
                        const char *slots_help);
/* Into the application's. Errors: E_INVALID. */
MUST_USE enum status broker_options_take(const struct broker_options *options,
                                         struct app_options *out, struct err *err);
