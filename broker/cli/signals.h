/* Ctrl-C and SIGTERM only wake whoever works; what they mean is decided there. Thread: the main
 * one. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

/* From now on; false: the system refuses. SIGPIPE is ignored, too. */
bool signals_watch(void);
/* Readable when one came in. */
int signals_fd(void);
/* How many came so far; the descriptor is quiet again. */
int signals_taken(void);
