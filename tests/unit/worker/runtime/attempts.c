/* What a program in the sandbox tries. */
// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/worker/runtime/attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int outcome(long result)
{
    return result < 0 ? errno : 0;
}

static int try_socket(const char *numbers)
{
    int family = 0, type = 0;
    if (sscanf(numbers, "%d,%d", &family, &type) != 2)
        return 255;
    return outcome(socket(family, type, 0));
}

static int try_connect_port(const char *port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)atol(port)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0)
        return errno;
    return outcome(connect(fd, (const struct sockaddr *)(const void *)&to, sizeof to));
}

/* A path; with '@' in front an abstract name. */
static struct sockaddr_un local_address(const char *name, socklen_t *bytes)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", name);
    *bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    if (*name == '@')
        address.sun_path[0] = 0;
    else
        ++*bytes;
    return address;
}

int listen_at(const char *name)
{
    socklen_t bytes;
    struct sockaddr_un address = local_address(name, &bytes);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)(const void *)&address, bytes) || listen(fd, 1))
        return -1;
    return fd;
}

static int try_connect_local(const char *name)
{
    socklen_t bytes;
    struct sockaddr_un address = local_address(name, &bytes);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return errno;
    return outcome(connect(fd, (const struct sockaddr *)(const void *)&address, bytes));
}

/* As a pool of processes does it. */
static int try_own_socket(const char *path)
{
    char letter = 'x';
    if (listen_at(path) < 0)
        return errno;
    socklen_t bytes;
    struct sockaddr_un address = local_address(path, &bytes);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)(const void *)&address, bytes))
        return errno;
    return outcome(write(fd, &letter, 1));
}

/* A server with room for two that takes in nobody. */
static int try_full_socket(const char *path)
{
    socklen_t bytes;
    struct sockaddr_un address = local_address(path, &bytes);
    int error = listen_at(path) < 0 ? errno : 0;
    for (int i = 0; !error && i < 4; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        error = outcome(connect(fd, (const struct sockaddr *)(const void *)&address, bytes));
    }
    return error;
}

static int try_read(const char *path)
{
    char letter;
    int fd = open(path, O_RDONLY);
    return fd < 0 ? errno : outcome(read(fd, &letter, 1));
}

static int try_list(const char *path)
{
    return outcome(open(path, O_RDONLY | O_DIRECTORY));
}

static int try_write(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    return fd < 0 ? errno : outcome(write(fd, "x", 1));
}

static int try_link(const char *path)
{
    return outcome(link(path, "linked"));
}

static int try_through_link(const char *path)
{
    return symlink(path, "symbolic") ? 255 : try_read("symbolic");
}

static int try_cut(const char *path)
{
    return outcome(truncate(path, 0));
}

static int try_move_away(const char *path)
{
    return try_write("mine") ? 255 : outcome(rename("mine", path));
}

static int try_shared_memory(const char *name)
{
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || ftruncate(fd, 4096))
        return errno;
    return outcome(shm_unlink(name));
}

static int try_trace_parent(const char *unused)
{
    (void)unused;
    return outcome(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

/* A debugger and what it looks at, both of one program. */
static int try_trace_child(const char *unused)
{
    (void)unused;
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    if (ptrace(PTRACE_ATTACH, child, NULL, NULL))
        return errno;
    (void)waitpid(child, &status, 0);
    kill(child, SIGKILL);
    return WIFSTOPPED(status) ? 0 : 255;
}

static int try_kill(const char *pid)
{
    return outcome(kill((pid_t)atol(pid), SIGKILL));
}

static int try_kill_parent(const char *unused)
{
    (void)unused;
    return outcome(kill(getppid(), SIGKILL));
}

/* Of the processor's time: what comes to its end is killed. */
static int try_limit(const char *pid)
{
    const struct rlimit usual = {RLIM_INFINITY, RLIM_INFINITY};
    return outcome(prlimit((pid_t)atol(pid), RLIMIT_CPU, &usual, NULL));
}

/* As it is already, so that nothing changes where it goes through. */
static int try_priority(const char *pid)
{
    return outcome(setpriority(PRIO_PROCESS, (id_t)atol(pid), 0));
}

static int try_priority_of_user(const char *unused)
{
    (void)unused;
    return outcome(setpriority(PRIO_USER, 0, 0));
}

static int try_io_priority(const char *pid)
{
    enum { WHO_PROCESS = 1, BEST_EFFORT_4 = 2 << 13 | 4 };
    return outcome(syscall(SYS_ioprio_set, WHO_PROCESS, atol(pid), BEST_EFFORT_4));
}

/* As `renice -p $$` does; to where it is already, where it can be. */
static int change_parent(void)
{
    enum { WHO_PROCESS = 1, BEST_EFFORT_4 = 2 << 13 | 4 };
    struct rlimit files;
    pid_t parent = getppid();
    int priority = getpriority(PRIO_PROCESS, (id_t)parent);
    return outcome(prlimit(parent, RLIMIT_NOFILE, NULL, &files) |
                   prlimit(parent, RLIMIT_NOFILE, &files, NULL) |
                   setpriority(PRIO_PROCESS, (id_t)parent, priority) |
                   (int)syscall(SYS_ioprio_set, WHO_PROCESS, parent, BEST_EFFORT_4));
}

/* What programs do to themselves, and to what they start; where a thread can be asked, also to what
 * started them. */
static int try_limits_of_own(const char *asks)
{
    struct rlimit files;
    int status = 0;
    if (*asks) {
        pid_t child = fork();
        if (!child)
            _exit(change_parent());
        waitpid(child, &status, 0);
        if (status)
            return WEXITSTATUS(status);
    }
    if (prlimit(getppid(), RLIMIT_NOFILE, NULL, &files))
        return errno;
    int worse = getpriority(PRIO_PROCESS, 0) + 1; /* nobody may get a better one */
    return outcome(prlimit(0, RLIMIT_NOFILE, &files, NULL) | setpriority(PRIO_PROCESS, 0, worse));
}

/* Signal 0 asks whether one could be sent. */
static int try_signal_by_folder(const char *pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%s", pid);
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    return outcome(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
}

static int try_signal_by_owner(const char *pid)
{
    int ends[2];
    return pipe(ends) ? 255 : outcome(fcntl(ends[0], F_SETOWN, (pid_t)atol(pid)));
}

static int try_signal_by_group(const char *unused)
{
    (void)unused;
    return setpgid(0, getppid()) ? errno : outcome(kill(0, 0));
}

static int try_environment(const char *unused)
{
    (void)unused;
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/environ", (int)getppid());
    return try_read(path);
}

static int try_call(const char *name)
{
    static char stack[4096];
    if (!strcmp(name, "mount"))
        return outcome(mount("none", ".", "tmpfs", 0, NULL));
    if (!strcmp(name, "unshare"))
        return outcome(unshare(CLONE_NEWUSER));
    if (!strcmp(name, "clone"))
        return outcome(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, stack + sizeof stack, 0, 0, 0));
    if (!strcmp(name, "bpf"))
        return outcome(syscall(SYS_bpf, 0, NULL, 0));
    if (!strcmp(name, "keyctl"))
        return outcome(syscall(SYS_keyctl, 0, 0));
    if (!strcmp(name, "userfaultfd"))
        return outcome(syscall(SYS_userfaultfd, 0));
    if (!strcmp(name, "io_uring"))
        return outcome(syscall(SYS_io_uring_setup, 1, NULL));
    if (!strcmp(name, "chroot"))
        return outcome(chroot("."));
    if (!strcmp(name, "device"))
        return outcome(mknod("device", S_IFCHR | 0600, 0x0103));
    if (!strcmp(name, "type"))
        return outcome(ioctl(1, TIOCSTI, "x"));
    if (!strcmp(name, "owner"))
        return outcome(setuid(getuid() + 1));
    return 255;
}

/* Ends by the signal for files that grew too large. */
static int try_grow(const char *bytes)
{
    int fd = open("big", O_WRONLY | O_CREAT, 0600);
    return outcome(pwrite(fd, "x", 1, (off_t)atoll(bytes)));
}

static const struct {
    const char *name;
    int (*run)(const char *argument);
} attempts[] = {{"socket", try_socket},
                {"connect_port", try_connect_port},
                {"connect_local", try_connect_local},
                {"own_socket", try_own_socket},
                {"full_socket", try_full_socket},
                {"read", try_read},
                {"list", try_list},
                {"write", try_write},
                {"link", try_link},
                {"through_link", try_through_link},
                {"cut", try_cut},
                {"move_away", try_move_away},
                {"shared_memory", try_shared_memory},
                {"trace_parent", try_trace_parent},
                {"trace_child", try_trace_child},
                {"kill", try_kill},
                {"kill_parent", try_kill_parent},
                {"limit", try_limit},
                {"priority", try_priority},
                {"priority_of_user", try_priority_of_user},
                {"io_priority", try_io_priority},
                {"limits_of_own", try_limits_of_own},
                {"signal_by_folder", try_signal_by_folder},
                {"signal_by_owner", try_signal_by_owner},
                {"signal_by_group", try_signal_by_group},
                {"environment", try_environment},
                {"call", try_call},
                {"grow", try_grow}};

int attempt(const char *name, const char *argument)
{
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
        if (!strcmp(attempts[i].name, name))
            return attempts[i].run(argument);
    return 255;
}
