/* The table of subcommands, and what they share: options, errors, exit codes. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/cli/main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/cli/command.h"
#include "broker/cli/completion.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/text/json.h"
#include "proto/schema.h"

const struct command *const commands[] = {&command_run,      &command_serve,
                                          &command_plan,     &command_explain,
                                          &command_lint,     &command_graph,
                                          &command_list,     &command_get,
                                          &command_lineage,  &command_export,
                                          &command_put,      &command_verify,
                                          &command_logs,     &command_load,
                                          &command_submit,   &command_watch,
                                          &command_stop,     &command_retry,
                                          &command_resubmit, &command_workers,
                                          &command_keys,     &command_doctor,
                                          &command_recover,  &command_fsck,
                                          &command_gc,       NULL};

/* ---- options ---- */

void command_line_add(struct command_line *line, struct config_option option)
{
    line->options[line->option_count++] = option;
}

void command_line_common(struct command_line *line, struct common_options *common)
{
    common->app.wake_fd = -1;
    command_line_add(line, (struct config_option){
                               "home", 0, CONFIG_TEXT, "PENSTOCK_HOME", "DIR", &common->app.home,
                               "where everything local is kept (default .penstock)"});
    command_line_add(line, (struct config_option){"store", 0, CONFIG_TEXT, "PENSTOCK_STORE", "URL",
                                                  &common->app.store,
                                                  "where artifacts live (default HOME/store)"});
    command_line_add(line, (struct config_option){
                               "state", 0, CONFIG_TEXT, "PENSTOCK_STATE", "URL", &common->app.state,
                               "where completions are kept: a folder, or redis://HOST (default "
                               "REDIS_URL, else HOME/state)"});
    command_line_add(line, (struct config_option){"json", 0, CONFIG_FLAG, NULL, NULL, &common->json,
                                                  "print the answer as JSON"});
}

void command_line_server(struct command_line *line, struct common_options *common)
{
    command_line_add(line,
                     (struct config_option){
                         "server", 0, CONFIG_TEXT, "PENSTOCK_SERVER", "URL", &common->app.server,
                         "a served broker to ask (several with commas: whichever leads); its "
                         "token is in PENSTOCK_TOKEN"});
    command_line_add(line,
                     (struct config_option){"token-file", 0, CONFIG_TEXT, "PENSTOCK_TOKEN_FILE",
                                            "FILE", &common->app.token_file, "or in this file"});
    command_line_add(line, (struct config_option){"server-ca", 0, CONFIG_TEXT, "PENSTOCK_SERVER_CA",
                                                  "FILE", &common->app.ca_file,
                                                  "certificates to trust for https (PEM)"});
    const char *token = getenv("PENSTOCK_TOKEN"); /* never a flag: others see those */
    common->app.token = token && *token ? token : NULL;
}

void command_line_keys(struct command_line *line, struct common_options *common)
{
    command_line_add(line,
                     (struct config_option){
                         "key", 0, CONFIG_TEXT, "PENSTOCK_KEY", "FILE", &common->app.key,
                         "the broker's identity (default HOME/keys/broker; see broker keys)"});
    command_line_add(line, (struct config_option){
                               "workers-file", 0, CONFIG_TEXT, "PENSTOCK_WORKERS_FILE", "FILE",
                               &common->app.workers_file,
                               "keys of the workers that may join (default HOME/keys/workers)"});
}

void command_line_listen(struct command_line *line, struct common_options *common)
{
    command_line_add(line, (struct config_option){
                               "listen", 0, CONFIG_TEXT, "PENSTOCK_LISTEN", "ENDPOINT",
                               &common->app.listen,
                               "where more workers may join: ipc://PATH or tcp://HOST:PORT (*: any "
                               "port); others than 127.0.0.1 need keys (broker keys)"});
    command_line_keys(line, common);
    command_line_add(line, (struct config_option){"curve", 0, CONFIG_FLAG, NULL, NULL,
                                                  &common->app.with_keys,
                                                  "ask for keys also where only this machine can "
                                                  "join"});
    command_line_add(line, (struct config_option){"insecure", 0, CONFIG_FLAG, NULL, NULL,
                                                  &common->app.insecure,
                                                  "ask for no keys: whoever can reach the endpoint "
                                                  "can join and read along"});
}

void command_line_request(struct command_line *line, struct request_options *request)
{
    command_line_add(line, (struct config_option){"pipeline", 0, CONFIG_TEXT, NULL, "FILE",
                                                  &request->pipeline,
                                                  "the pipeline file (or the first argument)"});
    command_line_add(line,
                     (struct config_option){"param", 'p', CONFIG_LIST, NULL, "NAME=VALUE",
                                            &request->params, "set a parameter of the pipeline"});
    command_line_add(line, (struct config_option){"set", 0, CONFIG_LIST, NULL, "PATH=VALUE",
                                                  &request->sets,
                                                  "edit the document, as in train.params.seed=7"});
}

static void print_help(const struct command *command, const struct command_line *line)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    buf_format(&text, "broker %s %s\n\n%s\n\nOptions\n", command->name, command->arguments,
               command->help);
    config_help(line->options, line->option_count, &text);
    if (command->details)
        buf_format(&text, "\n%s\n", command->details);
    fputs(buf_text(&text), stdout);
}

bool command_line_parse(struct command_line *line, const struct command *command, int argc,
                        char **argv, size_t argument_max, int *exit_code)
{
    struct err err = {0};
    bool wants_help = false;
    if (config_parse(line->options, line->option_count, argc, argv, &line->arguments, &wants_help,
                     &err) != OK) {
        fprintf(stderr, "broker %s: %s\n", command->name, err.text);
        *exit_code = EXIT_USAGE;
        return false;
    }
    if (wants_help) {
        print_help(command, line);
        *exit_code = EXIT_DONE;
        return false;
    }
    if (line->arguments.count > argument_max) {
        fprintf(stderr, "broker %s: too many arguments at \"%s\"; see broker %s --help\n",
                command->name, line->arguments.items[argument_max], command->name);
        *exit_code = EXIT_USAGE;
        return false;
    }
    return true;
}

void command_line_fini(struct command_line *line)
{
    for (size_t i = 0; i < line->option_count; i++)
        if (line->options[i].type == CONFIG_LIST)
            config_list_fini(line->options[i].out);
    config_list_fini(&line->arguments);
}

bool command_request(const struct command *command, const struct request_options *options,
                     const char *argument, struct app_request *out)
{
    *out = (struct app_request){.file = options->pipeline ? options->pipeline : argument,
                                .params = options->params.items,
                                .param_count = options->params.count,
                                .sets = options->sets.items,
                                .set_count = options->sets.count};
    if (!out->file)
        fprintf(stderr,
                "broker %s: which pipeline? Give its file, as in: broker %s configs/iris.yaml\n",
                command->name, command->name);
    return out->file != NULL;
}

/* ---- answers ---- */

static int exit_code_of(enum status status)
{
    switch (status) {
    case OK: return EXIT_DONE;
    case E_INVALID:
    case E_NOTFOUND:
    case E_LIMIT: return EXIT_USAGE;
    case E_CORRUPT:
    case E_LOST: return EXIT_DAMAGED;
    case E_CANCELLED: return EXIT_INTERRUPTED;
    default: return EXIT_ENVIRONMENT;
    }
}

int command_fail(struct app *app, enum status status, const struct err *err)
{
    if (app)
        fputs(app_diagnostics(app), stderr);
    fprintf(stderr, "broker: %s\n", err->text);
    return exit_code_of(status);
}

void command_print_json(const struct value *value, bool is_pretty)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    json_write(value, is_pretty ? 2 : 0, &text);
    puts(buf_text(&text));
}

void command_print_text(const char *key, const char *name, const char *text)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value answer = doc_map();
    doc_put(&arena, &answer, key, value_string(name));
    doc_put(&arena, &answer, strcmp(key, "ref") == 0 ? "path" : "text", value_string(text));
    command_print_json(&answer, false);
}

/* ---- the program ---- */

static const char *program = "broker";

const char *command_program(void)
{
    return program;
}

static void print_usage(FILE *out)
{
    fputs("broker: runs machine-learning pipelines, never the same work twice\n\n"
          "  broker --pipeline FILE     run a pipeline here (the same as: broker run FILE)\n\n",
          out);
    for (const struct command *const *c = commands; *c; c++)
        fprintf(out, "  broker %-8s %-16s %s\n", (*c)->name, (*c)->arguments, (*c)->help);
    fputs("\n`broker COMMAND --help` tells more. Exit codes: 0 done, 1 a task failed, 2 bad usage "
          "or bad\n"
          "file, 3 environment not reachable, 4 damaged data, 130 interrupted. Tab completion:\n"
          "eval \"$(broker --completion bash)\" (or zsh).\n",
          out);
}

static int unknown(const char *word)
{
    const char *names[sizeof commands / sizeof *commands] = {0};
    for (size_t i = 0; commands[i]; i++)
        names[i] = commands[i]->name;
    if (strchr(word, '.') || strchr(word, '/')) {
        fprintf(stderr, "broker: unknown command \"%s\"; to run a pipeline: %s run %s\n", word,
                program, word);
        return EXIT_USAGE;
    }
    const char *near = schema_suggest(word, names);
    fprintf(stderr, "broker: unknown command \"%s\"%s%s%s; see broker --help\n", word,
            near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return EXIT_USAGE;
}

int cli_main(int argc, char **argv)
{
    if (argc > 0 && argv[0][0])
        program = argv[0];
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_usage(stdout);
        return EXIT_DONE;
    }
    if (strcmp(word, "--version") == 0) {
        puts("broker " PENSTOCK_VERSION);
        return EXIT_DONE;
    }
    if (strcmp(word, "--completion") == 0)
        return completion_print(argc > 2 ? argv[2] : "", stdout);
    if (strcmp(word, command_care.name) == 0)
        return command_care.run(&command_care, argc - 1, argv + 1);
    if (word[0] == '-')
        return command_run.run(&command_run, argc, argv);
    for (const struct command *const *c = commands; *c; c++)
        if (strcmp((*c)->name, word) == 0)
            return (*c)->run(*c, argc - 1, argv + 1);
    return unknown(word);
}
