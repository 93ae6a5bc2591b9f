// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "worker/models/model_list.h"
#include "worker/models/vecmath.h"

static const struct model *const models[] = {
    &model_logistic_regression,
    &model_decision_tree,
    &model_random_forest,
    &model_gradient_boosting,
    NULL,
};

const struct model *const *model_all(void)
{
    return models;
}

const struct model *model_find(const char *name)
{
    for (const struct model *const *model = models; *model; model++)
        if (!strcmp((*model)->name, name))
            return *model;
    return NULL;
}

enum status model_library_check(struct err *err)
{
    TRY(vecmath_check(err));
    return boosting_check(err);
}
