// SPDX-License-Identifier: Apache-2.0
#include "common/procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"

enum {
    /* Rounds of finding and killing: a fork bomb is not waited for for ever. */
    KILL_ROUNDS_MAX = 20,
    /* For what was killed to be gone: it may be busy in the kernel for a while. */
    REAP_ROUNDS_MAX = 1000
};

struct process {
    pid_t pid, parent, session;
    uint64_t resident_pages;
    bool is_below;
};

/* Reads /proc/PID/stat; the name in parentheses may hold anything, so fields count from its last
 * ')'. */
static bool read_stat(pid_t pid, struct process *out)
{
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    const char *at = strrchr(text, ')');
    long long fields[22] = {0}; /* from the state (3rd field) on */
    for (size_t i = 0; at && i < 22; i++) {
        at = strchr(at + 1, ' ');
        if (at)
            fields[i] = strtoll(at + 1, NULL, 10);
    }
    *out = (struct process){.pid = pid,
                            .parent = (pid_t)fields[1],
                            .session = (pid_t)fields[3],
                            .resident_pages = fields[21] > 0 ? (uint64_t)fields[21] : 0};
    return at != NULL;
}

/* All processes, with those below `root` marked (`root` itself too). */
static size_t find(pid_t root, struct buf *out)
{
    DIR *folder = opendir("/proc");
    if (!folder)
        return 0;
    for (const struct dirent *entry; (entry = readdir(folder));) {
        struct process process;
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && read_stat((pid_t)pid, &process)) {
            process.is_below = process.pid == root || process.session == root;
            buf_put(out, &process, sizeof process);
        }
    }
    closedir(folder);
    struct process *all = (struct process *)(void *)out->bytes;
    size_t count = out->count / sizeof *all;
    for (bool has_changed = true; has_changed;) {
        has_changed = false;
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; !all[i].is_below && j < count; j++)
                if (all[j].is_below && all[j].pid == all[i].parent)
                    has_changed = all[i].is_below = true;
    }
    return count;
}

uint64_t procs_resident(pid_t root)
{
    AUTO(buf_fini) struct buf found = buf_init(0);
    size_t count = find(root, &found);
    const struct process *all = (const struct process *)(const void *)found.bytes;
    uint64_t pages = 0;
    for (size_t i = 0; i < count; i++)
        pages += all[i].is_below ? all[i].resident_pages : 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void procs_kill_below(pid_t root)
{
    for (int round = 0; round < KILL_ROUNDS_MAX; round++) {
        AUTO(buf_fini) struct buf found = buf_init(0);
        size_t count = find(root, &found), killed = 0;
        const struct process *all = (const struct process *)(const void *)found.bytes;
        for (size_t i = 0; i < count; i++)
            if (all[i].is_below && all[i].pid != root && all[i].resident_pages) {
                kill(all[i].pid, SIGKILL);
                killed++;
            }
        if (!killed)
            return;
    }
}

/* False: children are left. */
static bool reap(void)
{
    pid_t pid;
    do
        pid = waitpid(-1, NULL, WNOHANG);
    while (pid > 0 || (pid < 0 && errno == EINTR));
    return pid < 0;
}

bool procs_end_own(void)
{
    for (int round = 0; !reap(); round++) {
        if (round == REAP_ROUNDS_MAX)
            return false;
        procs_kill_below(getpid());
        if (!reap())
            (void)!poll(NULL, 0, 1);
    }
    return true;
}

static bool is_kept(pid_t pid, const pid_t *keep, size_t keep_count)
{
    for (size_t i = 0; i < keep_count; i++)
        if (keep[i] == pid)
            return true;
    return false;
}

void procs_end_orphans(const pid_t *keep, size_t keep_count)
{
    for (int round = 0; round < REAP_ROUNDS_MAX; round++) {
        AUTO(buf_fini) struct buf found = buf_init(0);
        size_t count = find(getpid(), &found), left = 0;
        const struct process *all = (const struct process *)(const void *)found.bytes;
        for (size_t i = 0; i < count; i++) {
            if (all[i].parent != getpid() || is_kept(all[i].pid, keep, keep_count))
                continue;
            procs_kill_below(all[i].pid);
            kill(all[i].pid, SIGKILL);
            left += waitpid(all[i].pid, NULL, WNOHANG) == 0;
        }
        if (!left)
            return;
        (void)!poll(NULL, 0, 1);
    }
}
