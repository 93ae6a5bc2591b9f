// SPDX-License-Identifier: Apache-2.0
#include "broker/app/reexecute.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/death.h"
#include "common/child.h"
#include "common/fs.h"
#include "common/program.h"
#include "common/text/json.h"
#include "proto/limits.h"

struct rerun {
    char folder[PATH_MAX]; /* of our own: specification, cache; removed in the end */
};

static void rerun_fini(struct rerun *rerun)
{
    if (*rerun->folder && fs_remove_tree(rerun->folder, NULL) != OK)
        return; /* what is left there is a cache */
}
DEFINE_AUTO_VALUE(struct rerun, rerun_fini)

/* Its answer, the record as JSON, is appended to `out`; what it logs goes to our stderr. */
static enum status run_task(const struct local *app, const char *spec, const char *cache,
                            struct buf *out, struct err *err)
{
    char program[PATH_MAX], words[DEATH_WORDS_BYTES];
    int ends[2];
    TRY(program_sibling("worker", program, err));
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_set(err, E_IO, "cannot make a pipe for the worker");
    AUTO(fs_close_fd) int reading = ends[0];
    AUTO(fs_close_fd) int writing = ends[1];
    const char *argv[] = {"worker",  "run-task", spec,          "--store", app->store_url,
                          "--cache", cache,      "--no-record", NULL};
    const struct child_fd fds[] = {{writing, STDOUT_FILENO}, {STDERR_FILENO, STDERR_FILENO}};
    const struct child_options options = {.path = program,
                                          .argv = argv,
                                          .environment = (const char *const *)environ,
                                          .fds = fds,
                                          .fd_count = 2,
                                          .dies_with_parent = true};
    struct child child;
    struct child_end end;
    TRY(child_start(&options, &child, err));
    close(writing);
    writing = -1;
    enum status status = fs_read_fd(reading, "the worker's answer", out, err);
    child_wait(&child, -1, &end);
    if (status == OK && (end.was_signalled || end.code != 0))
        status = err_set(err, end.was_signalled ? E_CRASHED : E_EXIT, "worker run-task: %s",
                         death_describe(end.was_signalled, end.code, words));
    return status;
}

/* What run-task says of an output: [id, bytes, is-tree], or NULL. */
static const char *new_id(const struct value *outputs, const struct record_output *output,
                          struct arena *arena)
{
    const struct value *artifact =
        outputs && outputs->type == VALUE_MAP
            ? value_get(outputs, arena_text(arena, output->name, output->name_bytes))
            : NULL;
    if (!artifact || artifact->type != VALUE_ARRAY || artifact->count < 1 ||
        artifact->items[0].type != VALUE_STRING)
        return NULL;
    return artifact->items[0].text;
}

static const char *find_difference(const struct record *record, const struct value *again,
                                   struct arena *arena)
{
    const struct value *outputs = again->type == VALUE_MAP ? value_get(again, "outputs") : NULL;
    struct record_output output;
    for (size_t cursor = 0; record_next_output(record, &cursor, &output);) {
        char hex[ID_HEX_BYTES];
        const char *now = new_id(outputs, &output, arena);
        id_hex(&output.artifact.id, hex);
        if (!now || strcmp(now, hex) != 0)
            return arena_format(arena, "output %.*s was %.12s, is %.12s", (int)output.name_bytes,
                                output.name, hex, now ? now : "not made");
    }
    return "";
}

enum status reexecute(struct local *app, const struct record *record, struct arena *arena,
                      const char **difference, struct err *err)
{
    AUTO(rerun_fini) struct rerun rerun = {""};
    AUTO(buf_fini) struct buf text = buf_init(RECORD_BYTES_MAX * 4);
    char prefix[PATH_MAX - 32];
    struct value again;
    *difference = "";
    snprintf(prefix, sizeof prefix, "%s/verify-", app->home);
    TRY(fs_make_dirs(app->home, err));
    TRY(fs_make_temp_dir(prefix, rerun.folder, sizeof rerun.folder, err));
    const char *spec = arena_format(arena, "%s/task", rerun.folder);
    const char *cache = arena_format(arena, "%s/cache", rerun.folder);
    TRY(fs_write(spec, record->action, record->action_bytes, err));
    TRY(run_task(app, spec, cache, &text, err));
    TRY(json_parse("the worker's answer", (const char *)text.bytes, text.count, arena, &again,
                   err));
    *difference = find_difference(record, &again, arena);
    return OK;
}
