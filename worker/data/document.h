/* JSON documents of the data kinds: written canonically (keys sorted, so that equal content is
 * equal bytes) and read as hostile. The getters say which key of which document is wrong. Pure. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "proto/err.h"
#include "proto/value.h"

/* Sorts the keys of every map in the tree by bytes, in place. The tree must own its items (doc.h).
 */
void document_sort(struct value *value);
/* Sorted, indented by 2, ended by a line break. */
void document_write(struct value *value, struct buf *out);
/* A real, or null where it is not finite: JSON has neither NaN nor infinity. */
struct value document_real(double real);

/* The value under `key`. `name` is the document's, for messages.
 * Errors: E_CORRUPT absent or of another type (VALUE_REAL accepts an integer). */
MUST_USE enum status document_get(const char *name, const struct value *map, const char *key,
                                  enum value_type type, const struct value **out, struct err *err);
/* NULL when absent or null. */
MUST_USE enum status document_get_text(const char *name, const struct value *map, const char *key,
                                       const char **out, struct err *err);
/* A list of texts without NUL bytes; *out lives in `arena`. */
MUST_USE enum status document_get_names(const char *name, const struct value *map, const char *key,
                                        struct arena *arena, const char *const **out, size_t *count,
                                        struct err *err);
/* A list of exactly `count` finite numbers; *out lives in `arena`. */
MUST_USE enum status document_get_reals(const char *name, const struct value *map, const char *key,
                                        struct arena *arena, size_t count, const double **out,
                                        struct err *err);
/* Classes: a list of distinct strings, or of distinct integers, sorted, ≤ CLASSES_MAX. */
MUST_USE enum status document_check_classes(const char *name, const struct value *classes,
                                            struct err *err);
