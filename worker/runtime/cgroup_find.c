// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/cgroup_find.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/fs.h"

enum { FILE_BYTES_MAX = 1 << 20, OPTION_BYTES = 256 };

/* A word of a list with commas between? */
static bool has_word(const char *list, const char *word)
{
    size_t bytes = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, word, bytes) && (!at[bytes] || at[bytes] == ',' || at[bytes] == ' '))
            return true;
    }
    return false;
}

/* The path of this process's group in the hierarchy that has this controller; "": version 2. */
static bool own_path(const char *text, const char *controller, char out[PATH_MAX])
{
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *controllers = strchr(line, ':');
        const char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            return false;
        char list[OPTION_BYTES];
        snprintf(list, sizeof list, "%.*s", (int)(path - controllers - 1), controllers + 1);
        if (*controller ? !has_word(list, controller) : *list != 0)
            continue;
        snprintf(out, PATH_MAX, "%.*s", (int)strcspn(path + 1, "\n"), path + 1);
        return true;
    }
    return false;
}

/* In a container the mount may show a part of the hierarchy alone, and the path be one outside:
 * then the mount's root is what is ours. */
static bool join(const char *mount, const char *root, const char *own, char out[PATH_MAX])
{
    size_t bytes = strcmp(root, "/") ? strlen(root) : 0;
    const char *rest =
        !strncmp(own, root, bytes) && (!own[bytes] || own[bytes] == '/') ? own + bytes : "";
    if (!strcmp(rest, "/"))
        rest = "";
    return snprintf(out, PATH_MAX, "%s%s", mount, rest) < PATH_MAX && fs_exists(out);
}

/* One line of mountinfo: ID PARENT DEVICE ROOT MOUNT … - TYPE SOURCE OPTIONS */
static bool read_mount(const char *line, const char *groups, struct cgroup_place *out)
{
    char root[PATH_MAX], mount[PATH_MAX], type[32], options[OPTION_BYTES], own[PATH_MAX];
    const char *dash = strstr(line, " - ");
    if (!dash || sscanf(line, "%*s %*s %*s %4095s %4095s", root, mount) != 2 ||
        sscanf(dash, " - %31s %*s %255s", type, options) != 2)
        return false;
    *out = (struct cgroup_place){.version = !strcmp(type, "cgroup2")  ? 2
                                            : !strcmp(type, "cgroup") ? 1
                                                                      : 0};
    if (out->version == 1) {
        out->has_memory = has_word(options, "memory");
        out->has_processes = has_word(options, "pids");
    }
    const char *controller = out->has_memory ? "memory" : out->has_processes ? "pids" : "";
    return out->version && (out->version == 2 || *controller) &&
           own_path(groups, controller, own) && join(mount, root, own, out->path);
}

size_t cgroup_find(struct cgroup_place out[CGROUP_PLACES_MAX])
{
    AUTO(buf_fini) struct buf groups = buf_init(FILE_BYTES_MAX), mounts = buf_init(FILE_BYTES_MAX);
    size_t count = 0;
    if (fs_read("/proc/self/cgroup", &groups, NULL) != OK ||
        fs_read("/proc/self/mountinfo", &mounts, NULL) != OK)
        return 0;
    char *save = NULL, *text = (char *)(uintptr_t)buf_text(&mounts);
    for (char *line = strtok_r(text, "\n", &save); line && count < CGROUP_PLACES_MAX;
         line = strtok_r(NULL, "\n", &save))
        count += read_mount(line, buf_text(&groups), &out[count]);
    return count;
}
