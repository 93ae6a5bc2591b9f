/* What a program of `exec` may do, in layers, each of which works in a container without any
 * capability and for any user; what one of them can't do on this machine, the others still do.
 *
 *   Landlock   files: the work folder (read, write), the system's own folders (read, run; a list
 *              is in sandbox_paths.c; `hidden` and where the worker works are left out if there),
 *              what `readable` and `writable` name; nothing else, so no home, no pipeline folder,
 *              no store, no cache. No TCP, and no signals, ptrace or abstract sockets to whoever is
 *              not of the same program.
 *   seccomp    no network (inet, inet6, netlink) unless the step asks for it, no other families
 *              than those and local sockets, and none of the calls that reach past the file system:
 *              mount, bpf, keyctl, io_uring, namespaces, limits and priorities of others, …
 *   process    no new privileges, no capabilities even for root, limits of size, descriptors,
 *              processes and time of the processor.
 *
 * The filter is the slot's own, loaded once: loading one costs as much as a fifth of starting a
 * program, inheriting it nothing. So it can't know what a step asks for; where that matters
 * (socket, connect) the kernel asks a thread of the slot, which it does not filter. A local socket
 * is only connected to below the work folder: the thread connects in the program's stead, so that
 * no path can change between look and call. Where the kernel asks no such questions, a second
 * filter is loaded for each program without network, and local sockets are not looked at; so are
 * they not where a container's profile forbids to take them (pidfd_getfd).
 *
 * That holds for programs with a network, too, as far as it can be looked at: the kernel connects
 * their other sockets by itself, and one of their threads may put a local socket into the place of
 * such a one between look and call. What listens on local sockets and believes whoever comes
 * (Docker's; the work socket that a broker without keys has for its own worker) is safe from a step
 * with `network: true` only where the two have different users. A broker with keys asks for one
 * there, too, which lies where programs can't read it.
 *
 * What remains: names, sizes and modes of files anywhere may be seen, and modes and times of what
 * belongs to the worker's user be changed (Landlock has no say in stat, chmod, utime); /proc shows
 * the command lines of others. Run workers as a user of their own.
 *
 * Sources: landlock(7), seccomp_unotify(2), capabilities(7).
 * Thread: the slot's; it has one of its own. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "worker/kinds/kind.h"
#include "worker/runtime/sandbox_options.h"

struct sandbox;

/* Looks at the machine and at what programs may see. Descriptors it keeps are the lowest free
 * ones. Errors: E_UNSUPPORTED a layer is missing that is required. */
MUST_USE enum status sandbox_open(const struct sandbox_options *options, struct sandbox **out,
                                  struct err *err);
/* Confines this very process as far as all it will run is: for a slot, before its first job. What
 * is left for each program costs some 20 µs. Errors: E_UNSUPPORTED. */
MUST_USE enum status sandbox_settle(struct sandbox *sandbox, struct err *err);
void sandbox_close(struct sandbox *sandbox);
/* How a kind uses it; NULL when it is off. Lives as long as the sandbox. */
const struct kind_confine *sandbox_confine(struct sandbox *sandbox);
/* Closes every descriptor from `first` on but the sandbox's own, and between two of its answers. */
void sandbox_close_others(struct sandbox *sandbox, unsigned first);

static inline void sandbox_close_auto(struct sandbox **sandbox)
{
    if (*sandbox)
        sandbox_close(*sandbox);
}
