/* A table in memory: named columns of equal length, in the order of the file. It begins as CSV or
 * TSV text; a column is typed when somebody first asks for numbers: integers if every cell is one,
 * else reals, else text. So a column that is dropped is never parsed, and a changed byte in it
 * changes nothing.
 *
 *   cells     rows × 8 bytes: where the cell's text lies (offset, bytes, missing); NULL where the
 *             column was computed
 *   integers  rows, TABLE_NO_INTEGER where missing        (COLUMN_INTEGER)
 *   reals     rows, NaN where missing                     (COLUMN_REAL)
 *
 * Missing is: an empty unquoted field, and each text that the options name. Rows remember their
 * line (for messages) and their id. A table made by table_take_rows borrows text and names from its
 * origin, which must outlive it. Pure; one thread. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "proto/err.h"

#define TABLE_NO_INTEGER INT64_MIN
#define TABLE_ROWS_MAX   UINT32_MAX

enum column_type { COLUMN_UNTYPED, COLUMN_TEXT, COLUMN_INTEGER, COLUMN_REAL };

struct column {
    const char *name;
    enum column_type type;
    bool is_code;     /* made by `encode`: no quantity, so `scale` leaves it alone by default */
    const char *fill; /* COLUMN_TEXT: what missing cells read as; NULL: they are missing */
    uint64_t *cells;
    int64_t *integers;
    double *reals;
};

struct table {
    const char *name; /* for messages: "table:12: …" */
    struct arena arena;
    struct buf text; /* empty in a table that borrows */
    const char *base;
    size_t rows;
    struct column *columns;
    size_t column_count, column_capacity;
    uint32_t *lines;  /* rows */
    int64_t *row_ids; /* rows; the 0-based data row until table_use_ids */
};

enum table_format { TABLE_AUTO, TABLE_CSV, TABLE_TSV };

struct table_options {
    enum table_format format;
    const char *const
        *columns; /* names of a file without a header line; NULL: the first line is it */
    size_t column_count;
    const char *const *missing; /* texts that mean missing */
    size_t missing_count;
};

void table_free(struct table *table);
DEFINE_AUTO(struct table *, table_free)
/* Reads plain, gzip or zstd text. Takes the content of `text`, which is changed in place. `name`
 * must outlive the table. Errors: E_INVALID empty, binary, ragged (with line), no rows, doubled
 * names; E_CORRUPT; E_LIMIT; E_NOMEM. */
MUST_USE enum status table_read(const char *name, struct buf *text,
                                const struct table_options *options, struct table **out,
                                struct err *err);
/* The rows `rows[0 … count)`, in that order. */
MUST_USE enum status table_take_rows(const struct table *from, const uint32_t *rows, size_t count,
                                     struct table **out, struct err *err);
/* Keeps only these rows, which ascend. */
void table_keep_rows(struct table *table, const uint32_t *rows, size_t count);
/* Row ids become the integers of column `name`, which stays in the table. Errors: E_INVALID no
 * integers, missing, or doubled. */
MUST_USE enum status table_use_ids(struct table *table, const char *name, struct err *err);

/* NULL when there is none. */
struct column *table_find(const struct table *table, const char *name);
/* Errors: E_INVALID, with the nearest name. `what` says who asks ("target", "select"). */
MUST_USE enum status table_get(const struct table *table, const char *what, const char *name,
                               struct column **out, struct err *err);
void table_remove(struct table *table, struct column *column);
/* A column of `type` with room for the rows, before position `at`; may move the others. The name is
 * copied. */
MUST_USE enum status table_insert(struct table *table, size_t at, const char *name,
                                  enum column_type type, struct column **out, struct err *err);
/* The same at the end, without a look for a doubled name: for readers of many columns. */
MUST_USE enum status table_append(struct table *table, const char *name, enum column_type type,
                                  struct column **out, struct err *err);
/* Errors: E_INVALID two columns of one name. */
MUST_USE enum status table_check_names(const struct table *table, struct err *err);
size_t table_index(const struct table *table, const struct column *column);

/* Types the column if it isn't yet. Errors: E_NOMEM. */
MUST_USE enum status table_type(const struct table *table, struct column *column, struct err *err);
/* The same for many, a block of rows at a time, so that the text is read once and not per column.
 */
MUST_USE enum status table_type_columns(const struct table *table, struct column *const *columns,
                                        size_t count, struct err *err);
/* The cell's text (not NUL-terminated), or NULL when missing or computed. */
const char *column_text(const struct table *table, const struct column *column, size_t row,
                        size_t *bytes);
/* Works for every type. */
bool column_is_missing(const struct column *column, size_t row);
static inline bool column_is_number(const struct column *column)
{
    return column->type == COLUMN_INTEGER || column->type == COLUMN_REAL;
}
/* Of a number column; NaN when missing. */
double column_number(const struct column *column, size_t row);
/* Turns a number column into reals. Errors: E_NOMEM. */
MUST_USE enum status column_make_real(const struct table *table, struct column *column,
                                      struct err *err);
