// SPDX-License-Identifier: Apache-2.0
#include "common/program.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"

enum status program_path(char out[PATH_MAX], struct err *err)
{
    ssize_t bytes = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (bytes < 0)
        return fs_error(err, errno, "/proc/self/exe", "cannot tell where this program is");
    out[bytes] = 0;
    if (access(out, F_OK) != 0)
        return err_set(err, E_NOTFOUND,
                       "%s: the program's file was replaced or removed; start it again", out);
    return OK;
}

/* "worker" → "PENSTOCK_WORKER". */
static void variable_name(const char *name, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "PENSTOCK_%s", name);
    for (; *out; out++)
        *out = (char)toupper((unsigned char)*out);
}

enum status program_sibling(const char *name, char out[PATH_MAX], struct err *err)
{
    char variable[64];
    variable_name(name, variable, sizeof variable);
    const char *given = getenv(variable);
    if (given && given[0]) {
        if (strlen(given) >= PATH_MAX || access(given, X_OK) != 0)
            return err_set(err, E_NOTFOUND, "%s=%s: not a program that can be run", variable,
                           given);
        snprintf(out, PATH_MAX, "%s", given);
        return OK;
    }
    TRY(program_path(out, err));
    size_t folder_bytes = (size_t)(strrchr(out, '/') + 1 - out);
    int bytes = snprintf(out + folder_bytes, PATH_MAX - folder_bytes, "%s", name);
    if (bytes < 0 || (size_t)bytes >= PATH_MAX - folder_bytes)
        return err_set(err, E_LIMIT, "%s: the path is too long", out);
    if (access(out, X_OK) == 0)
        return OK;
    return err_set(err, E_NOTFOUND,
                   "%s: the program \"%s\" is missing; it belongs there, or set %s to its path",
                   out, name, variable);
}
