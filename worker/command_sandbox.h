/* The flags that say how programs are confined and which secrets there are, the same for every
 * subcommand that runs any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "common/config.h"
#include "worker/runtime/sandbox_options.h"

/* As they were written; begin with COMMAND_SANDBOX. */
struct command_sandbox {
    const char *mode, *file_size, *secrets;
    int64_t processes;
    struct config_list readable, writable;
    struct arena arena; /* of what was read */
};

#define COMMAND_SANDBOX                                                                            \
    {                                                                                              \
        .mode = "best-effort", .file_size = "1TiB", .processes = SANDBOX_PROCESSES_DEFAULT         \
    }

/* clang-format off */
/* Rows of a table of options. */
#define COMMAND_SANDBOX_OPTIONS(s)                                                                 \
    {"sandbox", 0, CONFIG_TEXT, "PENSTOCK_SANDBOX", "HOW", &(s).mode,                              \
     "confine programs of exec: best-effort, require (or do not start), off"},                     \
    {"readable", 0, CONFIG_LIST, "PENSTOCK_READABLE", "PATH", &(s).readable,                       \
     "what programs may read and run beside the system's folders; several with a colon between"},  \
    {"writable", 0, CONFIG_LIST, "PENSTOCK_WRITABLE", "PATH", &(s).writable,                       \
     "what programs may also write, devices included, as in /dev/nvidia0"},                        \
    {"secrets", 0, CONFIG_TEXT, "PENSTOCK_SECRETS", "FOLDER", &(s).secrets,                        \
     "a file for each secret that steps may ask for; also PENSTOCK_SECRET_<NAME>"},                \
    {"file-size", 0, CONFIG_TEXT, "PENSTOCK_FILE_SIZE", "SIZE", &(s).file_size,                    \
     "the largest file that a program may write"},                                                 \
    {"processes", 0, CONFIG_COUNT, "PENSTOCK_PROCESSES", "N", &(s).processes,                      \
     "processes and threads that one program may have at once"}
/* clang-format on */

/* Errors: E_INVALID; E_NOTFOUND a path that is not there. `out` borrows from `written`. */
MUST_USE enum status command_sandbox_read(struct command_sandbox *written,
                                          struct sandbox_options *out, struct err *err);

/* The folder that holds a worker's cache; where that is kept as usual (.penstock/cache), all that
 * lies beside it: the pipeline, the store, keys; of a broker's own worker (HOME/cache) the home.
 * Lives as long as `written`. */
const char *command_sandbox_hidden(struct command_sandbox *written, const char *cache,
                                   bool is_brokers);

static inline void command_sandbox_fini(struct command_sandbox *written)
{
    config_list_fini(&written->readable);
    config_list_fini(&written->writable);
    arena_fini(&written->arena);
}
DEFINE_AUTO_VALUE(struct command_sandbox, command_sandbox_fini)
