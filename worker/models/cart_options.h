/* The parameters that decision_tree and random_forest share, turned into what cart_grow takes. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

#include "proto/value.h"
#include "worker/models/cart.h"
#include "worker/models/model.h"

/* As the schemas of both declare them. */
struct cart_settings {
    const char *model; /* for messages */
    int criterion;     /* index of the schema's choices: auto gini entropy log_loss squared_error */
    int64_t depth_max; /* 0: no limit */
    int64_t leaf_samples_min;
    double impurity_decrease_min;
    const struct value *split_samples_min; /* a count, or a fraction of the rows; NULL: 2 */
    const struct value *features_max; /* a count, a fraction, "sqrt", "log2"; NULL: see below */
    bool is_sqrt_by_default;          /* features_max when NULL: the root of the columns, or all */
};

/* From a struct decision_tree_params or random_forest_params: their schemas give both these
 * fields. */
#define CART_SETTINGS(name, params, is_sqrt)                                                       \
    ((struct cart_settings){                                                                       \
        .model = (name),                                                                           \
        .criterion = (params)->criterion,                                                          \
        .depth_max = (params)->has_max_depth ? (params)->max_depth : 0,                            \
        .leaf_samples_min = (params)->min_samples_leaf,                                            \
        .impurity_decrease_min = (params)->min_impurity_decrease,                                  \
        .split_samples_min = (params)->has_min_samples_split ? (params)->min_samples_split : NULL, \
        .features_max = (params)->has_max_features ? (params)->max_features : NULL,                \
        .is_sqrt_by_default = (is_sqrt)})

/* Errors: E_INVALID a criterion of the other task, or a value out of range. */
MUST_USE enum status cart_options_make(const struct cart_settings *settings,
                                       const struct fit_input *input, struct cart_options *out,
                                       struct err *err);
