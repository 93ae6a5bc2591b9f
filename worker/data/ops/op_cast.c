/* cast: reads columns as integer, real or text, whatever they look like. What can't be read as such
 * is an error that names the line, or becomes missing. */
// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <string.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/text/csv.h"
#include "proto/schemas.h"
#include "worker/data/document.h"
#include "worker/data/ops/ops.h"

static const char *const types[] = {"integer", "real", "text", NULL};
enum { TO_INTEGER, TO_REAL, TO_TEXT };
enum { INVALID_ERROR, INVALID_MISSING };

static bool is_type(const struct value *word)
{
    for (size_t i = 0; types[i]; i++)
        if (value_is_text(word, types[i]))
            return true;
    return false;
}

static enum status fit(const struct operation_context *context, const void *params,
                       struct table *table, struct value *state, struct err *err)
{
    const struct op_cast_params *cast = params;
    if (cast->columns->type != VALUE_MAP)
        return err_set(err, E_INVALID, "cast: `columns` is a %s, expected {column: type, …}",
                       value_type_name((enum value_type)cast->columns->type));
    struct value columns = doc_map();
    for (uint32_t i = 0; i < cast->columns->count; i++) {
        const struct value *pair = &cast->columns->items[2 * i];
        struct column *column;
        TRY(table_get(table, "cast", pair[0].text, &column, err));
        if (!is_type(&pair[1]))
            return err_set(err, E_INVALID,
                           "cast: the type of `%.80s` is not one of integer, real, text",
                           pair[0].text);
        doc_put(context->arena, &columns, arena_text(context->arena, pair[0].text, pair[0].count),
                doc_text(context->arena, pair[1].text, pair[1].count));
    }
    *state = doc_map();
    doc_put(context->arena, state, "columns", columns);
    doc_put(context->arena, state, "invalid_is_missing",
            value_bool(cast->invalid == INVALID_MISSING));
    return OK;
}

/* A cell as a number; *is_present false when missing. False when it is no number. */
static bool read_number(const struct table *table, const struct column *column, size_t row,
                        bool *is_present, double *out)
{
    *is_present = !column_is_missing(column, row);
    *out = NAN;
    if (!*is_present)
        return true;
    if (column_is_number(column)) {
        *out = column_number(column, row);
        return true;
    }
    size_t bytes;
    const char *text = column_text(table, column, row, &bytes);
    return text && csv_real(text, bytes, out);
}

static enum status bad_cell(const struct table *table, const struct column *column, size_t row,
                            const char *type, struct err *err)
{
    size_t bytes;
    const char *text = column_text(table, column, row, &bytes);
    return err_set(err, E_INVALID,
                   "%s:%u: cast: column `%.80s` holds `%.*s`, which is not %s; `invalid: missing` "
                   "makes such cells missing",
                   table->name, table->lines[row], column->name, (int)(bytes < 60 ? bytes : 60),
                   text ? text : "", type);
}

static bool is_integer(double real)
{
    return real == floor(real) && fabs(real) <= 0x1p53;
}

static enum status to_integers(const struct table *table, struct column *column,
                               bool invalid_is_missing, struct err *err)
{
    void *memory;
    TRY(mem_try(table->rows + 1, sizeof(int64_t), "a table's column", &memory, err));
    AUTO(mem_free) int64_t *integers = memory;
    for (size_t row = 0; row < table->rows; row++) {
        size_t bytes;
        bool is_present;
        double real;
        integers[row] = TABLE_NO_INTEGER;
        const char *text = column_text(table, column, row, &bytes);
        if (!column_is_number(column) && text && csv_int(text, bytes, &integers[row]))
            continue;
        bool is_number = read_number(table, column, row, &is_present, &real);
        if (is_present && is_number && is_integer(real))
            integers[row] = (int64_t)real;
        else if (is_present && !invalid_is_missing)
            return bad_cell(table, column, row, "an integer", err);
    }
    mem_free(column->reals);
    column->reals = NULL;
    column->integers = TAKE(integers);
    column->type = COLUMN_INTEGER;
    return OK;
}

static enum status to_reals(const struct table *table, struct column *column,
                            bool invalid_is_missing, struct err *err)
{
    void *memory;
    TRY(mem_try(table->rows + 1, sizeof(double), "a table's column", &memory, err));
    AUTO(mem_free) double *reals = memory;
    for (size_t row = 0; row < table->rows; row++) {
        bool is_present;
        if (read_number(table, column, row, &is_present, &reals[row]))
            continue;
        if (!invalid_is_missing)
            return bad_cell(table, column, row, "a real number", err);
        reals[row] = NAN;
    }
    mem_free(column->integers);
    column->integers = NULL;
    column->reals = TAKE(reals);
    column->type = COLUMN_REAL;
    return OK;
}

static enum status cast_column(const struct table *table, struct column *column, const char *to,
                               bool invalid_is_missing, struct err *err)
{
    TRY(table_type(table, column, err));
    if (!strcmp(to, types[TO_INTEGER]))
        return column->type == COLUMN_INTEGER ? OK
                                              : to_integers(table, column, invalid_is_missing, err);
    if (!strcmp(to, types[TO_REAL]))
        return column->type == COLUMN_REAL ? OK : to_reals(table, column, invalid_is_missing, err);
    if (!column->cells)
        return err_set(err, E_INVALID, "cast: column `%.80s` was computed and has no text",
                       column->name);
    column->type = COLUMN_TEXT;
    return OK;
}

static enum status apply(const struct operation_context *context, const struct value *state,
                         struct table *table, struct err *err)
{
    const struct value *map, *missing;
    TRY(document_get("cast", state, "columns", VALUE_MAP, &map, err));
    TRY(document_get("cast", state, "invalid_is_missing", VALUE_BOOL, &missing, err));
    for (uint32_t i = 0; i < map->count; i++) {
        const struct value *pair = &map->items[2 * i];
        struct column *column = table_find(table, pair[0].text);
        if (!is_type(&pair[1]))
            return err_set(err, E_CORRUPT, "cast: unknown type of column `%.80s`", pair[0].text);
        if (!column && context->target && !strcmp(context->target, pair[0].text))
            continue;
        TRY(table_get(table, "cast", pair[0].text, &column, err));
        TRY(cast_column(table, column, pair[1].text, missing->boolean, err));
    }
    return OK;
}

const struct operation operation_cast = {
    .name = "cast", .schema = &schema_op_cast, .fit = fit, .apply = apply};
