// SPDX-License-Identifier: Apache-2.0
#include "worker/command_sandbox.h"

#include <string.h>
#include <unistd.h>

#include "proto/limits.h"
#include "worker/command.h"

enum {
    /* A fork bomb with fewer would not be one; what the kernel numbers. */
    PROCESSES_MIN = 1,
    PROCESSES_MAX = 1 << 22
};

static enum status read_paths(const char *flag, const struct config_list *texts,
                              struct arena *arena, const char *const **out, size_t *count,
                              struct err *err)
{
    size_t room = 0;
    for (size_t i = 0; i < texts->count; i++)
        room += strlen(texts->items[i]) + 1;
    const char **paths = arena_alloc(arena, (room + 1) * sizeof *paths);
    *count = 0;
    for (size_t i = 0; i < texts->count; i++)
        for (const char *at = texts->items[i]; *at;) {
            size_t bytes = strcspn(at, ":");
            const char *path = arena_text(arena, at, bytes);
            at += bytes + (at[bytes] == ':');
            if (!bytes)
                continue;
            if (access(path, F_OK))
                return err_set(err, E_NOTFOUND, "--%s %s: there is no such file or folder", flag,
                               path);
            paths[(*count)++] = path;
        }
    *out = paths;
    return OK;
}

enum status command_sandbox_read(struct command_sandbox *written, struct sandbox_options *out,
                                 struct err *err)
{
    *out = (struct sandbox_options){0};
    TRY(sandbox_mode_parse(written->mode, &out->mode, err));
    TRY(command_parse_bytes("file-size", written->file_size, &out->file_bytes, err));
    if (!out->file_bytes)
        return err_set(err, E_INVALID, "--file-size \"%s\": expected more than 0",
                       written->file_size);
    if (written->processes < PROCESSES_MIN || written->processes > PROCESSES_MAX)
        return err_set(err, E_INVALID, "--processes %lld: expected %d to %d",
                       (long long)written->processes, PROCESSES_MIN, PROCESSES_MAX);
    out->processes = (uint32_t)written->processes;
    TRY(read_paths("readable", &written->readable, &written->arena, &out->readable,
                   &out->readable_count, err));
    return read_paths("writable", &written->writable, &written->arena, &out->writable,
                      &out->writable_count, err);
}

/* `path` without this end of it; NULL: it has another one. */
static const char *without(struct arena *arena, const char *path, const char *end)
{
    size_t bytes = strlen(path), end_bytes = strlen(end);
    bool has_it = bytes > end_bytes && !strcmp(path + bytes - end_bytes, end);
    return has_it ? arena_text(arena, path, bytes - end_bytes) : NULL;
}

const char *command_sandbox_hidden(struct command_sandbox *written, const char *cache,
                                   bool is_brokers)
{
    const char *around = without(&written->arena, cache, "/.penstock/cache");
    if (!around && is_brokers)
        around = without(&written->arena, cache, "/cache");
    return around ? around : cache;
}
