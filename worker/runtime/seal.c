// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/seal.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"

enum {
    /* Folders in folders; each holds a descriptor while it is gone through. */
    DEPTH_MAX = 32
};

static void close_folder_auto(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

static bool seal_file(int folder, const char *name, const struct stat *found, mode_t mode)
{
    return found->st_nlink == 1 && fchmodat(folder, name, mode, 0) == 0;
}

static bool seal_folder(int parent, const char *name, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    AUTO(close_folder) DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return false;
    }
    bool is_empty = true;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        struct stat found;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        is_empty = false;
        if (fstatat(fd, entry->d_name, &found, AT_SYMLINK_NOFOLLOW))
            return false;
        bool is_sealed =
            S_ISDIR(found.st_mode) ? depth < DEPTH_MAX && seal_folder(fd, entry->d_name, depth + 1)
            : S_ISREG(found.st_mode)
                ? seal_file(fd, entry->d_name, &found, found.st_mode & 0111 ? 0555 : 0444)
                : false;
        if (!is_sealed)
            return false;
    }
    /* A tree has no empty folders, but may itself be one. */
    return (!is_empty || !depth) && fchmod(fd, 0755) == 0;
}

struct seal seal_output(const char *path)
{
    struct stat found;
    struct seal seal = {0};
    if (lstat(path, &found))
        return seal;
    bool is_sealed = S_ISDIR(found.st_mode)   ? seal_folder(AT_FDCWD, path, 0)
                     : S_ISREG(found.st_mode) ? seal_file(AT_FDCWD, path, &found, 0444)
                                              : false;
    seal.is_sealed = is_sealed && file_state_read(path, &seal.seen);
    return seal;
}

bool file_state_read(const char *path, struct file_state *out)
{
    struct stat found;
    if (lstat(path, &found))
        return false;
    *out = (struct file_state){found.st_dev, found.st_ino, found.st_size, found.st_ctim};
    return true;
}

bool file_state_is_same(const struct file_state *a, const struct file_state *b)
{
    return a->inode == b->inode && a->device == b->device && a->bytes == b->bytes &&
           a->changed_at.tv_sec == b->changed_at.tv_sec &&
           a->changed_at.tv_nsec == b->changed_at.tv_nsec;
}
