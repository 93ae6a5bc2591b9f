/* Many trees, each on rows drawn with replacement and, at each split, on a few features;
 * predictions are averaged. Source: Breiman, "Random Forests" (2001). */
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "proto/schemas.h"
#include "worker/models/cart.h"
#include "worker/models/cart_options.h"
#include "worker/models/model_list.h"

struct forest {
    struct fitted fitted;
    struct cart cart;
    size_t tree_count;
    int64_t *first; /* tree_count + 1: each tree's first node, then the end */
};

static void release(struct fitted *fitted)
{
    struct forest *forest = (struct forest *)fitted;
    cart_fini(&forest->cart);
    mem_free(forest->first);
    mem_free(forest);
}
DEFINE_AUTO(struct fitted *, release)

static enum status make_forest(size_t column_count, size_t class_count, size_t tree_count,
                               struct fitted **out, struct err *err)
{
    *out = NULL;
    void *first;
    TRY(mem_try(tree_count + 1, sizeof(int64_t), "trees", &first, err));
    struct forest *forest = mem_alloc(sizeof *forest);
    forest->fitted = (struct fitted){&model_random_forest, column_count, class_count};
    forest->tree_count = tree_count;
    forest->first = first;
    *out = &forest->fitted;
    return OK;
}

static void draw_rows(struct rng *rng, uint32_t rows, uint32_t *weights)
{
    memset(weights, 0, rows * sizeof *weights);
    for (uint32_t i = 0; i < rows; i++)
        weights[rng_below(rng, rows)]++;
}

static enum status grow_trees(struct forest *forest, const struct fit_input *input,
                              const struct cart_data *data, const struct cart_options *options,
                              struct err *err)
{
    const struct random_forest_params *params = input->params;
    void *memory;
    TRY(mem_try(data->rows, sizeof(uint32_t), "drawn rows", &memory, err));
    AUTO(mem_free) uint32_t *weights = memory;
    struct rng seeds = rng_seed((uint64_t)params->seed);
    for (size_t i = 0; i < forest->tree_count; i++) {
        /* A tree's draws depend on its number alone, not on how many the trees before took. */
        struct rng rng = rng_seed(rng_next(&seeds));
        if (params->bootstrap)
            draw_rows(&rng, (uint32_t)data->rows, weights);
        TRY(cart_grow(&forest->cart, data, options, params->bootstrap ? weights : NULL, &rng, err));
        forest->first[i + 1] = (int64_t)forest->cart.node_count;
        if (!input->progress)
            continue;
        enum status status =
            input->progress(input->progress_context, i + 1, forest->tree_count, NAN);
        if (status != OK)
            return err_set(err, status, "random_forest: stopped");
    }
    return OK;
}

static enum status fit(const struct fit_input *input, struct buf *history, struct fitted **out,
                       struct err *err)
{
    (void)history;
    *out = NULL;
    const struct random_forest_params *params = input->params;
    const struct cart_settings settings =
        CART_SETTINGS("random_forest", params, input->class_count > 0);
    struct cart_options options;
    TRY(cart_options_make(&settings, input, &options, err));
    AUTO(cart_data_fini) struct cart_data data = {0};
    TRY(cart_data_init(&input->features, input->target, input->class_count, &data, err));
    AUTO(release) struct fitted *fitted = NULL;
    TRY(make_forest(input->features.columns, input->class_count, (size_t)params->n_estimators,
                    &fitted, err));
    TRY(grow_trees((struct forest *)fitted, input, &data, &options, err));
    *out = TAKE(fitted);
    return OK;
}

static enum status predict(const struct fitted *fitted, const struct matrix *features, double *out,
                           struct err *err)
{
    const struct forest *forest = (const struct forest *)fitted;
    size_t stride = forest->cart.stride;
    void *memory;
    TRY(mem_try(features->columns, sizeof(float), "a row", &memory, err));
    AUTO(mem_free) float *row = memory;
    for (size_t i = 0; i < features->rows; i++) {
        double *sums = out + i * stride;
        TRY(cart_round_row(features, i, row, err));
        memset(sums, 0, stride * sizeof *sums);
        for (size_t t = 0; t < forest->tree_count; t++) {
            const double *value = cart_leaf(&forest->cart, (size_t)forest->first[t], row);
            for (size_t k = 0; k < stride; k++)
                sums[k] += value[k];
        }
        for (size_t k = 0; k < stride; k++)
            sums[k] /= (double)forest->tree_count;
    }
    return OK;
}

static size_t save(const struct fitted *fitted, struct tensor *out, size_t out_count)
{
    const struct forest *forest = (const struct forest *)fitted;
    if (out_count < CART_TENSORS + 1)
        return CART_TENSORS + 1;
    cart_save(&forest->cart, out);
    out[CART_TENSORS] =
        (struct tensor){"tree_first_node", TENSOR_I64, 1, {forest->tree_count + 1}, forest->first};
    return CART_TENSORS + 1;
}

static enum status check_trees(const struct forest *forest, struct err *err)
{
    const int64_t *first = forest->first;
    if (first[0] != 0 || first[forest->tree_count] != (int64_t)forest->cart.node_count)
        return err_set(err, E_CORRUPT, "the forest's trees do not cover its nodes");
    for (size_t t = 0; t < forest->tree_count; t++) {
        if (first[t + 1] <= first[t] || first[t + 1] > (int64_t)forest->cart.node_count)
            return err_set(err, E_CORRUPT, "tree %zu of the forest has no nodes", t);
        TRY(cart_check(&forest->cart, (size_t)first[t], (size_t)(first[t + 1] - first[t]),
                       forest->fitted.column_count, err));
    }
    return OK;
}

static enum status load(const struct tensor *tensors, size_t tensor_count, size_t column_count,
                        size_t class_count, struct fitted **out, struct err *err)
{
    *out = NULL;
    const struct tensor *first = cart_find_tensor(tensors, tensor_count, "tree_first_node");
    if (!first || first->type != TENSOR_I64 || first->dims != 1 || first->shape[0] < 2)
        return err_set(err, E_CORRUPT,
                       "the model's `tree_first_node` is missing or has another type or shape");
    AUTO(release) struct fitted *fitted = NULL;
    TRY(make_forest(column_count, class_count, first->shape[0] - 1, &fitted, err));
    struct forest *forest = (struct forest *)fitted;
    memcpy(forest->first, first->data, first->shape[0] * sizeof *forest->first);
    TRY(cart_load(tensors, tensor_count, class_count ? class_count : 1, &forest->cart, err));
    TRY(check_trees(forest, err));
    *out = TAKE(fitted);
    return OK;
}

const struct model model_random_forest = {
    .name = "random_forest",
    .schema = &schema_random_forest,
    .can_classify = true,
    .can_regress = true,
    .fit = fit,
    .predict = predict,
    .free = release,
    .save = save,
    .weights_name = "weights.safetensors",
    .load = load,
};
