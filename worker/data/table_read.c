/* Text → table. Cells go column by column into arrays sized by a count of line breaks, which is an
 * upper bound of the rows; the pages that are not reached cost nothing. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "common/text/compress.h"
#include "common/text/csv.h"
#include "common/text/scalar.h"
#include "proto/limits.h"
#include "worker/data/table.h"
#include "worker/data/table_cells.h"

/* A decompressed table: what one slot may hold in memory. */
#define PLAIN_BYTES_MAX ((size_t)64 << 30)

static void close_csv(struct csv *csv)
{
    csv_fini(csv);
}
DEFINE_AUTO_VALUE(struct csv, close_csv)

static size_t count_lines(const char *text, size_t bytes)
{
    size_t count = 1;
    const char *at = text, *end = text + bytes;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
        at++;
        count++;
    }
    return count;
}

static enum status unpack(const char *name, struct buf *text, struct err *err)
{
    if (compression_of(text->bytes, text->count) == COMPRESSION_NONE)
        return OK;
    AUTO(buf_fini) struct buf plain = buf_init(PLAIN_BYTES_MAX);
    TRY(decompress(name, text->bytes, text->count, &plain, err));
    struct buf packed = *text;
    *text = plain;
    plain = packed; /* freed here */
    return OK;
}

/* Odd bytes in the first lines: not a text file. (NUL bytes anywhere are csv_next's to find.) */
static enum status check_text(const char *name, const struct buf *text, struct err *err)
{
    const char *bytes = (const char *)text->bytes;
    size_t head = text->count < 4096 ? text->count : 4096;
    while (head && head < text->count && bytes[head - 1] != '\n')
        head--;
    size_t skip = head >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3) ? 3 : 0;
    size_t odd = skip + scalar_check_text(bytes + skip, head - skip);
    if (odd >= head)
        return OK;
    return err_set(err, E_INVALID,
                   "%s: not a text file in UTF-8 (byte %zu is 0x%02x); expected CSV or TSV, plain, "
                   "gzip or zstd",
                   name, odd, text->bytes[odd]);
}

/* Tabs in the first line, and no comma there: TSV. */
static char find_separator(const struct buf *text, enum table_format format)
{
    if (format != TABLE_AUTO)
        return format == TABLE_TSV ? '\t' : ',';
    const char *bytes = (const char *)text->bytes, *end = memchr(bytes, '\n', text->count);
    size_t count = end ? (size_t)(end - bytes) : text->count;
    return memchr(bytes, '\t', count) && !memchr(bytes, ',', count) ? '\t' : ',';
}

static enum status add_column(struct table *table, const char *text, size_t bytes, size_t row_limit,
                              struct err *err)
{
    char *name = arena_text(&table->arena, text, bytes);
    if (!bytes)
        name = arena_format(&table->arena, "unnamed_%zu", table->column_count + 1);
    if (scalar_check_text(text, bytes) < bytes)
        return err_set(err, E_INVALID, "%s: the name of column %zu is not UTF-8 text", table->name,
                       table->column_count + 1);
    struct column *column;
    TRY(table_append(table, name, COLUMN_UNTYPED, &column, err));
    void *cells;
    TRY(mem_try(row_limit, sizeof *column->cells, "a table's cells", &cells, err));
    column->cells = cells;
    return OK;
}

/* Names from the options or the first record. */
static enum status read_names(struct table *table, struct csv *csv,
                              const struct table_options *options, size_t row_limit,
                              struct err *err)
{
    for (size_t i = 0; options->columns && i < options->column_count; i++)
        TRY(add_column(table, options->columns[i], strlen(options->columns[i]), row_limit, err));
    if (options->columns)
        return OK;
    bool has_record;
    TRY(csv_next(csv, &has_record, err));
    if (!has_record)
        return err_set(err, E_INVALID, "%s: the file holds only empty lines", table->name);
    for (uint32_t i = 0; i < csv->field_count; i++)
        TRY(add_column(table, csv->fields[i].text, csv->fields[i].bytes, row_limit, err));
    return OK;
}

static bool is_missing(const struct csv_field *field, const struct table_options *options)
{
    if (!field->bytes && !field->is_quoted)
        return true;
    for (size_t i = 0; i < options->missing_count; i++) {
        const char *text = options->missing[i];
        if (strlen(text) == field->bytes && !memcmp(text, field->text, field->bytes))
            return true;
    }
    return false;
}

static enum status put_record(struct table *table, const struct csv *csv,
                              const struct table_options *options, struct err *err)
{
    if (csv->field_count != table->column_count)
        return err_set(err, E_INVALID, "%s:%llu: %u fields, but `columns` names %zu", table->name,
                       (unsigned long long)csv->line, csv->field_count, table->column_count);
    if (csv->line > UINT32_MAX)
        return err_set(err, E_LIMIT, "%s: more than %u lines", table->name, UINT32_MAX);
    size_t row = table->rows++;
    table->lines[row] = (uint32_t)csv->line;
    table->row_ids[row] = (int64_t)row;
    for (uint32_t i = 0; i < csv->field_count; i++) {
        const struct csv_field *field = &csv->fields[i];
        uint64_t offset = field->bytes ? (uint64_t)(field->text - table->base) : 0;
        uint64_t cell = cell_pack(offset, field->bytes);
        table->columns[i].cells[row] = is_missing(field, options) ? cell | CELL_MISSING : cell;
    }
    return OK;
}

static enum status read_rows(struct table *table, struct csv *csv,
                             const struct table_options *options, size_t row_limit, struct err *err)
{
    void *lines, *row_ids;
    TRY(mem_try(row_limit, sizeof *table->lines, "line numbers", &lines, err));
    table->lines = lines;
    TRY(mem_try(row_limit, sizeof *table->row_ids, "row ids", &row_ids, err));
    table->row_ids = row_ids;
    for (bool has_record;;) {
        TRY(csv_next(csv, &has_record, err));
        if (!has_record)
            break;
        TRY(put_record(table, csv, options, err));
    }
    if (!table->rows)
        return err_set(err, E_INVALID, "%s: the table has a header but no rows", table->name);
    return OK;
}

enum status table_read(const char *name, struct buf *text, const struct table_options *options,
                       struct table **out, struct err *err)
{
    *out = NULL;
    AUTO(table_free) struct table *table = mem_alloc(sizeof *table);
    table->name = name;
    table->text = *text;
    *text = buf_init(0);
    if (!table->text.count)
        return err_set(err, E_INVALID, "%s: the file is empty", name);
    TRY(unpack(name, &table->text, err));
    if (!table->text.count)
        return err_set(err, E_INVALID, "%s: the file is empty once it is unpacked", name);
    TRY(check_text(name, &table->text, err));
    size_t bytes = table->text.count;
    if (bytes >> CELL_OFFSET_BITS)
        return err_set(err, E_LIMIT, "%s: %zu bytes of text are more than a table holds", name,
                       bytes);
    (void)buf_text(&table->text); /* the writable byte that csv_init asks for */
    char *start = (char *)table->text.bytes;
    table->base = start;
    size_t row_limit = count_lines(start, bytes);
    AUTO(close_csv)
    struct csv csv = csv_init(name, start, bytes, find_separator(&table->text, options->format));
    TRY(read_names(table, &csv, options, row_limit, err));
    TRY(table_check_names(table, err));
    TRY(read_rows(table, &csv, options, row_limit, err));
    *out = TAKE(table);
    return OK;
}
