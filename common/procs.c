// SPDX-License-Identifier: Apache-2.0
#include "common/procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/buf.h"

enum {
    /* Rounds of finding and killing. What forks and ends without a pause is gone before it is
     * found; nobody reaps meanwhile, so its dead count, and it comes to the limit of processes
     * within some of these. */
    KILL_ROUNDS_MAX = 200,
    /* For what was killed to be gone: it may be busy in the kernel for a while. */
    REAP_ROUNDS_MAX = 1000
};

struct process {
    pid_t pid, parent, session;
    uint64_t resident_pages;
    bool is_below, is_alive, has_lost_leader;
};

/* Reads a stat file of /proc; the name in parentheses may hold anything, so fields count from its
 * last ')'. A process whose first thread ended shows as dead, and without memory, though others of
 * its threads live. */
static bool read_stat(const char *path, struct process *out)
{
    enum { STATE, PARENT, SESSION = 3, THREADS = 17, RESIDENT = 21, FIELDS };
    char text[1024];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = 0;
    const char *at = strrchr(text, ')');
    bool is_dead = at && at[1] && strchr("ZX", at[2]);
    long long fields[FIELDS] = {0};
    for (size_t i = STATE; at && i < FIELDS; i++) {
        at = strchr(at + 1, ' ');
        if (at)
            fields[i] = strtoll(at + 1, NULL, 10);
    }
    *out = (struct process){.parent = (pid_t)fields[PARENT],
                            .session = (pid_t)fields[SESSION],
                            .resident_pages = fields[RESIDENT] > 0 ? (uint64_t)fields[RESIDENT] : 0,
                            .is_alive = !is_dead || fields[THREADS] > 1,
                            .has_lost_leader = is_dead && fields[THREADS] > 1};
    return at != NULL;
}

/* The memory is that of any thread that has some. */
static void read_threads(struct process *process)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)process->pid);
    DIR *folder = opendir(path);
    for (const struct dirent *entry;
         folder && !process->resident_pages && (entry = readdir(folder));) {
        char file[sizeof path + NAME_MAX + 8];
        struct process thread;
        snprintf(file, sizeof file, "%s/%s/stat", path, entry->d_name);
        if (read_stat(file, &thread))
            process->resident_pages = thread.resident_pages;
    }
    if (folder)
        closedir(folder);
}

static bool read_process(pid_t pid, struct process *out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!read_stat(path, out))
        return false;
    out->pid = pid;
    if (out->has_lost_leader)
        read_threads(out);
    return true;
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
        if (pid > 0 && read_process((pid_t)pid, &process)) {
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

bool procs_is_below(pid_t root, pid_t pid)
{
    for (struct process process; pid > 1 && read_process(pid, &process); pid = process.parent)
        if (process.parent == root)
            return true;
    return false;
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

/* What lives below `root` is killed; returns a number that is another one where anything turned up
 * or went since the round before; 0: nothing lives. */
static uint64_t kill_round(pid_t root)
{
    AUTO(buf_fini) struct buf found = buf_init(0);
    size_t count = find(root, &found);
    const struct process *all = (const struct process *)(const void *)found.bytes;
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        if (all[i].is_below && all[i].pid != root && all[i].is_alive) {
            kill(all[i].pid, SIGKILL);
            sum = 31 * sum + (uint64_t)all[i].pid;
        }
    return sum;
}

void procs_kill_below(pid_t root)
{
    uint64_t before = 0;
    for (int round = 0; round < KILL_ROUNDS_MAX; round++) {
        uint64_t now = kill_round(root);
        if (now == before)
            return;
        before = now;
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
            left++;
            if (waitpid(all[i].pid, NULL, WNOHANG) == 0) { /* what a dead one had is ours by now */
                procs_kill_below(all[i].pid);
                kill(all[i].pid, SIGKILL);
            }
        }
        if (!left)
            return;
        (void)!poll(NULL, 0, 1);
    }
}
