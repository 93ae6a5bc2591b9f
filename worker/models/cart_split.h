/* The best split of one node: sorts the node's rows by each candidate feature and walks every cut
 * between two different values. Private to cart.c. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

#include "worker/models/cart.h"

struct cart_item {
    uint32_t key; /* a float's bits, so turned that they compare as the float does */
    uint32_t sample;
};

struct cart_splitter {
    const struct cart_data *data;
    const struct cart_options *options;
    const uint32_t *weights; /* or NULL */
    struct rng *rng;
    uint32_t *samples; /* a permutation of the rows in use; a node is a stretch of it */
    size_t sample_count;
    double weight_all;
    struct cart_item *items, *spare;
    uint32_t *features;
    /* The node entered last: its stretch, and per class (or once) the sum of weights (or of
     * targets). */
    size_t start, end;
    double weight, squares;
    double *total, *left, *right;
};

struct cart_split {
    uint32_t feature;
    size_t left_count;
    double threshold, improvement;
};

/* Errors: E_NOMEM. */
MUST_USE enum status cart_splitter_init(struct cart_splitter *splitter,
                                        const struct cart_data *data,
                                        const struct cart_options *options, const uint32_t *weights,
                                        struct rng *rng, struct err *err);
void cart_splitter_fini(struct cart_splitter *splitter);
DEFINE_AUTO_VALUE(struct cart_splitter, cart_splitter_fini)
/* Sums the node's rows and returns its impurity. */
double cart_splitter_enter(struct cart_splitter *splitter, size_t start, size_t end);
/* The node's class fractions, or its mean: `stride` values. */
void cart_splitter_value(const struct cart_splitter *splitter, double *out);
/* False when no feature can split the node entered last. */
bool cart_splitter_find(struct cart_splitter *splitter, double impurity, struct cart_split *out);
/* Moves the rows that go left before those that go right; both keep their order. */
void cart_splitter_apply(struct cart_splitter *splitter, const struct cart_split *split);
