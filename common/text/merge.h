/* The pairs of one mapping: duplicate keys are refused, and the merge key `<<` is expanded where it
 * stands. A key that is written out wins over a merged one; of several merged mappings the earlier
 * wins. Linear in the pairs. Pure.
 *
 * A `<<` whose value is a string, or a list with a string in it, stays an ordinary pair: the
 * pipeline's
 * `<<: "${matrix.case}"` is merged by the same function once the text has become a mapping.
 * Source: https://yaml.org/type/merge.html */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/err.h"
#include "proto/value.h"

/* Fills type, count and items of `out` from `count` pairs (key, value, key, value, …), which are
 * copied. Errors: E_INVALID, the place in `*at`: a duplicate key, or a `<<` of something that is no
 * mapping. */
MUST_USE enum status merge_pairs(const struct value *from, uint32_t count, struct arena *arena,
                                 struct value *out, const struct value **at, struct err *err);
