/* Classification and regression trees: the growing and walking that decision_tree and random_forest
 * share.
 *
 * Grown depth first, best split first, as scikit-learn does it: features are seen as float32,
 * thresholds lie midway between two neighbouring values, nodes come in the same order with the same
 * numbers; equal node for node where no two splits are equally good. Among equally good ones the
 * lower feature, then the lower threshold wins. `struct cart` holds any number of trees one behind
 * the other; a child is an index relative to its tree's first node; −1 marks a leaf (feature −2,
 * threshold −2 there, as scikit-learn has it).
 *
 * Sources: Breiman, Friedman, Olshen, Stone, "Classification and Regression Trees" (1984);
 * scikit-learn 1.x, sklearn/tree/_tree.pyx and _splitter.pyx (what counts as constant, when to
 * stop). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/rng.h"
#include "proto/err.h"
#include "worker/data/matrix.h"

enum cart_criterion { CART_GINI, CART_ENTROPY, CART_SQUARED_ERROR };

enum { CART_LEAF = -1, CART_UNDEFINED = -2, CART_TENSORS = 7 };

struct cart_options {
    enum cart_criterion criterion;
    size_t class_count; /* 0: regression */
    uint32_t depth_max;
    uint32_t split_samples_min, leaf_samples_min;
    double impurity_decrease_min;
    size_t features_max; /* candidates per split, 1 … columns */
};

/* What trees are grown from: made once, shared by all trees of a forest. */
struct cart_data {
    size_t rows, columns, class_count;
    float *values;  /* columns × rows: one feature lies together */
    double *target; /* rows */
};

struct cart {
    size_t node_count, capacity;
    size_t stride; /* values per node: classes, or 1 */
    int32_t *left, *right, *feature;
    int64_t *samples;  /* rows that reached the node */
    double *threshold; /* go left if value ≤ threshold */
    double *impurity;
    double *value; /* node_count × stride: class fractions, or the mean */
};

/* Errors: E_INVALID a value that does not fit float32, naming row and column; E_NOMEM. */
MUST_USE enum status cart_data_init(const struct matrix *features, const double *target,
                                    size_t class_count, struct cart_data *out, struct err *err);
void cart_data_fini(struct cart_data *data);
DEFINE_AUTO_VALUE(struct cart_data, cart_data_fini)

void cart_fini(struct cart *cart);
DEFINE_AUTO_VALUE(struct cart, cart_fini)
/* Appends one tree. `weights` counts how often each row is taken (bootstrap), or is NULL for once
 * each. `rng` picks the candidates of each split where features_max < columns. Errors: E_NOMEM. */
MUST_USE enum status cart_grow(struct cart *cart, const struct cart_data *data,
                               const struct cart_options *options, const uint32_t *weights,
                               struct rng *rng, struct err *err);
/* The values of the leaf that `row` (columns × float32) falls into; `first` is the tree's first
 * node. */
const double *cart_leaf(const struct cart *cart, size_t first, const float *row);
/* Rounds a row to float32. Errors: E_INVALID as cart_data_init. */
MUST_USE enum status cart_round_row(const struct matrix *features, size_t row, float *out,
                                    struct err *err);

/* Views of the arrays, CART_TENSORS of them, named as in scikit-learn's tree_. */
void cart_save(const struct cart *cart, struct tensor *out);
/* Copies and checks the arrays; the trees themselves are checked by cart_check.
 * Errors: E_CORRUPT, E_NOMEM. */
MUST_USE enum status cart_load(const struct tensor *tensors, size_t tensor_count, size_t stride,
                               struct cart *out, struct err *err);
/* Nodes [first, first + count) are one sound tree: children lie behind their parent, so every walk
 * ends; features are columns. Errors: E_CORRUPT. */
MUST_USE enum status cart_check(const struct cart *cart, size_t first, size_t count,
                                size_t column_count, struct err *err);
/* NULL when there is none of that name. */
const struct tensor *cart_find_tensor(const struct tensor *tensors, size_t tensor_count,
                                      const char *name);
