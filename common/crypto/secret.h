/* Handling what nobody else may learn. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* Locked memory for a secret on its way; secret_free wipes it. */
void *secret_new(size_t bytes);
char *secret_copy(const char *text, size_t bytes); /* NUL-terminated */
void secret_free(void *secret);
/* Overwrites it; not optimised away. */
void secret_wipe(void *secret, size_t bytes);
/* Equal bytes? The time it takes tells nothing of where they differ, or of `b`'s length. */
bool secret_is_equal(const void *a, size_t a_bytes, const void *b, size_t b_bytes);
