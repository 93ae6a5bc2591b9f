/* encode: text (or any column named) becomes numbers. one_hot: a column of 0 and 1 per category,
 * named COLUMN_CATEGORY, in place of the column; label: the category's index. Categories are those
 * of the training part, sorted: text by bytes, numbers by size. Default: every text feature column.
 * Source: scikit-learn OneHotEncoder, OrdinalEncoder (unknown: −1). */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "proto/limits.h"
#include "proto/schemas.h"
#include "worker/data/category.h"
#include "worker/data/document.h"
#include "worker/data/ops/ops.h"

enum { METHOD_LABEL, METHOD_ONE_HOT };
enum { UNKNOWN_ERROR, UNKNOWN_IGNORE };

static bool wants(const struct operation_context *context, const struct column *column)
{
    return column->type == COLUMN_TEXT && operation_is_feature(context, column);
}

static bool always(const void *params)
{
    (void)params;
    return true;
}

static enum status fit(const struct operation_context *context, const void *params,
                       struct table *table, struct value *state, struct err *err)
{
    const struct op_encode_params *encode = params;
    struct value columns, categories = doc_list();
    TRY(operation_columns(context, "encode", encode->has_columns ? encode->columns : NULL, table,
                          wants, &columns, err));
    for (uint32_t i = 0; i < columns.count; i++) {
        struct column *column = table_find(table, columns.items[i].text);
        if (!operation_is_feature(context, column))
            return err_set(err, E_INVALID,
                           "encode: `%.80s` is the target or id; a target is encoded by itself",
                           column->name);
        struct value list;
        TRY(category_list(table, column, context->arena, &list, err));
        if (!list.count)
            return err_set(err, E_INVALID, "%s: encode: column `%.80s` has no values", table->name,
                           column->name);
        doc_add(context->arena, &categories, list);
    }
    *state = doc_map();
    doc_put(context->arena, state, "columns", columns);
    doc_put(context->arena, state, "categories", categories);
    doc_put(context->arena, state, "one_hot", value_bool(encode->method == METHOD_ONE_HOT));
    doc_put(context->arena, state, "ignore_unknown", value_bool(encode->unknown == UNKNOWN_IGNORE));
    return OK;
}

static enum status unknown_value(const struct table *table, const struct column *column, size_t row,
                                 struct err *err)
{
    if (column_is_missing(column, row))
        return err_set(err, E_INVALID,
                       "%s:%u: encode: column `%.80s` is missing; fill_missing or drop_missing "
                       "before encode",
                       table->name, table->lines[row], column->name);
    size_t bytes;
    const char *text = column_text(table, column, row, &bytes);
    return err_set(err, E_INVALID,
                   "%s:%u: encode: column `%.80s` holds `%.*s`, which the training part does not; "
                   "`unknown: ignore` accepts it",
                   table->name, table->lines[row], column->name, (int)(bytes < 60 ? bytes : 60),
                   text ? text : "");
}

/* The code of each row. */
static enum status find_codes(const struct table *table, struct column *column,
                              const struct value *categories, bool ignore_unknown, int64_t **out,
                              struct err *err)
{
    TRY(table_type(table, column, err));
    void *memory;
    TRY(mem_try(table->rows + 1, sizeof **out, "codes", &memory, err));
    AUTO(mem_free) int64_t *codes = memory;
    for (size_t row = 0; row < table->rows; row++) {
        codes[row] = category_find(categories, table, column, row);
        if (codes[row] == CATEGORY_NONE && !ignore_unknown)
            return unknown_value(table, column, row, err);
    }
    *out = TAKE(codes);
    return OK;
}

static enum status put_one_hot(struct table *table, size_t at, const char *name,
                               const struct value *categories, const int64_t *codes,
                               struct err *err)
{
    for (uint32_t k = 0; k < categories->count; k++) {
        char text[256], full[512];
        category_text(&categories->items[k], text, sizeof text);
        snprintf(full, sizeof full, "%.250s_%s", name, text);
        struct column *column;
        TRY(table_insert(table, at + k, full, COLUMN_REAL, &column, err));
        column->is_code = true;
        for (size_t row = 0; row < table->rows; row++)
            column->reals[row] = codes[row] == k;
    }
    return OK;
}

static enum status encode_column(const struct operation_context *context, struct table *table,
                                 struct column *column, const struct value *categories,
                                 bool is_one_hot, bool ignore_unknown, struct err *err)
{
    AUTO(mem_free) int64_t *codes = NULL;
    TRY(find_codes(table, column, categories, ignore_unknown, &codes, err));
    size_t at = table_index(table, column);
    const char *name = arena_text(context->arena, column->name, strlen(column->name));
    table_remove(table, column);
    if (is_one_hot)
        return put_one_hot(table, at, name, categories, codes, err);
    TRY(table_insert(table, at, name, COLUMN_INTEGER, &column, err));
    column->is_code = true;
    memcpy(column->integers, codes, table->rows * sizeof *codes);
    return OK;
}

static enum status check_categories(const struct value *list, struct err *err)
{
    if (list->type != VALUE_ARRAY || list->count > CLASSES_MAX)
        return err_set(err, E_CORRUPT, "encode: categories are not lists");
    for (uint32_t i = 0; i < list->count; i++) {
        uint8_t type = list->items[i].type;
        if (type != list->items[0].type ||
            (type != VALUE_STRING && type != VALUE_INT && type != VALUE_REAL))
            return err_set(err, E_CORRUPT, "encode: categories of mixed types");
    }
    return OK;
}

static enum status apply(const struct operation_context *context, const struct value *state,
                         struct table *table, struct err *err)
{
    const char *const *names;
    const struct value *categories, *one_hot, *ignore;
    size_t count;
    TRY(operation_names(context, "encode", state, &names, &count, err));
    TRY(document_get("encode", state, "categories", VALUE_ARRAY, &categories, err));
    TRY(document_get("encode", state, "one_hot", VALUE_BOOL, &one_hot, err));
    TRY(document_get("encode", state, "ignore_unknown", VALUE_BOOL, &ignore, err));
    if (categories->count != count)
        return err_set(err, E_CORRUPT, "encode: %u lists of categories for %zu columns",
                       categories->count, count);
    for (size_t i = 0; i < count; i++) {
        struct column *column;
        TRY(check_categories(&categories->items[i], err));
        TRY(table_get(table, "encode", names[i], &column, err));
        TRY(encode_column(context, table, column, &categories->items[i], one_hot->boolean,
                          ignore->boolean, err));
    }
    return OK;
}

const struct operation operation_encode = {
    .name = "encode", .schema = &schema_op_encode, .is_fitted = always, .fit = fit, .apply = apply};
