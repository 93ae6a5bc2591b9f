// SPDX-License-Identifier: Apache-2.0
#include "worker/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "proto/limits.h"

int command_fail(const struct err *err)
{
    fprintf(stderr, "worker: %s\n", err->text);
    switch (err->code) {
    case OK: return EXIT_DONE;
    case E_INVALID:
    case E_NOTFOUND:
    case E_LIMIT: return EXIT_USAGE;
    case E_CORRUPT: return EXIT_DAMAGED;
    case E_CANCELLED: return EXIT_INTERRUPTED;
    case E_TIMEOUT:
    case E_CRASHED:
    case E_EXIT:
    case E_MEMORY: return EXIT_TASK_FAILED;
    default: return EXIT_UNREACHABLE;
    }
}

bool command_parse(const char *usage, const struct config_option *options, size_t option_count,
                   int argc, char **argv, struct config_list *arguments, int *exit_status)
{
    struct err err = {0};
    bool wants_help = false;
    *exit_status = EXIT_DONE;
    if (config_parse(options, option_count, argc, argv, arguments, &wants_help, &err) != OK) {
        fprintf(stderr, "worker: %s\n", err.text);
        *exit_status = EXIT_USAGE;
        return true;
    }
    if (!wants_help)
        return false;
    AUTO(buf_fini) struct buf text = buf_init(0);
    buf_put_text(&text, usage);
    config_help(options, option_count, &text);
    fputs(buf_text(&text), stdout);
    return true;
}

/* The number that `text` begins with; the rest in `*unit`. */
static bool number(const char *text, double *out, const char **unit)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    *out = strtod(text, &end);
    *unit = end + strspn(end, " ");
    return *out >= 0 && *out < 1e18;
}

enum status command_parse_bytes(const char *name, const char *text, uint64_t *out, struct err *err)
{
    static const char letters[] = "KMGT";
    const char *unit;
    double amount;
    if (!number(text, &amount, &unit))
        return err_set(err, E_INVALID, "--%s \"%s\": expected a size such as 10GiB", name, text);
    const char *letter = *unit ? strchr(letters, *unit) : NULL;
    const char *rest = unit + (letter ? 1 : 0);
    if (*rest && strcmp(rest, "i") != 0 && strcmp(rest, "iB") != 0 && strcmp(rest, "B") != 0)
        return err_set(err, E_INVALID, "--%s \"%s\": expected a size such as 10GiB", name, text);
    for (ptrdiff_t i = letter ? letter - letters + 1 : 0; i > 0; i--)
        amount *= 1024;
    if (amount > 1e18)
        return err_set(err, E_INVALID, "--%s \"%s\": too large", name, text);
    *out = (uint64_t)amount;
    return OK;
}

enum status command_parse_cores(const char *name, const char *text, uint32_t *out, struct err *err)
{
    const char *unit;
    double amount;
    if (number(text, &amount, &unit) && (!*unit || !strcmp(unit, "m"))) {
        double hundredths = *unit ? amount / 10 : amount * 100;
        if (hundredths >= 1 && hundredths <= CPU_HUNDREDTHS_MAX) {
            *out = (uint32_t)(hundredths + 1e-9); /* 0.29 is a little less than 29 / 100 */
            return OK;
        }
    }
    return err_set(err, E_INVALID,
                   "--%s \"%s\": expected cores such as 2, 0.5 or 500m, from 0.01 "
                   "to %d",
                   name, text, CPU_MAX);
}
