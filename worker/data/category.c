// SPDX-License-Identifier: Apache-2.0
#include "worker/data/category.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/text/csv.h"
#include "common/text/json.h"
#include "common/text/scalar.h"
#include "proto/limits.h"

/* Total order within one type, which is all that a list holds. */
static int compare(const void *a, const void *b)
{
    const struct value *x = a, *y = b;
    if (x->type == VALUE_INT)
        return (x->integer > y->integer) - (x->integer < y->integer);
    if (x->type == VALUE_REAL)
        return (x->real > y->real) - (x->real < y->real);
    uint32_t shorter = x->count < y->count ? x->count : y->count;
    int order = shorter ? memcmp(x->text, y->text, shorter) : 0;
    return order ? order : (x->count > y->count) - (x->count < y->count);
}

/* The cell as a value that borrows its text. */
static struct value cell_value(const struct table *table, const struct column *column, size_t row)
{
    if (column->type == COLUMN_INTEGER)
        return value_int(column->integers[row]);
    if (column->type == COLUMN_REAL)
        return value_real(column->reals[row] == 0 ? 0.0 : column->reals[row]);
    size_t bytes;
    const char *text = column_text(table, column, row, &bytes);
    return (struct value){.type = VALUE_STRING, .count = (uint32_t)bytes, .text = text};
}

/* All present cells, sorted. */
static enum status sorted_cells(const struct table *table, const struct column *column,
                                struct value **out, size_t *count, struct err *err)
{
    void *memory;
    TRY(mem_try(table->rows + 1, sizeof(struct value), "a column's values", &memory, err));
    AUTO(mem_free) struct value *values = memory;
    *count = 0;
    for (size_t row = 0; row < table->rows; row++) {
        if (column_is_missing(column, row))
            continue;
        values[*count] = cell_value(table, column, row);
        values[(*count)++].line = table->lines[row];
    }
    qsort(values, *count, sizeof *values, compare);
    *out = TAKE(values);
    return OK;
}

static enum status add(const struct table *table, const struct column *column,
                       const struct value *value, struct arena *arena, struct value *list,
                       struct err *err)
{
    if (list->count >= CLASSES_MAX)
        return err_set(err, E_LIMIT,
                       "%s: column `%.80s` has more than %d distinct values; is it a quantity?",
                       table->name, column->name, CLASSES_MAX);
    struct value copy = *value;
    if (value->type == VALUE_STRING) {
        if (scalar_check_text(value->text, value->count) < value->count)
            return err_set(err, E_INVALID, "%s:%u: column `%.80s` holds text that is not UTF-8",
                           table->name, value->line, column->name);
        copy = doc_text(arena, value->text, value->count);
    }
    copy.line = 0;
    doc_add(arena, list, copy);
    return OK;
}

enum status category_list(const struct table *table, struct column *column, struct arena *arena,
                          struct value *out, struct err *err)
{
    *out = doc_list();
    TRY(table_type(table, column, err));
    AUTO(mem_free) struct value *values = NULL;
    size_t count;
    TRY(sorted_cells(table, column, &values, &count, err));
    struct value list = doc_list();
    for (size_t i = 0; i < count; i++)
        if (!i || compare(&values[i - 1], &values[i]) != 0)
            TRY(add(table, column, &values[i], arena, &list, err));
    *out = list;
    return OK;
}

/* The row's number, from whatever the column holds. */
static bool find_number(const struct table *table, const struct column *column, size_t row,
                        double *out)
{
    if (column_is_number(column)) {
        *out = column_number(column, row);
        return true;
    }
    size_t bytes;
    const char *text = column_text(table, column, row, &bytes);
    return text && csv_real(text, bytes, out);
}

static bool find_integer(const struct table *table, const struct column *column, size_t row,
                         int64_t *out)
{
    if (column->type == COLUMN_INTEGER) {
        *out = column->integers[row];
        return true;
    }
    size_t bytes;
    const char *text = column_text(table, column, row, &bytes);
    if (column->type != COLUMN_REAL && text && csv_int(text, bytes, out))
        return true;
    double real;
    if (!find_number(table, column, row, &real) || real != floor(real) || fabs(real) > 0x1p53)
        return false;
    *out = (int64_t)real;
    return true;
}

int64_t category_find(const struct value *list, const struct table *table,
                      const struct column *column, size_t row)
{
    if (!list->count || column_is_missing(column, row))
        return CATEGORY_NONE;
    struct value key = {.type = list->items[0].type};
    bool is_found = true;
    size_t bytes = 0;
    if (key.type == VALUE_INT) {
        is_found = find_integer(table, column, row, &key.integer);
    } else if (key.type == VALUE_REAL) {
        is_found = find_number(table, column, row, &key.real);
    } else {
        key.text = column_text(table, column, row, &bytes);
        key.count = (uint32_t)bytes;
        is_found = key.text != NULL;
    }
    if (!is_found)
        return CATEGORY_NONE;
    struct value *place = bsearch(&key, list->items, list->count, sizeof key, compare);
    return place ? place - list->items : CATEGORY_NONE;
}

const char *category_text(const struct value *category, char *text, size_t text_bytes)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    if (category->type == VALUE_STRING)
        buf_put(&out, category->text, category->count);
    else
        json_write(category, 0, &out);
    snprintf(text, text_bytes, "%s", buf_text(&out));
    return text;
}
