/* Where this program's own file is, and its siblings: `worker` beside `broker`. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <limits.h>
#include <stddef.h>

#include "proto/err.h"

/* The path of the running executable. Errors: E_IO; E_NOTFOUND when the file has been replaced or
 * removed since. */
MUST_USE enum status program_path(char out[PATH_MAX], struct err *err);
/* The program `name` ("worker"): what PENSTOCK_<NAME> in the environment says, else the file of
 * that name beside the running one. Errors: E_NOTFOUND, with how to mend it. */
MUST_USE enum status program_sibling(const char *name, char out[PATH_MAX], struct err *err);
