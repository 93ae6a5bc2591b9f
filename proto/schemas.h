/* The structs that proto/schema/NAME.def describe, and their tables: `struct NAME_params`, with for
 * each parameter a field of its name and `has_NAME` (false only where it was left out and has no
 * default), and `schema_NAME`. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/schema.h"

#define PARAM_FIELD_BOOL    bool
#define PARAM_FIELD_INT     int64_t
#define PARAM_FIELD_REAL    double
#define PARAM_FIELD_STRING  const char *
#define PARAM_FIELD_ENUM    int /* index into the choices */
#define PARAM_FIELD_STRINGS const struct value *
#define PARAM_FIELD_OBJECT  const struct value *
#define PARAM_FIELD_LIST    const struct value *
#define PARAM_FIELD_ANY     const struct value *
#define PARAM(type, name, ...)                                                                     \
    PARAM_FIELD_##type name;                                                                       \
    bool has_##name;

/* clang-format off */
struct op_select_params {
#include "proto/schema/op_select.def"
};
struct op_drop_params {
#include "proto/schema/op_drop.def"
};
struct op_rename_params {
#include "proto/schema/op_rename.def"
};
struct op_cast_params {
#include "proto/schema/op_cast.def"
};
struct op_fill_missing_params {
#include "proto/schema/op_fill_missing.def"
};
struct op_drop_missing_params {
#include "proto/schema/op_drop_missing.def"
};
struct op_encode_params {
#include "proto/schema/op_encode.def"
};
struct op_scale_params {
#include "proto/schema/op_scale.def"
};
struct split_params {
#include "proto/schema/split.def"
};
struct preprocess_params {
#include "proto/schema/preprocess.def"
};
struct train_params {
#include "proto/schema/train.def"
};
struct logistic_regression_params {
#include "proto/schema/logistic_regression.def"
};
struct decision_tree_params {
#include "proto/schema/decision_tree.def"
};
struct random_forest_params {
#include "proto/schema/random_forest.def"
};
struct gradient_boosting_params {
#include "proto/schema/gradient_boosting.def"
};
struct select_params {
#include "proto/schema/select.def"
};
struct metrics_params {
#include "proto/schema/metrics.def"
};
struct exec_params {
#include "proto/schema/exec.def"
};
struct sleep_params {
#include "proto/schema/sleep.def"
};
/* clang-format on */
#undef PARAM

#define SCHEMA(name, title, check, help) extern const struct schema schema_##name;
#include "proto/schema/schemas.def"
#undef SCHEMA

/* All of them, NULL-terminated, in the order of schemas.def. */
extern const struct schema *const schemas[];
