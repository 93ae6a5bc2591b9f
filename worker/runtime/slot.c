// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/slot.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/child.h"
#include "common/crypto/sign.h"
#include "common/procs.h"
#include "worker/runtime/cgroup.h"

struct slot {
    int fd;
    struct child child;
    struct cgroup *cgroup; /* NULL: none */
    bool has_secrets;      /* in `out` */
    struct buf out;        /* the frame being filled begins at `frame_at` */
    size_t frame_at;       /* SIZE_MAX: none is open */
    size_t written;
    struct buf in;
    size_t read_at, frame_end; /* the frame being read */
};

/* PATH is what programs of `exec` are found by; nothing else of our environment concerns a slot. */
static enum status spawn(const struct sandbox_options *sandbox, int child_fd, struct child *out,
                         struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    static const char usual[] = "/usr/local/bin:/usr/bin:/bin";
    const char *path = getenv("PATH");
    AUTO(buf_fini) struct buf variable = buf_init(0);
    buf_format(&variable, "PATH=%s", path ? path : usual);
    const char *const arguments[] = {"worker", "slot", NULL};
    const char *const environment[] = {buf_text(&variable), NULL};
    const struct child_fd fds[] = {{child_fd, 3}, {2, 2}};
    const struct child_options options = {.path = "/proc/self/exe",
                                          .argv = sandbox_to_arguments(sandbox, arguments, &arena),
                                          .environment = environment,
                                          .fds = fds,
                                          .fd_count = sizeof fds / sizeof *fds,
                                          .dies_with_parent = true};
    return child_start(&options, out, err);
}

enum status slot_start(const struct slot_options *options, struct slot **out, struct err *err)
{
    *out = NULL;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return err_set(err, E_IO, "slot: socketpair: %s", strerror(errno));
    struct child child;
    enum status status = spawn(options->sandbox, pair[1], &child, err);
    close(pair[1]);
    if (status != OK) {
        close(pair[0]);
        return err_prefix(err, "slot: cannot start this program again");
    }
    struct slot *slot = mem_alloc(sizeof *slot);
    *slot = (struct slot){.fd = pair[0],
                          .child = child,
                          .cgroup = cgroup_new(options->cgroups, child.pid),
                          .out = buf_init(0),
                          .frame_at = SIZE_MAX,
                          .in = buf_init(SLOT_REPLY_BYTES_MAX + SLOT_HEAD_BYTES)};
    *out = slot;
    return OK;
}

/* What was written is gone from here too. */
static void forget_written(struct slot *slot)
{
    if (slot->has_secrets)
        secret_wipe(slot->out.bytes, slot->out.capacity);
    slot->has_secrets = false;
    buf_clear(&slot->out);
    slot->written = 0;
}

void slot_stop(struct slot *slot, int *signal, int *exit_status)
{
    struct child_end end = {0};
    child_signal(&slot->child, SIGSTOP, false);
    cgroup_kill(slot->cgroup); /* where there is one, nothing can get away */
    procs_kill_below(slot->child.pid);
    child_signal(&slot->child, SIGKILL, false); /* had it died already, this changes nothing */
    (void)!child_wait(&slot->child, -1, &end);
    if (slot->cgroup)
        cgroup_free(slot->cgroup);
    if (signal)
        *signal = end.was_signalled ? end.code : 0;
    if (exit_status)
        *exit_status = end.was_signalled ? 0 : end.code;
    close(slot->fd);
    forget_written(slot);
    buf_fini(&slot->out);
    buf_fini(&slot->in);
    mem_free(slot);
}

int slot_fd(const struct slot *slot)
{
    return slot->fd;
}

pid_t slot_pid(const struct slot *slot)
{
    return slot->child.pid;
}

uint64_t slot_resident(const struct slot *slot)
{
    return procs_resident(slot->child.pid);
}

bool slot_limit_memory(struct slot *slot, uint64_t bytes)
{
    return cgroup_limit_memory(slot->cgroup, bytes);
}

bool slot_ran_out(struct slot *slot)
{
    return cgroup_ran_out(slot->cgroup);
}

void slot_put(struct slot *slot, const struct slot_job *job)
{
    slot->has_secrets |= job->secret_count > 0;
    if (slot->frame_at == SIZE_MAX) {
        slot->frame_at = slot->out.count;
        buf_put(&slot->out, "\0\0\0\0", SLOT_HEAD_BYTES);
    }
    size_t room = slot->out.capacity - slot->out.count;
    struct mp_writer writer = mp_writer(slot->out.bytes + slot->out.count, room);
    slot_job_write(&writer, job);
    if (mp_writer_is_full(&writer)) {
        size_t need = writer.need;
        writer = mp_writer(buf_reserve(&slot->out, need), need);
        slot_job_write(&writer, job);
    }
    slot->out.count += writer.need;
}

void slot_flush(struct slot *slot)
{
    if (slot->frame_at != SIZE_MAX) {
        size_t bytes = slot->out.count - slot->frame_at - SLOT_HEAD_BYTES;
        slot_head_write(slot->out.bytes + slot->frame_at, bytes);
        slot->frame_at = SIZE_MAX;
    }
    while (slot->written < slot->out.count) {
        ssize_t n = send(slot->fd, slot->out.bytes + slot->written, slot->out.count - slot->written,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) /* it died; the reading side tells */
            break;
        slot->written += (size_t)n;
    }
    forget_written(slot);
}

bool slot_is_writing(const struct slot *slot)
{
    return slot->written < slot->out.count;
}

enum status slot_receive(struct slot *slot, struct err *err)
{
    /* What has been handed out is forgotten; a started frame moves to the front. */
    size_t left = slot->in.count - slot->read_at;
    if (left)
        memmove(slot->in.bytes, slot->in.bytes + slot->read_at, left);
    slot->frame_end -= slot->frame_end ? slot->read_at : 0;
    slot->in.count = left;
    slot->read_at = 0;
    size_t room = slot->in.max - slot->in.count;
    room = room < 1 << 16 ? room : 1 << 16;
    uint8_t *at = room ? buf_reserve(&slot->in, room) : NULL;
    if (!at)
        return err_set(err, E_PROTOCOL, "slot %d: a message over %d bytes", (int)slot->child.pid,
                       SLOT_REPLY_BYTES_MAX);
    ssize_t n = recv(slot->fd, at, room, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return OK;
    if (n <= 0)
        return err_set(err, E_GONE, "slot %d: gone", (int)slot->child.pid);
    slot->in.count += (size_t)n;
    return OK;
}

bool slot_next(struct slot *slot, struct slot_message *out, bool *is_bad)
{
    *is_bad = false;
    if (!slot->frame_end) {
        if (slot->in.count - slot->read_at < SLOT_HEAD_BYTES)
            return false;
        size_t bytes = slot_head_read(slot->in.bytes + slot->read_at);
        *is_bad = !bytes || bytes > SLOT_REPLY_BYTES_MAX;
        if (*is_bad || slot->in.count - slot->read_at - SLOT_HEAD_BYTES < bytes)
            return false;
        slot->read_at += SLOT_HEAD_BYTES;
        slot->frame_end = slot->read_at + bytes;
    }
    struct mp_reader reader =
        mp_reader(slot->in.bytes + slot->read_at, slot->frame_end - slot->read_at);
    *is_bad = !slot_message_read(&reader, out);
    slot->read_at = slot->frame_end - (size_t)(reader.end - reader.at);
    if (slot->read_at == slot->frame_end)
        slot->frame_end = 0;
    return !*is_bad;
}
