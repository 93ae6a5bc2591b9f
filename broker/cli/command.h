/* A subcommand is one file that exports `const struct command`s, and one line in main.c's table.
 * All of them reach the system through broker/app.h alone. Results go to stdout, everything else to
 * stderr. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app.h"
#include "common/config.h"

/* Design §11. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_TASK_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_ENVIRONMENT = 3,
    EXIT_DAMAGED = 4,
    EXIT_INTERRUPTED = 130
};

struct command {
    const char *name;
    const char *arguments; /* "[FILE]", for help */
    const char *help;      /* one sentence */
    const char *details;   /* paragraphs below the options; NULL: none */
    int (*run)(const struct command *command, int argc, char **argv);
};

/* For commands that take a REF. */
#define REF_HELP                                                                                   \
    "REF is [RUN/]step[axis=value].output, as in train[case=tree_deep].model; RUN is a run id, "   \
    "a\n"                                                                                          \
    "unique prefix of one, or `latest` (the default). A blob or tree id, or 8 digits of it, is "   \
    "one too."

extern const struct command command_run, command_serve, command_plan, command_explain,
    command_graph, command_lint, command_list, command_get, command_lineage, command_verify,
    command_export, command_put, command_logs, command_load, command_doctor, command_keys,
    command_submit, command_watch, command_stop, command_retry, command_resubmit, command_workers,
    command_fsck, command_gc, command_care, command_recover;

/* NULL-terminated, in the order of `broker help`. */
extern const struct command *const commands[];

/* What every subcommand takes. */
struct common_options {
    struct app_options app;
    bool json;
};
/* What those that read a pipeline take. */
struct request_options {
    const char *pipeline;
    struct config_list params, sets;
};

enum { OPTIONS_MAX = 32 };

/* Collects options of the groups above and a command's own, parses, answers --help. */
struct command_line {
    struct config_option options[OPTIONS_MAX];
    size_t option_count;
    struct config_list arguments;
};
void command_line_common(struct command_line *line, struct common_options *common);
/* Those that can ask a served broker. */
void command_line_server(struct command_line *line, struct common_options *common);
/* Where `broker serve` listens unless told otherwise. */
#define HTTP_ADDRESS_DEFAULT "127.0.0.1:7001"
#define SERVER_DEFAULT       "http://" HTTP_ADDRESS_DEFAULT
/* Those that look at who may join; those that listen. */
void command_line_keys(struct command_line *line, struct common_options *common);
void command_line_listen(struct command_line *line, struct common_options *common);
void command_line_request(struct command_line *line, struct request_options *request);
void command_line_add(struct command_line *line, struct config_option option);
/* Returns true to go on; else *exit_code is set (--help shown, or usage wrong). `argument_max`: how
 * many words may stand beside the flags. */
bool command_line_parse(struct command_line *line, const struct command *command, int argc,
                        char **argv, size_t argument_max, int *exit_code);
/* Frees the lists that parsing made, a command's own options' too. */
void command_line_fini(struct command_line *line);
/* The request of --pipeline or the first argument; false: none was given, and it was said. */
bool command_request(const struct command *command, const struct request_options *options,
                     const char *argument, struct app_request *out);

/* How this program was called ("build/release/broker"): a hint can be typed as it stands. */
const char *command_program(void);
/* "broker: TEXT" to stderr, below the diagnostics of a file if there are any; returns the exit code
 * for `status`. */
int command_fail(struct app *app, enum status status, const struct err *err);
/* The document as JSON to stdout. */
void command_print_json(const struct value *value, bool is_pretty);
/* {KEY: NAME, "text": TEXT}: the JSON of those whose answer is a text (or, for export, a path). */
void command_print_text(const char *key, const char *name, const char *text);
