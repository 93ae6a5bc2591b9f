/* What the subcommands that ask (rather than do) have in common: options, an application, an arena
 * for the answer, and how it is shown. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/cli/command.h"

struct question {
    struct common_options common;
    struct request_options request;
    struct command_line line; /* a command's own options are added before question_begin */
    struct app *app;
    struct app_request asked; /* of a pipeline */
    struct arena arena;
    struct err err;
};

enum question_about {
    ABOUT_STORED,
    ABOUT_SERVED,    /* as ABOUT_STORED, by a served broker: where none is named, by one here */
    ABOUT_SUBMITTED, /* by a served broker, too; at most that many words */
    ABOUT_PIPELINE,  /* takes --pipeline or a FILE first */
    ABOUT_FILES      /* of this machine; the command counts its words itself */
};

/* True to go on; else *exit_code says how it ended, and nothing is left to free. A question about
 * what is stored needs exactly `arguments` words, one about a pipeline at most that many. */
bool question_begin(struct question *question, const struct command *command, int argc, char **argv,
                    enum question_about about, size_t arguments, int *exit_code);
/* Shows the answer: as JSON if that was asked for or there is no `print`. Frees everything; returns
 * the exit code. */
int question_end(struct question *question, enum status status, const struct value *answer,
                 void (*print)(const struct value *answer));
/* The same where the answer was bytes, which the caller has written. */
int question_end_quietly(struct question *question, enum status status);
