// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/cores.h"
#include "common/fs.h"
#include "common/landlock.h"
#include "proto/limits.h"
#include "worker/runtime/sandbox_layers.h"
#include "worker/runtime/sandbox_state.h"

enum {
    /* Time of the processor beyond what a program's timeout leaves it, before it is ended. */
    CPU_GRACE_S = 10,
    /* Of one path in what a program said. */
    WORD_BYTES_MAX = 512
};

static enum status prepare(void *context, const struct kind_call *call, bool has_network,
                           struct err *err);
static int enter(void *context, const char **at);
static void explain(void *context, const char *words, char *out, size_t out_bytes);

/* ---- opening ---- */

/* The number of the lowest free descriptor. */
static unsigned next_fd(void)
{
    int fd = open("/dev/null", O_PATH | O_CLOEXEC);
    unsigned next = fd < 0 ? 0 : (unsigned)fd;
    fs_close_fd_auto(&fd);
    return next;
}

enum status sandbox_open(const struct sandbox_options *options, struct sandbox **out,
                         struct err *err)
{
    *out = NULL;
    AUTO(sandbox_close) struct sandbox *sandbox = mem_alloc(sizeof *sandbox);
    sandbox->options = *options;
    sandbox->asked.listener = sandbox->rules_fd = -1;
    pthread_mutex_init(&sandbox->asked.lock, NULL);
    for (int i = 0; i < SANDBOX_RULES_MAX; i++)
        sandbox->rules[i].fd = sandbox->rules[i].folder_fd = -1;
    sandbox->confine = (struct kind_confine){sandbox, prepare, enter, explain};
    if (options->mode == SANDBOX_OFF) {
        *out = TAKE(sandbox);
        return OK;
    }
    TRY(sandbox_check(options, err));
    sandbox->landlock_version = landlock_version();
    if (sandbox->landlock_version < LANDLOCK_VERSION_MIN)
        sandbox->landlock_version = 0;
    sandbox->has_seccomp = seccomp_is_there();
    sandbox->can_take_sockets = asked_can_take();
    sandbox_find_visible(sandbox);
    for (int i = 0; i < SANDBOX_RULES_MAX; i++) {
        /* So that the numbers are taken before jobs open anything. */
        sandbox->rules[i].fd = open("/dev/null", O_PATH | O_CLOEXEC);
        sandbox->rules[i].folder_fd = open("/dev/null", O_PATH | O_CLOEXEC);
    }
    sandbox->fd_end = next_fd();
    if (getrlimit(RLIMIT_FSIZE, &sandbox->file_limit) ||
        getrlimit(RLIMIT_NPROC, &sandbox->process_limit))
        return err_set(err, E_UNSUPPORTED, "getrlimit: %s", strerror(errno));
    *out = TAKE(sandbox);
    return OK;
}

void sandbox_close(struct sandbox *sandbox)
{
    for (int i = 0; i < SANDBOX_RULES_MAX; i++) {
        fs_close_fd_auto(&sandbox->rules[i].fd);
        fs_close_fd_auto(&sandbox->rules[i].folder_fd);
    }
    for (int i = 0; i < NETWORK_COUNT; i++)
        buf_fini(&sandbox->filters[i]);
    mem_free(sandbox->visible);
    arena_fini(&sandbox->arena);
    mem_free(sandbox);
}

const struct kind_confine *sandbox_confine(struct sandbox *sandbox)
{
    return sandbox->options.mode == SANDBOX_OFF ? NULL : &sandbox->confine;
}

void sandbox_close_others(struct sandbox *sandbox, unsigned first)
{
    pthread_mutex_lock(&sandbox->asked.lock);
    close_range(first > sandbox->fd_end ? first : sandbox->fd_end, ~0U, 0);
    pthread_mutex_unlock(&sandbox->asked.lock);
}

/* ---- this process ---- */

static int drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    return (int)syscall(SYS_capset, &head, none);
}

enum status sandbox_settle(struct sandbox *sandbox, struct err *err)
{
    if (sandbox->options.mode == SANDBOX_OFF)
        return OK;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || drop_capabilities())
        return err_set(err, E_UNSUPPORTED, "slot: cannot give up privileges: %s", strerror(errno));
    sandbox->is_settled = true;
    landlock_close_self();
    if (!sandbox->has_seccomp)
        return OK;
    TRY(seccomp_make(sandbox, NETWORK_ASKS, err));
    sandbox->has_asked = asked_start(sandbox);
    sandbox->fd_end = next_fd();
    if (sandbox->has_asked)
        return OK;
    /* Then what all programs have in common, and a second one for each. */
    TRY(seccomp_make(sandbox, NETWORK_FREE, err));
    sandbox->has_seccomp = seccomp_enter(&sandbox->filters[NETWORK_FREE], NULL) == 0;
    if (!sandbox->has_seccomp && sandbox->options.mode == SANDBOX_REQUIRE)
        return err_set(err, E_UNSUPPORTED, "slot: cannot load a seccomp filter: %s",
                       strerror(errno));
    return OK;
}

/* ---- a program ---- */

/* A number of ours, so that nobody else's close finds it. */
static void keep(int *kept, int fd)
{
    if (*kept >= 0 && dup3(fd, *kept, O_CLOEXEC) == *kept)
        close(fd);
    else
        *kept = fd;
}

static struct folder_rules *find_rules(struct sandbox *sandbox, const struct stat *folder,
                                       bool has_network)
{
    for (int i = 0; i < SANDBOX_RULES_MAX; i++) {
        struct folder_rules *rules = &sandbox->rules[i];
        if (rules->inode && rules->device == folder->st_dev && rules->inode == folder->st_ino &&
            rules->has_network == has_network)
            return rules;
    }
    return NULL;
}

/* `out` in the place of the oldest ones. */
static enum status make_rules(struct sandbox *sandbox, const char *folder, bool has_network,
                              struct folder_rules **out, struct err *err)
{
    struct folder_rules *rules = *out = &sandbox->rules[sandbox->next_rules];
    struct stat found;
    char link[64];
    sandbox->next_rules = (sandbox->next_rules + 1) % SANDBOX_RULES_MAX;
    rules->inode = 0;
    int folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder_fd < 0)
        return fs_error(err, errno, folder, "open");
    keep(&rules->folder_fd, folder_fd);
    snprintf(link, sizeof link, "/proc/self/fd/%d", rules->folder_fd);
    ssize_t bytes = readlink(link, rules->path, sizeof rules->path - 1);
    rules->path[bytes > 0 ? bytes : 0] = 0;
    int fd = -1;
    if (sandbox->landlock_version)
        fd = landlock_make(sandbox, rules->folder_fd, rules->path, has_network);
    if (sandbox->landlock_version && fd < 0)
        return err_set(err, E_UNSUPPORTED, "sandbox: Landlock refuses a rule: %s", strerror(errno));
    if (fd >= 0)
        keep(&rules->fd, fd);
    if (fstat(rules->folder_fd, &found))
        return fs_error(err, errno, folder, "stat");
    rules->device = found.st_dev;
    rules->inode = found.st_ino;
    rules->has_network = has_network;
    return OK;
}

static enum status prepare_files(struct sandbox *sandbox, const struct kind_call *call,
                                 bool has_network, struct err *err)
{
    struct stat found;
    if (stat(call->work_dir, &found))
        return fs_error(err, errno, call->work_dir, "stat");
    struct folder_rules *rules = find_rules(sandbox, &found, has_network);
    if (!rules)
        TRY(make_rules(sandbox, call->work_dir, has_network, &rules, err));
    sandbox->rules_fd = rules->fd;
    pthread_mutex_lock(&sandbox->asked.lock);
    memcpy(sandbox->asked.folder, rules->path, sizeof rules->path);
    sandbox->asked.has_network = has_network;
    sandbox->asked.was_refused = false;
    pthread_mutex_unlock(&sandbox->asked.lock);
    return OK;
}

static enum status prepare(void *context, const struct kind_call *call, bool has_network,
                           struct err *err)
{
    struct sandbox *sandbox = context;
    sandbox->filter = NULL;
    if (sandbox->has_seccomp && !sandbox->has_asked && !(sandbox->is_settled && has_network)) {
        enum network network = has_network ? NETWORK_FREE : NETWORK_NONE;
        TRY(seccomp_make(sandbox, network, err));
        sandbox->filter = &sandbox->filters[network];
    }
    sandbox->cpu_s = 0;
    if (call->timeout_ms)
        sandbox->cpu_s = (call->timeout_ms / 1000 + CPU_GRACE_S) * (uint64_t)cores_count();
    return prepare_files(sandbox, call, has_network, err);
}

/* Nobody gets more than there was. */
static int limit(__rlimit_resource_t what, const struct rlimit *now, rlim_t most)
{
    struct rlimit wanted = {.rlim_max = most < now->rlim_max ? most : now->rlim_max};
    wanted.rlim_cur = now->rlim_cur < wanted.rlim_max ? now->rlim_cur : wanted.rlim_max;
    return setrlimit(what, &wanted);
}

static int enter_limits(const struct sandbox *sandbox)
{
    const struct sandbox_options *options = &sandbox->options;
    struct sysinfo machine = {0};
    struct rlimit cpu;
    uint64_t bytes = options->file_bytes ? options->file_bytes : SANDBOX_FILE_BYTES_DEFAULT;
    uint32_t processes = options->processes ? options->processes : SANDBOX_PROCESSES_DEFAULT;
    if (limit(RLIMIT_FSIZE, &sandbox->file_limit, bytes) ||
        (sandbox->cpu_s &&
         (getrlimit(RLIMIT_CPU, &cpu) || limit(RLIMIT_CPU, &cpu, sandbox->cpu_s))))
        return -1;
    /* The kernel counts all of a user's processes, so those there are come on top. */
    return sysinfo(&machine) ||
                   limit(RLIMIT_NPROC, &sandbox->process_limit, processes + machine.procs)
               ? -1
               : 0;
}

static int enter(void *context, const char **at)
{
    struct sandbox *sandbox = context;
    *at = "limits";
    if (enter_limits(sandbox))
        return -1;
    *at = "privileges";
    if (!sandbox->is_settled && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || drop_capabilities()))
        return -1;
    *at = "Landlock";
    if (sandbox->landlock_version && landlock_enter(sandbox->rules_fd))
        return -1;
    *at = "seccomp";
    return sandbox->filter ? seccomp_enter(sandbox->filter, NULL) : 0;
}

/* ---- what went wrong ---- */

/* The next absolute path in what a program said, into `out`. */
static bool next_path(const char **at, char out[WORD_BYTES_MAX])
{
    static const char ends[] = " \t\r\n\"'`,;:()[]{}<>|=";
    const char *before = *at;
    while (*before) {
        before += strspn(before, ends);
        size_t bytes = strcspn(before, ends);
        const char *word = before;
        before += bytes;
        if (*word != '/' || bytes < 2 || bytes >= WORD_BYTES_MAX)
            continue;
        memcpy(out, word, bytes);
        out[bytes] = 0;
        *at = before;
        return true;
    }
    return false;
}

/* Names a file that is there, that the program could not have seen, and that it speaks of as one
 * whose permission is denied, which is how Landlock refuses. */
static void explain(void *context, const char *words, char *out, size_t out_bytes)
{
    struct sandbox *sandbox = context;
    char path[WORD_BYTES_MAX];
    pthread_mutex_lock(&sandbox->asked.lock);
    bool was_refused = sandbox->asked.was_refused;
    const char *folder = *sandbox->asked.folder ? sandbox->asked.folder : "/";
    pthread_mutex_unlock(&sandbox->asked.lock);
    *out = 0;
    bool was_denied = sandbox->landlock_version && strstr(words, "ermission denied");
    while (was_denied && next_path(&words, path))
        if (access(path, F_OK) == 0 && !sandbox_is_below(path, folder) &&
            !sandbox_is_visible(sandbox, path)) {
            snprintf(out, out_bytes,
                     "%s exists but is not declared: add it to inputs or code (or show it to all "
                     "programs: worker --readable)",
                     path);
            return;
        }
    if (was_refused)
        snprintf(out, out_bytes,
                 "it asked for the network, which its step does not: params: {network: true}");
}
