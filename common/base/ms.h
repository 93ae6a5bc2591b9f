/* Time as a number: milliseconds of the monotonic clock. It comes in events; nothing pure reads a
 * clock. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

typedef int64_t ms_t;
#define MS_NEVER INT64_MAX
