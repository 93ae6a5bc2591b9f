/* A folder as a store:
 *
 *   blobs/ab/cdef…   the bytes of blob abcdef…, read-only
 *   trees/ab/cdef…   manifests of trees
 *   quarantine/…     what did not match its id, by its full id
 *   tmp/…            what is being written; renamed into place when whole
 *   journal/…        named objects, each a file under its key
 *
 * All names are relative to one descriptor, so it does not matter where the program goes to
 * afterwards. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/store/backend.h"
#include "common/store/source_file.h"
#include "common/store/store_dir.h"
#include "proto/limits.h"

enum {
    REFLINK_BYTES_MIN = 64 << 10,     /* smaller files are copied faster than shared */
    TEMP_SECONDS_MAX = 7 * 24 * 3600, /* older temporary files were left by a killed program */
};

const char *dir_key(enum store_space space, const struct id *id, char key[DIR_KEY_BYTES])
{
    char hex[ID_HEX_BYTES];
    id_hex(id, hex);
    snprintf(key, DIR_KEY_BYTES, "%s/%.2s/%s", dir_folder(space), hex, hex + 2);
    return key;
}

enum status dir_error(const struct dir *dir, int error, const char *key, const char *doing,
                      struct err *err)
{
    enum status status = fs_error(err, error, key, doing);
    if (dir->base.url) /* not while it is being opened */
        err_prefix(err, "store %s", dir->base.url);
    return status;
}

enum status dir_make_folder(const struct dir *dir, const char *name, struct err *err)
{
    if (mkdirat(dir->root, name, 0777) == 0 || errno == EEXIST)
        return OK;
    return dir_error(dir, errno, name, "cannot create folder", err);
}

static void dir_close(struct store *store)
{
    struct dir *dir = dir_of(store);
    fs_close_fd_auto(&dir->root);
    mem_free(dir->piece);
    mem_free(dir);
}

static enum status dir_open(const char *url, struct store **out, struct err *err)
{
    const char *path = strncmp(url, store_dir.scheme, 7) == 0 ? url + 7 : url;
    TRY(fs_make_dirs(path, err));
    int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return fs_error(err, errno, path, "cannot open the store");
    struct dir *dir = mem_alloc(sizeof *dir);
    *dir = (struct dir){.root = root};
    random_bytes(&dir->temp_prefix, sizeof dir->temp_prefix);
    static const char *const folders[] = {"blobs", "trees", "tmp"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        enum status status = dir_make_folder(dir, folders[i], err);
        if (status != OK) {
            dir_close(&dir->base);
            err_prefix(err, "%s", path);
            return status;
        }
    }
    /* What killed programs left. What can't be removed stays: it only takes room. */
    struct store_leavings ignored = {0};
    dir_sweep_folder(dir, "tmp", time(NULL) - TEMP_SECONDS_MAX, true, &ignored);
    *out = &dir->base;
    return OK;
}

static uint8_t *piece_of(struct dir *dir)
{
    if (!dir->piece)
        dir->piece = mem_alloc(SOURCE_PIECE_BYTES);
    return dir->piece;
}

/* ---- writing ---- */

void dir_temp_name(struct dir *dir, char name[DIR_KEY_BYTES])
{
    snprintf(name, DIR_KEY_BYTES, "tmp/%016llx-%llu", (unsigned long long)dir->temp_prefix,
             (unsigned long long)dir->temp_count++);
}

int dir_open_temp(struct dir *dir, char name[DIR_KEY_BYTES])
{
    dir_temp_name(dir, name);
    return openat(dir->root, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
}

/* Is the whole blob there? One that a power loss cut short has another size, and is then written
 * again; so is an old one whose time somebody else alone may change. */
static bool is_stored(const struct dir *dir, const char *key, uint64_t bytes)
{
    struct stat info;
    return fstatat(dir->root, key, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) &&
           (uint64_t)info.st_size == bytes && dir_is_fresh(dir, key, &info);
}

/* The folders that `key` is in. */
static enum status make_folders(const struct dir *dir, const char *key, struct err *err)
{
    char folder[OBJECT_KEY_BYTES_MAX + 1];
    for (const char *slash = strchr(key, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - key), key);
        TRY(dir_make_folder(dir, folder, err));
    }
    return OK;
}

enum status dir_rename(const struct dir *dir, const char *temp, const char *key, struct err *err)
{
    if (renameat(dir->root, temp, dir->root, key) == 0)
        return OK;
    if (errno == ENOENT) { /* the first of its folder */
        TRY(make_folders(dir, key, err));
        if (renameat(dir->root, temp, dir->root, key) == 0)
            return OK;
    }
    return dir_error(dir, errno, key, "cannot write", err);
}

/* Where a blob's bytes come from: memory, or an open file. */
struct origin {
    const void *data; /* NULL: the file */
    size_t bytes;
    const struct source_file *file;
};

static enum status write_temp(struct dir *dir, const struct origin *origin,
                              char temp[DIR_KEY_BYTES], struct err *err)
{
    AUTO(fs_close_fd) int fd = dir_open_temp(dir, temp);
    if (fd < 0)
        return fs_error(err, errno, temp, "cannot create");
    if (origin->data)
        return fs_write_all(fd, origin->data, origin->bytes, temp, err);
    return fs_copy_fd(origin->file->fd, fd, temp, err);
}

static enum status write_blob(struct dir *dir, const struct origin *origin, const char *key,
                              struct err *err)
{
    char temp[DIR_KEY_BYTES];
    enum status status = write_temp(dir, origin, temp, err);
    if (status != OK)
        err_prefix(err, "store %s", dir->base.url);
    if (status == OK && !origin->data)
        status = source_file_check(origin->file, err);
    if (status == OK)
        status = dir_rename(dir, temp, key, err);
    if (status != OK)
        unlinkat(dir->root, temp, 0);
    return status;
}

static enum status dir_put(struct store *store, enum store_space space, const struct id *id,
                           const void *data, size_t bytes, struct err *err)
{
    struct dir *dir = dir_of(store);
    char key[DIR_KEY_BYTES];
    if (is_stored(dir, dir_key(space, id, key), bytes))
        return OK;
    const struct origin memory = {.data = bytes ? data : "", .bytes = bytes};
    return write_blob(dir, &memory, key, err);
}

static enum status dir_put_file(struct store *store, const char *path, struct id *id,
                                uint64_t *bytes, struct err *err)
{
    struct dir *dir = dir_of(store);
    AUTO(source_file_close) struct source_file file = {.fd = -1};
    TRY(source_file_open(path, &file, err));
    uint8_t *piece = piece_of(dir);
    TRY(source_file_hash(file.fd, -1, path, piece, id, bytes, err));
    char key[DIR_KEY_BYTES];
    if (is_stored(dir, dir_key(STORE_BLOBS, id, key), *bytes))
        return OK;
    if (*bytes < SOURCE_PIECE_BYTES) { /* all of it is in the piece still */
        const struct origin memory = {.data = piece, .bytes = (size_t)*bytes};
        return write_blob(dir, &memory, key, err);
    }
    if (lseek(file.fd, 0, SEEK_SET) != 0)
        return fs_error(err, errno, path, "cannot read");
    return write_blob(dir, &(struct origin){.file = &file}, key, err);
}

/* ---- reading ---- */

static enum status open_blob(struct dir *dir, enum store_space space, const struct id *id,
                             bool is_second, int *fd, struct err *err)
{
    char key[DIR_KEY_BYTES];
    *fd = openat(dir->root, dir_key(space, id, key), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0 && errno == ENOENT)
        return store_absent(&dir->base, space, id, err);
    if (*fd < 0)
        return dir_error(dir, errno, key, "cannot open", err);
    /* A second reading drops the cached pages, so that this time the device is asked. */
    posix_fadvise(*fd, 0, 0, is_second ? POSIX_FADV_DONTNEED : POSIX_FADV_SEQUENTIAL);
    return OK;
}

static enum status dir_get(struct store *store, enum store_space space, const struct id *id,
                           bool is_second, struct buf *out, struct err *err)
{
    struct dir *dir = dir_of(store);
    AUTO(fs_close_fd) int fd = -1;
    TRY(open_blob(dir, space, id, is_second, &fd, err));
    char key[DIR_KEY_BYTES];
    enum status status = fs_read_fd(fd, dir_key(space, id, key), out, err);
    if (status != OK)
        err_prefix(err, "store %s", store->url);
    return status;
}

static enum status dir_get_file(struct store *store, const struct id *id, bool is_second,
                                const char *path, struct id *seen, struct err *err)
{
    struct dir *dir = dir_of(store);
    AUTO(fs_close_fd) int fd = -1;
    TRY(open_blob(dir, STORE_BLOBS, id, is_second, &fd, err));
    uint64_t bytes;
    if (!path)
        return source_file_hash(fd, -1, "a blob", piece_of(dir), seen, &bytes, err);
    AUTO(fs_close_fd) int to = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (to < 0)
        return fs_error(err, errno, path, "cannot create");
    struct stat info;
    bool is_shared = fstat(fd, &info) == 0 && info.st_size >= REFLINK_BYTES_MIN && !is_second &&
                     ioctl(to, FICLONE, fd) == 0;
    return source_file_hash(is_shared ? to : fd, is_shared ? -1 : to, path, piece_of(dir), seen,
                            &bytes, err);
}

static enum status dir_has(struct store *store, const struct id *ids, size_t count, bool *has,
                           struct err *err)
{
    struct dir *dir = dir_of(store);
    char key[DIR_KEY_BYTES];
    for (size_t i = 0; i < count; i++) {
        has[i] = faccessat(dir->root, dir_key(STORE_BLOBS, &ids[i], key), F_OK, 0) == 0;
        if (!has[i] && errno != ENOENT)
            return dir_error(dir, errno, key, "cannot look", err);
    }
    return OK;
}

const struct store_backend store_dir = {
    .scheme = "file://",
    .open = dir_open,
    .close = dir_close,
    .put_file = dir_put_file,
    .put = dir_put,
    .get_file = dir_get_file,
    .get = dir_get,
    .has = dir_has,
    .list = dir_list,
    .renew = dir_renew,
    .remove = dir_remove,
    .remove_old = dir_remove_old,
    .quarantine = dir_quarantine,
    .sweep = dir_sweep,
    .flush = dir_flush,
    .put_object = dir_put_object,
    .get_object = dir_get_object,
    .list_objects = dir_list_objects,
    .remove_object = dir_remove_object,
};
