// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/folders.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "worker/kinds/kind.h"

/* Inner ones first: what is done to one part changes the one around it. */
enum part { PART_TEMP, PART_SPARE, PART_WORK, PART_OUTPUTS, PART_LOG, PART_FOLDER, PART_COUNT };

/* The time of change of an untouched part, in seconds. */
enum { UNTOUCHED_S = 1 };

struct seen {
    struct stat info;
    ssize_t attribute_bytes; /* of the names of extended ones; −1: the file system has none */
    int flags;               /* chattr's; likewise */
};

struct folder_parts {
    struct arena arena;                                /* of all that belongs to the folder */
    const char *paths[PART_COUNT], *names[PART_COUNT]; /* absolute; from the root */
    struct seen seen[PART_COUNT];
};

struct folders {
    char *root;
    int root_fd;                /* names from here are shorter to follow */
    unsigned made;              /* so far: names are not used twice */
    struct folder *free, *used; /* to be handed out; as jobs left them */
};

struct folders *folders_new(const char *root)
{
    struct folders *folders = mem_alloc(sizeof *folders);
    folders->root = mem_copy_text(root, strlen(root));
    folders->root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return folders;
}

static void forget(struct folder *folder)
{
    struct folder_parts *parts = folder->parts;
    arena_fini(&parts->arena);
    mem_free(parts);
    mem_free(folder);
}

static void drop(struct folder *folder)
{
    (void)!fs_remove_tree(folder->path, NULL); /* what can't be goes when the worker ends */
    forget(folder);
}

void folders_free(struct folders *folders)
{
    folders_tidy(folders);
    for (struct folder *at = folders->free, *next; at; at = next) {
        next = at->next;
        forget(at);
    }
    fs_close_fd_auto(&folders->root_fd);
    mem_free(folders->root);
    mem_free(folders);
}

static int open_part(const struct folders *folders, const char *name, int flags)
{
    return openat(folders->root_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

/* Marks the part as untouched and remembers how it looks. */
static enum status mark(int fd, const char *path, struct seen *out, struct err *err)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = UNTOUCHED_S}};
    if (futimens(fd, times) || fstat(fd, &out->info))
        return fs_error(err, errno, path, "mark");
    if (ioctl(fd, FS_IOC_GETFLAGS, &out->flags))
        out->flags = -1;
    out->attribute_bytes = flistxattr(fd, NULL, 0);
    return OK;
}

static enum status make(const struct folders *folders, struct folder *folder, struct err *err)
{
    struct folder_parts *parts = folder->parts;
    static const enum part outer_first[] = {PART_FOLDER, PART_WORK, PART_TEMP, PART_OUTPUTS,
                                            PART_SPARE};
    for (size_t i = 0; i < sizeof outer_first / sizeof *outer_first; i++)
        if (mkdir(parts->paths[outer_first[i]], 0700))
            return fs_error(err, errno, parts->paths[outer_first[i]], "mkdir");
    if (chmod(parts->paths[PART_SPARE], 0755)) /* as if the job had made it */
        return fs_error(err, errno, parts->paths[PART_SPARE], "chmod");
    AUTO(fs_close_fd)
    int log = open(folder->log_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (log < 0)
        return fs_error(err, errno, folder->log_path, "open");
    for (enum part part = 0; part < PART_COUNT; part++) {
        AUTO(fs_close_fd) int fd = open_part(folders, parts->names[part], O_RDONLY);
        if (fd < 0)
            return fs_error(err, errno, parts->paths[part], "open");
        TRY(mark(fd, parts->paths[part], &parts->seen[part], err));
    }
    return OK;
}

enum status folders_take(struct folders *folders, struct folder **out, struct err *err)
{
    if (!folders->free)
        folders_tidy(folders);
    struct folder *folder = *out = folders->free;
    if (folder) {
        folders->free = folder->next;
        return OK;
    }
    struct folder_parts *parts = mem_alloc(sizeof *parts);
    struct arena *arena = &parts->arena;
    folder = mem_alloc(sizeof *folder);
    folder->parts = parts;
    folder->path = arena_format(arena, "%s/%u", folders->root, folders->made++);
    folder->work_dir = arena_format(arena, "%s/work", folder->path);
    folder->output_dir = arena_format(arena, "%s/outputs", folder->path);
    folder->log_path = arena_format(arena, "%s/log", folder->path);
    parts->paths[PART_FOLDER] = folder->path;
    parts->paths[PART_WORK] = folder->work_dir;
    parts->paths[PART_TEMP] = arena_format(arena, "%s/" KIND_TEMP_FOLDER, folder->work_dir);
    parts->paths[PART_OUTPUTS] = folder->output_dir;
    parts->paths[PART_SPARE] = arena_format(arena, "%s/" KIND_SPARE_FOLDER, folder->path);
    parts->paths[PART_LOG] = folder->log_path;
    for (enum part part = 0; part < PART_COUNT; part++)
        parts->names[part] = parts->paths[part] + strlen(folders->root) + 1;
    enum status status = make(folders, folder, err);
    if (status == OK)
        *out = folder;
    else
        drop(folder);
    return status;
}

bool folders_has_log(const struct folders *folders, const struct folder *folder)
{
    struct stat now;
    return fstatat(folders->root_fd, folder->parts->names[PART_LOG], &now, AT_SYMLINK_NOFOLLOW) ||
           now.st_size;
}

static bool is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* All that a job can change of it but its content. */
static bool is_same_thing(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
           a->st_uid == b->st_uid && a->st_gid == b->st_gid && a->st_nlink == b->st_nlink &&
           a->st_size == b->st_size;
}

static bool is_untouched(const struct folders *folders, const char *name, const struct seen *seen)
{
    struct stat now;
    return fstatat(folders->root_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
           is_same_thing(&now, &seen->info) && is_same_time(&now.st_mtim, &seen->info.st_mtim) &&
           is_same_time(&now.st_ctim, &seen->info.st_ctim);
}

static bool is_emptied(int fd, const char *path, enum part part)
{
    static const char *const in_work[] = {KIND_TEMP_FOLDER, NULL};
    static const char *const in_folder[] = {"work", "outputs", "log", KIND_SPARE_FOLDER, NULL};
    static const char *const nothing[] = {NULL};
    static const char *const *const kept[PART_COUNT] = {[PART_TEMP] = nothing,
                                                        [PART_SPARE] = nothing,
                                                        [PART_WORK] = in_work,
                                                        [PART_OUTPUTS] = nothing,
                                                        [PART_FOLDER] = in_folder};
    return part == PART_LOG ? ftruncate(fd, 0) == 0 : fs_clear(fd, path, kept[part], NULL) == OK;
}

/* Out of the work folder itself: where a symlink took its place, what lies behind is not ours. */
static void take_spare_back(const struct folders *folders, const struct folder *folder)
{
    const struct folder_parts *parts = folder->parts;
    struct stat spare;
    if (fstatat(folders->root_fd, parts->names[PART_SPARE], &spare, AT_SYMLINK_NOFOLLOW) == 0)
        return;
    AUTO(fs_close_fd) int work = open_part(folders, parts->names[PART_WORK], O_PATH | O_DIRECTORY);
    if (work >= 0) /* else it is missed */
        (void)renameat(work, "inputs", folders->root_fd, parts->names[PART_SPARE]);
}

/* As if no job had been there; false: something of it would stay. */
static bool tidy(const struct folders *folders, struct folder *folder)
{
    struct folder_parts *parts = folder->parts;
    take_spare_back(folders, folder);
    for (enum part part = 0; part < PART_COUNT; part++) {
        const char *path = parts->paths[part];
        struct seen *seen = &parts->seen[part], now;
        if (is_untouched(folders, parts->names[part], seen))
            continue;
        AUTO(fs_close_fd)
        int fd = open_part(folders, parts->names[part],
                           part == PART_LOG ? O_WRONLY : O_RDONLY | O_DIRECTORY);
        if (fd < 0 || !is_emptied(fd, path, part) || fchmod(fd, seen->info.st_mode & 07777) ||
            mark(fd, path, &now, NULL) != OK || !is_same_thing(&now.info, &seen->info) ||
            now.flags != seen->flags || now.attribute_bytes != seen->attribute_bytes)
            return false;
        *seen = now;
    }
    return true;
}

void folders_give_back(struct folders *folders, struct folder *folder, bool is_quiet)
{
    folder->is_quiet = is_quiet;
    folder->next = folders->used;
    folders->used = folder;
}

void folders_tidy(struct folders *folders)
{
    for (struct folder *folder; (folder = folders->used);) {
        folders->used = folder->next;
        if (!folder->is_quiet || !tidy(folders, folder)) {
            drop(folder);
            continue;
        }
        folder->next = folders->free;
        folders->free = folder;
    }
}
