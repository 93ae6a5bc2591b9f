// SPDX-License-Identifier: Apache-2.0
#include "broker/app/worker_process.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/program.h"

enum { QUICK_DEATH_MS = 1000, QUICK_DEATHS_MAX = 5, NAME_BYTES = 32 };

