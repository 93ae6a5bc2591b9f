/* Is it UTF-8? No overlong forms, no surrogates, nothing above U+10FFFF; NUL is valid.
 * Source: RFC 3629 §4. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>

bool utf8_is_valid(const char *text, size_t bytes);
