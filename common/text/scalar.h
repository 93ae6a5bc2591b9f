/* What a plain YAML scalar means, by the core schema: null, booleans, integers (decimal, 0o, 0x),
 * reals; everything else is a string. So `on`, `no`, `1:30`, `1_000` and dates are strings. Pure.
 * Source: YAML 1.2.2, §10.3.2 tag resolution. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"
#include "proto/value.h"

/* Fills type and content of `out` (its place is left alone); a string borrows `text`, which is
 * NUL-terminated behind `bytes`. Errors: E_INVALID an integer beyond 64 bits, a real that
 * overflows, NaN and infinity. */
MUST_USE enum status scalar_resolve(const char *text, size_t bytes, struct value *out,
                                    struct err *err);
/* The offset of the first byte that no text file holds (a control byte other than tab, line feed,
 * carriage return; or what is not UTF-8), or `bytes` if all is well. */
size_t scalar_check_text(const char *text, size_t bytes);
