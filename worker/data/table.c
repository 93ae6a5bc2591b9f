// SPDX-License-Identifier: Apache-2.0
#include "worker/data/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/text/csv.h"
#include "proto/limits.h"
#include "proto/schema.h"
#include "worker/data/table_cells.h"

static void free_column(struct column *column)
{
    mem_free(column->cells);
    mem_free(column->integers);
    mem_free(column->reals);
}

void table_free(struct table *table)
{
    for (size_t i = 0; i < table->column_count; i++)
        free_column(&table->columns[i]);
    mem_free(table->columns);
    mem_free(table->lines);
    mem_free(table->row_ids);
    buf_fini(&table->text);
    arena_fini(&table->arena);
    mem_free(table);
}

/* ---- columns ---- */

struct column *table_find(const struct table *table, const char *name)
{
    for (size_t i = 0; i < table->column_count; i++)
        if (!strcmp(table->columns[i].name, name))
            return &table->columns[i];
    return NULL;
}

enum status table_get(const struct table *table, const char *what, const char *name,
                      struct column **out, struct err *err)
{
    *out = table_find(table, name);
    if (*out)
        return OK;
    AUTO(mem_free) const char **names = mem_alloc((table->column_count + 1) * sizeof *names);
    for (size_t i = 0; i < table->column_count; i++)
        names[i] = table->columns[i].name;
    const char *near = schema_suggest(name, names);
    if (near)
        return err_set(err, E_INVALID, "%s: %s: no column `%.80s`; did you mean `%.80s`?",
                       table->name, what, name, near);
    AUTO(buf_fini) struct buf list = buf_init(0);
    for (size_t i = 0; i < table->column_count && list.count < 200; i++)
        buf_format(&list, "%s%.60s", i ? ", " : "", names[i]);
    return err_set(err, E_INVALID, "%s: %s: no column `%.80s`; the columns are: %.240s",
                   table->name, what, name, buf_text(&list));
}

size_t table_index(const struct table *table, const struct column *column)
{
    return (size_t)(column - table->columns);
}

void table_remove(struct table *table, struct column *column)
{
    size_t at = table_index(table, column);
    free_column(column);
    memmove(column, column + 1, (table->column_count - at - 1) * sizeof *column);
    table->column_count--;
}

static enum status make_room(struct table *table, struct err *err)
{
    if (table->column_count >= COLUMNS_MAX)
        return err_set(err, E_LIMIT, "%s: more than %d columns", table->name, COLUMNS_MAX);
    if (table->column_count < table->column_capacity)
        return OK;
    table->column_capacity = 2 * table->column_capacity + 16;
    table->columns = mem_resize(table->columns, table->column_capacity * sizeof *table->columns);
    return OK;
}

static enum status new_values(size_t rows, void *out_p, struct err *err)
{
    void *memory;
    TRY(mem_try(rows ? rows : 1, sizeof(uint64_t), "a table's column", &memory, err));
    *(void **)out_p = memory;
    return OK;
}

static enum status insert(struct table *table, size_t at, const char *name, enum column_type type,
                          struct column **out, struct err *err)
{
    *out = NULL;
    TRY(make_room(table, err));
    struct column column = {.type = type};
    if (type == COLUMN_INTEGER)
        TRY(new_values(table->rows, &column.integers, err));
    if (type == COLUMN_REAL)
        TRY(new_values(table->rows, &column.reals, err));
    column.name = arena_text(&table->arena, name, strlen(name));
    struct column *place = table->columns + at;
    memmove(place + 1, place, (table->column_count - at) * sizeof *place);
    *place = column;
    table->column_count++;
    *out = place;
    return OK;
}

enum status table_insert(struct table *table, size_t at, const char *name, enum column_type type,
                         struct column **out, struct err *err)
{
    *out = NULL;
    if (table_find(table, name))
        return err_set(err, E_INVALID, "%s: there is a column `%.80s` already", table->name, name);
    return insert(table, at, name, type, out, err);
}

enum status table_append(struct table *table, const char *name, enum column_type type,
                         struct column **out, struct err *err)
{
    return insert(table, table->column_count, name, type, out, err);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum status table_check_names(const struct table *table, struct err *err)
{
    AUTO(mem_free) const char **names = mem_alloc((table->column_count + 1) * sizeof *names);
    for (size_t i = 0; i < table->column_count; i++)
        names[i] = table->columns[i].name;
    qsort(names, table->column_count, sizeof *names, compare_names);
    for (size_t i = 1; i < table->column_count; i++)
        if (!strcmp(names[i - 1], names[i]))
            return err_set(err, E_INVALID, "%s: two columns are named `%.80s`", table->name,
                           names[i]);
    return OK;
}

/* ---- cells ---- */

const char *column_text(const struct table *table, const struct column *column, size_t row,
                        size_t *bytes)
{
    *bytes = 0;
    if (!column->cells)
        return NULL;
    uint64_t cell = column->cells[row];
    if (cell & CELL_MISSING) {
        *bytes = column->fill ? strlen(column->fill) : 0;
        return column->fill;
    }
    *bytes = cell_bytes(cell);
    return table->base + cell_offset(cell);
}

bool column_is_missing(const struct column *column, size_t row)
{
    if (column->type == COLUMN_INTEGER)
        return column->integers[row] == TABLE_NO_INTEGER;
    if (column->type == COLUMN_REAL)
        return isnan(column->reals[row]);
    return column->cells && column->cells[row] & CELL_MISSING && !column->fill;
}

double column_number(const struct column *column, size_t row)
{
    ASSERT(column_is_number(column));
    if (column->type == COLUMN_REAL)
        return column->reals[row];
    return column->integers[row] == TABLE_NO_INTEGER ? NAN : (double)column->integers[row];
}

enum status column_make_real(const struct table *table, struct column *column, struct err *err)
{
    if (column->type != COLUMN_INTEGER)
        return OK;
    TRY(new_values(table->rows, &column->reals, err));
    for (size_t row = 0; row < table->rows; row++)
        column->reals[row] = column_number(column, row);
    column->type = COLUMN_REAL;
    mem_free(column->integers);
    column->integers = NULL;
    return OK;
}

/* ---- rows ---- */

static enum status take_values(const void *from_p, const uint32_t *rows, size_t count, void *out_p,
                               struct err *err)
{
    const uint64_t *from = from_p; /* cells, integers and reals alike have 8 bytes */
    if (!from)
        return OK;
    uint64_t *out;
    TRY(new_values(count, &out, err));
    for (size_t i = 0; i < count; i++)
        out[i] = from[rows[i]];
    *(void **)out_p = out;
    return OK;
}

static enum status take_column(const struct column *from, const uint32_t *rows, size_t count,
                               struct column *out, struct err *err)
{
    TRY(take_values(from->cells, rows, count, &out->cells, err));
    TRY(take_values(from->integers, rows, count, &out->integers, err));
    return take_values(from->reals, rows, count, &out->reals, err);
}

enum status table_take_rows(const struct table *from, const uint32_t *rows, size_t count,
                            struct table **out, struct err *err)
{
    *out = NULL;
    AUTO(table_free) struct table *table = mem_alloc(sizeof *table);
    table->name = from->name;
    table->base = from->base;
    table->rows = count;
    table->column_capacity = from->column_count + 1;
    table->columns = mem_alloc(table->column_capacity * sizeof *table->columns);
    for (size_t i = 0; i < from->column_count; i++) {
        struct column *column = &table->columns[table->column_count++];
        *column = from->columns[i];
        column->cells = NULL;
        column->integers = NULL;
        column->reals = NULL;
        TRY(take_column(&from->columns[i], rows, count, column, err));
    }
    TRY(take_values(from->row_ids, rows, count, &table->row_ids, err));
    void *lines;
    TRY(mem_try(count ? count : 1, sizeof *table->lines, "line numbers", &lines, err));
    table->lines = lines;
    for (size_t i = 0; i < count; i++)
        table->lines[i] = from->lines[rows[i]];
    *out = TAKE(table);
    return OK;
}

static void keep_values(void *values_p, const uint32_t *rows, size_t count)
{
    uint64_t *values = values_p;
    for (size_t i = 0; values && i < count; i++)
        values[i] = values[rows[i]];
}

void table_keep_rows(struct table *table, const uint32_t *rows, size_t count)
{
    for (size_t i = 0; i < table->column_count; i++) {
        keep_values(table->columns[i].cells, rows, count);
        keep_values(table->columns[i].integers, rows, count);
        keep_values(table->columns[i].reals, rows, count);
    }
    keep_values(table->row_ids, rows, count);
    for (size_t i = 0; i < count; i++)
        table->lines[i] = table->lines[rows[i]];
    table->rows = count;
}

static int compare_integers(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

enum status table_use_ids(struct table *table, const char *name, struct err *err)
{
    struct column *column;
    TRY(table_get(table, "id", name, &column, err));
    TRY(table_type(table, column, err));
    if (column->type != COLUMN_INTEGER)
        return err_set(err, E_INVALID, "%s: id: column `%.80s` does not hold integers alone",
                       table->name, name);
    AUTO(mem_free) int64_t *sorted = NULL;
    TRY(new_values(table->rows, &sorted, err));
    for (size_t row = 0; row < table->rows; row++) {
        if (column_is_missing(column, row))
            return err_set(err, E_INVALID, "%s:%u: id: column `%.80s` is empty", table->name,
                           table->lines[row], name);
        sorted[row] = table->row_ids[row] = column->integers[row];
    }
    qsort(sorted, table->rows, sizeof *sorted, compare_integers);
    for (size_t row = 1; row < table->rows; row++)
        if (sorted[row] == sorted[row - 1])
            return err_set(err, E_INVALID, "%s: id: column `%.80s` holds %lld twice", table->name,
                           name, (long long)sorted[row]);
    return OK;
}
