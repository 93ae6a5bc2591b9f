/* broker gc: drops runs, and what none of the others needs. */
// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/cli/care_view.h"

/* Texts until they are checked, since an error of a value is one of usage. */
struct gc_options {
    struct question q;
    const char *keep, *older;
    struct config_list labels;
    bool yes;
};

/* "30d", "12h", "45m", "90s", "2w". */
static enum status parse_age(const char *text, int64_t *out, struct err *err)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    enum { AMOUNT_MAX = 100000 };
    char *unit = NULL;
    long amount = *text >= '0' && *text <= '9' ? strtol(text, &unit, 10) : -1;
    for (size_t i = 0; amount >= 0 && amount <= AMOUNT_MAX && i < sizeof units / sizeof *units; i++)
        if (unit[0] == units[i].unit && !unit[1]) {
            *out = amount * units[i].seconds * 1000000;
            return OK;
        }
    return err_set(err, E_INVALID,
                   "--older \"%s\": expected an age such as 30d, 12h or 45m, at most %dw", text,
                   AMOUNT_MAX);
}

static enum status parse_keep(const char *text, uint32_t *out, struct err *err)
{
    char *end = NULL;
    long keep = *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : -1;
    if (keep < 0 || *end || keep > INT32_MAX)
        return err_set(err, E_INVALID, "--keep \"%s\": expected a number of runs, as in --keep 10",
                       text);
    *out = (uint32_t)keep;
    return OK;
}

static enum status parse(struct gc_options *o, struct app_gc *gc)
{
    struct err *err = &o->q.err;
    *gc = (struct app_gc){.removes = o->yes,
                          .has_keep = o->keep != NULL,
                          .has_age = o->older != NULL,
                          .labels = o->labels.items,
                          .label_count = o->labels.count};
    if (o->keep)
        TRY(parse_keep(o->keep, &gc->keep, err));
    if (o->older)
        TRY(parse_age(o->older, &gc->age_us, err));
    for (size_t i = 0; i < o->labels.count; i++)
        if (!strchr(o->labels.items[i], '='))
            return err_set(err, E_INVALID, "--label \"%s\": expected KEY=VALUE, as in team=blue",
                           o->labels.items[i]);
    return OK;
}

static void print(const struct value *answer)
{
    AUTO(arena_fini) struct arena arena = {0};
    const struct value *runs = value_get(answer, "runs");
    bool removes = value_get(answer, "removes")->boolean;
    for (uint32_t i = 0; i < runs->count; i++)
        printf("%s\n", runs->items[i].text);
    uint64_t run_count = care_count(answer, "runs_removed");
    fprintf(stderr,
            "%s %" PRIu64 " run%s, %" PRIu64 " records, %s\n"
            "kept: %" PRIu64 " runs, %" PRIu64 " records, %s; named by nobody, but less than a "
            "day old: %s\n",
            removes ? "removed:" : "would go:", run_count, run_count == 1 ? "" : "s",
            care_count(answer, "records"), care_sum(answer, "removed", &arena),
            care_count(answer, "runs_kept"), care_count(answer, "records_kept"),
            care_sum(answer, "kept", &arena), care_sum(answer, "young", &arena));
    if (care_count(value_get(answer, "quarantine"), "count") ||
        care_count(value_get(answer, "objects"), "count"))
        fprintf(stderr, "%s from quarantine: %s; of run-task and checkpoints: %s\n",
                removes ? "removed" : "would go", care_sum(answer, "quarantine", &arena),
                care_sum(answer, "objects", &arena));
    const char *untold = value_get_text(answer, "untold");
    if (untold)
        fprintf(stderr,
                "no record goes while %" PRIu64 " kept runs don't say which they need, as %s: an "
                "earlier version did not write it down, or it is lost; drop them, with --older\n",
                care_count(answer, "runs_untold"), untold);
    const struct value *journal = value_get(answer, "journal");
    if (care_count(journal, "merged"))
        fprintf(stderr, "journal: %" PRIu64 " of %" PRIu64 " segments %s others\n",
                care_count(journal, "merged"), care_count(journal, "segments"),
                removes ? "were merged into" : "would be merged into");
    if (!removes)
        fputs("nothing was removed: that takes --yes\n", stderr);
}

static int run(const struct command *command, int argc, char **argv)
{
    struct gc_options o = {0};
    struct value answer = {0};
    struct app_gc gc;
    int exit_code;
    const struct config_option options[] = {
        {"yes", 0, CONFIG_FLAG, NULL, NULL, &o.yes,
         "remove it; without, it is only told what would go"},
        {"keep", 0, CONFIG_TEXT, NULL, "N", &o.keep,
         "drop runs that are not among the N newest of their pipeline"},
        {"older", 0, CONFIG_TEXT, NULL, "AGE", &o.older,
         "drop runs that ended longer ago than this: 30d, 12h"},
        {"label", 0, CONFIG_LIST, NULL, "KEY=VALUE", &o.labels, "drop runs with this label"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        command_line_add(&o.q.line, options[i]);
    if (!question_begin(&o.q, command, argc, argv, ABOUT_STORED, 0, &exit_code))
        return exit_code;
    enum status status = parse(&o, &gc);
    if (status == OK)
        status = app_gc(o.q.app, &gc, &o.q.err);
    if (status == OK)
        status = care_wait(&o.q, &answer);
    return question_end(&o.q, status, &answer, print);
}

const struct command command_gc = {
    .name = "gc",
    .arguments = "[--yes] [--keep N] [--older AGE]",
    .help = "Drop old runs, and what no other run needs.",
    .details =
        "A run is dropped if it is over and all that is given holds for it: --keep, --older and\n"
        "every --label. With none of them no run is, and only what lies about goes: records that\n"
        "no run reaches, files that neither a record nor a run names. What a run that stays\n"
        "reaches stays, whoever made it; so does what was put into the store in the last day.\n"
        "Runs that go on, or were interrupted, are not dropped. It may be used beside work.",
    .run = run};
