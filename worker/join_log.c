/* What a running attempt has written so far, for whoever follows it. The file is read when somebody
 * asks, and not before: a million quiet tasks cost nothing. */
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"
#include "worker/join_state.h"

/* The job of an attempt that runs in a slot, or AGENT_NONE. An idle slot's last job is gone. */
static uint32_t find_job(const struct join *join, const struct attempt *attempt)
{
    for (uint32_t i = 0; i < join->slots; i++) {
        uint32_t job = join->seats[i].job;
        if (!agent_is_awaiting(join->agent, i))
            continue;
        const struct attempt *own = &works_get(join->works, job)->task.attempt;
        if (own->number == attempt->number && id_equal(&own->task, &attempt->task))
            return job;
    }
    return AGENT_NONE;
}

/* A piece of the file from `offset` on; what is far before its end is left out. */
static void read_piece(const char *path, uint64_t offset, uint8_t *room, struct log_msg *out)
{
    struct stat about;
    AUTO(fs_close_fd) int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode))
        return;
    out->size = (uint64_t)about.st_size < LOG_BYTES_MAX ? (uint64_t)about.st_size : LOG_BYTES_MAX;
    if (out->size > LOG_TAIL_BYTES_MAX && offset < out->size - LOG_TAIL_BYTES_MAX)
        offset = out->size - LOG_TAIL_BYTES_MAX;
    out->offset = offset;
    size_t most = offset < out->size ? (size_t)(out->size - offset) : 0;
    most = most < LOG_FRAME_BYTES_MAX ? most : LOG_FRAME_BYTES_MAX;
    ssize_t count = most ? pread(fd, room, most, (off_t)offset) : 0;
    out->text = (struct mp_view){room, count > 0 ? (size_t)count : 0};
}

void join_send_log(struct join *join, const struct watch_msg *watch)
{
    enum { HEAD_BYTES = 128 };
    static uint8_t piece[LOG_FRAME_BYTES_MAX], frame[LOG_FRAME_BYTES_MAX + HEAD_BYTES];
    uint32_t job = find_job(join, &watch->attempt);
    struct log_msg log = {.attempt = watch->attempt, .offset = watch->offset, .text = {piece, 0}};
    if (watch->offset > LOG_BYTES_MAX)
        log.offset = LOG_BYTES_MAX;
    if (job != AGENT_NONE)
        read_piece(works_log_path(join->works, job), log.offset, piece, &log);
    struct mp_writer writer = mp_writer(frame, sizeof frame);
    msg_write_log(&writer, &log);
    if (!mp_writer_is_full(&writer))
        link_send(join->link, frame, writer.need);
}
