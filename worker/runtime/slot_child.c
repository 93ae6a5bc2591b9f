/* The slot's own side: reads jobs from descriptor 3, runs their kinds, answers. It starts with
 * nothing but that descriptor, /dev/null and stderr, and tidies up after each heavy job, so that
 * one job leaves no mark on the next. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/procs.h"
#include "proto/limits.h"
#include "proto/task_spec.h"
#include "worker/kinds/kind.h"
#include "worker/runtime/sandbox.h"
#include "worker/runtime/slot.h"

enum {
    SOCKET = 3,
    /* What a program may have open at once; some go through all numbers to close them. */
    OPEN_FILES_MAX = 65536,
    /* Answers wait for company this long at most while jobs are quick. */
    FLUSH_US = 1000,
    PROGRESS_US = 100000,
    SCRATCH_BYTES = 16384,
    OUT_BYTES = 1 << 16,
    /* What a slot may keep of the memory that a job took. */
    HEAP_BYTES = 1 << 20
};

struct server {
    struct sandbox *sandbox;
    struct buf in;
    uint8_t out[OUT_BYTES];
    size_t out_count; /* the head included, once there is anything */
    int64_t flushed_us, progress_us, epoch_offset_us;
    _Alignas(
        8) uint8_t scratch[SCRATCH_BYTES]; /* parameters of light jobs: no allocation per job */
    size_t scratch_used;
};

static bool flush(struct server *server)
{
    if (!server->out_count)
        return true;
    slot_head_write(server->out, server->out_count - SLOT_HEAD_BYTES);
    for (size_t at = 0; at < server->out_count;) {
        ssize_t n = write(SOCKET, server->out + at, server->out_count - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    server->out_count = 0;
    return true;
}

static bool say(struct server *server, const struct slot_message *message)
{
    if (server->out_count + ERR_TEXT_BYTES + 64 > sizeof server->out && !flush(server))
        return false;
    if (!server->out_count)
        server->out_count = SLOT_HEAD_BYTES;
    struct mp_writer writer =
        mp_writer(server->out + server->out_count, sizeof server->out - server->out_count);
    slot_message_write(&writer, message);
    server->out_count += writer.need;
    return true;
}

static void progress(const struct kind_call *call, uint64_t step, uint64_t total,
                     const char *metric, double value)
{
    struct server *server = call->context;
    if (!server) /* in the foreground: whoever watches has the log */
        return;
    int64_t now = clock_us();
    if (now - server->progress_us < PROGRESS_US && step != total)
        return;
    server->progress_us = now;
    struct slot_message message = {.type = SLOT_PROGRESS,
                                   .step = step,
                                   .total = total,
                                   .value = value,
                                   .text = metric ? metric : ""};
    message.text_bytes = (uint32_t)strnlen(message.text, NAME_BYTES_MAX);
    if (!say(server, &message) || !flush(server))
        _exit(1);
}

static void *scratch_allocate(void *context, size_t bytes)
{
    struct server *server = context;
    size_t rounded = (bytes + 7) & ~(size_t)7;
    if (rounded < bytes || rounded > sizeof server->scratch - server->scratch_used)
        return NULL;
    void *at = server->scratch + server->scratch_used;
    server->scratch_used += rounded;
    return at;
}

static enum status decode_params(struct server *server, const struct task_spec *spec,
                                 struct arena *arena, struct value *out, struct err *err)
{
    *out = (struct value){.type = VALUE_MAP};
    if (!spec->params)
        return OK;
    struct value_memory memory = {scratch_allocate, server};
    if (server)
        server->scratch_used = 0;
    if (!server || spec->params_bytes > SCRATCH_BYTES / 64)
        memory = arena_memory(arena);
    return value_decode(spec->params, spec->params_bytes, memory, out, err);
}

static void list_outputs(const struct task_spec *spec, struct arena *arena, struct kind_call *call)
{
    if (!spec->output_count)
        return;
    const char **names = arena_alloc(arena, spec->output_count * sizeof *names);
    size_t cursor = 0;
    const char *name;
    uint32_t bytes, count = 0;
    while (count < spec->output_count && task_spec_next_output(spec, &cursor, &name, &bytes))
        names[count++] = arena_text(arena, name, bytes);
    call->outputs = names;
    call->output_count = count;
}

/* Into the work folder, with stdout and stderr into the job's log, if it has one that the kind does
 * not write itself. */
static enum status enter(const struct slot_job *job, bool has_own_log, int saved[2],
                         struct err *err)
{
    if (chdir(job->work_dir))
        return fs_error(err, errno, job->work_dir, "chdir");
    if (!job->log_path || has_own_log)
        return OK;
    AUTO(fs_close_fd)
    int log = open(job->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0)
        return fs_error(err, errno, job->log_path, "open");
    saved[0] = fcntl(1, F_DUPFD_CLOEXEC, 4);
    saved[1] = fcntl(2, F_DUPFD_CLOEXEC, 4);
    if (saved[0] < 0 || saved[1] < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        return err_set(err, E_IO, "slot: dup2: %s", strerror(errno));
    return OK;
}

static void leave(struct server *server, const int saved[2])
{
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++)
        if (saved[i] >= 0)
            dup2(saved[i], i + 1);
    if (!server)
        return;
    if (chdir("/") || !procs_end_own())
        _exit(1);
    sandbox_close_others(server->sandbox, SOCKET + 1);
    /* Going over a small heap, and growing it again, costs more than it holds. */
    if (mallinfo2().arena > HEAP_BYTES)
        malloc_trim(0);
}

static enum status run_kind(struct server *server, struct sandbox *sandbox,
                            const struct slot_job *job, struct arena *arena, struct err *err)
{
    struct task_spec spec;
    struct value params;
    TRY(task_spec_parse(job->spec, job->spec_bytes, &spec, err));
    const struct kind *kind = kind_find(spec.kind, spec.kind_bytes);
    TRY(kind_check_version(spec.kind, spec.kind_bytes, spec.version, spec.version_bytes, err));
    if (!kind)
        return err_set(err, E_UNSUPPORTED, "kind %.*s has no handler", (int)spec.kind_bytes,
                       spec.kind);
    if (!kind->is_light && job->is_light)
        return err_set(err, E_PROTOCOL, "kind %s needs a work folder", kind->name);
    TRY(decode_params(server, &spec, arena, &params, err));
    struct kind_call call = {.spec = &spec,
                             .params = &params,
                             .inputs = job->inputs,
                             .input_count = job->input_count,
                             .work_dir = job->work_dir,
                             .output_dir = job->output_dir,
                             .log_path = job->log_path,
                             .attempt = job->attempt,
                             .timeout_ms = job->timeout_ms,
                             .memory_bytes = job->memory_bytes,
                             .progress = progress,
                             .context = server,
                             .secrets = job->secrets,
                             .secret_count = job->secret_count,
                             .confine = sandbox_confine(sandbox)};
    list_outputs(&spec, arena, &call);
    if (job->is_light)
        return kind->run(&call, err);
    int saved[2] = {-1, -1};
    enum status status = enter(job, kind->has_own_log, saved, err);
    if (status == OK)
        status = kind->run(&call, err);
    leave(server, saved);
    return status;
}

enum status slot_run_here(const struct slot_job *job, const struct sandbox_options *options,
                          struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(sandbox_close) struct sandbox *sandbox = NULL;
    TRY(sandbox_open(options, &sandbox, err));
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* so that what a program leaves running can be ended */
    return run_kind(NULL, sandbox, job, &arena, err);
}

/* Runs one job and answers. `*at_us` is when the one before it ended, and then when this one did.
 */
static bool serve(struct server *server, struct mp_reader *reader, int64_t *at_us,
                  bool *has_secrets)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct slot_job job;
    struct err err = {0};
    if (!slot_job_read(reader, &arena, &job))
        return false;
    *has_secrets |= job.secret_count > 0;
    enum status status = run_kind(server, server->sandbox, &job, &arena, &err);
    int64_t now = clock_us();
    struct slot_message answer = {.type = status == OK ? SLOT_DONE : SLOT_FAILED,
                                  .begun_us = *at_us + server->epoch_offset_us,
                                  .took_us = now - *at_us,
                                  .code = status,
                                  .text = err.text};
    answer.text_bytes = (uint32_t)strnlen(err.text, sizeof err.text - 1);
    *at_us = now;
    if (!say(server, &answer))
        return false;
    if (now - server->flushed_us < FLUSH_US)
        return true;
    server->flushed_us = now;
    return flush(server);
}

/* Serves every whole frame in the buffer. */
static bool serve_frames(struct server *server)
{
    size_t at = 0;
    int64_t now = clock_us();
    server->epoch_offset_us = clock_epoch_us() - now;
    server->flushed_us = now;
    while (server->in.count - at >= SLOT_HEAD_BYTES) {
        size_t bytes = slot_head_read(server->in.bytes + at);
        if (bytes > SLOT_JOB_BYTES_MAX)
            return false;
        if (server->in.count - at - SLOT_HEAD_BYTES < bytes)
            break;
        struct mp_reader reader = mp_reader(server->in.bytes + at + SLOT_HEAD_BYTES, bytes);
        bool has_secrets = false;
        while (reader.at < reader.end)
            if (!serve(server, &reader, &now, &has_secrets))
                return false;
        if (has_secrets)
            secret_wipe(server->in.bytes + at, SLOT_HEAD_BYTES + bytes);
        at += SLOT_HEAD_BYTES + bytes;
    }
    if (at)
        memmove(server->in.bytes, server->in.bytes + at, server->in.count - at);
    server->in.count -= at;
    return flush(server);
}

static void settle(void)
{
    struct rlimit none = {0, 0}, files;
    setsid(); /* so that whatever it starts can be found by its session */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max > OPEN_FILES_MAX) {
        files.rlim_max = OPEN_FILES_MAX;
        files.rlim_cur = files.rlim_cur < files.rlim_max ? files.rlim_cur : files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    fcntl(SOCKET, F_SETFD, FD_CLOEXEC);
    close_range(SOCKET + 1, ~0U, 0);
    umask(022);
}

/* It can't do its work: whoever started it sees why on stderr, and that it ended. */
static int give_up(const struct err *err)
{
    fprintf(stderr, "worker: %s\n", err->text);
    return 3;
}

int slot_main(int argument_count, char **arguments)
{
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(mem_free) struct server *server = mem_alloc(sizeof *server);
    struct sandbox_options options;
    struct err err = {0};
    settle();
    if (sandbox_from_arguments(argument_count, arguments, &arena, &options, &err) != OK ||
        sandbox_open(&options, &server->sandbox, &err) != OK ||
        sandbox_settle(server->sandbox, &err) != OK)
        return give_up(&err);
    server->in = buf_init((size_t)SLOT_JOB_BYTES_MAX + SLOT_HEAD_BYTES + (1 << 16));
    const struct slot_message ready = {.type = SLOT_READY};
    if (!say(server, &ready) || !flush(server))
        return 1;
    int result = 0;
    for (;;) {
        /* A reader would also be woken when the parent has read our answer. */
        struct pollfd more = {SOCKET, POLLIN, 0};
        (void)!poll(&more, 1, -1);
        uint8_t *at = buf_reserve(&server->in, 1 << 16);
        ssize_t n = at ? read(SOCKET, at, 1 << 16) : -1;
        if (n < 0 && at && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        server->in.count += (size_t)n;
        if (!serve_frames(server)) {
            result = 1;
            break;
        }
    }
    buf_fini(&server->in);
    return result;
}
