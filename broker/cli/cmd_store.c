/* Bytes out of the store, and data into S3: export, put. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "broker/cli/question.h"
#include "broker/cli/signals.h"
#include "common/base/doc.h"
#include "common/store/s3_put.h"
#include "proto/limits.h"

/* ---- export ---- */

/* A tree's: the path and its URL, a tab between; else the URL alone. */
static void print_urls(const struct value *answer)
{
    const struct value *urls = value_get(answer, "urls");
    for (uint32_t i = 0; i < urls->count; i++) {
        const char *path = value_get_text(&urls->items[i], "path");
        printf("%s%s%s\n", path ? path : "", path ? "\t" : "",
               value_get_text(&urls->items[i], "url"));
    }
}

static int export_urls(struct question *q, const char *expires)
{
    struct value answer = {0};
    uint32_t life_ms;
    enum status status = config_parse_ms("expires", expires, &life_ms, &q->err);
    if (status == OK)
        status = app_urls(q->app, q->line.arguments.items[0], life_ms / 1000, &q->arena, &answer,
                          &q->err);
    return question_end(q, status, &answer, print_urls);
}

static int export(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    const char *path = NULL, *expires = "1h";
    bool wants_url = false;
    int exit_code;
    command_line_add(&q.line, (struct config_option){
                                  "output", 'o', CONFIG_TEXT, NULL, "PATH", &path,
                                  "file (a tree: folder) to write; - is stdout (the default)"});
    command_line_add(&q.line,
                     (struct config_option){"url", 0, CONFIG_FLAG, NULL, NULL, &wants_url,
                                            "print a URL that anybody may get it with; of a tree, "
                                            "one for each file"});
    command_line_add(&q.line,
                     (struct config_option){"expires", 0, CONFIG_TEXT, NULL, "TIME", &expires,
                                            "how long the URL works, up to 7 days (168h)"});
    if (!question_begin(&q, command, argc, argv, ABOUT_STORED, 1, &exit_code))
        return exit_code;
    if (wants_url)
        return export_urls(&q, expires);
    bool to_stdout = !path || strcmp(path, "-") == 0;
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    enum status status =
        app_export(q.app, q.line.arguments.items[0], to_stdout ? NULL : path, &bytes, &q.err);
    if (status == OK && to_stdout && fwrite(bytes.bytes, 1, bytes.count, stdout) != bytes.count)
        status = err_set(&q.err, E_IO, "stdout: cannot write %zu bytes", bytes.count);
    if (status == OK && !to_stdout && q.common.json)
        command_print_text("ref", q.line.arguments.items[0], path);
    return question_end_quietly(&q, status);
}

const struct command command_export = {.name = "export",
                                       .arguments = "REF",
                                       .help = "Write an artifact to a file, a folder or stdout.",
                                       .details = REF_HELP,
                                       .run = export};

/* ---- put ---- */

static void print_placed(const struct value *answer)
{
    printf("%s  %s\n", value_get_text(answer, "blake2b"), value_get_text(answer, "url"));
}

/* Watched from the first question on: until then whoever interrupts ends the program, and nothing
 * stays of it. */
static bool is_interrupted(void)
{
    static bool is_watched;
    if (!is_watched)
        is_watched = signals_watch();
    return signals_taken() > 0;
}

static int put(const struct command *command, int argc, char **argv)
{
    struct question q = {0};
    int exit_code;
    if (!question_begin(&q, command, argc, argv, ABOUT_FILES, 2, &exit_code))
        return exit_code;
    struct s3_placed placed;
    struct value answer = doc_map();
    if (q.line.arguments.count != 2) {
        enum status usage = err_set(&q.err, E_INVALID,
                                    "put: name a file and where it goes: broker put FILE "
                                    "s3://bucket/key");
        return question_end_quietly(&q, usage);
    }
    const char *const *words = q.line.arguments.items;
    enum status status = s3_put_at(words[0], words[1], is_interrupted, &placed, &q.err);
    if (status == OK) {
        doc_put(&q.arena, &answer, "url", value_string(placed.url));
        doc_put(&q.arena, &answer, "bytes", value_int((int64_t)placed.bytes));
        doc_put(&q.arena, &answer, "blake2b", doc_id(&q.arena, &placed.id));
    }
    return question_end(&q, status, &answer, print_placed);
}

const struct command command_put = {
    .name = "put",
    .arguments = "FILE s3://BUCKET/KEY",
    .help = "Put a file into S3.",
    .details =
        "Prints the BLAKE2b-256 of its bytes (as b2sum -l 256 does) and where it is now; a KEY "
        "that\nends with / gets the file's name. What is there is replaced. The server and "
        "its keys are\nset as for a store: AWS_ENDPOINT_URL_S3, AWS_REGION, "
        "AWS_ACCESS_KEY_ID, AWS_PROFILE, …\nCtrl-C leaves nothing; what a killed one sent "
        "in parts takes room until the bucket's own\nrule for such uploads removes it.",
    .run = put};
