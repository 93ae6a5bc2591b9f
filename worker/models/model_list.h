/* The models there are: one line each, here and in models.c. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "worker/models/model.h"

extern const struct model model_logistic_regression, model_decision_tree, model_random_forest,
    model_gradient_boosting;

/* As model_library_check, for XGBoost alone. */
MUST_USE enum status boosting_check(struct err *err);
