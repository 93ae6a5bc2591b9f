/* What columns hold: each begins as integers, becomes reals at the first cell that is none (an
 * integer's double is the double of its text), and text at the first cell that is no number. */
// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "common/base/mem.h"
#include "common/text/csv.h"
#include "worker/data/table.h"
#include "worker/data/table_cells.h"

/* Rows between two turns of one column: their text stays in the cache meanwhile. */
enum { BLOCK_ROWS = 1024 };

struct typing {
    struct column *column;
    enum column_type type; /* so far; COLUMN_UNTYPED: only missing cells yet */
    void *values;          /* 8 bytes a row serve either type */
};

static void typing_fini(struct typing *typing)
{
    mem_free(typing->values);
    typing->values = NULL;
}

static void integers_to_reals(void *values, size_t count)
{
    for (size_t row = 0; row < count; row++) {
        int64_t integer = ((int64_t *)values)[row];
        ((double *)values)[row] = integer == TABLE_NO_INTEGER ? NAN : (double)integer;
    }
}

/* Parses rows as integers; stops at the first that is none and returns it. */
static size_t parse_integers(const struct table *table, struct typing *typing, size_t row,
                             size_t to)
{
    int64_t *out = typing->values;
    for (; row < to; row++) {
        uint64_t cell = typing->column->cells[row];
        out[row] = TABLE_NO_INTEGER;
        if (cell & CELL_MISSING)
            continue;
        if (!csv_int(table->base + cell_offset(cell), cell_bytes(cell), &out[row]) ||
            out[row] == TABLE_NO_INTEGER)
            break;
        typing->type = COLUMN_INTEGER;
    }
    return row;
}

static void parse_reals(const struct table *table, struct typing *typing, size_t row, size_t to)
{
    double *out = typing->values;
    for (; row < to; row++) {
        uint64_t cell = typing->column->cells[row];
        out[row] = NAN;
        if (!(cell & CELL_MISSING) &&
            !csv_real(table->base + cell_offset(cell), cell_bytes(cell), &out[row])) {
            typing->type = COLUMN_TEXT;
            return;
        }
    }
}

static void type_block(const struct table *table, struct typing *typing, size_t from, size_t to)
{
    if (typing->type == COLUMN_TEXT)
        return;
    if (typing->type != COLUMN_REAL) {
        from = parse_integers(table, typing, from, to);
        if (from == to)
            return;
        integers_to_reals(typing->values, from);
        typing->type = COLUMN_REAL;
    }
    parse_reals(table, typing, from, to);
}

static void finish(const struct table *table, struct typing *typing)
{
    if (typing->type == COLUMN_UNTYPED) { /* nothing to judge by: missing numbers */
        integers_to_reals(typing->values, table->rows);
        typing->type = COLUMN_REAL;
    }
    typing->column->type = typing->type;
    if (typing->type == COLUMN_INTEGER)
        typing->column->integers = TAKE(typing->values);
    if (typing->type == COLUMN_REAL)
        typing->column->reals = TAKE(typing->values);
}

static enum status type_all(const struct table *table, struct typing *typings, size_t count,
                            struct err *err)
{
    for (size_t i = 0; i < count; i++)
        TRY(mem_try(table->rows + 1, sizeof(uint64_t), "a table's column", &typings[i].values,
                    err));
    for (size_t from = 0; from < table->rows; from += BLOCK_ROWS) {
        size_t to = from + BLOCK_ROWS < table->rows ? from + BLOCK_ROWS : table->rows;
        for (size_t i = 0; i < count; i++)
            type_block(table, &typings[i], from, to);
    }
    for (size_t i = 0; i < count; i++)
        finish(table, &typings[i]);
    return OK;
}

enum status table_type_columns(const struct table *table, struct column *const *columns,
                               size_t count, struct err *err)
{
    AUTO(mem_free) struct typing *typings = mem_alloc((count + 1) * sizeof *typings);
    size_t untyped = 0;
    for (size_t i = 0; i < count; i++)
        if (columns[i]->type == COLUMN_UNTYPED)
            typings[untyped++].column = columns[i];
    enum status status = type_all(table, typings, untyped, err);
    for (size_t i = 0; i < untyped; i++)
        typing_fini(&typings[i]);
    return status;
}

enum status table_type(const struct table *table, struct column *column, struct err *err)
{
    return table_type_columns(table, &column, 1, err);
}
