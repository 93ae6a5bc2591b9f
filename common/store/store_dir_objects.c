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
#include "common/store/store_dir.h"
#include "proto/limits.h"

static enum status write_temp(struct dir *dir, const void *data, size_t bytes,
                              char temp[DIR_KEY_BYTES], struct err *err)
{
    AUTO(fs_close_fd) int fd = dir_open_temp(dir, temp);
    if (fd < 0)
        return dir_error(dir, errno, temp, "cannot create", err);
    enum status status = fs_write_all(fd, data, bytes, temp, err);
    if (status != OK)
        err_prefix(err, "store %s", dir->base.url);
    return status;
}

enum status dir_put_object(struct store *store, const char *key, const void *data, size_t bytes,
                           struct err *err)
{
    struct dir *dir = dir_of(store);
    char temp[DIR_KEY_BYTES];
    enum status status = write_temp(dir, data, bytes, temp, err);
    if (status == OK)
        status = dir_rename(dir, temp, key, err);
    if (status != OK)
        unlinkat(dir->root, temp, 0);
    return status;
}

enum status dir_get_object(struct store *store, const char *key, struct buf *out, struct err *err)
{
    struct dir *dir = dir_of(store);
    AUTO(fs_close_fd) int fd = openat(dir->root, key, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat info;
    if ((fd < 0 && (errno == ENOENT || errno == ENOTDIR)) ||
        (fd >= 0 && fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)))
        return store_absent_object(store, key, err);
    if (fd < 0)
        return dir_error(dir, errno, key, "cannot open", err);
    enum status status = fs_read_fd(fd, key, out, err);
    if (status != OK)
        err_prefix(err, "store %s", store->url);
    return status;
}

enum status dir_remove_object(struct store *store, const char *key, struct err *err)
{
    struct dir *dir = dir_of(store);
    if (unlinkat(dir->root, key, 0) == 0 || errno == ENOENT || errno == ENOTDIR)
        return OK;
    return dir_error(dir, errno, key, "cannot remove", err);
}

/* ---- listing ---- */

struct found {
    struct store_object object;
    bool is_folder;
};

struct walk {
    struct dir *dir;
    const char *prefix, *after;
    struct arena names;
    struct found *found; /* objects, and folders still to be listed */
    size_t count, capacity;
};

static void walk_fini(struct walk *walk)
{
    arena_fini(&walk->names);
    mem_free(walk->found);
}
DEFINE_AUTO_VALUE(struct walk, walk_fini)

static void close_folder_auto(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

/* Can what is at `key`, or below it, begin with the prefix? */
static bool is_wanted(const struct walk *walk, const char *key, bool is_folder)
{
    size_t key_bytes = strlen(key), prefix_bytes = strlen(walk->prefix);
    if (is_folder && key_bytes < prefix_bytes)
        return strncmp(key, walk->prefix, key_bytes) == 0 && walk->prefix[key_bytes] == '/';
    if (!is_folder && walk->after && strcmp(key, walk->after) <= 0)
        return false;
    return strncmp(key, walk->prefix, prefix_bytes) == 0;
}

static void add_found(struct walk *walk, int fd, const char *folder, const char *name)
{
    const char *key = arena_format(&walk->names, "%s/%s", folder, name);
    struct stat info; /* what is gone by now was removed or replaced by others */
    if (fstatat(fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !(S_ISDIR(info.st_mode) || S_ISREG(info.st_mode)) ||
        !is_wanted(walk, key, S_ISDIR(info.st_mode)))
        return;
    if (walk->count == walk->capacity) {
        walk->capacity = walk->capacity ? walk->capacity * 2 : 64;
        walk->found = mem_resize(walk->found, walk->capacity * sizeof *walk->found);
    }
    walk->found[walk->count++] = (struct found){
        .object = {.key = key, .bytes = (uint64_t)info.st_size, .modified_s = info.st_mtime},
        .is_folder = S_ISDIR(info.st_mode)};
}

static enum status list_folder(struct walk *walk, const char *name, struct err *err)
{
    int fd = openat(walk->dir->root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO(close_folder) DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        int error = errno;
        fs_close_fd_auto(&fd);
        return error == ENOENT || error == ENOTDIR
                   ? OK
                   : dir_error(walk->dir, error, name, "cannot list", err);
    }
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            add_found(walk, fd, name, entry->d_name);
    return OK;
}

static int compare_found(const void *a, const void *b)
{
    return strcmp(((const struct found *)a)->object.key, ((const struct found *)b)->object.key);
}

enum status dir_list_objects(struct store *store, const struct store_range *range,
                             store_visit_object *visit, void *context, struct err *err)
{
    AUTO(walk_fini)
    struct walk walk = {dir_of(store), .prefix = range->prefix, .after = range->after};
    char first[OBJECT_KEY_BYTES_MAX + 1];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(range->prefix, "/"), range->prefix);
    TRY(list_folder(&walk, first, err));
    for (size_t i = 0; i < walk.count; i++) /* the list grows while it is gone through */
        if (walk.found[i].is_folder)
            TRY(list_folder(&walk, walk.found[i].object.key, err));
    if (walk.count)
        qsort(walk.found, walk.count, sizeof *walk.found, compare_found);
    for (size_t i = 0; i < walk.count; i++)
        if (!walk.found[i].is_folder)
            TRY(visit(context, &walk.found[i].object, err));
    return OK;
}
