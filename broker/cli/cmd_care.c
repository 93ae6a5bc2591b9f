/* broker --care PART: what the broker that leads starts for gc and fsck
 * (broker/app/care_process.c); not for people. The answer goes to stdout, as JSON; an error to
 * stderr, as "WORD: TEXT". */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/cli/command.h"

enum { PLAN_FD = 3 };

struct care_options {
    struct common_options common;
    struct command_line line;
    int64_t keep, age_us, epoch;
    struct config_list labels;
    struct app_gc gc;
    struct app_fsck fsck;
};

static void add_options(struct care_options *o)
{
    const struct config_option options[] = {
        {"keep", 0, CONFIG_COUNT, NULL, "N", &o->keep, ""},
        {"age-us", 0, CONFIG_COUNT, NULL, "N", &o->age_us, ""},
        {"epoch", 0, CONFIG_COUNT, NULL, "N", &o->epoch, ""},
        {"label", 0, CONFIG_LIST, NULL, "K=V", &o->labels, ""},
        {"removes", 0, CONFIG_FLAG, NULL, NULL, &o->gc.removes, ""},
        {"bytes", 0, CONFIG_FLAG, NULL, NULL, &o->fsck.reads_bytes, ""},
        {"signatures", 0, CONFIG_FLAG, NULL, NULL, &o->fsck.signatures, ""},
        {"repair", 0, CONFIG_FLAG, NULL, NULL, &o->fsck.repairs, ""},
    };
    o->keep = o->age_us = -1;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        command_line_add(&o->line, options[i]);
    command_line_common(&o->line, &o->common);
}

static enum status answer(struct care_options *o, const char *word, struct err *err)
{
    static const char *const parts[] = {
        [APP_GC_PLAN] = "gc-plan", [APP_GC_SWEEP] = "gc-sweep", [APP_FSCK] = "fsck"};
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(app_close) struct app *app = NULL;
    struct value out;
    size_t part = 0;
    while (part < sizeof parts / sizeof *parts && strcmp(parts[part], word) != 0)
        part++;
    if (part == sizeof parts / sizeof *parts)
        return err_set(err, E_INVALID, "--care %s: not a part of gc or fsck", word);
    o->gc.has_keep = o->keep >= 0;
    o->gc.keep = (uint32_t)o->keep;
    o->gc.has_age = o->age_us >= 0;
    o->gc.age_us = o->age_us;
    o->gc.epoch = (uint64_t)o->epoch;
    o->gc.labels = o->labels.items;
    o->gc.label_count = o->labels.count;
    TRY(app_open(&o->common.app, &app, err));
    TRY(app_care_part(app, (enum app_care_part)part, &o->gc, &o->fsck, PLAN_FD, &arena, &out, err));
    command_print_json(&out, false);
    return OK;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct care_options o = {0};
    struct err err = {0};
    int exit_code;
    add_options(&o);
    if (!command_line_parse(&o.line, command, argc, argv, 1, &exit_code))
        return exit_code;
    const char *word = o.line.arguments.count ? o.line.arguments.items[0] : "";
    enum status status = answer(&o, word, &err);
    if (status != OK)
        fprintf(stderr, "%s: %s\n", status_name(status), err.text);
    command_line_fini(&o.line);
    return status == OK ? EXIT_DONE : EXIT_ENVIRONMENT;
}

const struct command command_care = {.name = "--care",
                                     .arguments = "PART",
                                     .help = "What a broker starts for gc and fsck.",
                                     .run = run};
