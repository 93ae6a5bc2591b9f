// SPDX-License-Identifier: Apache-2.0
#include "worker/models/logistic.h"

#include <math.h>
#include <string.h>

#include "common/base/mem.h"
#include "worker/models/vecmath.h"

static enum status new_reals(size_t count, double **out, struct err *err)
{
    void *memory;
    TRY(mem_try(count, sizeof(double), "logistic regression", &memory, err));
    *out = memory;
    return OK;
}

/* Mean and deviation of a column; without an intercept the mean must stay, so the deviation is from
 * 0. A constant column keeps its scale: centred it is all zeros, and its weight stays 0. */
static void standardise_column(struct logistic *logistic, const struct matrix *features,
                               size_t column)
{
    double sum = 0, squares = 0;
    size_t rows = logistic->rows, columns = logistic->columns;
    for (size_t i = 0; i < rows; i++)
        sum += matrix_row(features, i)[column];
    double mean = logistic->has_intercept ? sum / (double)rows : 0;
    for (size_t i = 0; i < rows; i++) {
        double centred = matrix_row(features, i)[column] - mean;
        logistic->features[i * columns + column] = centred;
        squares += centred * centred;
    }
    double deviation = sqrt(squares / (double)rows);
    bool is_constant = !(deviation > 1e-12 * fabs(mean)) || deviation < 1e-150;
    double scale = is_constant ? 1 : deviation;
    for (size_t i = 0; i < rows; i++) {
        double *value = &logistic->features[i * columns + column];
        *value = is_constant && logistic->has_intercept ? 0 : *value / scale;
    }
    logistic->mean[column] = mean;
    logistic->scale[column] = scale;
}

enum status logistic_init(struct logistic *logistic, const struct matrix *features,
                          const double *target, size_t class_count, double strength,
                          bool has_intercept, struct err *err)
{
    size_t rows = features->rows, columns = features->columns;
    size_t outputs = class_count == 2 ? 1 : class_count;
    *logistic = (struct logistic){.rows = rows,
                                  .columns = columns,
                                  .outputs = outputs,
                                  .weight_count = outputs * (columns + 1),
                                  .has_intercept = has_intercept,
                                  .target = target};
    TRY(new_reals(rows * columns, &logistic->features, err));
    TRY(new_reals(columns, &logistic->mean, err));
    TRY(new_reals(columns, &logistic->scale, err));
    TRY(new_reals(columns, &logistic->penalty, err));
    TRY(new_reals(rows * outputs, &logistic->probabilities, err));
    TRY(new_reals(outputs, &logistic->row, err));
    for (size_t j = 0; j < columns; j++) {
        standardise_column(logistic, features, j);
        logistic->penalty[j] = strength / (logistic->scale[j] * logistic->scale[j]);
    }
    return OK;
}

void logistic_fini(struct logistic *logistic)
{
    mem_free(logistic->features);
    mem_free(logistic->mean);
    mem_free(logistic->scale);
    mem_free(logistic->penalty);
    mem_free(logistic->probabilities);
    mem_free(logistic->row);
}

/* z_k of one row. */
static void scores_of(const struct logistic *logistic, const double *weights, const double *x,
                      double *out)
{
    size_t columns = logistic->columns;
    for (size_t k = 0; k < logistic->outputs; k++) {
        const double *w = weights + k * (columns + 1);
        out[k] = vecmath_dot(w, x, columns) + w[columns];
    }
}

/* Turns the scores in `z` into probabilities and returns the row's loss. */
static double row_loss(const struct logistic *logistic, size_t row, double *z)
{
    size_t class = (size_t)logistic->target[row];
    double own = z[logistic->outputs == 1 ? 0 : class];
    if (logistic->outputs > 1)
        return vecmath_softmax(z, logistic->outputs) - own;
    z[0] = vecmath_sigmoid(own);
    return vecmath_softplus(class ? -own : own);
}

/* gradient += x × (p − y), for each output. */
static void add_residuals(const struct logistic *logistic, size_t row, const double *p,
                          double *gradient)
{
    size_t columns = logistic->columns, class = (size_t)logistic->target[row];
    const double *x = logistic->features + row * columns;
    for (size_t k = 0; k < logistic->outputs; k++) {
        bool is_own = logistic->outputs == 1 ? class == 1 : class == k;
        double residual = p[k] - (is_own ? 1 : 0);
        vecmath_add_scaled(residual, x, columns, gradient + k * (columns + 1));
        gradient[k * (columns + 1) + columns] += residual;
    }
}

/* out = out / rows + penalty × v; an intercept that isn't wanted has no slope. Returns ½
 * v·penalty·v. */
static double finish(const struct logistic *logistic, const double *v, double *out)
{
    size_t columns = logistic->columns;
    double penalty = 0;
    for (size_t k = 0; k < logistic->outputs; k++) {
        const double *from = v + k * (columns + 1);
        double *to = out + k * (columns + 1);
        for (size_t j = 0; j < columns; j++) {
            to[j] = to[j] / (double)logistic->rows + logistic->penalty[j] * from[j];
            penalty += logistic->penalty[j] * from[j] * from[j];
        }
        to[columns] = logistic->has_intercept ? to[columns] / (double)logistic->rows : 0;
    }
    return penalty / 2;
}

double logistic_loss(struct logistic *logistic, const double *weights, double *gradient)
{
    /* Compensated (Neumaier): line searches compare losses that differ in the last digits. */
    double sum = 0, lost = 0;
    memset(gradient, 0, logistic->weight_count * sizeof *gradient);
    for (size_t i = 0; i < logistic->rows; i++) {
        double *p = logistic->probabilities + i * logistic->outputs;
        scores_of(logistic, weights, logistic->features + i * logistic->columns, p);
        double loss = row_loss(logistic, i, p), next = sum + loss;
        lost += fabs(sum) >= fabs(loss) ? (sum - next) + loss : (loss - next) + sum;
        sum = next;
        add_residuals(logistic, i, p, gradient);
    }
    return (sum + lost) / (double)logistic->rows + finish(logistic, weights, gradient);
}

void logistic_curvature(struct logistic *logistic, const double *v, double *out)
{
    size_t columns = logistic->columns, outputs = logistic->outputs;
    double *u = logistic->row;
    memset(out, 0, logistic->weight_count * sizeof *out);
    for (size_t i = 0; i < logistic->rows; i++) {
        const double *x = logistic->features + i * columns;
        const double *p = logistic->probabilities + i * outputs;
        scores_of(logistic, v, x, u);
        double mean = 0;
        for (size_t k = 0; k < outputs; k++)
            mean += p[k] * u[k];
        for (size_t k = 0; k < outputs; k++) {
            double change = p[k] * (u[k] - mean);
            vecmath_add_scaled(change, x, columns, out + k * (columns + 1));
            out[k * (columns + 1) + columns] += change;
        }
    }
    finish(logistic, v, out);
}

bool logistic_is_separated(const struct logistic *logistic, const double *weights)
{
    for (size_t i = 0; i < logistic->rows; i++) {
        double *z = logistic->row;
        size_t class = (size_t)logistic->target[i];
        scores_of(logistic, weights, logistic->features + i * logistic->columns, z);
        if (logistic->outputs == 1 && !(class ? z[0] > 0 : z[0] < 0))
            return false;
        for (size_t k = 0; logistic->outputs > 1 && k < logistic->outputs; k++)
            if (k != class && !(z[class] > z[k]))
                return false;
    }
    return true;
}

void logistic_centre(const struct logistic *logistic, double *v)
{
    size_t outputs = logistic->outputs, stride = logistic->columns + 1;
    for (size_t j = 0; outputs > 1 && j < stride; j++) {
        double sum = 0;
        for (size_t k = 0; k < outputs; k++)
            sum += v[k * stride + j];
        for (size_t k = 0; k < outputs; k++)
            v[k * stride + j] -= sum / (double)outputs;
    }
}

void logistic_raw(const struct logistic *logistic, const double *weights, double *coef,
                  double *intercept)
{
    size_t columns = logistic->columns;
    for (size_t k = 0; k < logistic->outputs; k++) {
        const double *w = weights + k * (columns + 1);
        for (size_t j = 0; j < columns; j++)
            coef[k * columns + j] = w[j] / logistic->scale[j];
        intercept[k] = w[columns] - vecmath_dot(coef + k * columns, logistic->mean, columns);
    }
}
