/* CSV: splitting into fields, reading as a table, and turning every cell into a number, each over
 * the same numeric text in memory. The limit is a scan for line breaks and nothing else.
 * `bench_csv FILE [MEGABYTES]` writes FILE first if it is not there. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "common/base/rng.h"
#include "common/fs.h"
#include "common/text/csv.h"
#include "tests/bench/report.h"
#include "worker/data/table.h"

enum { COLUMNS = 10, MEGABYTES_DEFAULT = 128, MEGABYTE = 1000000 };

/* A row id, then reals of 1 to 15 digits, as measurements are written. */
static void put_row(struct buf *text, struct rng *rng, uint64_t row)
{
    buf_format(text, "%llu", (unsigned long long)row);
    for (int column = 1; column < COLUMNS; column++) {
        double value = (double)(int64_t)rng_next(rng) * 0x1p-63 * 1000;
        buf_format(text, ",%.*g", 3 + column, value);
    }
    buf_put_char(text, '\n');
}

static void write_table(const char *path, size_t megabytes)
{
    struct err err;
    AUTO(buf_fini) struct buf text = buf_init(0);
    struct rng rng = rng_seed(1);
    buf_put_text(&text, "id");
    for (int column = 1; column < COLUMNS; column++)
        buf_format(&text, ",x%d", column);
    buf_put_char(&text, '\n');
    for (uint64_t row = 0; text.count < megabytes * MEGABYTE; row++)
        put_row(&text, &rng, row);
    report_check(fs_write(path, text.bytes, text.count, &err), &err);
}

static struct buf read_text(const char *path)
{
    struct err err;
    struct buf text = buf_init(0);
    report_check(fs_read(path, &text, &err), &err);
    buf_text(&text); /* the byte behind the end */
    return text;
}

static double megabytes_per_second(size_t bytes, int64_t begun_us)
{
    return (double)bytes / MEGABYTE / seconds_since(begun_us);
}

static size_t measure_scan(const char *path)
{
    AUTO(buf_fini) struct buf text = read_text(path);
    size_t lines = 0;
    int64_t begun = clock_us();
    const char *at = (const char *)text.bytes, *end = at + text.count;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
        at++;
        lines++;
    }
    report("line breaks alone", megabytes_per_second(text.count, begun), "MB/s");
    return lines;
}

static void measure_split(const char *path, size_t lines)
{
    AUTO(buf_fini) struct buf text = read_text(path);
    struct err err;
    size_t bytes = text.count, records = 0, field_bytes = 0;
    int64_t begun = clock_us();
    struct csv csv = csv_init(path, (char *)text.bytes, text.count, ',');
    for (bool has_record = true; has_record; records += has_record) {
        report_check(csv_next(&csv, &has_record, &err), &err);
        for (uint32_t i = 0; has_record && i < csv.field_count; i++)
            field_bytes += csv.fields[i].bytes;
    }
    report("csv_next", megabytes_per_second(bytes, begun), "MB/s");
    csv_fini(&csv);
    if (records != lines || field_bytes + lines * COLUMNS != bytes)
        report_fail("csv_next: fields and separators do not add up to the text");
}

static void measure_table(const char *path, size_t lines)
{
    AUTO(buf_fini) struct buf text = read_text(path);
    AUTO(table_free) struct table *table = NULL;
    struct err err;
    struct table_options options = {.format = TABLE_CSV};
    struct column *columns[COLUMNS];
    size_t bytes = text.count;
    int64_t begun = clock_us();
    report_check(table_read(path, &text, &options, &table, &err), &err);
    report("table_read", megabytes_per_second(bytes, begun), "MB/s");
    if (table->rows != lines - 1 || table->column_count != COLUMNS)
        report_fail("table_read: another number of rows or columns than the text has");
    for (size_t i = 0; i < COLUMNS; i++)
        columns[i] = &table->columns[i];
    int64_t typing = clock_us();
    report_check(table_type_columns(table, columns, COLUMNS, &err), &err);
    report("to numbers", megabytes_per_second(bytes, typing), "MB/s");
    report("table_read and to numbers", megabytes_per_second(bytes, begun), "MB/s");
    for (size_t i = 0; i < COLUMNS; i++)
        if (!column_is_number(columns[i]))
            report_fail("table_type_columns: a column of numbers is none");
}

int main(int argc, char **argv)
{
    if (argc < 2)
        report_fail("usage: bench_csv FILE [MEGABYTES]");
    if (!fs_exists(argv[1]))
        write_table(argv[1], report_count(argc, argv, 2, MEGABYTES_DEFAULT));
    size_t lines = measure_scan(argv[1]);
    measure_split(argv[1], lines);
    measure_table(argv[1], lines);
    return 0;
}
