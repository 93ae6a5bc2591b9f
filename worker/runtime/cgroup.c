// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "worker/runtime/cgroup_find.h"

enum {
    /* Threads of the slot itself, which its group counts too. */
    SLOT_THREADS = 8,
    /* Looks at a group that is being ended, a millisecond apart: what is busy in the kernel may
       take a while. */
    KILL_ROUNDS_MAX = 2000,
    FILE_BYTES_MAX = 1 << 20,
    TEXT_BYTES = 32
};

#define GROUP_PREFIX "penstock-"

struct hierarchy {
    struct cgroup_place place; /* our own group there */
    char path[PATH_MAX];       /* of penstock-PID */
    int lock;
    bool has_moved; /* this process is in a group below, so that ours has none of its own */
};

struct cgroups {
    uint32_t processes, made;
    struct hierarchy items[CGROUP_PLACES_MAX];
    size_t count;
};

struct cgroup {
    struct cgroups *cgroups;
    uint32_t number;
    uint64_t memory_bytes, killed;
};

/* ---- files ---- */

static bool write_to(const char *folder, const char *file, const char *text)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    AUTO(fs_close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t bytes = strlen(text);
    return fd >= 0 && write(fd, text, bytes) == (ssize_t)bytes;
}

static bool write_number(const char *folder, const char *file, uint64_t number)
{
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "%" PRIu64, number);
    return write_to(folder, file, text);
}

static const char *read_from(const char *folder, const char *file, struct buf *out)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    *out = buf_init(FILE_BYTES_MAX);
    (void)!fs_read(path, out, NULL);
    return buf_text(out);
}

static bool lists(const char *folder, const char *file, const char *word)
{
    AUTO(buf_fini) struct buf text;
    return strstr(read_from(folder, file, &text), word) != NULL;
}

/* ---- ending ---- */

/* False: it is empty. */
static bool signal_all(const char *folder)
{
    AUTO(buf_fini) struct buf text;
    const char *at = read_from(folder, "cgroup.procs", &text);
    bool has_any = false;
    for (char *end; *at; at = *end ? end + 1 : end) {
        pid_t pid = (pid_t)strtol(at, &end, 10);
        if (end == at)
            break;
        has_any = true;
        if (pid > 0)
            kill(pid, SIGKILL);
    }
    return has_any;
}

/* One group: nothing new starts, then all that is there goes. */
static void end_group(const char *folder)
{
    (void)write_to(folder, "pids.max", "0");
    for (int round = 0; round < KILL_ROUNDS_MAX; round++) {
        (void)write_to(folder, "cgroup.kill", "1");
        if (!signal_all(folder))
            return;
        (void)!poll(NULL, 0, 1);
    }
}

/* Groups below penstock-PID, and that itself. */
static void remove_groups(const char *folder, bool is_living)
{
    DIR *all = opendir(folder);
    for (const struct dirent *entry; all && (entry = readdir(all));) {
        char path[PATH_MAX + NAME_MAX];
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (!is_living)
            end_group(path);
        (void)rmdir(path);
    }
    if (all)
        closedir(all);
    (void)rmdir(folder);
}

/* What workers left that were killed: nobody holds the lock any more. */
static void sweep(const char *own)
{
    DIR *all = opendir(own);
    for (const struct dirent *entry; all && (entry = readdir(all));) {
        char path[PATH_MAX + NAME_MAX];
        if (strncmp(entry->d_name, GROUP_PREFIX, sizeof GROUP_PREFIX - 1) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", own, entry->d_name);
        AUTO(fs_close_fd) int lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0)
            remove_groups(path, false);
    }
    if (all)
        closedir(all);
}

/* ---- opening ---- */

static bool is_alone(const char *own)
{
    AUTO(buf_fini) struct buf text;
    char expected[TEXT_BYTES];
    snprintf(expected, sizeof expected, "%d\n", (int)getpid());
    return !strcmp(read_from(own, "cgroup.procs", &text), expected);
}

/* Version 2: groups below `path` are to have the controllers that there are. */
static void pass_controllers(struct hierarchy *hierarchy)
{
    static const char *const wanted[] = {"+memory", "+pids"};
    struct cgroup_place *place = &hierarchy->place;
    char below[PATH_MAX + 16];
    snprintf(below, sizeof below, "%s/worker", hierarchy->path);
    if (!lists(hierarchy->path, "cgroup.controllers", "memory") && is_alone(place->path) &&
        mkdir(below, 0755) == 0)
        hierarchy->has_moved = write_number(below, "cgroup.procs", (uint64_t)getpid());
    for (size_t i = 0; i < 2 && hierarchy->has_moved; i++)
        (void)write_to(place->path, "cgroup.subtree_control", wanted[i]);
    for (size_t i = 0; i < 2; i++)
        (void)write_to(hierarchy->path, "cgroup.subtree_control", wanted[i]);
    place->has_memory = lists(hierarchy->path, "cgroup.subtree_control", "memory");
    place->has_processes = lists(hierarchy->path, "cgroup.subtree_control", "pids");
}

static bool open_at(struct hierarchy *hierarchy)
{
    snprintf(hierarchy->path, sizeof hierarchy->path, "%.*s/" GROUP_PREFIX "%d",
             PATH_MAX - TEXT_BYTES, hierarchy->place.path, (int)getpid());
    sweep(hierarchy->place.path);
    if (mkdir(hierarchy->path, 0755) && errno != EEXIST)
        return false;
    hierarchy->lock = open(hierarchy->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (hierarchy->lock < 0 || flock(hierarchy->lock, LOCK_EX | LOCK_NB)) {
        fs_close_fd_auto(&hierarchy->lock);
        return false;
    }
    if (hierarchy->place.version == 2)
        pass_controllers(hierarchy);
    return true;
}

static void close_at(struct hierarchy *hierarchy)
{
    if (hierarchy->has_moved) {
        (void)write_to(hierarchy->path, "cgroup.subtree_control", "-memory");
        (void)write_to(hierarchy->path, "cgroup.subtree_control", "-pids");
        (void)write_to(hierarchy->place.path, "cgroup.subtree_control", "-memory");
        (void)write_to(hierarchy->place.path, "cgroup.subtree_control", "-pids");
        (void)write_number(hierarchy->place.path, "cgroup.procs", (uint64_t)getpid());
    }
    remove_groups(hierarchy->path, true);
    fs_close_fd_auto(&hierarchy->lock);
}

/* Where memory can't be bounded below our own group, a user's may be so beside it. */
static void open_beside(struct hierarchy *hierarchy)
{
    struct hierarchy beside = {.place = hierarchy->place, .lock = -1};
    char *slash = strrchr(beside.place.path, '/');
    if (geteuid() == 0 || hierarchy->place.version != 2 || hierarchy->place.has_memory || !slash)
        return;
    *slash = 0;
    if (!lists(beside.place.path, "cgroup.subtree_control", "memory") || !open_at(&beside))
        return;
    close_at(beside.place.has_memory ? hierarchy : &beside);
    if (beside.place.has_memory)
        *hierarchy = beside;
}

struct cgroups *cgroups_open(uint32_t processes)
{
    struct cgroup_place places[CGROUP_PLACES_MAX];
    struct cgroups *cgroups = mem_alloc(sizeof *cgroups);
    cgroups->processes = processes;
    size_t count = cgroup_find(places);
    for (size_t i = 0; i < count; i++) {
        struct hierarchy *hierarchy = &cgroups->items[cgroups->count];
        *hierarchy = (struct hierarchy){.place = places[i], .lock = -1};
        if (!open_at(hierarchy))
            continue;
        open_beside(hierarchy);
        cgroups->count++;
    }
    if (cgroups->count)
        return cgroups;
    mem_free(cgroups);
    return NULL;
}

void cgroups_close(struct cgroups *cgroups)
{
    for (size_t i = 0; i < cgroups->count; i++)
        close_at(&cgroups->items[i]);
    mem_free(cgroups);
}

void cgroups_powers(const struct cgroups *cgroups, struct cgroup_powers *out)
{
    *out = (struct cgroup_powers){0};
    for (size_t i = 0; cgroups && i < cgroups->count; i++) {
        const struct cgroup_place *place = &cgroups->items[i].place;
        out->has_kill = true;
        out->has_processes |= place->has_processes;
        if (place->has_memory && !out->has_memory)
            out->version = place->version;
        out->has_memory |= place->has_memory;
    }
}

/* ---- a group ---- */

static const char *group_path(const struct cgroup *cgroup, size_t hierarchy,
                              char out[PATH_MAX + TEXT_BYTES])
{
    snprintf(out, PATH_MAX + TEXT_BYTES, "%s/slot-%u", cgroup->cgroups->items[hierarchy].path,
             cgroup->number);
    return out;
}

struct cgroup *cgroup_new(struct cgroups *cgroups, pid_t pid)
{
    char path[PATH_MAX + TEXT_BYTES];
    if (!cgroups)
        return NULL;
    struct cgroup *cgroup = mem_alloc(sizeof *cgroup);
    *cgroup = (struct cgroup){.cgroups = cgroups, .number = cgroups->made++};
    for (size_t i = 0; i < cgroups->count; i++) {
        group_path(cgroup, i, path);
        if (mkdir(path, 0755) || !write_number(path, "cgroup.procs", (uint64_t)pid)) {
            cgroup_free(cgroup);
            return NULL;
        }
        if (cgroups->items[i].place.has_processes)
            (void)write_number(path, "pids.max", cgroups->processes + SLOT_THREADS);
    }
    return cgroup;
}

/* How often the kernel killed something here for want of memory. */
static uint64_t count_killed(const struct cgroup *cgroup)
{
    static const char word[] = "oom_kill ";
    for (size_t i = 0; i < cgroup->cgroups->count; i++) {
        const struct cgroup_place *place = &cgroup->cgroups->items[i].place;
        char path[PATH_MAX + TEXT_BYTES];
        AUTO(buf_fini) struct buf text = buf_init(0);
        if (!place->has_memory)
            continue;
        const char *file = place->version == 2 ? "memory.events" : "memory.oom_control";
        const char *at = strstr(read_from(group_path(cgroup, i, path), file, &text), word);
        return at ? strtoull(at + sizeof word - 1, NULL, 10) : 0;
    }
    return 0;
}

/* Version 1 wants the sum with swap to be the larger at any moment. */
static bool limit_first(const char *path, uint64_t bytes)
{
    (void)write_to(path, "memory.memsw.limit_in_bytes", "-1");
    if (!bytes)
        return write_to(path, "memory.limit_in_bytes", "-1");
    if (!write_number(path, "memory.limit_in_bytes", bytes))
        return false;
    (void)write_number(path, "memory.memsw.limit_in_bytes", bytes);
    return true;
}

static bool limit_second(const char *path, uint64_t bytes)
{
    (void)write_to(path, "memory.swap.max", bytes ? "0" : "max");
    return bytes ? write_number(path, "memory.max", bytes) : write_to(path, "memory.max", "max");
}

bool cgroup_limit_memory(struct cgroup *cgroup, uint64_t bytes)
{
    char path[PATH_MAX + TEXT_BYTES];
    if (!cgroup || cgroup->memory_bytes == bytes)
        return cgroup && bytes;
    for (size_t i = 0; i < cgroup->cgroups->count; i++) {
        const struct cgroup_place *place = &cgroup->cgroups->items[i].place;
        if (!place->has_memory)
            continue;
        group_path(cgroup, i, path);
        bool is_done = place->version == 2 ? limit_second(path, bytes) : limit_first(path, bytes);
        cgroup->memory_bytes = is_done ? bytes : 0;
        cgroup->killed = count_killed(cgroup);
        return is_done && bytes;
    }
    return false;
}

bool cgroup_ran_out(struct cgroup *cgroup)
{
    if (!cgroup || !cgroup->memory_bytes)
        return false;
    uint64_t before = cgroup->killed;
    cgroup->killed = count_killed(cgroup);
    return cgroup->killed > before;
}

void cgroup_kill(struct cgroup *cgroup)
{
    char path[PATH_MAX + TEXT_BYTES];
    for (size_t i = 0; cgroup && i < cgroup->cgroups->count; i++)
        end_group(group_path(cgroup, i, path));
}

void cgroup_free(struct cgroup *cgroup)
{
    char path[PATH_MAX + TEXT_BYTES];
    for (size_t i = 0; i < cgroup->cgroups->count; i++)
        (void)rmdir(group_path(cgroup, i, path));
    mem_free(cgroup);
}
