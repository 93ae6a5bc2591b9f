/* Scores of predictions: arrays in, numbers out, equal to scikit-learn's (zero_division=0) to
 * 1e-12. Sums run in row order with the rounding errors carried along, so the bits depend on
 * nothing but the input. What is undefined is NaN. Pure. Sources: scikit-learn 1.x,
 * sklearn.metrics; Fawcett, "An introduction to ROC analysis" (2006), for the area with ties; Hand,
 * Till (2001), one against the rest. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

/* counts[target × k + prediction]; both arrays hold class indices below k as doubles. */
void score_confusion(const double *target, const double *prediction, size_t rows, size_t k,
                     uint64_t *counts);

struct score_class {
    double precision, recall, f1; /* 0 where the denominator is 0 */
    uint64_t support;             /* rows of this class */
    uint64_t predicted;           /* rows predicted as it */
};

struct score_averages {
    double precision, recall, f1;
};

/* One class of a confusion matrix. */
struct score_class score_class(const uint64_t *counts, size_t k, size_t index);
/* The plain mean over the classes that occur in target or prediction (scikit-learn's default
 * labels). */
struct score_averages score_macro(const uint64_t *counts, size_t k);
/* The mean weighted by support. */
struct score_averages score_weighted(const uint64_t *counts, size_t k);
/* The share of right predictions; NaN without rows. */
double score_accuracy(const uint64_t *counts, size_t k);

/* Area under the ROC curve of rows whose class is `positive` against the rest, by column `positive`
 * of the rows × k probabilities. Ties count half. *out is NaN where one side is empty. Errors:
 * E_NOMEM. */
MUST_USE enum status score_roc_auc(const double *target, const double *probabilities, size_t rows,
                                   size_t k, size_t positive, double *out, struct err *err);
/* The plain mean of the above over all classes; NaN if any of them is. */
MUST_USE enum status score_roc_auc_macro(const double *target, const double *probabilities,
                                         size_t rows, size_t k, double *out, struct err *err);
/* Mean of −log p of the true class, p clipped to [ε, 1 − ε], ε = 2⁻⁵². */
double score_log_loss(const double *target, const double *probabilities, size_t rows, size_t k);

struct score_errors {
    double mae, mse, rmse;
    double r2; /* NaN for less than 2 rows; for a constant target 1 if all is right, else 0 */
};

struct score_errors score_regression(const double *target, const double *prediction, size_t rows);
