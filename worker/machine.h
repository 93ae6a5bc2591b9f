/* The memory of this machine, as far as this process may use it. Thread: any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

/* The machine's memory, or less if this process's control group (version 1 or 2) or one above it
 * is allowed less. 0: not known. */
uint64_t machine_memory(void);
/* The least limit of the control groups that ROOT/proc/self/cgroup names, below ROOT/sys/fs/cgroup;
 * UINT64_MAX: none. `root` is "" but in tests. */
uint64_t machine_memory_limit(const char *root);
