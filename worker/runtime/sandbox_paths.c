/* What programs may see of the system: how it is said here is how it is. */
// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "worker/runtime/sandbox_state.h"

/* Where programs and libraries live, and of /etc what they read to work at all: names, locale,
 * fonts, interpreters' own settings. No keys and no passwords. Each costs each program a little. */
static const char *const to_read[] = {
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store",
    /* */
    "/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
    "/etc/localtime", "/etc/locale.alias", "/etc/alternatives", "/etc/ssl/openssl.cnf",
    "/etc/crypto-policies", "/etc/os-release", "/etc/fonts", "/etc/mime.types", "/etc/magic",
    "/etc/magic.mime", "/etc/terminfo", "/etc/python3*", "/etc/perl", "/etc/java*", "/etc/R",
    "/etc/ImageMagick*", "/etc/OpenCL", "/etc/vulkan", "/var/cache/fontconfig",
    /* What a process asks about itself and the machine; of others it shows no more than their names
     * and command lines, since they can't be traced. */
    "/proc", "/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage"};
/* What only programs with a network need: addresses and certificates. */
static const char *const for_network[] = {
    "/etc/hosts",           "/etc/host.conf",     "/etc/hostname",    "/etc/resolv.conf",
    "/etc/gai.conf",        "/etc/services",      "/etc/protocols",   "/etc/ssl/certs",
    "/etc/ca-certificates", "/etc/pki/tls/certs", "/etc/pki/ca-trust"};
static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                      "/dev/urandom"};
/* For semaphores and shared memory (multiprocessing, data loaders), whose names are random. */
static const char shared_memory[] = "/dev/shm";

bool sandbox_is_below(const char *path, const char *folder)
{
    size_t bytes = strlen(folder);
    while (bytes && folder[bytes - 1] == '/')
        bytes--;
    return !strncmp(path, folder, bytes) && (!path[bytes] || path[bytes] == '/');
}

/* Does what is seen already show all of this? */
static bool is_shown(const struct sandbox *sandbox, const char *path, enum sight sight)
{
    for (size_t i = 0; i < sandbox->visible_count; i++) {
        const struct visible *visible = &sandbox->visible[i];
        if ((visible->sight == sight || visible->sight == SIGHT_WRITE) &&
            sandbox_is_below(path, visible->path))
            return true;
    }
    return false;
}

static void show(struct sandbox *sandbox, const char *path, enum sight sight);

static bool is_hidden(const struct sandbox *sandbox, const char *real)
{
    return !strcmp(real, sandbox->hidden[0]) || !strcmp(real, sandbox->hidden[1]);
}

static bool leads_to_hidden(const struct sandbox *sandbox, const char *real)
{
    return !is_hidden(sandbox, real) && (sandbox_is_below(sandbox->hidden[0], real) ||
                                         sandbox_is_below(sandbox->hidden[1], real));
}

/* All that lies in a folder but what is, or leads to, a hidden one. What a symlink there leads to
 * is not in it. */
static void show_around(struct sandbox *sandbox, const char *folder, enum sight sight)
{
    DIR *all = opendir(folder);
    for (const struct dirent *entry; all && (entry = readdir(all));) {
        char path[PATH_MAX + NAME_MAX + 2];
        struct stat found;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && !lstat(path, &found) &&
            !S_ISLNK(found.st_mode) && !is_hidden(sandbox, path))
            show(sandbox, path, sight);
    }
    if (all)
        closedir(all);
}

/* What is not there is not shown. */
static void show(struct sandbox *sandbox, const char *path, enum sight sight)
{
    char real[PATH_MAX];
    struct stat found;
    if (!realpath(path, real) || !strcmp(real, "/") || is_shown(sandbox, real, sight))
        return;
    if (stat(real, &found))
        return;
    if (leads_to_hidden(sandbox, real)) {
        show_around(sandbox, real, sight);
        return;
    }
    if (sandbox->visible_count == sandbox->visible_room) {
        sandbox->visible_room = sandbox->visible_room ? 2 * sandbox->visible_room : 64;
        sandbox->visible =
            mem_resize(sandbox->visible, sandbox->visible_room * sizeof *sandbox->visible);
    }
    sandbox->visible[sandbox->visible_count++] = (struct visible){
        arena_text(&sandbox->arena, real, strlen(real)), sight, S_ISDIR(found.st_mode)};
}

static void show_matching(struct sandbox *sandbox, const char *pattern)
{
    glob_t found;
    if (!strchr(pattern, '*')) { /* the same without looking through the folder */
        show(sandbox, pattern, SIGHT_READ);
        return;
    }
    if (glob(pattern, GLOB_NOSORT, NULL, &found))
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        show(sandbox, found.gl_pathv[i], SIGHT_READ);
    globfree(&found);
}

/* The folder above, in place; false: that is the root. */
static bool go_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return false;
    *slash = 0;
    return true;
}

static bool has(const char *folder, const char *name)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* What an installation has of its own: a person's home may be one (npm's prefix), or a pipeline's
 * folder (an environment made in place), and the rest of that is nobody's business. */
static void show_parts(struct sandbox *sandbox, const char *folder)
{
    static const char *const parts[] = {"bin", "lib", "lib64", "libexec", "include", "pyvenv.cfg"};
    char path[PATH_MAX + 16];
    if (has(folder, "conda-meta")) { /* whose folder is its own */
        show(sandbox, folder, SIGHT_READ);
        return;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, parts[i]);
        show(sandbox, path, SIGHT_READ);
    }
}

/* A folder of PATH, with what its programs need, where it is of no use without what lies beside it:
 * the environment that it is part of (Python's, conda's, Node's installation), the installation
 * that this environment's interpreter belongs to; of the shims of a version manager (pyenv, rbenv)
 * all that it manages. */
static void show_programs(struct sandbox *sandbox, const char *folder)
{
    char above[PATH_MAX], interpreter[PATH_MAX + 16], real[PATH_MAX];
    const char *name = strrchr(folder, '/');
    show(sandbox, folder, SIGHT_READ);
    if (!realpath(folder, above) || !go_up(above))
        return;
    bool is_manager = name && !strcmp(name, "/shims");
    if (is_manager)
        show(sandbox, above, SIGHT_READ);
    else if (has(above, "pyvenv.cfg") || has(above, "conda-meta") || has(above, "lib/node_modules"))
        show_parts(sandbox, above);
    else
        return;
    snprintf(interpreter, sizeof interpreter, "%s/bin/python", above);
    if (realpath(interpreter, real) && go_up(real) && go_up(real))
        show_parts(sandbox, real);
}

void sandbox_find_visible(struct sandbox *sandbox)
{
    const struct sandbox_options *options = &sandbox->options;
    for (size_t i = 0; i < options->writable_count; i++)
        show(sandbox, options->writable[i], SIGHT_WRITE);
    for (size_t i = 0; i < options->readable_count; i++)
        show(sandbox, options->readable[i], SIGHT_READ);
    /* Those were asked for as they are, and so is what PATH names. */
    if (!realpath(".", sandbox->hidden[0]))
        *sandbox->hidden[0] = 0;
    if (!options->hidden || !realpath(options->hidden, sandbox->hidden[1]))
        *sandbox->hidden[1] = 0;
    for (size_t i = 0; i < sizeof to_read / sizeof *to_read; i++)
        if (!is_hidden(sandbox, to_read[i]))
            show_matching(sandbox, to_read[i]);
    for (size_t i = 0; i < sizeof for_network / sizeof *for_network; i++)
        show(sandbox, for_network[i], SIGHT_NETWORK);
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        show(sandbox, devices[i], SIGHT_DEVICE);
    show(sandbox, shared_memory, SIGHT_SHARED);
    const char *path = getenv("PATH");
    for (const char *at = path ? path : ""; *at;) {
        char folder[PATH_MAX];
        size_t bytes = strcspn(at, ":");
        if (*at == '/' && bytes < sizeof folder) {
            snprintf(folder, sizeof folder, "%.*s", (int)bytes, at);
            show_programs(sandbox, folder);
        }
        at += bytes + (at[bytes] == ':');
    }
}

bool sandbox_is_visible(const struct sandbox *sandbox, const char *path)
{
    char real[PATH_MAX];
    return realpath(path, real) &&
           (is_shown(sandbox, real, SIGHT_READ) || is_shown(sandbox, real, SIGHT_DEVICE) ||
            is_shown(sandbox, real, SIGHT_SHARED));
}
