/* The distinct values of a column, sorted: classes of a target, categories of an encoded column. A
 * list of strings (by bytes) for text, of integers or reals (by size) for numbers. Pure. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/err.h"
#include "proto/value.h"
#include "worker/data/table.h"

enum { CATEGORY_NONE = -1 };

/* Missing cells count for nothing. The column gets typed. Texts live in `arena`.
 * Errors: E_LIMIT more than CLASSES_MAX; E_INVALID text that is not UTF-8 (names the line). */
MUST_USE enum status category_list(const struct table *table, struct column *column,
                                   struct arena *arena, struct value *out, struct err *err);
/* The index of the row's value in the list, or CATEGORY_NONE when it is missing or not in it. The
 * column may be typed otherwise than the list's origin was: "1" is found among integers and among
 * texts. */
int64_t category_find(const struct value *list, const struct table *table,
                      const struct column *column, size_t row);
/* A printable form of a category, in `text`; returns it. */
const char *category_text(const struct value *category, char *text, size_t text_bytes);
