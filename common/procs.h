/* The processes below a slot, found in /proc: its descendants, and whatever else is of its session
 * (a program that was orphaned on the way). A slot is a subreaper, so that a daemon it started
 * stays below it. Thread: any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/err.h"

/* Bytes resident of `root` and everything below it; shared pages count once per process. 0: gone,
 * or /proc is not there. */
uint64_t procs_resident(pid_t root);
/* Was it started by `root`, or by what that started? Of what is gone it is not said. */
bool procs_is_below(pid_t root, pid_t pid);
/* Kills everything below `root`, again and again until nothing new turns up. `root` itself is left
 * to the caller, who may stop it first, so that it starts nothing meanwhile. */
void procs_kill_below(pid_t root);
/* Kills and reaps everything below this process; costs one system call where there is nothing.
 * False: something would not go. */
MUST_USE bool procs_end_own(void);
/* The same for children of this process, and what is below them, that are not in `keep`: as a
 * subreaper it gets what a killed slot leaves. */
void procs_end_orphans(const pid_t *keep, size_t keep_count);
