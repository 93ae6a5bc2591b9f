// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/sandbox_options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const mode_names[] = {
    [SANDBOX_BEST_EFFORT] = "best-effort", [SANDBOX_REQUIRE] = "require", [SANDBOX_OFF] = "off"};

enum { MODE_COUNT = sizeof mode_names / sizeof *mode_names, OWN_ARGUMENTS = 3 };

enum status sandbox_mode_parse(const char *text, enum sandbox_mode *out, struct err *err)
{
    for (int i = 0; i < MODE_COUNT; i++)
        if (!strcmp(text, mode_names[i])) {
            *out = (enum sandbox_mode)i;
            return OK;
        }
    return err_set(err, E_INVALID, "--sandbox \"%.80s\": expected best-effort, require or off",
                   text);
}

/* MODE FILE-BYTES PROCESSES, then a path each, which begins with its access: "r/opt", "w/data",
 * "h/opt/pipeline" (hidden). */
const char **sandbox_to_arguments(const struct sandbox_options *options, const char *const *before,
                                  struct arena *arena)
{
    size_t count = 0;
    while (before[count])
        count++;
    size_t room = count + OWN_ARGUMENTS + options->readable_count + options->writable_count + 2;
    const char **out = arena_alloc(arena, room * sizeof *out), **at = out + count;
    memcpy((void *)out, (const void *)before, count * sizeof *out);
    *at++ = mode_names[options->mode];
    *at++ = arena_format(arena, "%" PRIu64, options->file_bytes);
    *at++ = arena_format(arena, "%" PRIu32, options->processes);
    for (size_t i = 0; i < options->readable_count; i++)
        *at++ = arena_format(arena, "r%s", options->readable[i]);
    for (size_t i = 0; i < options->writable_count; i++)
        *at++ = arena_format(arena, "w%s", options->writable[i]);
    if (options->hidden)
        *at++ = arena_format(arena, "h%s", options->hidden);
    *at = NULL;
    return out;
}

enum status sandbox_from_arguments(int count, char **arguments, struct arena *arena,
                                   struct sandbox_options *out, struct err *err)
{
    *out = (struct sandbox_options){0};
    if (count == 0)
        return OK;
    if (count < OWN_ARGUMENTS)
        return err_set(err, E_INVALID, "slot: %d arguments, at least %d are needed", count,
                       OWN_ARGUMENTS);
    TRY(sandbox_mode_parse(arguments[0], &out->mode, err));
    out->file_bytes = strtoull(arguments[1], NULL, 10);
    out->processes = (uint32_t)strtoul(arguments[2], NULL, 10);
    const char **readable = arena_alloc(arena, (size_t)count * sizeof *readable);
    const char **writable = arena_alloc(arena, (size_t)count * sizeof *writable);
    for (int i = OWN_ARGUMENTS; i < count; i++) {
        if (arguments[i][0] == 'h')
            out->hidden = arguments[i] + 1;
        else if (arguments[i][0] == 'w')
            writable[out->writable_count++] = arguments[i] + 1;
        else
            readable[out->readable_count++] = arguments[i] + 1;
    }
    out->readable = readable;
    out->writable = writable;
    return OK;
}
