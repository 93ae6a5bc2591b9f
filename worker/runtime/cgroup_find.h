/* Where this process's control groups are, as far as they concern cgroup.h. Thread: any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* Memory and processes of version 1, which may be one, and version 2. */
enum { CGROUP_PLACES_MAX = 3 };

struct cgroup_place {
    char path[PATH_MAX]; /* of this process's group */
    int version;
    bool has_memory, has_processes; /* version 1: by its controllers; 2: not known yet */
};

/* How many there are. Source: cgroups(7), proc_pid_mountinfo(5). */
size_t cgroup_find(struct cgroup_place out[CGROUP_PLACES_MAX]);
