// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/fs.h"
#include "common/store/store_dir.h"
#include "proto/limits.h"

static void close_folder_auto(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

struct listing {
    struct dir *dir;
    enum store_space space;
    store_visit_item *visit;
    void *context;
};

static enum status list_fan_out(const struct listing *listing, const char *two_digits,
                                struct err *err)
{
    char name[DIR_KEY_BYTES], hex[DIR_KEY_BYTES];
    snprintf(name, sizeof name, "%s/%.2s", dir_folder(listing->space), two_digits);
    int fd = openat(listing->dir->root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO(close_folder) DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        enum status status = dir_error(listing->dir, errno, name, "cannot list", err);
        fs_close_fd_auto(&fd);
        return status;
    }
    for (const struct dirent *entry; (entry = readdir(folder));) {
        struct store_item item = {.is_manifest = listing->space == STORE_TREES};
        struct stat info;
        int bytes = snprintf(hex, sizeof hex, "%.2s%.80s", two_digits, entry->d_name);
        if (id_parse(hex, (size_t)bytes, &item.id, NULL) != OK ||
            fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        item.bytes = (uint64_t)info.st_size;
        item.modified_s = info.st_mtime;
        TRY(listing->visit(listing->context, &item, err));
    }
    return OK;
}

static enum status list_space(const struct listing *listing, struct err *err)
{
    for (int i = 0; i < 256; i++) {
        char name[DIR_KEY_BYTES];
        int bytes = snprintf(name, sizeof name, "%s/%02x", dir_folder(listing->space), i);
        if (faccessat(listing->dir->root, name, F_OK, 0) == 0)
            TRY(list_fan_out(listing, name + bytes - 2, err));
    }
    return OK;
}

enum status dir_list(struct store *store, store_visit_item *visit, void *context, struct err *err)
{
    struct listing listing = {dir_of(store), STORE_BLOBS, visit, context};
    TRY(list_space(&listing, err));
    listing.space = STORE_TREES;
    return list_space(&listing, err);
}

enum status dir_remove(struct store *store, enum store_space space, const struct id *id,
                       struct err *err)
{
    struct dir *dir = dir_of(store);
    char key[DIR_KEY_BYTES];
    if (unlinkat(dir->root, dir_key(space, id, key), 0) == 0 || errno == ENOENT)
        return OK;
    return dir_error(dir, errno, key, "cannot remove", err);
}

/* ---- what is old ---- */

static bool is_new(const struct stat *info)
{
    return info->st_mtime > time(NULL) - STORE_FRESH_SECONDS;
}

/* Made new, and there still: a file that is being removed may get its time when nobody looks at it
 * any more. */
bool dir_is_fresh(const struct dir *dir, const char *key, const struct stat *info)
{
    struct stat now;
    return is_new(info) ||
           (utimensat(dir->root, key, NULL, AT_SYMLINK_NOFOLLOW) == 0 &&
            fstatat(dir->root, key, &now, AT_SYMLINK_NOFOLLOW) == 0 && is_new(&now));
}

enum status dir_renew(struct store *store, enum store_space space, const struct id *ids,
                      size_t count, bool *has, struct err *err)
{
    const struct dir *dir = dir_of(store);
    char key[DIR_KEY_BYTES];
    struct stat info;
    for (size_t i = 0; i < count; i++) {
        has[i] = fstatat(dir->root, dir_key(space, &ids[i], key), &info, AT_SYMLINK_NOFOLLOW) == 0;
        if (!has[i] && errno != ENOENT)
            return dir_error(dir, errno, key, "cannot look", err);
        has[i] = has[i] && dir_is_fresh(dir, key, &info);
    }
    return OK;
}

/* Aside first, then a last look: who makes it new before that is seen, and who comes after does not
 * find it and puts it again. */
enum status dir_remove_old(struct store *store, enum store_space space, const struct id *id,
                           int64_t before_s, bool *is_removed, struct err *err)
{
    struct dir *dir = dir_of(store);
    char key[DIR_KEY_BYTES], aside[DIR_KEY_BYTES];
    struct stat info;
    dir_key(space, id, key);
    if (fstatat(dir->root, key, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_mtime >= before_s)
        return OK;
    dir_temp_name(dir, aside);
    if (renameat(dir->root, key, dir->root, aside) != 0)
        return errno == ENOENT ? OK : dir_error(dir, errno, key, "cannot remove", err);
    if (fstatat(dir->root, aside, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_mtime >= before_s)
        return dir_rename(dir, aside, key, err);
    *is_removed = unlinkat(dir->root, aside, 0) == 0;
    return *is_removed ? OK : dir_error(dir, errno, aside, "cannot remove", err);
}

void dir_sweep_folder(const struct dir *dir, const char *name, int64_t before_s, bool removes,
                      struct store_leavings *out)
{
    int fd = openat(dir->root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    AUTO(close_folder) DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        fs_close_fd_auto(&fd);
        return;
    }
    struct stat info;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        if (fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode) ||
            info.st_mtime >= before_s || (removes && unlinkat(fd, entry->d_name, 0) != 0))
            continue;
        out->count++;
        out->bytes += (uint64_t)info.st_size;
    }
}

/* What is in tmp/ goes when a store is opened. */
enum status dir_sweep(struct store *store, int64_t before_s, bool removes,
                      struct store_leavings *out, struct err *err)
{
    (void)err;
    dir_sweep_folder(dir_of(store), "quarantine", before_s, removes, out);
    return OK;
}

enum status dir_quarantine(struct store *store, enum store_space space, const struct id *id,
                           struct err *err)
{
    struct dir *dir = dir_of(store);
    char key[DIR_KEY_BYTES], place[DIR_KEY_BYTES], hex[ID_HEX_BYTES];
    TRY(dir_make_folder(dir, "quarantine", err));
    snprintf(place, sizeof place, "quarantine/%s", id_hex(id, hex));
    if (renameat(dir->root, dir_key(space, id, key), dir->root, place) != 0)
        return errno == ENOENT ? OK : dir_error(dir, errno, key, "cannot move to quarantine/", err);
    utimensat(dir->root, place, NULL, AT_SYMLINK_NOFOLLOW); /* its time there begins */
    return OK;
}

/* All of the file system, since other processes put blobs here, too: what they wrote is to be safe
 * as well. */
enum status dir_flush(struct store *store, struct err *err)
{
    const struct dir *dir = dir_of(store);
    return syncfs(dir->root) == 0 ? OK : dir_error(dir, errno, ".", "cannot flush", err);
}
