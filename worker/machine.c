// SPDX-License-Identifier: Apache-2.0
#include "worker/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/fs.h"

static uint64_t read_limit(const char *path)
{
    AUTO(buf_fini) struct buf text = buf_init(64);
    if (fs_read(path, &text, NULL) != OK || !text.count)
        return UINT64_MAX;
    const char *digits = buf_text(&text); /* "max": none */
    return *digits >= '0' && *digits <= '9' ? strtoull(digits, NULL, 10) : UINT64_MAX;
}

/* The least limit of the group `path` and of those above it, up to the root of the hierarchy. In a
 * container the path may be one outside: then the root, which is the container's own, is what
 * counts. */
static uint64_t least_limit(const char *hierarchy, char *path, const char *file)
{
    uint64_t least = UINT64_MAX;
    for (;;) {
        char full[2 * 4096 + 64];
        snprintf(full, sizeof full, "%s%s/%s", hierarchy, path, file);
        uint64_t limit = read_limit(full);
        least = limit < least ? limit : least;
        char *slash = strrchr(path, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

/* A line is ID:CONTROLLERS:PATH; version 2 has no controllers there. Source: cgroups(7). */
uint64_t machine_memory_limit(const char *root)
{
    enum { BYTES_MAX = 1 << 16 };
    char path[4096], hierarchy[4096 + 32];
    uint64_t least = UINT64_MAX;
    AUTO(buf_fini) struct buf text = buf_init(BYTES_MAX);
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (fs_read(path, &text, NULL) != OK)
        return UINT64_MAX;
    for (char *save = NULL, *line = strtok_r((char *)(uintptr_t)buf_text(&text), "\n", &save); line;
         line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':'), *group = NULL;
        if (controllers && (group = strchr(++controllers, ':')))
            *group++ = 0;
        if (!group)
            continue;
        bool is_second = !*controllers;
        char padded[256];
        snprintf(padded, sizeof padded, ",%s,", controllers);
        if (!is_second && !strstr(padded, ",memory,"))
            continue;
        snprintf(hierarchy, sizeof hierarchy, "%s/sys/fs/cgroup%s", root,
                 is_second ? "" : "/memory");
        snprintf(path, sizeof path, "%s", group);
        uint64_t limit =
            least_limit(hierarchy, path, is_second ? "memory.max" : "memory.limit_in_bytes");
        least = limit < least ? limit : least;
    }
    return least;
}

uint64_t machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    uint64_t limit = machine_memory_limit("");
    return memory && limit > memory ? memory : limit == UINT64_MAX ? 0 : limit;
}
