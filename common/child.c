// SPDX-License-Identifier: Apache-2.0
#include "common/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/clock.h"
#include "common/fs.h"

enum {
    STACK_BYTES = 16 << 10, /* of the child until it has become another program */
    TARGET_FD_MAX = 255,
    STANDARD_FDS = 3,
};

/* What the child needs, and what it tells. It runs in the parent's memory while the parent's thread
 * waits, so nothing of this is copied, and it must only make system calls. */
struct start {
    const struct child_options *options;
    const char *const *environment;
    pid_t parent;
    const char *failed_at; /* the path or step that failed; NULL: none */
    int error;
};

static int fail(struct start *start, const char *at)
{
    start->error = errno;
    start->failed_at = at;
    return 127;
}

/* A handler of the parent must never run here, in its memory; ignored signals would stay ignored
 * after exec. */
static void reset_signals(bool has_usual)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    for (int signal = 1; !has_usual && signal < NSIG; signal++)
        sigaction(signal, &usual, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Every descriptor but 0, 1 and 2 is closed when the program begins, unless it is placed
 * afterwards. */
static int close_on_exec(void)
{
    if (close_range(STANDARD_FDS, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return 0;
    long count = sysconf(_SC_OPEN_MAX); /* kernels before 5.11 */
    for (int fd = STANDARD_FDS; fd < count; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

/* Has any source the number of a target? */
static bool do_cross(const struct child_options *options)
{
    for (size_t i = 0; i < options->fd_count; i++)
        for (size_t j = 0; j < options->fd_count; j++)
            if (options->fds[i].from == options->fds[j].to)
                return true;
    return false;
}

/* Sources are moved out of the way first where one's number is another's target. */
static int place_fds(const struct child_options *options)
{
    int high[CHILD_FDS_MAX];
    bool is_given[STANDARD_FDS] = {false}, must_move = do_cross(options);
    for (size_t i = 0; i < options->fd_count; i++) {
        high[i] = options->fds[i].from;
        if (must_move)
            high[i] = fcntl(high[i], F_DUPFD_CLOEXEC, TARGET_FD_MAX + 1);
        if (high[i] < 0)
            return -1;
    }
    if (close_on_exec() != 0)
        return -1;
    for (size_t i = 0; i < options->fd_count; i++) {
        if (dup2(high[i], options->fds[i].to) < 0)
            return -1;
        if (options->fds[i].to < STANDARD_FDS)
            is_given[options->fds[i].to] = true;
    }
    for (int fd = 0; fd < STANDARD_FDS; fd++) {
        if (is_given[fd])
            continue;
        int nothing = open("/dev/null", fd == 0 ? O_RDONLY | O_CLOEXEC : O_WRONLY | O_CLOEXEC);
        if (nothing < 0)
            return -1;
        if (nothing == fd) /* it was closed in the parent */
            fcntl(fd, F_SETFD, 0);
        else if (dup2(nothing, fd) < 0)
            return -1;
    }
    return 0;
}

/* Runs in the child; returning ends it. It does not return where all goes well, so a sanitizer must
 * not mark its variables: the marks would stay in the parent's memory. */
__attribute__((no_sanitize_address)) static int become(void *context)
{
    struct start *start = context;
    const struct child_options *options = start->options;
    reset_signals(options->keeps_signals);
    if (options->dies_with_parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
            return fail(start, "PR_SET_PDEATHSIG");
        if (getppid() != start->parent) /* it died before the request was made */
            return 127;
    }
    if (options->own_group && setpgid(0, 0) != 0)
        return fail(start, "setpgid");
    if (place_fds(options) != 0)
        return fail(start, "descriptors");
    if (options->folder && chdir(options->folder) != 0)
        return fail(start, options->folder);
    if (options->enter && options->enter(options->enter_context, &start->failed_at) != 0)
        return fail(start, start->failed_at);
    start->failed_at = NULL;
    execve(options->path, (char *const *)(uintptr_t)options->argv,
           (char *const *)(uintptr_t)start->environment);
    return fail(start, options->path);
}

static enum status check_options(const struct child_options *options, struct err *err)
{
    if (options->fd_count > CHILD_FDS_MAX)
        return err_set(err, E_INVALID, "%s: %zu descriptors, at most %d", options->path,
                       options->fd_count, CHILD_FDS_MAX);
    for (size_t i = 0; i < options->fd_count; i++)
        if (options->fds[i].to < 0 || options->fds[i].to > TARGET_FD_MAX)
            return err_set(err, E_INVALID, "%s: descriptor %d, at most %d", options->path,
                           options->fds[i].to, TARGET_FD_MAX);
    return OK;
}

/* As vfork, but on a stack of its own: returns when the child has become the program, or ended. */
static pid_t begin(struct start *start, int *pidfd)
{
    const int flags = CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
    _Alignas(16) char stack[STACK_BYTES];
#ifdef TSAN
    /* That sanitizer's books of signals and descriptors are in the parent's memory, and it takes
     * every clone for a fork: there the child has a copy, but for the page in which it tells. */
    struct start *both =
        mmap(NULL, sizeof *both, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT(both != MAP_FAILED);
    *both = *start;
    pid_t pid = clone(become, stack + STACK_BYTES, flags, both, pidfd);
    *start = *both;
    munmap(both, sizeof *both);
    return pid;
#else
    return clone(become, stack + STACK_BYTES, flags | CLONE_VM, start, pidfd);
#endif
}

enum status child_start(const struct child_options *options, struct child *out, struct err *err)
{
    static const char *const nothing[] = {NULL};
    *out = (struct child){.pidfd = -1};
    TRY(check_options(options, err));
    struct start start = {
        .options = options,
        .environment = options->environment ? options->environment : nothing,
        .parent = getpid(),
    };
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = begin(&start, &out->pidfd);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        out->pidfd = -1;
        return err_set(err, E_IO, "%s: cannot start a process: %s", options->path, strerror(error));
    }
    out->pid = pid;
    if (!start.failed_at)
        return OK;
    child_wait(out, -1, NULL);
    return fs_error(err, start.error, start.failed_at, "cannot start the program");
}

/* Waits for the pidfd; a signal that interrupts does not lengthen the wait. */
static bool has_ended(const struct child *child, int timeout_ms)
{
    const ms_t deadline = clock_ms() + timeout_ms;
    for (;;) {
        struct pollfd ending = {.fd = child->pidfd, .events = POLLIN};
        int count = poll(&ending, 1, timeout_ms);
        if (count >= 0 || errno != EINTR)
            return count > 0;
        if (timeout_ms > 0) {
            ms_t left = deadline - clock_ms();
            timeout_ms = left > 0 ? (int)left : 0;
        }
    }
}

bool child_wait(struct child *child, int timeout_ms, struct child_end *end)
{
    if (!child->pid || (timeout_ms >= 0 && !has_ended(child, timeout_ms)))
        return false;
    siginfo_t info = {0};
    int result;
    do
        result = waitid(P_PID, (id_t)child->pid, &info, WEXITED);
    while (result != 0 && errno == EINTR);
    if (end) {
        *end = (struct child_end){.code = -1};
        if (result == 0)
            *end = (struct child_end){info.si_code != CLD_EXITED, info.si_status};
    }
    close(child->pidfd);
    *child = (struct child){.pidfd = -1};
    return true;
}

void child_signal(const struct child *child, int signal, bool whole_group)
{
    if (child->pid)
        kill(whole_group ? -child->pid : child->pid, signal);
}

void child_stop(struct child *child, bool whole_group)
{
    child_signal(child, SIGKILL, whole_group);
    child_wait(child, -1, NULL);
}
