// SPDX-License-Identifier: Apache-2.0
#include "common/store/source_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "common/crypto/hash.h"
#include "common/fs.h"

enum status source_file_open(const char *path, struct source_file *out, struct err *err)
{
    *out = (struct source_file){.fd = -1, .path = path};
    AUTO(fs_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot open");
    if (fstat(fd, &out->before) != 0)
        return fs_error(err, errno, path, "cannot read");
    if (!S_ISREG(out->before.st_mode))
        return err_set(err, E_INVALID, "%s: not a regular file", path);
    if (out->before.st_size >= SOURCE_PIECE_BYTES) /* the kernel reads ahead while we hash */
        posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    out->fd = fd;
    fd = -1;
    return OK;
}

void source_file_close(struct source_file *file)
{
    fs_close_fd_auto(&file->fd);
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

enum status source_file_check(const struct source_file *file, struct err *err)
{
    const struct stat *before = &file->before;
    struct stat now;
    if (fstat(file->fd, &now) != 0)
        return fs_error(err, errno, file->path, "cannot read");
    if (now.st_size == before->st_size && is_same_time(&now.st_mtim, &before->st_mtim) &&
        is_same_time(&now.st_ctim, &before->st_ctim))
        return OK;
    return err_set(err, E_CONFLICT, "%s: changed while it was read", file->path);
}

/* Fills the piece as far as the file goes. */
static enum status read_piece(int fd, uint8_t *piece, size_t *count, const char *path,
                              struct err *err)
{
    *count = 0;
    while (*count < SOURCE_PIECE_BYTES) {
        ssize_t got = read(fd, piece + *count, SOURCE_PIECE_BYTES - *count);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fs_error(err, errno, path, "cannot read");
        if (got == 0)
            break;
        *count += (size_t)got;
    }
    return OK;
}

enum status source_file_hash(int fd, int to, const char *path, uint8_t *piece, struct id *id,
                             uint64_t *bytes, struct err *err)
{
    struct hasher hasher;
    hash_init(&hasher, NULL);
    *bytes = 0;
    for (size_t count = SOURCE_PIECE_BYTES; count == SOURCE_PIECE_BYTES; *bytes += count) {
        TRY(read_piece(fd, piece, &count, path, err));
        hash_update(&hasher, piece, count);
        if (to >= 0)
            TRY(fs_write_all(to, piece, count, path, err));
    }
    hash_final(&hasher, id);
    return OK;
}
