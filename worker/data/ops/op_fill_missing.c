/* fill_missing: puts one value per column where a cell is missing: the mean, median or most
 * frequent value of the training part (of several equally frequent the smallest), or a constant.
 * Default: for mean and median every number column among the features, else every feature column.
 * Source: scikit-learn SimpleImputer. */
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/base/sum.h"
#include "common/text/json.h"
#include "proto/schemas.h"
#include "worker/data/category.h"
#include "worker/data/document.h"
#include "worker/data/ops/ops.h"

enum { FILL_MEAN, FILL_MEDIAN, FILL_MOST_FREQUENT, FILL_CONSTANT };

static bool wants_numbers(const struct operation_context *context, const struct column *column)
{
    return column_is_number(column) && operation_is_feature(context, column);
}

static bool wants_features(const struct operation_context *context, const struct column *column)
{
    return operation_is_feature(context, column);
}

static bool is_fitted(const void *params)
{
    return ((const struct op_fill_missing_params *)params)->strategy != FILL_CONSTANT;
}

/* ---- fit ---- */

static enum status no_values(const struct table *table, const struct column *column,
                             struct err *err)
{
    return err_set(
        err, E_INVALID,
        "%s: fill_missing: column `%.80s` has no value in the training part to learn from",
        table->name, column->name);
}

static int compare_reals(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static enum status present_numbers(const struct table *table, struct column *column, double **out,
                                   size_t *count, struct err *err)
{
    if (!column_is_number(column))
        return operation_not_number(table, "fill_missing", column, err);
    void *memory;
    TRY(mem_try(table->rows + 1, sizeof **out, "a column's values", &memory, err));
    AUTO(mem_free) double *values = memory;
    *count = 0;
    for (size_t row = 0; row < table->rows; row++)
        if (!column_is_missing(column, row))
            values[(*count)++] = column_number(column, row);
    if (!*count)
        return no_values(table, column, err);
    *out = TAKE(values);
    return OK;
}

static enum status mean_or_median(const struct table *table, struct column *column, bool is_median,
                                  struct value *out, struct err *err)
{
    AUTO(mem_free) double *values = NULL;
    size_t count = 0;
    TRY(present_numbers(table, column, &values, &count, err));
    struct sum sum = {0};
    for (size_t i = 0; i < count; i++)
        sum_add(&sum, values[i]);
    double fill = sum_value(&sum) / (double)count;
    if (is_median) {
        qsort(values, count, sizeof *values, compare_reals);
        fill = count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
    }
    if (!isfinite(fill))
        return err_set(err, E_INVALID, "%s: fill_missing: column `%.80s` overflows", table->name,
                       column->name);
    *out = value_real(fill);
    return OK;
}

static enum status most_frequent(const struct operation_context *context, const struct table *table,
                                 struct column *column, struct value *out, struct err *err)
{
    struct value list;
    TRY(category_list(table, column, context->arena, &list, err));
    if (!list.count)
        return no_values(table, column, err);
    AUTO(mem_free) size_t *counts = mem_alloc(list.count * sizeof *counts);
    for (size_t row = 0; row < table->rows; row++) {
        int64_t index = category_find(&list, table, column, row);
        if (index != CATEGORY_NONE)
            counts[index]++;
    }
    size_t best = 0;
    for (uint32_t i = 1; i < list.count; i++)
        if (counts[i] > counts[best])
            best = i;
    *out = list.items[best];
    return OK;
}

static enum status constant(const struct operation_context *context,
                            const struct op_fill_missing_params *fill, struct value *out,
                            struct err *err)
{
    if (!fill->has_value)
        return err_set(err, E_INVALID, "fill_missing: `strategy: constant` needs a `value`");
    const struct value *value = fill->value;
    bool is_text = value->type == VALUE_STRING && strlen(value->text) == value->count;
    if (value->type != VALUE_INT && value->type != VALUE_REAL && !is_text)
        return err_set(err, E_INVALID, "fill_missing: `value` is a %s, expected a number or a text",
                       value_type_name((enum value_type)value->type));
    *out = doc_copy(context->arena, value);
    return OK;
}

static enum status fit_column(const struct operation_context *context,
                              const struct op_fill_missing_params *fill, const struct table *table,
                              struct column *column, struct value *out, struct err *err)
{
    TRY(table_type(table, column, err));
    switch (fill->strategy) {
    case FILL_MEAN:
    case FILL_MEDIAN: return mean_or_median(table, column, fill->strategy == FILL_MEDIAN, out, err);
    case FILL_MOST_FREQUENT: return most_frequent(context, table, column, out, err);
    default: return constant(context, fill, out, err);
    }
}

static enum status fit(const struct operation_context *context, const void *params,
                       struct table *table, struct value *state, struct err *err)
{
    const struct op_fill_missing_params *fill = params;
    struct value columns, values = doc_list();
    bool needs_numbers = fill->strategy == FILL_MEAN || fill->strategy == FILL_MEDIAN;
    TRY(operation_columns(context, "fill_missing", fill->has_columns ? fill->columns : NULL, table,
                          needs_numbers ? wants_numbers : wants_features, &columns, err));
    for (uint32_t i = 0; i < columns.count; i++) {
        struct value value;
        struct column *column = table_find(table, columns.items[i].text);
        TRY(fit_column(context, fill, table, column, &value, err));
        value.line = value.column = 0;
        doc_add(context->arena, &values, value);
    }
    *state = doc_map();
    doc_put(context->arena, state, "columns", columns);
    doc_put(context->arena, state, "values", values);
    return OK;
}

/* ---- apply ---- */

/* Missing cells of a text column, and the text form of a filled number column. */
static void set_text(struct table *table, struct column *column, const struct value *value)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    if (value->type == VALUE_STRING)
        buf_put(&text, value->text, value->count);
    else
        json_write(value, 0, &text);
    column->fill = arena_text(&table->arena, (const char *)text.bytes, text.count);
}

static enum status fill_numbers(const struct table *table, struct column *column,
                                const struct value *value, struct err *err)
{
    if (value->type == VALUE_REAL || value->integer == TABLE_NO_INTEGER)
        TRY(column_make_real(table, column, err));
    double real = value->type == VALUE_REAL ? value->real : (double)value->integer;
    for (size_t row = 0; row < table->rows; row++) {
        if (!column_is_missing(column, row))
            continue;
        if (column->type == COLUMN_REAL)
            column->reals[row] = real;
        else
            column->integers[row] = value->integer;
    }
    return OK;
}

/* A text put among numbers makes all of them text. */
static enum status fill_column(struct table *table, struct column *column,
                               const struct value *value, struct err *err)
{
    bool has_missing = false;
    for (size_t row = 0; row < table->rows && !has_missing; row++)
        has_missing = column_is_missing(column, row);
    if (!has_missing)
        return OK;
    if (column_is_number(column) && value->type != VALUE_STRING)
        TRY(fill_numbers(table, column, value, err));
    else if (column->cells)
        column->type = COLUMN_TEXT;
    else
        return err_set(err, E_INVALID, "fill_missing: column `%.80s` was computed and has no text",
                       column->name);
    set_text(table, column, value);
    return OK;
}

static enum status apply(const struct operation_context *context, const struct value *state,
                         struct table *table, struct err *err)
{
    const char *const *names;
    const struct value *values;
    size_t count;
    TRY(operation_names(context, "fill_missing", state, &names, &count, err));
    TRY(document_get("fill_missing", state, "values", VALUE_ARRAY, &values, err));
    if (values->count != count)
        return err_set(err, E_CORRUPT, "fill_missing: %u values for %zu columns", values->count,
                       count);
    for (size_t i = 0; i < count; i++) {
        const struct value *value = &values->items[i];
        if (value->type != VALUE_INT && value->type != VALUE_REAL && value->type != VALUE_STRING)
            return err_set(err, E_CORRUPT, "fill_missing: a value is a %s",
                           value_type_name((enum value_type)value->type));
        struct column *column = table_find(table, names[i]);
        if (!column && context->target && !strcmp(context->target, names[i]))
            continue;
        TRY(table_get(table, "fill_missing", names[i], &column, err));
        TRY(table_type(table, column, err));
        TRY(fill_column(table, column, value, err));
    }
    return OK;
}

const struct operation operation_fill_missing = {.name = "fill_missing",
                                                 .schema = &schema_op_fill_missing,
                                                 .is_fitted = is_fitted,
                                                 .fit = fit,
                                                 .apply = apply};
