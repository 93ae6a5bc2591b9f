/* Makes the tables of proto/schemas.h from the .def files. */
// SPDX-License-Identifier: Apache-2.0
#include "proto/schemas.h"

#include <math.h>
#include <stddef.h>

#include "proto/schema_check.h"

/* A default's member of the union depends on the type: INT_##DEFAULT(5) becomes INT_DEFAULT(5). */
#define BOOL_DEFAULT(x)   .has_default = PARAM_VALUE, .value.boolean = (x)
#define INT_DEFAULT(x)    .has_default = PARAM_VALUE, .value.integer = (x)
#define REAL_DEFAULT(x)   .has_default = PARAM_VALUE, .value.real = (x)
#define STRING_DEFAULT(x) .has_default = PARAM_VALUE, .value.text = (x)
#define ENUM_DEFAULT(x)   .has_default = PARAM_VALUE, .value.text = (x)
#define ANY_DEFAULT(x)    .has_default = PARAM_VALUE, .value.any = x
#define INTEGER(x)                                                                                 \
    &(const struct value)                                                                          \
    {                                                                                              \
        .type = VALUE_INT, .integer = (x)                                                          \
    }
#define BOOL_NONE        .has_default = PARAM_NONE
#define INT_NONE         .has_default = PARAM_NONE
#define REAL_NONE        .has_default = PARAM_NONE
#define STRING_NONE      .has_default = PARAM_NONE
#define ENUM_NONE        .has_default = PARAM_NONE
#define STRINGS_NONE     .has_default = PARAM_NONE
#define OBJECT_NONE      .has_default = PARAM_NONE
#define LIST_NONE        .has_default = PARAM_NONE
#define ANY_NONE         .has_default = PARAM_NONE
#define STRING_REQUIRED  .has_default = PARAM_REQUIRED
#define ENUM_REQUIRED    .has_default = PARAM_REQUIRED
#define STRINGS_REQUIRED .has_default = PARAM_REQUIRED
#define ANY_REQUIRED     .has_default = PARAM_REQUIRED
/* Ranges. */
#define ANY_VALUE        .low = -INFINITY, .high = INFINITY
#define RANGE(a, b)      .low = (a), .high = (b)
#define ABOVE(a)         .low = (a), .low_is_open = true, .high = INFINITY
#define BETWEEN(a, b)    .low = (a), .low_is_open = true, .high = (b), .high_is_open = true
#define FROM_ABOVE(a, b) .low = (a), .low_is_open = true, .high = (b)
#define FROM_BELOW(a, b) .low = (a), .high = (b), .high_is_open = true
#define CHOICES(...)                                                                               \
    .choices = (const char *const[])                                                               \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
#define OF(...)                                                                                    \
    .schemas = (const struct schema *const[])                                                      \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

#define PARAM(type_, name_, default_, range_, source_, help_)                                      \
    {.name = #name_,                                                                               \
     .type = PARAM_##type_,                                                                        \
     .offset = offsetof(struct OWNER, name_),                                                      \
     .has_offset = offsetof(struct OWNER, has_##name_),                                            \
     .source = source_,                                                                            \
     .help = help_,                                                                                \
     type_##_##default_,                                                                           \
     range_},

/* clang-format off */
#define OWNER op_select_params
static const struct param op_select_table[] = {
#include "proto/schema/op_select.def"
};
#undef OWNER
#define OWNER op_drop_params
static const struct param op_drop_table[] = {
#include "proto/schema/op_drop.def"
};
#undef OWNER
#define OWNER op_rename_params
static const struct param op_rename_table[] = {
#include "proto/schema/op_rename.def"
};
#undef OWNER
#define OWNER op_cast_params
static const struct param op_cast_table[] = {
#include "proto/schema/op_cast.def"
};
#undef OWNER
#define OWNER op_fill_missing_params
static const struct param op_fill_missing_table[] = {
#include "proto/schema/op_fill_missing.def"
};
#undef OWNER
#define OWNER op_drop_missing_params
static const struct param op_drop_missing_table[] = {
#include "proto/schema/op_drop_missing.def"
};
#undef OWNER
#define OWNER op_encode_params
static const struct param op_encode_table[] = {
#include "proto/schema/op_encode.def"
};
#undef OWNER
#define OWNER op_scale_params
static const struct param op_scale_table[] = {
#include "proto/schema/op_scale.def"
};
#undef OWNER
#define OWNER split_params
static const struct param split_table[] = {
#include "proto/schema/split.def"
};
#undef OWNER
#define OWNER preprocess_params
static const struct param preprocess_table[] = {
#include "proto/schema/preprocess.def"
};
#undef OWNER
#define OWNER train_params
static const struct param train_table[] = {
#include "proto/schema/train.def"
};
#undef OWNER
#define OWNER logistic_regression_params
static const struct param logistic_regression_table[] = {
#include "proto/schema/logistic_regression.def"
};
#undef OWNER
#define OWNER decision_tree_params
static const struct param decision_tree_table[] = {
#include "proto/schema/decision_tree.def"
};
#undef OWNER
#define OWNER random_forest_params
static const struct param random_forest_table[] = {
#include "proto/schema/random_forest.def"
};
#undef OWNER
#define OWNER gradient_boosting_params
static const struct param gradient_boosting_table[] = {
#include "proto/schema/gradient_boosting.def"
};
#undef OWNER
#define OWNER select_params
static const struct param select_table[] = {
#include "proto/schema/select.def"
};
#undef OWNER
#define OWNER metrics_params
static const struct param metrics_table[] = {
#include "proto/schema/metrics.def"
};
#undef OWNER
#define OWNER exec_params
static const struct param exec_table[] = {
#include "proto/schema/exec.def"
};
#undef OWNER
#define OWNER sleep_params
static const struct param sleep_table[] = {
#include "proto/schema/sleep.def"
};
#undef OWNER
/* clang-format on */
#undef PARAM

#define SCHEMA(name_, title_, check_, help_)                                                       \
    const struct schema schema_##name_ = {.name = #name_,                                          \
                                          .title = title_,                                         \
                                          .help = help_,                                           \
                                          .params = name_##_table,                                 \
                                          .param_count =                                           \
                                              sizeof name_##_table / sizeof *name_##_table,        \
                                          .struct_bytes = sizeof(struct name_##_params),           \
                                          .check = check_};
#include "proto/schema/schemas.def"
#undef SCHEMA

#define SCHEMA(name, title, check, help) &schema_##name,
const struct schema *const schemas[] = {
#include "proto/schema/schemas.def"
    NULL};
