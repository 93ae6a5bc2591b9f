/* broker fsck: has the store what records and runs name? */
// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>

#include "broker/cli/care_view.h"
#include "broker/cli/view.h"

enum { SHOWN_DIGITS = 12 };

static const char *text_of(const struct value *entry, const char *key, const char *otherwise)
{
    const char *text = value_get_text(entry, key);
    return text ? text : otherwise;
}

static const char *shorten(const struct value *entry, const char *key, struct arena *arena)
{
    return arena_format(arena, "%.*s", SHOWN_DIGITS, text_of(entry, key, ""));
}

static void print_tasks(const struct value *tasks, struct arena *arena)
{
    enum { COLUMNS = 4 };
    static const char *const head[COLUMNS] = {"task", "output", "fault", "run"};
    const char **cells = arena_alloc(arena, ((size_t)tasks->count + 1) * COLUMNS * sizeof *cells);
    for (uint32_t i = 0; i < tasks->count; i++) {
        const struct value *task = &tasks->items[i];
        const char **row = &cells[(size_t)COLUMNS * i];
        row[0] = text_of(task, "name", shorten(task, "task", arena));
        row[1] = arena_format(arena, "%s %s", text_of(task, "output", "(log)"),
                              shorten(task, "id", arena));
        row[2] = text_of(task, "fault", "");
        row[3] = text_of(task, "run", "none");
    }
    if (tasks->count)
        view_table(head, cells, tasks->count, COLUMNS, UINT32_MAX, false);
}

static void print_sources(const struct value *sources, struct arena *arena)
{
    for (uint32_t i = 0; i < sources->count; i++) {
        const struct value *source = &sources->items[i];
        printf("source %s (%s), of run %s, is %s: %s; broker run, where the file is, puts it "
               "there again\n",
               text_of(source, "name", "without a name"), shorten(source, "id", arena),
               text_of(source, "run", "?"), text_of(source, "fault", "damaged"),
               text_of(source, "location", "?"));
    }
}

static void print_records(const struct value *records, struct arena *arena)
{
    for (uint32_t i = 0; i < records->count; i++)
        printf("record of task %s: %s\n", shorten(&records->items[i], "task", arena),
               text_of(&records->items[i], "found", ""));
}

static void print_repair(const struct value *repair)
{
    const struct value *again = value_get(repair, "again"), *runs = value_get(repair, "runs");
    fprintf(stderr, "put aside: %" PRIu64 " files; records removed: %" PRIu64 "\n",
            care_count(repair, "put_aside"), care_count(repair, "removed"));
    for (uint32_t i = 0; i < again->count; i++)
        fprintf(stderr, "to make it again: %s\n", again->items[i].text);
    if (!again->count && runs->count)
        fprintf(stderr, "made again by %u run%s\n", runs->count, runs->count == 1 ? "" : "s");
}

static void print(const struct value *answer)
{
    AUTO(arena_fini) struct arena arena = {0};
    const struct value *repair = value_get(answer, "repair");
    bool is_clean = value_get(answer, "clean")->boolean;
    print_tasks(value_get(answer, "tasks"), &arena);
    print_sources(value_get(answer, "sources"), &arena);
    print_records(value_get(answer, "records_damaged"), &arena);
    uint64_t damaged = care_count(answer, "damaged"),
             records = care_count(answer, "records_damaged_count");
    fprintf(stderr, "%" PRIu64 " records of %" PRIu64 " runs; %s: %s; named by nobody: %s%s\n",
            care_count(answer, "records"), care_count(answer, "runs"),
            value_get(answer, "bytes_read")->boolean ? "read and sound" : "there",
            care_sum(answer, "sound", &arena), care_sum(answer, "unnamed", &arena),
            care_count(value_get(answer, "unnamed"), "count") ? " (see broker gc)" : "");
    if (damaged || records)
        fprintf(stderr,
                "damaged: %" PRIu64 " files, so %" PRIu64 " tasks have to run again; %" PRIu64
                " records\n",
                damaged, care_count(answer, "tasks_damaged"), records);
    if (repair && repair->type == VALUE_MAP)
        print_repair(repair);
    else if (damaged)
        fputs("broker fsck --repair removes the records of what is damaged, so that it is made "
              "again\n",
              stderr);
    else if (is_clean)
        fputs("no damage\n", stderr);
}

static int run(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    struct app_fsck fsck = {0};
    struct value answer = {0};
    int exit_code;
    const struct config_option options[] = {
        {"bytes", 0, CONFIG_FLAG, NULL, NULL, &fsck.reads_bytes,
         "read and hash everything; without, it is only looked whether it is there"},
        {"signatures", 0, CONFIG_FLAG, NULL, NULL, &fsck.signatures,
         "check every record's signature, too (some 100 microseconds each)"},
        {"repair", 0, CONFIG_FLAG, NULL, NULL, &fsck.repairs,
         "put corrupt files aside, and remove the records of what is damaged"},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        command_line_add(&q.line, options[i]);
    if (!question_begin(&q, command, argc, argv, ABOUT_STORED, 0, &exit_code))
        return exit_code;
    enum status status = app_fsck(q.app, &fsck, &q.err);
    if (status == OK)
        status = care_wait(&q, &answer);
    bool is_clean = status == OK && value_get(&answer, "clean")->boolean;
    exit_code = question_end(&q, status, &answer, print);
    return exit_code == EXIT_DONE && !is_clean ? EXIT_DAMAGED : exit_code;
}

const struct command command_fsck = {
    .name = "fsck",
    .arguments = "[--bytes] [--repair]",
    .help = "Look whether the store has all that records and runs name.",
    .details =
        "Exit code 0: it has; 4: something is missing or corrupt. It may be used beside work.\n"
        "With --repair corrupt files go to quarantine/ in the store and the records that name\n"
        "what is damaged are removed. A broker that serves makes it again; else the pipelines\n"
        "have to be run again, and it is told which.",
    .run = run};
