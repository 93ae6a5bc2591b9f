// SPDX-License-Identifier: Apache-2.0
#include "broker/app/care_process.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/death.h"
#include "common/base/mem.h"
#include "common/child.h"
#include "common/fs.h"
#include "common/program.h"
#include "common/text/json.h"

enum { ARGUMENTS_MAX = 16, PLAN_FD = 3, ANSWER_BYTES_MAX = 64 << 20 };

struct care_process {
    struct child child;
    int answer_fd, error_fd, choice_fd;
};

static const char *const part_names[] = {
    [APP_GC_PLAN] = "gc-plan", [APP_GC_SWEEP] = "gc-sweep", [APP_FSCK] = "fsck"};

/* ---- what it gets ---- */

static const char **make_arguments(const struct care_request *request, struct arena *arena)
{
    const char **argv =
        arena_alloc(arena, (ARGUMENTS_MAX + 2 * request->gc.label_count) * sizeof *argv);
    size_t n = 0;
    argv[n++] = "broker";
    argv[n++] = "--care";
    argv[n++] = part_names[request->part];
    if (request->gc.has_keep)
        argv[n++] = arena_format(arena, "--keep=%" PRIu32, request->gc.keep);
    if (request->gc.has_age)
        argv[n++] = arena_format(arena, "--age-us=%" PRId64, request->gc.age_us);
    for (size_t i = 0; i < request->gc.label_count; i++)
        argv[n++] = arena_format(arena, "--label=%s", request->gc.labels[i]);
    if (request->gc.epoch)
        argv[n++] = arena_format(arena, "--epoch=%" PRIu64, request->gc.epoch);
    if (request->gc.removes)
        argv[n++] = "--removes";
    if (request->fsck.reads_bytes)
        argv[n++] = "--bytes";
    if (request->fsck.signatures)
        argv[n++] = "--signatures";
    if (request->fsck.repairs)
        argv[n++] = "--repair";
    return argv;
}

/* Ours, since a store's credentials are in it; URLs, which may hold a password, are not arguments
 * that anybody may read. */
static const char **make_environment(const struct local *app, struct arena *arena)
{
    static const char *const names[] = {"PENSTOCK_HOME=", "PENSTOCK_STORE=", "PENSTOCK_STATE="};
    const char *const values[] = {app->home, app->store_url, app->state_url};
    enum { OURS = sizeof names / sizeof *names };
    size_t count = 0, n = 0;
    while (environ[count])
        count++;
    const char **out = arena_alloc(arena, (count + OURS + 1) * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        bool is_ours = false;
        for (size_t j = 0; j < OURS; j++)
            is_ours = is_ours || strncmp(environ[i], names[j], strlen(names[j])) == 0;
        if (!is_ours)
            out[n++] = environ[i];
    }
    for (size_t j = 0; j < OURS; j++)
        out[n++] = arena_format(arena, "%s%s", names[j], values[j]);
    return out;
}

static enum status make_file(const char *name, int *fd, struct err *err)
{
    *fd = memfd_create(name, MFD_CLOEXEC);
    return *fd >= 0 ? OK : fs_error(err, errno, name, "cannot make a file in memory");
}

static enum status start(const struct local *app, const struct care_request *request,
                         struct care_process *process, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    char program[PATH_MAX];
    TRY(program_path(program, err));
    TRY(make_file("answer", &process->answer_fd, err));
    TRY(make_file("errors", &process->error_fd, err));
    TRY(make_file("choice", &process->choice_fd, err));
    const struct child_fd fds[] = {{process->answer_fd, STDOUT_FILENO},
                                   {process->error_fd, STDERR_FILENO},
                                   {process->choice_fd, PLAN_FD}};
    const struct child_options options = {.path = program,
                                          .argv = make_arguments(request, &arena),
                                          .environment = make_environment(app, &arena),
                                          .fds = fds,
                                          .fd_count = sizeof fds / sizeof *fds,
                                          .dies_with_parent = true,
                                          .own_group = true};
    return child_start(&options, &process->child, err);
}

enum status care_process_start(const struct local *app, const struct care_request *request,
                               struct care_process **out, struct err *err)
{
    *out = NULL;
    struct care_process *process = mem_alloc(sizeof *process);
    *process = (struct care_process){.child = {.pidfd = -1}, -1, -1, -1};
    enum status status = start(app, request, process, err);
    if (status == OK)
        *out = process;
    else
        care_process_stop(process);
    return status;
}

void care_process_stop(struct care_process *process)
{
    child_stop(&process->child, true);
    fs_close_fd_auto(&process->answer_fd);
    fs_close_fd_auto(&process->error_fd);
    fs_close_fd_auto(&process->choice_fd);
    mem_free(process);
}

/* ---- what it says ---- */

static enum status read_all(int fd, const char *name, struct buf *out, struct err *err)
{
    if (lseek(fd, 0, SEEK_SET) != 0)
        return fs_error(err, errno, name, "cannot read");
    return fs_read_fd(fd, name, out, err);
}

/* The last line is the reason; what stands before are warnings. Its code is that of an error here:
 * the line begins with its word. */
static enum status tell_failure(const struct care_process *process, const struct child_end *end,
                                struct err *err)
{
    AUTO(buf_fini) struct buf text = buf_init(ANSWER_BYTES_MAX);
    char how[DEATH_WORDS_BYTES];
    TRY(read_all(process->error_fd, "errors", &text, err));
    while (text.count && text.bytes[text.count - 1] == '\n')
        text.count--;
    const char *line = strrchr(buf_text(&text), '\n');
    line = line ? line + 1 : buf_text(&text);
    const char *colon = strstr(line, ": ");
    AUTO(mem_free) char *word = mem_copy_text(line, colon ? (size_t)(colon - line) : 0);
    enum status status = status_parse(word);
    if (!colon || status == STATUS_COUNT || status == OK)
        return err_set(err, E_CRASHED, "the process that looked through the state %s%s%s",
                       death_describe(end->was_signalled, end->code, how), *line ? ": " : "", line);
    return err_set(err, status, "%s", colon + 2);
}

enum status care_process_poll(struct care_process *process, struct arena *arena,
                              struct value *answer, struct care_choice *choice, bool *is_over,
                              struct err *err)
{
    struct child_end end;
    *is_over = child_wait(&process->child, 0, &end);
    if (!*is_over)
        return OK;
    if (end.was_signalled || end.code != 0)
        return tell_failure(process, &end, err);
    AUTO(buf_fini) struct buf text = buf_init(ANSWER_BYTES_MAX);
    TRY(read_all(process->answer_fd, "answer", &text, err));
    TRY(json_parse("answer", buf_text(&text), text.count, arena, answer, err));
    return care_choice_read(process->choice_fd, choice, err);
}
