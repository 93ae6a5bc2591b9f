/* Is what a program left as an output its own alone? A hard link to a file elsewhere would be the
 * content of somebody else's file, and change with it. Thread: the slot's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "worker/kinds/exec.h"

/* While all outputs still lie in the work folder, which is the current one: every name of every
 * file in them must be in it. Costs a look at each file of the outputs, and, only if one of them
 * has several names, at each of the work folder. Errors: E_INVALID naming the output and the file;
 * E_IO, E_DENIED. */
MUST_USE enum status exec_check_links(const struct exec *exec, struct err *err);
