/* Preprocess operations: each is one file that exports one `const struct operation`, one line in
 * ops.c, one schema file proto/schema/op_NAME.def.
 *
 * An operation is fitted once and applied often. `fit` looks at a table (the training part, once
 * there is a split) and writes down, as a JSON-able state, all that `apply` needs: which columns,
 * which means, which categories. So a state is self-contained, and a fitted preprocessor is the
 * list of its states. A row-local operation (select, drop, rename, cast, drop_missing, fill_missing
 * with a constant) learns nothing from values; only then may it run before the split.
 *
 * A state may come from a file: `apply` treats it as hostile (E_CORRUPT). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/err.h"
#include "proto/schema.h"
#include "proto/value.h"
#include "worker/data/table.h"

struct operation_context {
    const char *target, *id; /* names of columns that are no features; NULL: none */
    struct arena *arena;     /* where states live, and what apply needs for a moment */
};

struct operation {
    const char *name; /* in the pipeline file, and of the schema */
    const struct schema *schema;
    /* Does it learn from values? NULL: never. `params` is the schema's struct. */
    bool (*is_fitted)(const void *params);
    enum status (*fit)(const struct operation_context *context, const void *params,
                       struct table *table, struct value *state, struct err *err);
    enum status (*apply)(const struct operation_context *context, const struct value *state,
                         struct table *table, struct err *err);
};

/* NULL when there is none of that name. */
const struct operation *operation_find(const char *name);

extern const struct operation operation_select, operation_drop, operation_rename, operation_cast,
    operation_fill_missing, operation_drop_missing, operation_encode, operation_scale;

/* ---- what the operations share ---- */

/* Is it neither target nor id? */
bool operation_is_feature(const struct operation_context *context, const struct column *column);
/* The columns named by a STRINGS parameter, each checked to exist; or, with `columns` NULL, every
 * column that `wants` accepts (typed before it is asked). The names go into a new list value. */
MUST_USE enum status operation_columns(const struct operation_context *context, const char *what,
                                       const struct value *columns, struct table *table,
                                       bool (*wants)(const struct operation_context *context,
                                                     const struct column *column),
                                       struct value *out, struct err *err);
/* `state` read back: its list `columns`. */
MUST_USE enum status operation_names(const struct operation_context *context, const char *what,
                                     const struct value *state, const char *const **out,
                                     size_t *count, struct err *err);
/* "table:12: scale: column `age` holds text `abc`" for the first cell that is no number. */
enum status operation_not_number(const struct table *table, const char *what,
                                 const struct column *column, struct err *err);
