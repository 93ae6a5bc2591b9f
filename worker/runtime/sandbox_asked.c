/* The thread that the kernel asks: may this program have a socket of the network, may it connect,
 * may it change another process's limits? It is not filtered itself. Source: seccomp_unotify(2),
 * whose advice on what may change between look and call is followed: a socket's family and a
 * process's number come in registers, and the path of a local one is looked up and connected to
 * here. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/fs.h"
#include "common/procs.h"
#include "worker/runtime/sandbox_state.h"

enum {
    THREAD_STACK_BYTES = 256 << 10,
    STATUS_BYTES = 4096,
    /* For a server that takes nobody in, since all others wait meanwhile. */
    CONNECT_SECONDS = 2
};

/* Is whoever asked still there, so that its number is its own? */
static bool still_asks(const struct asked *asked, const struct seccomp_notif *question)
{
    return ioctl(asked->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &question->id) == 0;
}

static int open_of(const struct seccomp_notif *question, const char *file, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%u/%s", question->pid, file);
    return open(path, flags | O_CLOEXEC);
}

/* The address that it gave. −1 with errno. */
static int read_address(const struct asked *asked, const struct seccomp_notif *question,
                        struct sockaddr_un *out)
{
    uint64_t bytes = question->data.args[2];
    memset(out, 0, sizeof *out);
    errno = EINVAL;
    if (bytes < sizeof out->sun_family || bytes > sizeof *out)
        return -1;
    AUTO(fs_close_fd) int memory = open_of(question, "mem", O_RDONLY);
    if (memory < 0 || !still_asks(asked, question))
        return -1;
    errno = EFAULT;
    return pread(memory, out, bytes, (off_t)question->data.args[1]) == (ssize_t)bytes ? 0 : -1;
}

static bool is_allowed(const struct asked *asked, int target)
{
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", target);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    if (bytes <= 0)
        return false;
    path[bytes] = 0;
    if (*asked->folder && sandbox_is_below(path, asked->folder))
        return true;
    for (size_t i = 0; i < asked->sandbox->visible_count; i++)
        if (asked->sandbox->visible[i].sight == SIGHT_WRITE &&
            sandbox_is_below(path, asked->sandbox->visible[i].path))
            return true;
    return false;
}

/* What lies at the path of an address, as whoever asked sees it. −1 with errno. */
static int find_target(const struct asked *asked, const struct seccomp_notif *question,
                       const struct sockaddr_un *address)
{
    char path[sizeof address->sun_path + 1] = {0};
    memcpy(path, address->sun_path, sizeof address->sun_path);
    errno = EACCES;
    if (address->sun_family != AF_UNIX || !*path)
        return -1;
    AUTO(fs_close_fd) int folder = open_of(question, "cwd", O_PATH | O_DIRECTORY);
    int target = folder < 0 ? -1 : openat(folder, path, O_PATH | O_CLOEXEC);
    if (target < 0 || is_allowed(asked, target))
        return target;
    close(target);
    errno = EACCES;
    return -1;
}

/* The process that a thread belongs to; 0: gone. */
static pid_t process_of(const struct seccomp_notif *question)
{
    static const char field[] = "\nTgid:";
    char text[STATUS_BYTES];
    AUTO(fs_close_fd) int fd = open_of(question, "status", O_RDONLY);
    ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (bytes <= 0)
        return 0;
    text[bytes] = 0;
    const char *at = strstr(text, field);
    return at ? (pid_t)strtol(at + sizeof field - 1, NULL, 10) : 0;
}

/* Its socket, for us too. −1 with errno. */
static int take_socket(const struct seccomp_notif *question)
{
    AUTO(fs_close_fd) int process = (int)syscall(SYS_pidfd_open, process_of(question), 0);
    return process < 0 ? -1
                       : (int)syscall(SYS_pidfd_getfd, process, (int)question->data.args[0], 0);
}

bool asked_can_take(void)
{
    AUTO(fs_close_fd) int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    AUTO(fs_close_fd) int taken = self < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, self, self, 0);
    return taken >= 0;
}

/* As the socket's owner would, but not for ever: EAGAIN then. */
static int connect_soon(int socket, const struct sockaddr_un *address)
{
    struct timeval most = {.tv_sec = CONNECT_SECONDS}, before = {0};
    socklen_t bytes = sizeof before;
    bool is_short = getsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &before, &bytes) == 0 &&
                    (before.tv_sec || before.tv_usec) && before.tv_sec < CONNECT_SECONDS;
    if (!is_short)
        (void)setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    const struct sockaddr *to = (const struct sockaddr *)(const void *)address;
    int error = connect(socket, to, sizeof *address) ? errno : 0;
    if (!is_short)
        (void)setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &before, sizeof before);
    return error;
}

/* Is it about a socket of the network, which is the kernel's to connect? Of what can't be looked at
 * it is not said. */
static bool is_of_network(const struct seccomp_notif *question)
{
    int family = AF_UNIX;
    socklen_t bytes = sizeof family;
    AUTO(fs_close_fd) int socket = take_socket(question);
    return socket >= 0 && getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &bytes) == 0 &&
           family != AF_UNIX;
}

/* 0, or an error number. */
static int connect_for(const struct asked *asked, const struct seccomp_notif *question)
{
    struct sockaddr_un address;
    if (read_address(asked, question, &address))
        return errno;
    AUTO(fs_close_fd) int target = find_target(asked, question, &address);
    AUTO(fs_close_fd) int socket = target < 0 ? -1 : take_socket(question);
    if (socket < 0)
        return errno;
    if (!still_asks(asked, question))
        return ESRCH;
    /* By its descriptor, so that it is the one that was looked at. */
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", target);
    return connect_soon(socket, &address);
}

/* Is it about the limits or the priority of a process, one that a program started? */
static bool is_of_limits(const struct seccomp_notif *question, bool *is_own)
{
    int call = question->data.nr;
    if (call != SYS_prlimit64 && call != SYS_setpriority && call != SYS_ioprio_set)
        return false;
    uint64_t whose = question->data.args[call == SYS_prlimit64 ? 0 : 1];
    *is_own = procs_is_below(getpid(), (pid_t)(uint32_t)whose);
    return true;
}

static void answer(struct asked *asked, const struct seccomp_notif *question,
                   struct seccomp_notif_resp *out)
{
    *out = (struct seccomp_notif_resp){.id = question->id};
    pthread_mutex_lock(&asked->lock);
    bool is_connect = question->data.nr == SYS_connect, is_own = false;
    if (is_of_limits(question, &is_own)) {
        out->flags = is_own ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
        out->error = is_own ? 0 : -EPERM;
    } else if (asked->has_network && (!is_connect || is_of_network(question))) {
        out->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    } else if (is_connect) {
        out->error = -connect_for(asked, question);
    } else {
        asked->was_refused = true;
        out->error = -EACCES;
    }
    pthread_mutex_unlock(&asked->lock);
}

static void *serve(void *context)
{
    struct asked *asked = context;
    for (;;) {
        struct seccomp_notif question = {0}; /* the kernel wants it empty */
        struct seccomp_notif_resp response;
        if (ioctl(asked->listener, SECCOMP_IOCTL_NOTIF_RECV, &question)) {
            if (errno != EINTR && errno != ENOENT) /* ENOENT: it was killed meanwhile */
                return NULL;
            continue;
        }
        answer(asked, &question, &response);
        (void)ioctl(asked->listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
    }
}

/* Begins when the listener is there. */
static void *begin(void *context)
{
    struct asked *asked = context;
    pthread_mutex_lock(&asked->lock);
    bool is_wanted = asked->listener >= 0;
    pthread_mutex_unlock(&asked->lock);
    return is_wanted ? serve(asked) : NULL;
}

bool asked_start(struct sandbox *sandbox)
{
    struct asked *asked = &sandbox->asked;
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    ASSERT(pthread_attr_init(&attributes) == 0);
    (void)pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    asked->sandbox = sandbox;
    /* Threads inherit filters: it is made first, and waits for what loading ours gives. */
    pthread_mutex_lock(&asked->lock);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool has_thread = pthread_create(&thread, &attributes, begin, asked) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    bool is_loaded =
        has_thread && seccomp_enter(&sandbox->filters[NETWORK_ASKS], &asked->listener) == 0;
    pthread_mutex_unlock(&asked->lock);
    return is_loaded;
}
