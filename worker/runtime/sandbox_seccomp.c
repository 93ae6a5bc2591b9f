/* The filters of system calls. What is refused answers as a kernel without it would, where programs
 * know how to go on then. Source: seccomp(2), and for what is dangerous the default profiles of
 * container runtimes. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fs.h"
#include "worker/runtime/sandbox_state.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* Arguments that the kernel reads as 32 bits are compared as such. */
#define LOW_BITS UINT64_C(0xffffffff)

enum {
    SOCKET_TYPE_BITS = 0xf,
    FAMILIES_MAX = 64,        /* more than there are: the kernel refuses the rest */
    TYPE_FOR_OTHERS = 0x541c, /* TIOCLINUX, which has no header of its own everywhere */
    IO_PRIORITY_PROCESS = 1,  /* IOPRIO_WHO_PROCESS …, likewise */
    IO_PRIORITY_GROUP,
    IO_PRIORITY_USER
};

struct refusal {
    int call, error;
};

/* What programs go on without when it is not there. */
static const struct refusal always[] = {
    {SCMP_SYS(io_uring_setup), ENOSYS},
    {SCMP_SYS(io_uring_enter), ENOSYS},
    {SCMP_SYS(io_uring_register), ENOSYS},
    {SCMP_SYS(keyctl), ENOSYS},
    {SCMP_SYS(add_key), ENOSYS},
    {SCMP_SYS(request_key), ENOSYS},
    {SCMP_SYS(clone3), ENOSYS}, /* its flags lie in memory; clone is used instead */
    {SCMP_SYS(userfaultfd), ENOSYS},
    {SCMP_SYS(bpf), EPERM},
    {SCMP_SYS(perf_event_open), EPERM},
    {SCMP_SYS(unshare), EPERM},
    {SCMP_SYS(setns), EPERM},
    {SCMP_SYS(mount), EPERM},
    {SCMP_SYS(umount2), EPERM},
    {SCMP_SYS(pivot_root), EPERM},
    {SCMP_SYS(chroot), EPERM},
    {SCMP_SYS(move_mount), EPERM},
    {SCMP_SYS(open_tree), EPERM},
    {SCMP_SYS(fsopen), EPERM},
    {SCMP_SYS(fsconfig), EPERM},
    {SCMP_SYS(fsmount), EPERM},
    {SCMP_SYS(fspick), EPERM},
    {SCMP_SYS(mount_setattr), EPERM},
    {SCMP_SYS(open_by_handle_at), EPERM},
    {SCMP_SYS(swapon), EPERM},
    {SCMP_SYS(swapoff), EPERM},
    {SCMP_SYS(reboot), EPERM},
    {SCMP_SYS(kexec_load), EPERM},
    {SCMP_SYS(kexec_file_load), EPERM},
    {SCMP_SYS(init_module), EPERM},
    {SCMP_SYS(finit_module), EPERM},
    {SCMP_SYS(delete_module), EPERM},
    {SCMP_SYS(acct), EPERM},
    {SCMP_SYS(quotactl), EPERM},
    {SCMP_SYS(settimeofday), EPERM},
    {SCMP_SYS(clock_settime), EPERM},
    {SCMP_SYS(syslog), EPERM},
    {SCMP_SYS(vhangup), EPERM},
    {SCMP_SYS(iopl), EPERM},
    {SCMP_SYS(ioperm), EPERM},
    {SCMP_SYS(fanotify_init), EPERM},
};

/* Landlock lets a program do these to itself alone: debuggers and leak checkers need them. */
static const struct refusal without_landlock[] = {
    {SCMP_SYS(ptrace), EPERM},
    {SCMP_SYS(process_vm_readv), EPERM},
    {SCMP_SYS(process_vm_writev), EPERM},
    {SCMP_SYS(pidfd_getfd), EPERM},
    {SCMP_SYS(kcmp), EPERM},
};

/* Rules are collected, and the first that the library refuses is told at the end. */
struct rules {
    scmp_filter_ctx context;
    int error;
};

static void add(struct rules *rules, uint32_t action, int call, unsigned count,
                const struct scmp_arg_cmp *arguments)
{
    int error = seccomp_rule_add_array(rules->context, action, call, count, arguments);
    if (error && !rules->error)
        rules->error = -error;
}

static void refuse(struct rules *rules, const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++)
        add(rules, SCMP_ACT_ERRNO((uint32_t)refusals[i].error), refusals[i].call, 0, NULL);
}

static struct scmp_arg_cmp is(unsigned argument, uint64_t mask, uint64_t value)
{
    return (struct scmp_arg_cmp){argument, SCMP_CMP_MASKED_EQ, mask, value};
}

/* As SCMP_A0 … would have it, which leave out what clang asks for. */
static struct scmp_arg_cmp is_not(unsigned argument, uint64_t value)
{
    return (struct scmp_arg_cmp){argument, SCMP_CMP_NE, value, 0};
}

static void add_sockets(struct rules *rules, enum network network, bool can_take_sockets)
{
    uint32_t ask = network == NETWORK_ASKS ? SCMP_ACT_NOTIFY : SCMP_ACT_ERRNO(EACCES);
    for (uint64_t family = 0; family < FAMILIES_MAX; family++) {
        const struct scmp_arg_cmp here[] = {is(0, LOW_BITS, family)};
        bool is_network = family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
        if (is_network && network == NETWORK_FREE)
            continue;
        if (family != AF_UNIX)
            add(rules, is_network ? ask : SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, here);
    }
    /* Local datagrams name their receiver each time, which nobody could look at. */
    for (uint64_t type = SOCK_DGRAM; type <= SOCK_RAW; type++) {
        const struct scmp_arg_cmp local[] = {is(0, LOW_BITS, AF_UNIX),
                                             is(1, SOCKET_TYPE_BITS, type)};
        add(rules, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 2, local);
        add(rules, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socketpair), 2, local);
    }
    if (network == NETWORK_ASKS && can_take_sockets)
        add(rules, SCMP_ACT_NOTIFY, SCMP_SYS(connect), 0, NULL);
}

/* Limits and priorities of others of the same user, whom the kernel does not ask Landlock about: a
 * limit of the processor's time ends a broker as a signal does. Whose process a number is can be
 * asked (`renice -p $$` is a script's own). */
static void protect_limits(struct rules *rules, enum network network)
{
    uint32_t ask = network == NETWORK_ASKS ? SCMP_ACT_NOTIFY : SCMP_ACT_ERRNO(EPERM);
    const struct scmp_arg_cmp limit[] = {is_not(0, 0), is_not(2, 0)};
    add(rules, ask, SCMP_SYS(prlimit64), 2, limit);
    static const struct {
        int call;
        uint64_t process, group, user;
    } priorities[] = {
        {SCMP_SYS(setpriority), PRIO_PROCESS, PRIO_PGRP, PRIO_USER},
        {SCMP_SYS(ioprio_set), IO_PRIORITY_PROCESS, IO_PRIORITY_GROUP, IO_PRIORITY_USER}};
    for (size_t i = 0; i < 2; i++) {
        const struct scmp_arg_cmp process[] = {is(0, LOW_BITS, priorities[i].process),
                                               is_not(1, 0)};
        const struct scmp_arg_cmp group[] = {is(0, LOW_BITS, priorities[i].group), is_not(1, 0)};
        const struct scmp_arg_cmp user[] = {is(0, LOW_BITS, priorities[i].user)};
        add(rules, ask, priorities[i].call, 2, process);
        add(rules, SCMP_ACT_ERRNO(EPERM), priorities[i].call, 2, group);
        add(rules, SCMP_ACT_ERRNO(EPERM), priorities[i].call, 1, user);
    }
}

static void add_arguments(struct rules *rules)
{
    static const uint64_t namespaces[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                          CLONE_NEWIPC, CLONE_NEWUSER,   CLONE_NEWPID,
                                          CLONE_NEWNET};
    static const uint64_t terminal[] = {TIOCSTI, TYPE_FOR_OTHERS}; /* to type in others' stead */
    for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
        const struct scmp_arg_cmp flag[] = {is(0, namespaces[i], namespaces[i])};
        add(rules, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, flag);
    }
    for (size_t i = 0; i < sizeof terminal / sizeof *terminal; i++) {
        const struct scmp_arg_cmp request[] = {is(1, LOW_BITS, terminal[i])};
        add(rules, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, request);
    }
}

/* The slot and the worker are not to be killed by what they run. */
static void protect_from_signals(struct rules *rules)
{
    static const int calls[] = {SCMP_SYS(kill),
                                SCMP_SYS(tkill),
                                SCMP_SYS(tgkill),
                                SCMP_SYS(rt_sigqueueinfo),
                                SCMP_SYS(rt_tgsigqueueinfo),
                                SCMP_SYS(pidfd_open)};
    const pid_t targets[] = {getpid(), getppid(), -getpid(), -getpgid(getppid()), -1};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (size_t k = 0; k < sizeof targets / sizeof *targets; k++) {
            const struct scmp_arg_cmp whom[] = {is(0, LOW_BITS, (uint32_t)targets[k])};
            add(rules, SCMP_ACT_ERRNO(EPERM), calls[i], 1, whom);
        }
    /* Nor by those that name nobody: through /proc/PID as a descriptor, as whoever is to hear of a
     * descriptor, as one of the caller's own group. */
    static const uint64_t hearing[] = {F_SETOWN, F_SETOWN_EX}, asking[] = {FIOSETOWN, SIOCSPGRP};
    refuse(rules, &(const struct refusal){SCMP_SYS(pidfd_send_signal), EPERM}, 1);
    for (size_t i = 0; i < 2; i++) {
        const struct scmp_arg_cmp by_fcntl[] = {is(1, LOW_BITS, hearing[i])};
        const struct scmp_arg_cmp by_ioctl[] = {is(1, LOW_BITS, asking[i])};
        add(rules, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fcntl), 1, by_fcntl);
        add(rules, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, by_ioctl);
    }
    const struct scmp_arg_cmp group[] = {is(1, LOW_BITS, (uint32_t)getpid())};
    add(rules, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setpgid), 1, group);
}

enum status seccomp_make(struct sandbox *sandbox, enum network network, struct err *err)
{
    struct buf *out = &sandbox->filters[network];
    if (out->count)
        return OK;
    struct rules rules = {.context = seccomp_init(SCMP_ACT_ALLOW)};
    if (!rules.context)
        return err_set(err, E_UNSUPPORTED, "seccomp: the library gives no filter");
    /* Of another architecture (32 bits) nothing is allowed. */
    rules.error = -seccomp_attr_set(rules.context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    refuse(&rules, always, sizeof always / sizeof *always);
    if (!sandbox->landlock_version)
        refuse(&rules, without_landlock, sizeof without_landlock / sizeof *without_landlock);
    if (sandbox->landlock_version < LANDLOCK_VERSION_TRUNCATE)
        refuse(&rules, &(const struct refusal){SCMP_SYS(truncate), EACCES}, 1);
    if (sandbox->landlock_version < LANDLOCK_VERSION_SCOPES)
        protect_from_signals(&rules);
    add_sockets(&rules, network, sandbox->can_take_sockets);
    add_arguments(&rules);
    protect_limits(&rules, network);
    AUTO(fs_close_fd) int fd = memfd_create("filter", MFD_CLOEXEC);
    if (!rules.error)
        rules.error = fd < 0 ? errno : -seccomp_export_bpf(rules.context, fd);
    seccomp_release(rules.context);
    if (rules.error)
        return err_set(err, E_UNSUPPORTED, "seccomp: the library refuses a rule: error %d",
                       rules.error);
    *out = buf_init(0);
    (void)lseek(fd, 0, SEEK_SET);
    return fs_read_fd(fd, "seccomp filter", out, err);
}

static bool has_action(uint32_t action)
{
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

bool seccomp_is_there(void)
{
    return has_action(SECCOMP_RET_ERRNO);
}

bool seccomp_asks(void)
{
    return has_action(SECCOMP_RET_USER_NOTIF);
}

int seccomp_enter(const struct buf *filter, int *listener)
{
    const struct sock_fprog program = {
        .len = (unsigned short)(filter->count / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(void *)filter->bytes};
    if (!listener)
        return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    /* A program that waits for an answer is not to be woken for a signal, and then to ask anew. */
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                      flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &program);
    if (fd < 0 && errno == EINVAL)
        fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    *listener = (int)fd;
    return fd < 0 ? -1 : 0;
}
