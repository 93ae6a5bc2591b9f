/* Starting a program and watching over it: the broker's local worker, the worker's slots and `exec`
 * programs.
 *
 * The child is made with posix_spawn-like speed (vfork: the parent's memory is shared until exec,
 * nothing is copied), so a start costs well under a millisecond however big the parent is. It gets
 * exactly what is asked for: the given environment, the given descriptors at the given numbers,
 * every other one closed, default signal handlers (unless it is asked to keep them, which saves a
 * system call for each signal) and an empty signal mask. The pidfd becomes
 * readable when the child ends, so it fits any poll loop.
 *
 * A child belongs to the thread that started it: with `dies_with_parent` it is killed when that
 * *thread* ends. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "proto/err.h"

/* The parent's descriptor `from` becomes the child's `to`. */
struct child_fd {
    int from, to;
};

struct child_options {
    const char *path;               /* of the program; no search in PATH */
    const char *const *argv;        /* NULL-terminated; argv[0] included */
    const char *const *environment; /* NULL-terminated "NAME=value"; NULL: empty */
    const char *folder;             /* working folder; NULL: the parent's */
    const struct child_fd
        *fds; /* at most CHILD_FDS_MAX; what of 0, 1, 2 is not named here: /dev/null */
    size_t fd_count;
    bool dies_with_parent; /* SIGKILL when the parent's thread ends, however it ends */
    bool own_group;        /* a process group of its own: a terminal's Ctrl-C does not reach it */
    bool keeps_signals;    /* the parent handles no signal; what it ignores stays ignored */
    /* Runs in the child as the last thing before the program, in the parent's memory: it must only
     * make system calls. 0, or −1 with errno and what failed in `*at`. NULL: nothing. */
    int (*enter)(void *context, const char **at);
    void *enter_context;
};

enum { CHILD_FDS_MAX = 8 };

/* pid 0 means: none, or already reaped. */
struct child {
    pid_t pid;
    int pidfd; /* −1 when pid is 0 */
};

/* How it ended; in words: common/base/death.h. */
struct child_end {
    bool was_signalled;
    int code; /* exit status, or the signal's number; −1 if somebody else reaped it */
};

/* Returns after the exec has succeeded or failed. Errors: E_NOTFOUND, E_DENIED the program at
 * `path`; E_INVALID bad options; E_IO no process to be had; what `enter` met. */
MUST_USE enum status child_start(const struct child_options *options, struct child *out,
                                 struct err *err);
/* Has it ended? Waits up to `timeout_ms` (0: not at all, −1: for ever). Once true, the child is
 * reaped and `*child` is empty; asking again about an empty one is false. */
bool child_wait(struct child *child, int timeout_ms, struct child_end *end);
/* Signals the child. With `own_group`,
 * `whole_group` reaches all of its group. A child that has ended already is fine. */
void child_signal(const struct child *child, int signal, bool whole_group);
/* Kills and reaps, if it still runs. Safe on an empty one. */
void child_stop(struct child *child, bool whole_group);
