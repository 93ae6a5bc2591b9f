/* The clocks, read here alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

#include "common/base/ms.h"

ms_t clock_ms(void);          /* monotonic */
int64_t clock_us(void);       /* monotonic, for measuring */
int64_t clock_epoch_us(void); /* since 1970, for people */
void clock_sleep_ms(ms_t ms); /* all of it, whatever signals come */
/* Processor time, user and system, of this thread, and of all threads of this process. */
int64_t clock_thread_cpu_us(void);
int64_t clock_process_cpu_us(void);
