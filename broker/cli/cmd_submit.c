/* broker submit, broker watch: runs of a served broker. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/cli/question.h"
#include "broker/cli/signals.h"
#include "broker/cli/watch.h"
#include "common/base/doc.h"
#include "common/fs.h"
#include "proto/limits.h"

struct submit_options {
    struct question q;
    const char *force, *only, *name, *key, *pipeline;
    struct config_list params, sets, labels;
    bool watches, is_quiet;
};

static void add_options(struct submit_options *o, bool is_new)
{
    const struct config_option options[] = {
        {"param", 'p', CONFIG_LIST, NULL, "NAME=VALUE", &o->params,
         "set a parameter of the pipeline"},
        {"set", 0, CONFIG_LIST, NULL, "PATH=VALUE", &o->sets,
         "edit the document, as in train.params.seed=7"},
        {"force", 0, CONFIG_OPTIONAL_TEXT, NULL, "STEP", &o->force,
         "run all tasks (or those of STEP) even if they are known"},
        {"only", 0, CONFIG_TEXT, NULL, "STEP", &o->only,
         "run STEP and what it needs, nothing behind it"},
        {"name", 0, CONFIG_TEXT, NULL, "NAME", &o->name, "a name for the run"},
        {"label", 'l', CONFIG_LIST, NULL, "KEY=VALUE", &o->labels, "a label, to find it again"},
        {"idempotency-key", 0, CONFIG_TEXT, NULL, "KEY", &o->key,
         "the same key again is answered with the same run"},
        {"watch", 'w', CONFIG_FLAG, NULL, NULL, &o->watches, "look on until it is over"},
        {"quiet", 'q', CONFIG_FLAG, NULL, NULL, &o->is_quiet, "no progress, no summary"},
    };
    if (is_new)
        command_line_add(&o->q.line, (struct config_option){
                                         "pipeline", 0, CONFIG_TEXT, NULL, "FILE", &o->pipeline,
                                         "the pipeline file (or the first argument)"});
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        command_line_add(&o->q.line, options[i]);
}

static void fill_request(const struct submit_options *o, struct app_request *request)
{
    *request = (struct app_request){.params = o->params.items,
                                    .param_count = o->params.count,
                                    .sets = o->sets.items,
                                    .set_count = o->sets.count,
                                    .labels = o->labels.items,
                                    .label_count = o->labels.count,
                                    .name = o->name,
                                    .only_step = o->only,
                                    .force_all = o->force && !*o->force,
                                    .force_step = o->force && *o->force ? o->force : NULL,
                                    .idempotency_key = o->key};
}

/* The run's id to stdout: what a script goes on with. */
static void print_run(const struct submit_options *o, const char *run)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value answer = doc_map();
    doc_put(&arena, &answer, "run", value_string(run));
    if (o->q.common.json)
        command_print_json(&answer, false);
    else
        puts(run);
}

static int look_on(struct submit_options *o, const char *run)
{
    struct view view = view_init(o->is_quiet);
    if (!o->is_quiet)
        fprintf(stderr, "run %s\n", run);
    struct watch_options watch = {.json = o->q.common.json};
    int exit_code = watch_run(o->q.app, run, &view, &watch);
    question_end_quietly(&o->q, OK);
    return exit_code;
}

/* ---- submit ---- */

static enum status read_stdin(struct buf *text, struct app_request *request, struct err *err)
{
    *text = buf_init(PIPELINE_BYTES_MAX + 1);
    TRY(fs_read_fd(0, "stdin", text, err));
    request->text = buf_text(text);
    request->text_bytes = text->count;
    return OK;
}

static int submit(const struct command *command, int argc, char **argv)
{
    struct submit_options o = {0};
    struct app_request request;
    AUTO(buf_fini) struct buf text = buf_init(0);
    char run[APP_RUN_ID_BYTES];
    int exit_code;
    add_options(&o, true);
    if (!question_begin(&o.q, command, argc, argv, ABOUT_SUBMITTED, 1, &exit_code))
        return exit_code;
    const struct config_list *words = &o.q.line.arguments;
    fill_request(&o, &request);
    request.file = o.pipeline ? o.pipeline : words->count ? words->items[0] : NULL;
    enum status status = OK;
    if (!request.file)
        status = err_set(&o.q.err, E_INVALID,
                         "which pipeline? Give its file, as in: %s submit configs/iris.yaml; - is "
                         "stdin",
                         command_program());
    else if (strcmp(request.file, "-") == 0)
        status = read_stdin(&text, &request, &o.q.err);
    if (status == OK && !signals_watch())
        status = err_set(&o.q.err, E_IO, "cannot watch signals");
    if (status == OK)
        status = app_submit(o.q.app, &request, run, &o.q.err);
    if (status != OK)
        return question_end_quietly(&o.q, status);
    fputs(app_diagnostics(o.q.app), stderr); /* warnings */
    if (o.watches)
        return look_on(&o, run);
    print_run(&o, run);
    return question_end_quietly(&o.q, OK);
}

const struct command command_submit = {
    .name = "submit",
    .arguments = "FILE|-",
    .help = "Give a pipeline to a served broker.",
    .details =
        "Sources are read here, relative to the file, and go up by their hashes. Without "
        "--watch the run's id\n"
        "is printed. With --watch it ends with the run's exit code; Ctrl-C ends the watching "
        "alone: the run\n"
        "goes on.",
    .run = submit,
};

/* ---- resubmit ---- */

static int resubmit(const struct command *command, int argc, char **argv)
{
    struct submit_options o = {0};
    struct app_request request;
    char run[APP_RUN_ID_BYTES];
    int exit_code;
    add_options(&o, false);
    if (!question_begin(&o.q, command, argc, argv, ABOUT_SERVED, 1, &exit_code))
        return exit_code;
    fill_request(&o, &request);
    enum status status = signals_watch() ? OK : err_set(&o.q.err, E_IO, "cannot watch signals");
    if (status == OK)
        status = app_resubmit(o.q.app, o.q.line.arguments.items[0], &request, run, &o.q.err);
    if (status == OK && o.watches)
        status = app_watch(o.q.app, run, &o.q.err);
    if (status != OK)
        return question_end_quietly(&o.q, status);
    if (o.watches)
        return look_on(&o, run);
    print_run(&o, run);
    return question_end_quietly(&o.q, OK);
}

#define RUN_HELP "RUN is a run id, a unique prefix of one, or `latest`."

const struct command command_resubmit = {
    .name = "resubmit",
    .arguments = "RUN",
    .help = "Begin a new run of the same pipeline and sources, with other parameters.",
    .details = RUN_HELP,
    .run = resubmit,
};

/* ---- watch ---- */

static int watch(const struct command *command, int argc, char **argv)
{
    struct submit_options o = {0};
    struct value result;
    int exit_code;
    command_line_add(&o.q.line, (struct config_option){"quiet", 'q', CONFIG_FLAG, NULL, NULL,
                                                       &o.is_quiet, "no progress, no summary"});
    if (!question_begin(&o.q, command, argc, argv, ABOUT_SERVED, 1, &exit_code))
        return exit_code;
    const char *run = o.q.line.arguments.items[0];
    enum status status = signals_watch() ? OK : err_set(&o.q.err, E_IO, "cannot watch signals");
    if (status == OK)
        status = app_result(o.q.app, run, false, &o.q.arena, &result, &o.q.err);
    if (status == OK)
        run = value_get_text(&result, "run");
    if (status == OK)
        status = app_watch(o.q.app, run, &o.q.err);
    return status == OK ? look_on(&o, run) : question_end_quietly(&o.q, status);
}

const struct command command_watch = {
    .name = "watch",
    .arguments = "RUN",
    .help = "Look on until a run of a served broker is over.",
    .details =
        RUN_HELP "\nIt ends with the run's exit code. Ctrl-C ends the watching, not the run.",
    .run = watch,
};
