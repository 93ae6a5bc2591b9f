/* The mean logistic loss of a linear model, its gradient and its curvature: what linear.c
 * minimises.
 *
 *   two classes     z = w·x + b,     loss = log(1 + exp(z)) − y z
 *   three or more   z_k = w_k·x + b_k,  loss = log Σ exp(z_k) − z_y
 *   objective       mean loss + ½ Σ_k Σ_j penalty_j w_kj²     (b is not penalised)
 *
 * Columns are standardised inside (mean 0, deviation 1), which conditions the search; `penalty` is
 * divided by the squared deviation, so that the optimum is that of the raw columns; logistic_raw
 * maps it back. Sums run in row order: same bytes everywhere. Source: Hastie, Tibshirani, Friedman,
 * ESL 2nd ed., §4.4. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proto/err.h"
#include "worker/data/matrix.h"

struct logistic {
    size_t rows, columns;
    size_t outputs;      /* 1 for two classes, else the classes */
    size_t weight_count; /* outputs × (columns + 1): per output the weights, then the intercept */
    bool has_intercept;
    double *features;      /* rows × columns, standardised */
    const double *target;  /* rows: class indices; borrowed */
    double *mean, *scale;  /* columns */
    double *penalty;       /* columns */
    double *probabilities; /* rows × outputs, of the last logistic_loss */
    double *row;           /* outputs: scratch */
};

/* `strength` is 1 / (C rows), 0 for no penalty. Errors: E_NOMEM. */
MUST_USE enum status logistic_init(struct logistic *logistic, const struct matrix *features,
                                   const double *target, size_t class_count, double strength,
                                   bool has_intercept, struct err *err);
void logistic_fini(struct logistic *logistic);
DEFINE_AUTO_VALUE(struct logistic, logistic_fini)

/* The objective at `weights`; its gradient goes to `gradient`. */
double logistic_loss(struct logistic *logistic, const double *weights, double *gradient);
/* out = H v, H the second derivative where logistic_loss was called last. */
void logistic_curvature(struct logistic *logistic, const double *v, double *out);
/* Takes the mean over the outputs from each column's values and from the intercepts of `v` (shaped
 * as weights). With three or more outputs only differences between them matter: this removes what
 * rounding errors put where the curvature is zero. */
void logistic_centre(const struct logistic *logistic, double *v);
/* Does `weights` give every training row to its class, with room to spare? Then, without a penalty,
 * there is no optimum. */
bool logistic_is_separated(const struct logistic *logistic, const double *weights);
/* Weights for raw columns: coef (outputs × columns) and intercept (outputs). */
void logistic_raw(const struct logistic *logistic, const double *weights, double *coef,
                  double *intercept);
