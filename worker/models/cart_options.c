// SPDX-License-Identifier: Apache-2.0
#include "worker/models/cart_options.h"

#include <math.h>

static enum status choose_criterion(const struct cart_settings *settings, size_t class_count,
                                    enum cart_criterion *out, struct err *err)
{
    static const char *const names[] = {"auto", "gini", "entropy", "log_loss", "squared_error"};
    enum { AUTO_CHOICE, GINI, ENTROPY, LOG_LOSS, SQUARED_ERROR };
    bool is_classification = class_count > 0;
    *out = is_classification ? CART_GINI : CART_SQUARED_ERROR;
    if (settings->criterion == AUTO_CHOICE)
        return OK;
    if (is_classification == (settings->criterion == SQUARED_ERROR))
        return err_set(err, E_INVALID,
                       "%s: criterion `%s` is for %s, but the target holds %s; leave it `auto`",
                       settings->model, names[settings->criterion],
                       is_classification ? "regression" : "classification",
                       is_classification ? "classes" : "numbers");
    if (settings->criterion == ENTROPY || settings->criterion == LOG_LOSS)
        *out = CART_ENTROPY; /* one measure under two names */
    return OK;
}

static enum status choose_split_samples(const struct cart_settings *settings, size_t rows,
                                        uint32_t *out, struct err *err)
{
    const struct value *value = settings->split_samples_min;
    double count = 2;
    if (value && value->type == VALUE_INT)
        count = (double)value->integer;
    else if (value && value->type == VALUE_REAL && value->real > 0 && value->real <= 1)
        count = fmax(2, ceil(value->real * (double)rows));
    else if (value)
        count = 0;
    if (!(count >= 2))
        return err_set(err, E_INVALID,
                       "%s: min_samples_split must be a count of at least 2, or a fraction in "
                       "(0, 1]",
                       settings->model);
    *out = count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
    return OK;
}

static size_t binary_logarithm(size_t n)
{
    size_t bits = 0;
    while (n >>= 1)
        bits++;
    return bits;
}

static enum status choose_features(const struct cart_settings *settings, size_t columns,
                                   size_t *out, struct err *err)
{
    const struct value *value = settings->features_max;
    double count = (double)columns, root = floor(sqrt((double)columns));
    if (!value)
        count = settings->is_sqrt_by_default ? root : count;
    else if (value_is_text(value, "sqrt"))
        count = root;
    else if (value_is_text(value, "log2"))
        count = fmax(1, (double)binary_logarithm(columns));
    else if (value->type == VALUE_INT)
        count = fmin((double)value->integer, count);
    else if (value->type == VALUE_REAL && value->real > 0 && value->real <= 1)
        count = fmax(1, floor(value->real * (double)columns));
    else
        count = 0;
    if (!(count >= 1))
        return err_set(err, E_INVALID,
                       "%s: max_features must be a count of at least 1, a fraction in (0, 1], "
                       "`sqrt` or `log2`",
                       settings->model);
    *out = (size_t)count;
    return OK;
}

enum status cart_options_make(const struct cart_settings *settings, const struct fit_input *input,
                              struct cart_options *out, struct err *err)
{
    struct cart_options options = {.class_count = input->class_count,
                                   .depth_max = UINT32_MAX,
                                   .leaf_samples_min = UINT32_MAX,
                                   .impurity_decrease_min = settings->impurity_decrease_min};
    if (settings->depth_max && settings->depth_max < UINT32_MAX)
        options.depth_max = (uint32_t)settings->depth_max;
    if (settings->leaf_samples_min < UINT32_MAX)
        options.leaf_samples_min = (uint32_t)settings->leaf_samples_min;
    TRY(choose_criterion(settings, input->class_count, &options.criterion, err));
    TRY(choose_split_samples(settings, input->features.rows, &options.split_samples_min, err));
    TRY(choose_features(settings, input->features.columns, &options.features_max, err));
    *out = options;
    return OK;
}
