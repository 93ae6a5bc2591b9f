/* How a process ended, in words for people. Thread: any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

enum { DEATH_WORDS_BYTES = 96 };

/* "exited with status 3", "killed by SIGSEGV (segmentation fault)"; writes to `out`, returns it.
 * `code`: the signal's number, or the exit status; −1: nobody knows. */
const char *death_describe(bool was_signalled, int code, char out[DEATH_WORDS_BYTES]);
