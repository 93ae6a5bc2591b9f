/* Which rows train and which test. Two methods, both functions of integers alone:
 *
 *   hash     each row draws two numbers u, v in [0, 1) from BLAKE2b-256 keyed with the seed (8
 *            bytes, little endian) of its row id (8 bytes, little endian): bytes 0-7 and 8-15, top
 *            53 bits. Test if u < test_size, else validation if v < validation_size. A row keeps
 *            its side when rows are added. With stratify the rows of each class are ranked by u
 *            and the lowest ⌊test_size · count + ½⌋ test (then by v for validation): exact
 *            proportions, at the price that a row near the border may change sides. Rows keep
 *            table order.
 *   shuffle  exactly the rows, in the order, of scikit-learn's train_test_split(test_size,
 *            random_state=seed, stratify). Validation is a second train_test_split of the training
 *            part with test_size=validation_size and the same seed.
 *
 * So validation_size is a share of the training part. Source: scikit-learn 1.x,
 * model_selection/_split.py (ShuffleSplit, StratifiedShuffleSplit), utils/extmath.py
 * (_approximate_mode). Errors follow scikit-learn's. Pure. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

enum split_method { SPLIT_HASH, SPLIT_SHUFFLE };

struct split_options {
    enum split_method method;
    double test_size;       /* share of the rows, above 0, below 1 */
    double validation_size; /* share of the training part; 0: none */
    uint32_t seed;
    const uint32_t *classes; /* per row, for stratify; NULL: not stratified */
    size_t class_count;
};

/* Indices of rows; the owner frees each with mem_free, or all with split_fini. */
struct split {
    uint32_t *train, *test, *validation;
    size_t train_count, test_count, validation_count;
};

void split_fini(struct split *split);
DEFINE_AUTO_VALUE(struct split, split_fini)
/* `row_ids` has `rows` entries, used by `hash`. Errors: E_INVALID a part would be empty, a class
 * too small; E_NOMEM. */
MUST_USE enum status split_rows(const struct split_options *options, const int64_t *row_ids,
                                size_t rows, struct split *out, struct err *err);
