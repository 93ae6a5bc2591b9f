/* The clocks, read here alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

#include "common/base/ms.h"

ms_t clock_ms(void);          /* monotonic */
int64_t clock_us(void);       /* monotonic, for measuring */
int64_t clock_epoch_us(void); /* since 1970, for people */
