/* How programs are to be confined, as the worker was told, and as it tells its slots on their
 * command line. Thread: any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "proto/err.h"

enum sandbox_mode {
    SANDBOX_BEST_EFFORT, /* what the machine can do */
    SANDBOX_REQUIRE,     /* all of it but control groups, or the worker does not start */
    SANDBOX_OFF
};

struct sandbox_options {
    enum sandbox_mode mode;
    /* Files and folders that programs may see beside the system's, and those they may write. */
    const char *const *readable, *const *writable;
    size_t readable_count, writable_count;
    /* A folder that is not to be seen where the system's folders would show it, nor is the one
     * where we are: whoever works in /opt or /usr/src has the pipeline, the store and the cache
     * there. NULL: the latter alone. */
    const char *hidden;
    uint64_t file_bytes; /* of one file that a program writes; 0: SANDBOX_FILE_BYTES_DEFAULT */
    uint32_t processes;  /* at once, threads included; 0: SANDBOX_PROCESSES_DEFAULT */
};

/* "best-effort", "require", "off". Errors: E_INVALID naming them. */
MUST_USE enum status sandbox_mode_parse(const char *text, enum sandbox_mode *out, struct err *err);
/* The options as arguments, NULL-terminated behind `before` (NULL-terminated too). */
const char **sandbox_to_arguments(const struct sandbox_options *options, const char *const *before,
                                  struct arena *arena);
/* The other way round; texts are borrowed. Errors: E_INVALID. */
MUST_USE enum status sandbox_from_arguments(int count, char **arguments, struct arena *arena,
                                            struct sandbox_options *out, struct err *err);
