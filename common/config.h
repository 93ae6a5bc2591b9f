/* Settings: flag > environment > default, in one table per program. A setting has a flag
 * (`--name`), an optional short flag, an environment name, a default and a help sentence; from the
 * table come parsing, `--help` and tab completion. Unknown flags are E_INVALID with a suggestion.
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "proto/err.h"

enum config_type {
    CONFIG_TEXT,         /* const char **: `--name VALUE` or `--name=VALUE` */
    CONFIG_FLAG,         /* bool *: `--name` */
    CONFIG_COUNT,        /* int64_t * */
    CONFIG_LIST,         /* struct config_list *: may be given many times */
    CONFIG_OPTIONAL_TEXT /* const char **: `--name` ("" then) or `--name=VALUE` */
};

struct config_list {
    const char *
        *items; /* room for `argc` of them; made by config_parse; config_list_fini frees it */
    size_t count;
};

struct config_option {
    const char *name; /* without -- */
    char short_name;  /* 0: none */
    enum config_type type;
    const char *environment; /* NULL: none */
    const char *value_name;  /* "FILE", for help */
    void *out;               /* holds the default on entry */
    const char *help;
};

static inline void config_list_fini(struct config_list *list)
{
    mem_free((void *)(uintptr_t)list->items);
    *list = (struct config_list){0};
}
DEFINE_AUTO_VALUE(struct config_list, config_list_fini)

/* Reads the environment, then the arguments behind argv[0]; what is neither flag nor value goes to
 * `arguments` in order. "--" ends flags, "-" is an argument. An empty variable counts as unset; for
 * a CONFIG_FLAG "0", "false", "no" and "off" are off, anything else is on; of a CONFIG_LIST the
 * variable is one item, which given ones replace. With `--help` or `-h` *wants_help is set and no
 * option is changed, so that config_help shows the real defaults. Texts are borrowed from `argv`
 * and the environment. Errors: E_INVALID. */
MUST_USE enum status config_parse(const struct config_option *options, size_t option_count,
                                  int argc, char **argv, struct config_list *arguments,
                                  bool *wants_help, struct err *err);
/* "30", "30s", "10m", "500ms", up to DURATION_SECONDS_MAX: milliseconds. `name` is the setting's,
 * for messages. Errors: E_INVALID. */
MUST_USE enum status config_parse_ms(const char *name, const char *text, uint32_t *out,
                                     struct err *err);
/* The options' part of a help text, in 80 columns. A CONFIG_COUNT below 0 has no default to show.
 */
void config_help(const struct config_option *options, size_t option_count, struct buf *out);
