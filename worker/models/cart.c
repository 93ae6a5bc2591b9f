// SPDX-License-Identifier: Apache-2.0
#include "worker/models/cart.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "common/base/mem.h"
#include "worker/models/cart_split.h"

enum {
    /* Rows are 32-bit indices, and nodes (fewer than twice the rows) are too. */
    ROWS_MAX = 1 << 30,
    STACK_FIRST_COUNT = 64,
};

/* ---- data ---- */

static enum status round_value(const struct matrix *features, size_t row, size_t column, float *out,
                               struct err *err)
{
    double value = matrix_row(features, row)[column];
    if (!(fabs(value) <= FLT_MAX))
        return err_set(err, E_INVALID,
                       "feature %zu of row %zu is %g: trees see features as float32, which "
                       "ends at %g; scale the column",
                       column, row, value, (double)FLT_MAX);
    *out = (float)value;
    return OK;
}

enum status cart_round_row(const struct matrix *features, size_t row, float *out, struct err *err)
{
    for (size_t column = 0; column < features->columns; column++)
        TRY(round_value(features, row, column, &out[column], err));
    return OK;
}

void cart_data_fini(struct cart_data *data)
{
    mem_free(data->values);
    mem_free(data->target);
}

enum status cart_data_init(const struct matrix *features, const double *target, size_t class_count,
                           struct cart_data *out, struct err *err)
{
    *out = (struct cart_data){
        .rows = features->rows, .columns = features->columns, .class_count = class_count};
    if (features->rows > ROWS_MAX)
        return err_set(err, E_LIMIT, "%zu rows: trees take at most %d", features->rows, ROWS_MAX);
    void *values, *copy;
    TRY(mem_try(features->rows * features->columns, sizeof(float), "features", &values, err));
    out->values = values;
    TRY(mem_try(features->rows, sizeof(double), "target", &copy, err));
    out->target = copy;
    memcpy(out->target, target, features->rows * sizeof *target);
    for (size_t row = 0; row < features->rows; row++)
        for (size_t column = 0; column < features->columns; column++)
            TRY(round_value(features, row, column, &out->values[column * out->rows + row], err));
    return OK;
}

/* ---- nodes ---- */

void cart_fini(struct cart *cart)
{
    mem_free(cart->left);
    mem_free(cart->right);
    mem_free(cart->feature);
    mem_free(cart->samples);
    mem_free(cart->threshold);
    mem_free(cart->impurity);
    mem_free(cart->value);
    *cart = (struct cart){0};
}

static enum status resize(void *array_p, size_t count, size_t item_bytes, struct err *err)
{
    return mem_try_resize(array_p, count, item_bytes, "the nodes of a tree", err);
}

static enum status reserve_node(struct cart *cart, struct err *err)
{
    if (cart->node_count < cart->capacity)
        return OK;
    size_t count = cart->capacity ? 2 * cart->capacity : 64;
    TRY(resize(&cart->left, count, sizeof *cart->left, err));
    TRY(resize(&cart->right, count, sizeof *cart->right, err));
    TRY(resize(&cart->feature, count, sizeof *cart->feature, err));
    TRY(resize(&cart->samples, count, sizeof *cart->samples, err));
    TRY(resize(&cart->threshold, count, sizeof *cart->threshold, err));
    TRY(resize(&cart->impurity, count, sizeof *cart->impurity, err));
    TRY(resize(&cart->value, count * cart->stride, sizeof *cart->value, err));
    cart->capacity = count;
    return OK;
}

/* A leaf, until it is split. */
static enum status add_node(struct cart *cart, const struct cart_splitter *splitter,
                            double impurity, size_t *out, struct err *err)
{
    TRY(reserve_node(cart, err));
    size_t node = cart->node_count++;
    cart->left[node] = cart->right[node] = CART_LEAF;
    cart->feature[node] = CART_UNDEFINED;
    cart->threshold[node] = CART_UNDEFINED;
    cart->samples[node] = (int64_t)(splitter->end - splitter->start);
    cart->impurity[node] = impurity;
    cart_splitter_value(splitter, cart->value + node * cart->stride);
    *out = node;
    return OK;
}

/* ---- growing ---- */

struct pending {
    size_t start, end, parent;
    uint32_t depth;
    bool is_root, is_left;
};

struct stack {
    struct pending *items;
    size_t count, capacity;
};

static void drop_stack(struct stack *stack)
{
    mem_free(stack->items);
}
DEFINE_AUTO_VALUE(struct stack, drop_stack)

static enum status push(struct stack *stack, struct pending item, struct err *err)
{
    if (stack->count == stack->capacity) {
        size_t capacity = stack->capacity ? 2 * stack->capacity : STACK_FIRST_COUNT;
        TRY(resize(&stack->items, capacity, sizeof *stack->items, err));
        stack->capacity = capacity;
    }
    stack->items[stack->count++] = item;
    return OK;
}

static bool find_split(struct cart_splitter *splitter, const struct pending *at, double impurity,
                       struct cart_split *split)
{
    const struct cart_options *options = splitter->options;
    size_t count = at->end - at->start;
    if (at->depth >= options->depth_max || count < options->split_samples_min ||
        count < 2 * (size_t)options->leaf_samples_min)
        return false;
    /* Not 0: a pure node's impurity may be a rounding error. */
    if (impurity <= DBL_EPSILON || !cart_splitter_find(splitter, impurity, split))
        return false;
    return !(split->improvement + DBL_EPSILON < options->impurity_decrease_min);
}

static enum status grow_node(struct cart *cart, size_t first, struct cart_splitter *splitter,
                             const struct pending *at, struct stack *stack, struct err *err)
{
    double impurity = cart_splitter_enter(splitter, at->start, at->end);
    size_t node;
    TRY(add_node(cart, splitter, impurity, &node, err));
    if (!at->is_root)
        (at->is_left ? cart->left : cart->right)[at->parent] = (int32_t)(node - first);
    struct cart_split split;
    if (!find_split(splitter, at, impurity, &split))
        return OK;
    cart->feature[node] = (int32_t)split.feature;
    cart->threshold[node] = split.threshold;
    cart_splitter_apply(splitter, &split);
    size_t middle = at->start + split.left_count;
    struct pending child = {
        .parent = node, .depth = at->depth + 1, .start = middle, .end = at->end};
    TRY(push(stack, child, err));
    child.is_left = true;
    child.start = at->start;
    child.end = middle;
    return push(stack, child, err);
}

enum status cart_grow(struct cart *cart, const struct cart_data *data,
                      const struct cart_options *options, const uint32_t *weights, struct rng *rng,
                      struct err *err)
{
    cart->stride = data->class_count ? data->class_count : 1;
    AUTO(cart_splitter_fini) struct cart_splitter splitter = {0};
    TRY(cart_splitter_init(&splitter, data, options, weights, rng, err));
    AUTO(drop_stack) struct stack stack = {0};
    size_t first = cart->node_count;
    TRY(push(&stack, (struct pending){.end = splitter.sample_count, .is_root = true}, err));
    while (stack.count) {
        struct pending at = stack.items[--stack.count];
        TRY(grow_node(cart, first, &splitter, &at, &stack, err));
    }
    return OK;
}

const double *cart_leaf(const struct cart *cart, size_t first, const float *row)
{
    size_t node = first;
    while (cart->left[node] != CART_LEAF) {
        bool is_left = row[cart->feature[node]] <= cart->threshold[node];
        node = first + (size_t)(is_left ? cart->left : cart->right)[node];
    }
    return cart->value + node * cart->stride;
}
