// SPDX-License-Identifier: Apache-2.0
#include "common/cores.h"

#include <sched.h>
#include <unistd.h>

#include "proto/limits.h"

uint32_t cores_count(void)
{
    cpu_set_t ours;
    long count = sched_getaffinity(0, sizeof ours, &ours) == 0 ? CPU_COUNT(&ours) : 0;
    if (count < 1) /* more than the set has room for */
        count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > SLOTS_MAX ? SLOTS_MAX : (uint32_t)count;
}
