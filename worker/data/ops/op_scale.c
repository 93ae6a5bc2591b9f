/* scale: (x − offset) / divisor, per column. standard: mean and standard deviation (n − ddof in the
 * denominator); min_max: least value and range. A constant column is only shifted. Missing values
 * are passed over and stay missing. By default every number column, but not codes made by `encode`.
 * Source: scikit-learn StandardScaler (ddof 0; its test for constant columns), MinMaxScaler;
 * pandas' std has ddof 1. */
// SPDX-License-Identifier: Apache-2.0
#include <float.h>
#include <math.h>

#include "common/base/doc.h"
#include "common/base/sum.h"
#include "proto/schemas.h"
#include "worker/data/document.h"
#include "worker/data/ops/ops.h"

enum { METHOD_STANDARD, METHOD_MIN_MAX };

static bool wants(const struct operation_context *context, const struct column *column)
{
    return column_is_number(column) && !column->is_code && operation_is_feature(context, column);
}

static bool always(const void *params)
{
    (void)params;
    return true;
}

struct scaling {
    double offset, divisor;
};

static enum status standard(const struct table *table, const struct column *column, int64_t ddof,
                            struct scaling *out, struct err *err)
{
    struct sum sum = {0}, squares = {0}, shifts = {0};
    size_t count = 0;
    for (size_t row = 0; row < table->rows; row++) {
        double x = column_number(column, row);
        if (!isnan(x)) {
            sum_add(&sum, x);
            count++;
        }
    }
    if ((int64_t)count <= ddof)
        return err_set(err, E_INVALID,
                       "%s: scale: column `%.80s` has %zu values, too few for a deviation",
                       table->name, column->name, count);
    double n = (double)count, mean = sum_value(&sum) / n;
    for (size_t row = 0; row < table->rows; row++) {
        double x = column_number(column, row) - mean;
        if (!isnan(x)) {
            sum_add(&squares, x * x);
            sum_add(&shifts, x);
        }
    }
    double shift = sum_value(&shifts);
    double spread = sum_value(&squares) - shift * shift / n, variance = spread / n;
    double noise = n * DBL_EPSILON * variance + (n * mean * DBL_EPSILON) * (n * mean * DBL_EPSILON);
    out->offset = mean;
    out->divisor = variance <= noise ? 1 : sqrt(spread / (n - (double)ddof));
    return OK;
}

static enum status min_max(const struct table *table, const struct column *column,
                           struct scaling *out, struct err *err)
{
    double low = INFINITY, high = -INFINITY;
    for (size_t row = 0; row < table->rows; row++) {
        double x = column_number(column, row);
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    if (low > high)
        return err_set(err, E_INVALID, "%s: scale: column `%.80s` has no values", table->name,
                       column->name);
    double range = high - low;
    out->offset = low;
    out->divisor = range < 10 * DBL_EPSILON ? 1 : range;
    return OK;
}

static enum status fit(const struct operation_context *context, const void *params,
                       struct table *table, struct value *state, struct err *err)
{
    const struct op_scale_params *scale = params;
    struct value columns, offsets = doc_list(), divisors = doc_list();
    TRY(operation_columns(context, "scale", scale->has_columns ? scale->columns : NULL, table,
                          wants, &columns, err));
    for (uint32_t i = 0; i < columns.count; i++) {
        struct column *column = table_find(table, columns.items[i].text);
        TRY(table_type(table, column, err));
        if (!column_is_number(column))
            return operation_not_number(table, "scale", column, err);
        struct scaling scaling;
        if (scale->method == METHOD_STANDARD)
            TRY(standard(table, column, scale->ddof, &scaling, err));
        else
            TRY(min_max(table, column, &scaling, err));
        if (!isfinite(scaling.offset) || !isfinite(scaling.divisor))
            return err_set(err, E_INVALID, "%s: scale: column `%.80s` overflows", table->name,
                           column->name);
        doc_add(context->arena, &offsets, value_real(scaling.offset));
        doc_add(context->arena, &divisors, value_real(scaling.divisor));
    }
    *state = doc_map();
    doc_put(context->arena, state, "columns", columns);
    doc_put(context->arena, state, "offset", offsets);
    doc_put(context->arena, state, "divisor", divisors);
    return OK;
}

static enum status apply(const struct operation_context *context, const struct value *state,
                         struct table *table, struct err *err)
{
    const char *const *names;
    const double *offsets, *divisors;
    size_t count;
    TRY(operation_names(context, "scale", state, &names, &count, err));
    TRY(document_get_reals("scale", state, "offset", context->arena, count, &offsets, err));
    TRY(document_get_reals("scale", state, "divisor", context->arena, count, &divisors, err));
    for (size_t i = 0; i < count; i++) {
        struct column *column;
        TRY(table_get(table, "scale", names[i], &column, err));
        TRY(table_type(table, column, err));
        if (!column_is_number(column))
            return operation_not_number(table, "scale", column, err);
        TRY(column_make_real(table, column, err));
        for (size_t row = 0; row < table->rows; row++)
            column->reals[row] = (column->reals[row] - offsets[i]) / divisors[i];
    }
    return OK;
}

const struct operation operation_scale = {
    .name = "scale", .schema = &schema_op_scale, .is_fitted = always, .fit = fit, .apply = apply};
