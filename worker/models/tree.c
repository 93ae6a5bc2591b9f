/* One tree. */
// SPDX-License-Identifier: Apache-2.0
#include "common/base/mem.h"
#include "proto/schemas.h"
#include "worker/models/cart.h"
#include "worker/models/cart_options.h"
#include "worker/models/model_list.h"

struct tree {
    struct fitted fitted;
    struct cart cart;
};

static void release(struct fitted *fitted)
{
    struct tree *tree = (struct tree *)fitted;
    cart_fini(&tree->cart);
    mem_free(tree);
}
DEFINE_AUTO(struct fitted *, release)

static struct tree *make_tree(size_t column_count, size_t class_count)
{
    struct tree *tree = mem_alloc(sizeof *tree);
    tree->fitted = (struct fitted){&model_decision_tree, column_count, class_count};
    return tree;
}

static enum status fit(const struct fit_input *input, struct buf *history, struct fitted **out,
                       struct err *err)
{
    (void)history;
    *out = NULL;
    const struct decision_tree_params *params = input->params;
    const struct cart_settings settings = CART_SETTINGS("decision_tree", params, false);
    struct cart_options options;
    TRY(cart_options_make(&settings, input, &options, err));
    AUTO(cart_data_fini) struct cart_data data = {0};
    TRY(cart_data_init(&input->features, input->target, input->class_count, &data, err));
    struct tree *tree = make_tree(input->features.columns, input->class_count);
    AUTO(release) struct fitted *fitted = &tree->fitted;
    struct rng rng = rng_seed((uint64_t)params->seed);
    TRY(cart_grow(&tree->cart, &data, &options, NULL, &rng, err));
    *out = TAKE(fitted);
    return OK;
}

static enum status predict(const struct fitted *fitted, const struct matrix *features, double *out,
                           struct err *err)
{
    const struct tree *tree = (const struct tree *)fitted;
    void *memory;
    TRY(mem_try(features->columns, sizeof(float), "a row", &memory, err));
    AUTO(mem_free) float *row = memory;
    for (size_t i = 0; i < features->rows; i++) {
        TRY(cart_round_row(features, i, row, err));
        const double *value = cart_leaf(&tree->cart, 0, row);
        for (size_t k = 0; k < tree->cart.stride; k++)
            out[i * tree->cart.stride + k] = value[k];
    }
    return OK;
}

static size_t save(const struct fitted *fitted, struct tensor *out, size_t out_count)
{
    if (out_count >= CART_TENSORS)
        cart_save(&((const struct tree *)fitted)->cart, out);
    return CART_TENSORS;
}

static enum status load(const struct tensor *tensors, size_t tensor_count, size_t column_count,
                        size_t class_count, struct fitted **out, struct err *err)
{
    *out = NULL;
    struct tree *tree = make_tree(column_count, class_count);
    AUTO(release) struct fitted *fitted = &tree->fitted;
    TRY(cart_load(tensors, tensor_count, class_count ? class_count : 1, &tree->cart, err));
    TRY(cart_check(&tree->cart, 0, tree->cart.node_count, column_count, err));
    *out = TAKE(fitted);
    return OK;
}

const struct model model_decision_tree = {
    .name = "decision_tree",
    .schema = &schema_decision_tree,
    .can_classify = true,
    .can_regress = true,
    .fit = fit,
    .predict = predict,
    .free = release,
    .save = save,
    .weights_name = "weights.safetensors",
    .load = load,
};
