// SPDX-License-Identifier: Apache-2.0
#include "worker/kinds/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/death.h"
#include "common/child.h"
#include "common/fs.h"
#include "common/procs.h"
#include "proto/limits.h"
#include "worker/kinds/exec_mask.h"

enum {
    CHUNK_BYTES = 1 << 16,
    /* What is kept of the end of stderr, for the failure's text. */
    TAIL_BYTES = 300,
    HINT_BYTES = 256
};

/* The two pipes a program talks into, and where that goes. */
struct pump {
    int pipes[2]; /* our ends of stdout and stderr */
    /* The program's: kept open here while it runs, so that we are woken by its end alone and not
     * by that of each pipe, too. */
    int ends[2];
    int output, log;      /* what stdout is, if it is an output; the log, once there is one */
    const char *log_path; /* NULL: our own stdout and stderr */
    uint64_t left[2];
    char tail[TAIL_BYTES];
    size_t tail_bytes;
    struct err err; /* of a sink: disk full */
    struct exec_mask masks[2];
    struct buf masked;
};

static void pump_fini(struct pump *pump)
{
    for (int i = 0; i < 2; i++) {
        fs_close_fd_auto(&pump->pipes[i]);
        fs_close_fd_auto(&pump->ends[i]);
    }
    fs_close_fd_auto(&pump->output);
    fs_close_fd_auto(&pump->log);
    for (int i = 0; i < 2; i++)
        exec_mask_fini(&pump->masks[i]);
    buf_fini(&pump->masked);
}
DEFINE_AUTO_VALUE(struct pump, pump_fini)

static void keep_tail(struct pump *pump, const char *text, size_t bytes)
{
    if (bytes > TAIL_BYTES) {
        text += bytes - TAIL_BYTES;
        bytes = TAIL_BYTES;
    }
    size_t keep = pump->tail_bytes + bytes > TAIL_BYTES ? TAIL_BYTES - bytes : pump->tail_bytes;
    memmove(pump->tail, pump->tail + pump->tail_bytes - keep, keep);
    memcpy(pump->tail + keep, text, bytes);
    pump->tail_bytes = keep + bytes;
}

/* Where a stream goes. Few programs say anything: the log is opened when one does. */
static enum status find_sink(struct pump *pump, int which, int *out, struct err *err)
{
    *out = which == 0 && pump->output >= 0 ? pump->output : pump->log_path ? pump->log : which + 1;
    if (*out >= 0)
        return OK;
    *out = pump->log = open(pump->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return *out < 0 ? fs_error(err, errno, pump->log_path, "open") : OK;
}

static enum status pass_on(struct pump *pump, int which, const char *chunk, size_t bytes,
                           struct err *err)
{
    int sink;
    TRY(find_sink(pump, which, &sink, err));
    return fs_write_all(sink, chunk, bytes, which ? "stderr" : "stdout", err);
}

/* Past the limit it is dropped, so that the program never blocks. */
static void take_in(struct pump *pump, int which, const char *text, size_t count)
{
    if (!count)
        return;
    if (which == 1)
        keep_tail(pump, text, count);
    size_t bytes = count < pump->left[which] ? count : (size_t)pump->left[which];
    pump->left[which] -= bytes;
    if (pump->err.code == OK)
        (void)!pass_on(pump, which, text, bytes, &pump->err);
}

/* An output is searched as a whole when it is there; what is kept as a log is masked here. */
static void mask(struct pump *pump, int which, const char *text, size_t count, bool is_end)
{
    if (!pump->masks[which].count || (which == 0 && pump->output >= 0)) {
        take_in(pump, which, text, count);
        return;
    }
    buf_clear(&pump->masked);
    exec_mask_pass(&pump->masks[which], text, count, is_end, &pump->masked);
    take_in(pump, which, (const char *)pump->masked.bytes, pump->masked.count);
}

/* Passes on what is there. */
static size_t pump_some(struct pump *pump, int which)
{
    static char chunk[CHUNK_BYTES];
    ssize_t n = read(pump->pipes[which], chunk, sizeof chunk);
    if (n <= 0)
        return 0;
    mask(pump, which, chunk, (size_t)n, false);
    return (size_t)n;
}

/* What was written and not read so far. No more: a process that got away might write for ever. */
static void pump_rest(struct pump *pump, int which)
{
    int waiting = 0;
    if (ioctl(pump->pipes[which], FIONREAD, &waiting))
        return;
    while (waiting > 0) {
        size_t bytes = pump_some(pump, which);
        if (!bytes)
            return;
        waiting -= (int)bytes;
    }
}

/* The kernel ends a slot whose parent died, and the slot's child with it, but not what that child
 * started. So while a program runs the slot is told by a signal instead, and ends all of it first.
 */
struct guard {
    int fd, usual; /* the signal that a parent's death sends otherwise */
    sigset_t mask;
};

static enum status guard_begin(struct guard *guard, struct err *err)
{
    sigset_t ending;
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    guard->fd = signalfd(-1, &ending, SFD_CLOEXEC);
    if (guard->fd < 0)
        return err_set(err, E_IO, "signalfd: %s", strerror(errno));
    sigprocmask(SIG_BLOCK, &ending, &guard->mask);
    prctl(PR_GET_PDEATHSIG, &guard->usual);
    if (guard->usual)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    return OK;
}

/* A signal that came is taken now. */
static void guard_end(struct guard *guard)
{
    prctl(PR_SET_PDEATHSIG, guard->usual);
    sigprocmask(SIG_SETMASK, &guard->mask, NULL);
    close(guard->fd);
}

/* Until the program itself has ended; what it leaves running is killed, and what they wrote before
 * still read. */
static void watch(struct pump *pump, struct guard *guard, struct child *child,
                  struct child_end *end)
{
    struct pollfd polls[4] = {{pump->pipes[0], POLLIN, 0},
                              {pump->pipes[1], POLLIN, 0},
                              {child->pidfd, POLLIN, 0},
                              {guard->fd, POLLIN, 0}};
    do {
        if (poll(polls, 4, -1) < 0)
            continue;
        for (int i = 0; i < 2; i++)
            if (polls[i].revents)
                (void)pump_some(pump, i);
        if (polls[3].revents) {
            (void)!procs_end_own();
            guard_end(guard); /* ends here */
            _exit(1);
        }
    } while (!(polls[2].revents & POLLIN));
    (void)!child_wait(child, -1, end);
    (void)!procs_end_own();
    for (int i = 0; i < 2; i++) {
        pump_rest(pump, i);
        mask(pump, i, "", 0, true);
    }
}

static enum status open_sinks(struct exec *exec, struct pump *pump, struct err *err)
{
    char path[PATH_MAX];
    pump->log_path = exec->call->log_path;
    pump->left[0] = pump->left[1] = LOG_BYTES_MAX / 2;
    if (!exec->params.stdout)
        return OK;
    TRY(kind_output_path(exec->call, exec->params.stdout, path, sizeof path, err));
    pump->output = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (pump->output < 0)
        return fs_error(err, errno, path, "open");
    pump->left[0] = UINT64_MAX;
    return OK;
}

/* What the program was refused may be why it failed. */
static enum status add_hint(const struct exec *exec, enum status code, struct err *err)
{
    const struct kind_confine *confine = exec->call->confine;
    char hint[HINT_BYTES];
    if (!confine || !err)
        return code;
    confine->explain(confine->context, err->text, hint, sizeof hint);
    const struct err before = *err;
    return *hint ? err_set(err, code, "%.*s (%s)", (int)(ERR_TEXT_BYTES - HINT_BYTES - 4),
                           before.text, hint)
                 : code;
}

static enum status start(struct exec *exec, struct pump *pump, struct child *child, struct err *err)
{
    const char **arguments, **environment, *program;
    TRY(exec_arguments(exec, &arguments, &program, err));
    TRY(exec_environment(exec, &environment, err));
    for (int i = 0; i < 2; i++) {
        int pair[2];
        if (pipe2(pair, O_CLOEXEC))
            return err_set(err, E_IO, "pipe: %s", strerror(errno));
        /* A program may open its end anew and read what it wrote, between our poll and read. */
        (void)fcntl(pair[0], F_SETFL, O_NONBLOCK);
        pump->pipes[i] = pair[0];
        pump->ends[i] = pair[1];
    }
    const struct child_fd fds[] = {{pump->ends[0], 1}, {pump->ends[1], 2}};
    const struct kind_confine *confine = exec->call->confine;
    const struct child_options options = {.path = program,
                                          .argv = arguments,
                                          .environment = environment,
                                          .fds = fds,
                                          .fd_count = sizeof fds / sizeof *fds,
                                          .dies_with_parent = true,
                                          .own_group = true,
                                          .keeps_signals = true,
                                          .enter = confine ? confine->enter : NULL,
                                          .enter_context = confine ? confine->context : NULL};
    if (child_start(&options, child, err) != OK)
        return add_hint(exec, err_prefix(err, "command"), err);
    return OK;
}

/* The last two lines of stderr, on one line: most programs say there what went wrong. */
static const char *last_words(struct pump *pump, char out[TAIL_BYTES + 1])
{
    size_t end = pump->tail_bytes;
    while (end && strchr(" \t\r\n", pump->tail[end - 1]))
        end--;
    size_t begin = end;
    for (int lines = 0; begin; begin--) {
        if (pump->tail[begin - 1] == '\n' && ++lines == 2)
            break;
    }
    size_t bytes = 0;
    for (size_t i = begin; i < end; i++)
        out[bytes++] = (unsigned char)pump->tail[i] < ' ' ? ' ' : pump->tail[i];
    out[bytes] = 0;
    return out;
}

static enum status judge(struct exec *exec, struct pump *pump, const struct child_end *end,
                         struct err *err)
{
    char words[DEATH_WORDS_BYTES], tail[TAIL_BYTES + 1];
    if (end->was_signalled || end->code) {
        death_describe(end->was_signalled, end->code, words);
        last_words(pump, tail);
        enum status code = end->was_signalled ? E_CRASHED : E_EXIT;
        return add_hint(exec, err_set(err, code, "%s%s%s", words, *tail ? ": " : "", tail), err);
    }
    if (pump->err.code != OK && err)
        *err = pump->err;
    return pump->err.code;
}

static enum status run_in(struct exec *exec, struct err *err)
{
    AUTO(pump_fini)
    struct pump pump = {
        .pipes = {-1, -1}, .ends = {-1, -1}, .output = -1, .log = -1, .masked = buf_init(0)};
    for (int i = 0; i < 2; i++)
        exec_mask_init(&pump.masks[i], exec->call);
    struct guard guard;
    struct child child;
    struct child_end end;
    TRY(schema_decode(&schema_exec, exec->call->params, &exec->params, err));
    TRY(exec_place_inputs(exec, err));
    TRY(exec_plan_outputs(exec, err));
    TRY(open_sinks(exec, &pump, err));
    if (access(KIND_TEMP_FOLDER, F_OK) && mkdir(KIND_TEMP_FOLDER, 0700))
        return fs_error(err, errno, KIND_TEMP_FOLDER, "mkdir");
    const struct kind_confine *confine = exec->call->confine;
    if (confine)
        TRY(confine->prepare(confine->context, exec->call, exec->params.network, err));
    TRY(guard_begin(&guard, err));
    enum status status = start(exec, &pump, &child, err);
    if (status == OK)
        watch(&pump, &guard, &child, &end);
    guard_end(&guard);
    TRY(status);
    TRY(judge(exec, &pump, &end, err));
    TRY(exec_collect_outputs(exec, err));
    return exec_search_outputs(exec->call, err);
}

/* What is wrong with a file is said with its name, which the program chose. */
static void mask_failure(const struct kind_call *call, struct err *err)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    struct exec_mask mask;
    exec_mask_init(&mask, call);
    exec_mask_pass(&mask, err->text, strlen(err->text), true, &text);
    exec_mask_fini(&mask);
    err_set(err, err->code, "%s", buf_text(&text));
}

static enum status run(const struct kind_call *call, struct err *err)
{
    struct exec exec = {.call = call};
    enum status status = run_in(&exec, err);
    if (status != OK && err && call->secret_count)
        mask_failure(call, err);
    exec_forget_secrets(&exec);
    arena_fini(&exec.arena);
    return status;
}

const struct kind kind_exec = {.name = "exec", .run = run, .has_own_log = true};
