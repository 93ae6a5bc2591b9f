// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "proto/limits.h"

/* Folders nested deeper than this are first moved up, so that removal needs few descriptors and
 * little stack however deep somebody nested them. */
enum { REMOVE_DEPTH_MAX = 32, LIST_BYTES = 4096 };

static void close_folder_auto(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

static bool is_dot(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Opens a folder, never through a symlink; one that its owner has locked (mode 0) is unlocked
 * first. */
static int open_folder(int parent, const char *name)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(parent, name, flags);
    AUTO(fs_close_fd)
    int handle = fd < 0 && errno == EACCES ? openat(parent, name, O_PATH | flags) : -1;
    if (handle < 0)
        return fd;
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", handle);
    return chmod(self, 0700) == 0 ? openat(parent, name, flags) : -1;
}

struct removal {
    int root;
    const char *const *keep; /* names in the root that stay, NULL-terminated; NULL: none */
    uint64_t moved_count;
    const char *path; /* of the root, for messages */
};

static enum status remove_content(struct removal *removal, int fd, int depth, struct err *err);

static bool is_kept(const struct removal *removal, const char *name)
{
    for (const char *const *keep = removal->keep; keep && *keep; keep++)
        if (!strcmp(*keep, name))
            return true;
    return false;
}

static enum status remove_entry(struct removal *removal, int parent, const char *name, int depth,
                                struct err *err)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return OK;
    if (errno != EISDIR && errno != EPERM && errno != EACCES)
        return fs_error(err, errno, name, "cannot remove");
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
        return OK;
    if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES)
        return fs_error(err, errno, name, "cannot remove");
    if (depth >= REMOVE_DEPTH_MAX) {
        char up[64];
        snprintf(up, sizeof up, ".removing-%d-%llu", (int)getpid(),
                 (unsigned long long)removal->moved_count++);
        if (renameat(parent, name, removal->root, up) == 0)
            return OK;
    }
    AUTO(fs_close_fd) int fd = open_folder(parent, name);
    if (fd < 0)
        return fs_error(err, errno, name, "cannot remove");
    TRY(remove_content(removal, fd, depth + 1, err));
    if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return fs_error(err, errno, name, "cannot remove");
    return OK;
}

static enum status remove_listed(struct removal *removal, int fd, const char *list, size_t bytes,
                                 int depth, struct err *err)
{
    for (size_t at = 0; at < bytes;) {
        const struct dirent64 *entry = (const struct dirent64 *)(const void *)(list + at);
        at += entry->d_reclen;
        if (!is_dot(entry->d_name) && (depth || !is_kept(removal, entry->d_name)))
            TRY(remove_entry(removal, fd, entry->d_name, depth, err));
    }
    return OK;
}

/* Names are deleted while they are listed: a list of several pieces may miss some, and so does the
 * root's where folders were moved up, so it lists again. */
static enum status remove_content(struct removal *removal, int fd, int depth, struct err *err)
{
    _Alignas(struct dirent64) char list[LIST_BYTES];
    (void)fchmod(
        fd,
        0700); /* so that entries of a read-only folder can go; where it fails, unlinkat says why */
    for (bool is_again = true; is_again;) {
        uint64_t moved_count = removal->moved_count;
        int pieces = 0;
        ssize_t bytes;
        while ((bytes = getdents64(fd, list, sizeof list)) > 0) {
            pieces++;
            TRY(remove_listed(removal, fd, list, (size_t)bytes, depth, err));
        }
        if (bytes < 0)
            return fs_error(err, errno, removal->path, "cannot list");
        is_again = pieces > 1 || (!depth && removal->moved_count != moved_count);
        if (is_again && lseek(fd, 0, SEEK_SET) != 0)
            return fs_error(err, errno, removal->path, "cannot list");
    }
    return OK;
}

enum status fs_remove_tree(const char *path, struct err *err)
{
    if (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR)
        return OK;
    struct removal removal = {.path = path};
    AUTO(fs_close_fd) int fd = open_folder(AT_FDCWD, path);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot remove");
    removal.root = fd;
    enum status status = remove_content(&removal, fd, 0, err);
    if (status != OK) {
        err_prefix(err, "%s", path);
        return status;
    }
    if (rmdir(path) != 0 && errno != ENOENT)
        return fs_error(err, errno, path, "cannot remove");
    return OK;
}

enum status fs_clear(int fd, const char *path, const char *const *keep, struct err *err)
{
    struct removal removal = {.root = fd, .path = path, .keep = keep};
    enum status status = remove_content(&removal, fd, 0, err);
    if (status != OK)
        err_prefix(err, "%s", path);
    return status;
}

/* ---- walking ---- */

struct entry {
    const char *path;
    uint64_t bytes;
    bool is_executable, is_folder;
};

struct walk {
    const char *root;
    int root_fd;
    struct arena names;
    struct entry *files; /* files, and folders still to be listed */
    size_t count, capacity;
};

static void walk_fini(struct walk *walk)
{
    arena_fini(&walk->names);
    mem_free(walk->files);
    fs_close_fd_auto(&walk->root_fd);
}
DEFINE_AUTO_VALUE(struct walk, walk_fini)

static enum status walk_error(const struct walk *walk, int error, const char *path,
                              const char *doing, struct err *err)
{
    enum status status = fs_error(err, error, path, doing);
    err_prefix(err, "%s", walk->root);
    return status;
}

static enum status add_entry(struct walk *walk, int folder, const char *prefix, const char *name,
                             struct err *err)
{
    const char *path = arena_format(&walk->names, "%s%s%s", prefix, prefix[0] ? "/" : "", name);
    struct stat info;
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return walk_error(walk, errno, path, "cannot read", err);
    bool is_folder = S_ISDIR(info.st_mode);
    if (!is_folder && !S_ISREG(info.st_mode))
        return err_set(err, E_INVALID,
                       "%s/%s: %s can't be part of an artifact; only files and folders can",
                       walk->root, path,
                       S_ISLNK(info.st_mode)    ? "a symbolic link"
                       : S_ISSOCK(info.st_mode) ? "a socket"
                       : S_ISFIFO(info.st_mode) ? "a named pipe"
                                                : "a device");
    if (walk->count >= TREE_ENTRIES_MAX)
        return err_set(err, E_LIMIT, "%s: more than %d files", walk->root, TREE_ENTRIES_MAX);
    if (strlen(path) > TREE_PATH_BYTES_MAX)
        return err_set(err, E_LIMIT, "%s/%.200s…: the path is longer than %d bytes", walk->root,
                       path, TREE_PATH_BYTES_MAX);
    if (walk->count == walk->capacity) {
        walk->capacity = walk->capacity ? walk->capacity * 2 : 64;
        walk->files = mem_resize(walk->files, walk->capacity * sizeof *walk->files);
    }
    walk->files[walk->count++] = (struct entry){.path = path,
                                                .bytes = (uint64_t)info.st_size,
                                                .is_executable = info.st_mode & 0111,
                                                .is_folder = is_folder};
    return OK;
}

static enum status list_folder(struct walk *walk, const char *prefix, struct err *err)
{
    int fd = openat(walk->root_fd, prefix[0] ? prefix : ".",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO(close_folder) DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        int error = errno;
        fs_close_fd_auto(&fd);
        return walk_error(walk, error, prefix, "cannot list", err);
    }
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (!is_dot(entry->d_name))
            TRY(add_entry(walk, fd, prefix, entry->d_name, err));
    return OK;
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->path, ((const struct entry *)b)->path);
}

enum status fs_walk(const char *root,
                    enum status (*visit)(void *context, const char *path, bool is_executable,
                                         uint64_t bytes, struct err *err),
                    void *context, struct err *err)
{
    AUTO(walk_fini) struct walk walk = {.root = root};
    walk.root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (walk.root_fd < 0)
        return fs_error(err, errno, root, "cannot open folder");
    TRY(list_folder(&walk, "", err));
    for (size_t i = 0; i < walk.count; i++) /* the list grows while it is gone through */
        if (walk.files[i].is_folder)
            TRY(list_folder(&walk, walk.files[i].path, err));
    if (walk.count)
        qsort(walk.files, walk.count, sizeof *walk.files, compare_entries);
    for (size_t i = 0; i < walk.count; i++)
        if (!walk.files[i].is_folder)
            TRY(visit(context, walk.files[i].path, walk.files[i].is_executable, walk.files[i].bytes,
                      err));
    return OK;
}
