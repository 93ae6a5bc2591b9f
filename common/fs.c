// SPDX-License-Identifier: Apache-2.0
#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/crypto/sign.h"

enum { READ_BYTES = 1 << 16, TEMP_TRIES = 16 };

static enum status status_of(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT: return E_FULL;
    case ENOENT:
    case ENOTDIR: return E_NOTFOUND;
    case EACCES:
    case EPERM:
    case EROFS: return E_DENIED;
    case EEXIST: return E_CONFLICT;
    case ENOMEM: return E_NOMEM;
    default: return E_IO;
    }
}

enum status fs_error(struct err *err, int error, const char *path, const char *doing)
{
    return err_set(err, status_of(error), "%s: %s: %s", path, doing, strerror(error));
}

void fs_close_fd_auto(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static enum status read_to_end(int fd, const char *path, struct buf *out, struct err *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return fs_error(err, errno, path, "cannot read");
    if (S_ISREG(info.st_mode) && info.st_size > 0)
        TRY(buf_try_reserve(out, (size_t)info.st_size, path, err));
    for (;;) {
        if (out->count == out->capacity && out->count < out->max) {
            size_t more = out->max - out->count;
            TRY(buf_try_reserve(out, more < READ_BYTES ? more : READ_BYTES, path, err));
        }
        uint8_t beyond; /* is there anything after the maximum? */
        size_t room = out->capacity - out->count;
        if (room > out->max - out->count)
            room = out->max - out->count;
        ssize_t got = read(fd, room ? out->bytes + out->count : &beyond, room ? room : 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fs_error(err, errno, path, "cannot read");
        if (got == 0)
            return OK;
        if (!room)
            return err_set(err, E_LIMIT, "%s: more than %zu bytes", path, out->max);
        out->count += (size_t)got;
    }
}

enum status fs_read_fd(int fd, const char *path, struct buf *out, struct err *err)
{
    size_t before = out->count;
    enum status status = read_to_end(fd, path, out, err);
    if (status != OK)
        out->count = before;
    return status;
}

enum status fs_read(const char *path, struct buf *out, struct err *err)
{
    AUTO(fs_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot open");
    return fs_read_fd(fd, path, out, err);
}

enum status fs_write_all(int fd, const void *data, size_t bytes, const char *path, struct err *err)
{
    const uint8_t *at = data;
    while (bytes) {
        ssize_t done = write(fd, at, bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fs_error(err, errno, path, "cannot write");
        at += done;
        bytes -= (size_t)done;
    }
    return OK;
}

enum status fs_temp_name(const char *path, char *out, size_t out_bytes, struct err *err)
{
    uint64_t draw;
    random_bytes(&draw, sizeof draw);
    int bytes = snprintf(out, out_bytes, "%s.tmp-%016llx", path, (unsigned long long)draw);
    if (bytes < 0 || (size_t)bytes >= out_bytes)
        return err_set(err, E_LIMIT, "%.200s…: the path is longer than %zu bytes", path, out_bytes);
    return OK;
}

static enum status write_new_file(const char *path, const void *data, size_t bytes, struct err *err)
{
    AUTO(fs_close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot create");
    return fs_write_all(fd, data, bytes, path, err);
}

enum status fs_write(const char *path, const void *data, size_t bytes, struct err *err)
{
    char temp[PATH_MAX];
    TRY(fs_temp_name(path, temp, sizeof temp, err));
    enum status status = write_new_file(temp, data, bytes, err);
    if (status == OK && rename(temp, path) != 0)
        status = fs_error(err, errno, path, "cannot replace");
    if (status != OK)
        unlink(temp);
    return status;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum status fs_make_dirs(const char *path, struct err *err)
{
    char part[PATH_MAX];
    size_t bytes = strlen(path);
    if (bytes >= sizeof part)
        return err_set(err, E_LIMIT, "%.200s…: the path is longer than %d bytes", path, PATH_MAX);
    if (bytes == 0)
        return err_set(err, E_INVALID, "a folder's name is empty");
    if (mkdir(path, 0777) == 0 || is_folder(path)) /* the usual cases need no walk */
        return OK;
    memcpy(part, path, bytes + 1);
    for (size_t i = 1; i <= bytes; i++) {
        if (part[i] && part[i] != '/')
            continue;
        part[i] = 0;
        if (mkdir(part, 0777) != 0) {
            int error = errno;
            if (!is_folder(part))
                return fs_error(err, error == EEXIST ? ENOTDIR : error, part,
                                "cannot create folder");
        }
        part[i] = i < bytes ? '/' : 0;
    }
    return OK;
}

enum status fs_make_temp_dir(const char *prefix, char *out, size_t out_bytes, struct err *err)
{
    for (int i = 0; i < TEMP_TRIES; i++) {
        uint64_t draw;
        random_bytes(&draw, sizeof draw);
        int bytes = snprintf(out, out_bytes, "%s%016llx", prefix, (unsigned long long)draw);
        if (bytes < 0 || (size_t)bytes >= out_bytes)
            return err_set(err, E_LIMIT, "%.200s…: the path is too long", prefix);
        if (mkdir(out, 0700) == 0)
            return OK;
        if (errno != EEXIST)
            return fs_error(err, errno, out, "cannot create folder");
    }
    return err_set(err, E_CONFLICT, "%s: no free name for a folder", prefix);
}

bool fs_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

enum status fs_flush(const char *path, struct err *err)
{
    AUTO(fs_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot open");
    /* A folder's entries are all metadata: fdatasync would do, but only fsync is promised to. */
    int result = is_folder(path) ? fsync(fd) : fdatasync(fd);
    return result == 0 ? OK : fs_error(err, errno, path, "cannot flush");
}

enum status fs_flush_all(const char *path, struct err *err)
{
    AUTO(fs_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot open");
    return syncfs(fd) == 0 ? OK : fs_error(err, errno, path, "cannot flush");
}
