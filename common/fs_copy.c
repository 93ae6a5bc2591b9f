// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/fs.h"

enum { COPY_BYTES = 1 << 16, KERNEL_COPY_BYTES = 1 << 30 };

/* Reads and writes, for where the kernel can't copy by itself (other file systems, pipes). */
static enum status copy_by_hand(int from, int to, const char *path, struct err *err)
{
    AUTO(mem_free) uint8_t *piece = mem_alloc(COPY_BYTES);
    for (;;) {
        ssize_t got = read(from, piece, COPY_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fs_error(err, errno, path, "cannot read");
        if (got == 0)
            return OK;
        TRY(fs_write_all(to, piece, (size_t)got, path, err));
    }
}

enum status fs_copy_fd(int from, int to, const char *path, struct err *err)
{
    if (ioctl(to, FICLONE, from) == 0)
        return OK;
    for (bool has_begun = false;; has_begun = true) {
        ssize_t done = copy_file_range(from, NULL, to, NULL, KERNEL_COPY_BYTES, 0);
        /* Some file systems (/proc) answer 0 at the start of a file that has content: ask read()
         * instead. */
        if (done == 0)
            return has_begun ? OK : copy_by_hand(from, to, path, err);
        if (done > 0)
            continue;
        if (errno == ENOSPC || errno == EDQUOT || errno == EIO)
            return fs_error(err, errno, path, "cannot write");
        if (errno != EINTR)
            return copy_by_hand(from, to, path, err); /* goes on from both files' positions */
    }
}

static enum status copy_new(int from, const char *from_path, const char *to, mode_t mode,
                            struct err *err)
{
    struct stat info;
    if (fstat(from, &info) != 0)
        return fs_error(err, errno, from_path, "cannot read");
    if (!S_ISREG(info.st_mode))
        return err_set(err, E_INVALID, "%s: not a regular file", from_path);
    AUTO(fs_close_fd)
    int fd =
        open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, info.st_mode & 0111 ? mode | 0111 : mode);
    if (fd < 0)
        return fs_error(err, errno, to, "cannot create");
    enum status status = fs_copy_fd(from, fd, to, err);
    if (status != OK)
        unlink(to);
    return status;
}

static enum status copy(const char *from, const char *to, mode_t mode, struct err *err)
{
    AUTO(fs_close_fd) int fd = open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fs_error(err, errno, from, "cannot open");
    return copy_new(fd, from, to, mode, err);
}

enum status fs_copy(const char *from, const char *to, struct err *err)
{
    return copy(from, to, 0666, err);
}

enum status fs_copy_read_only(const char *from, const char *to, struct err *err)
{
    return copy(from, to, 0444, err);
}

enum status fs_rename_new(const char *from, const char *to, struct err *err)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return OK;
    if (errno != EINVAL && errno != ENOSYS)
        return fs_error(err, errno, to, "cannot create");
    /* The file system has no such rename: a link fails where the name is taken, too. */
    if (link(from, to) != 0)
        return fs_error(err, errno, to, "cannot create");
    unlink(from);
    return OK;
}
