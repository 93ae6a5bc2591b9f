/* Landlock by its system calls: the C library has no functions for them. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/fs.h"
#include "worker/runtime/sandbox_state.h"

/* What came after the oldest headers that we are built with. Source: linux/landlock.h. */
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_NET_BIND_TCP
#define LANDLOCK_ACCESS_NET_BIND_TCP    (1ULL << 0)
#define LANDLOCK_ACCESS_NET_CONNECT_TCP (1ULL << 1)
#endif
#ifndef LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define LANDLOCK_SCOPE_SIGNAL               (1ULL << 1)
#endif

/* struct landlock_ruleset_attr as of version 6; older kernels take its beginning. */
struct ruleset {
    uint64_t files, network, scopes;
};

enum { RULESET_BYTES_1 = 8, RULESET_BYTES_4 = 16, RULESET_BYTES_6 = 24 };

static const uint64_t reading =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t writing = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |
                                LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                                LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                                LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER;
static const uint64_t making_devices = LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;
/* What a rule for something else than a folder may say. */
static const uint64_t of_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
                                 LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE |
                                 LANDLOCK_ACCESS_FS_IOCTL_DEV;

/* All that this kernel knows to refuse. */
static uint64_t handled(int version)
{
    uint64_t access = reading | writing | making_devices;
    if (version < LANDLOCK_VERSION_TRUNCATE)
        access &= ~(uint64_t)LANDLOCK_ACCESS_FS_TRUNCATE;
    return version < LANDLOCK_VERSION_DEVICES ? access : access | LANDLOCK_ACCESS_FS_IOCTL_DEV;
}

static uint64_t access_of(enum sight sight)
{
    switch (sight) {
    case SIGHT_READ:
    case SIGHT_NETWORK: return reading;
    case SIGHT_DEVICE:
        return LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
               LANDLOCK_ACCESS_FS_IOCTL_DEV;
    case SIGHT_SHARED:
        return LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
               LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_MAKE_REG |
               LANDLOCK_ACCESS_FS_REMOVE_FILE;
    case SIGHT_WRITE: break;
    }
    return reading | writing | LANDLOCK_ACCESS_FS_IOCTL_DEV;
}

static int add(int rules_fd, int fd, uint64_t access)
{
    const struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    return (int)syscall(SYS_landlock_add_rule, rules_fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static int add_all(const struct sandbox *sandbox, int rules_fd, int folder_fd, const char *folder,
                   bool has_network, uint64_t known)
{
    if (add(rules_fd, folder_fd, (reading | writing) & known))
        return -1;
    for (size_t i = 0; i < sandbox->visible_count; i++) {
        const struct visible *visible = &sandbox->visible[i];
        uint64_t access = access_of(visible->sight) & known;
        /* A worker may keep its folders in memory: then the jobs of others would be seen, too. */
        if (visible->sight == SIGHT_SHARED && sandbox_is_below(folder, visible->path))
            continue;
        if (visible->sight == SIGHT_NETWORK && !has_network)
            continue;
        AUTO(fs_close_fd) int fd = open(visible->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && add(rules_fd, fd, visible->is_folder ? access : access & of_files))
            return -1;
    }
    return 0;
}

int landlock_make(const struct sandbox *sandbox, int folder_fd, const char *folder,
                  bool has_network)
{
    int version = sandbox->landlock_version;
    const struct ruleset ruleset = {
        .files = handled(version),
        .network = has_network ? 0 : LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP,
        .scopes = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL};
    size_t bytes = version < LANDLOCK_VERSION_NETWORK  ? RULESET_BYTES_1
                   : version < LANDLOCK_VERSION_SCOPES ? RULESET_BYTES_4
                                                       : RULESET_BYTES_6;
    int rules_fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, bytes, 0);
    if (rules_fd < 0 ||
        add_all(sandbox, rules_fd, folder_fd, folder, has_network, ruleset.files) == 0)
        return rules_fd;
    int error = errno;
    close(rules_fd);
    errno = error;
    return -1;
}

int landlock_enter(int rules_fd)
{
    return (int)syscall(SYS_landlock_restrict_self, rules_fd, 0);
}
