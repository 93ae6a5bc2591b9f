/* How many slots a program takes where nobody says: one per core that it may run on, which with
 * taskset or in a container may be fewer than there are. Thread: any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

/* 1 … SLOTS_MAX. */
uint32_t cores_count(void);
