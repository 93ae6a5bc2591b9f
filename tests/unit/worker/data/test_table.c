// SPDX-License-Identifier: Apache-2.0
#include "worker/data/table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/rng.h"

static enum status read_text(const char *text, size_t bytes, const struct table_options *options,
                             struct table **out, struct err *err)
{
    static const struct table_options plain;
    struct buf file = buf_init(0);
    buf_put(&file, text, bytes);
    return table_read("t.csv", &file, options ? options : &plain, out, err);
}

static struct table *read(const char *text)
{
    struct table *table;
    struct err err;
    if (read_text(text, strlen(text), NULL, &table, &err) != OK)
        fail_msg("%s", err.text);
    return table;
}

static enum column_type type_of(struct table *table, const char *name)
{
    struct column *column = table_find(table, name);
    assert_non_null(column);
    assert_int_equal(table_type(table, column, NULL), OK);
    return column->type;
}

static void columns_are_typed_by_what_they_hold(void **state)
{
    (void)state;
    AUTO(table_free)
    struct table *table = read("whole,real,word,empty,mixed\n"
                               "1,1.5,a,,1\n"
                               "-7,2e3,\"b, c\",,x\n"
                               ",\"3\",,,2\n");
    assert_int_equal(table->rows, 3);
    assert_int_equal(type_of(table, "whole"), COLUMN_INTEGER);
    assert_int_equal(type_of(table, "real"), COLUMN_REAL);
    assert_int_equal(type_of(table, "word"), COLUMN_TEXT);
    assert_int_equal(type_of(table, "empty"), COLUMN_REAL);
    assert_int_equal(type_of(table, "mixed"), COLUMN_TEXT);
    struct column *whole = table_find(table, "whole"), *word = table_find(table, "word");
    assert_true(column_number(whole, 1) == -7);
    assert_true(isnan(column_number(whole, 2)));
    assert_true(column_is_missing(whole, 2) && column_is_missing(word, 2));
    size_t bytes;
    const char *text = column_text(table, word, 1, &bytes);
    assert_int_equal(bytes, 4);
    assert_memory_equal(text, "b, c", 4);
    assert_int_equal(table->lines[2], 4);
}

static void tabs_names_and_missing_texts(void **state)
{
    (void)state;
    const char *names[] = {"a", "b"}, *missing[] = {"?", "NA"};
    struct table_options options = {
        .columns = names, .column_count = 2, .missing = missing, .missing_count = 2};
    const char *text = "1\t?\nNA\t2\n";
    AUTO(table_free) struct table *table = NULL;
    assert_int_equal(read_text(text, strlen(text), &options, &table, NULL), OK);
    assert_int_equal(table->rows, 2);
    assert_int_equal(type_of(table, "a"), COLUMN_INTEGER);
    assert_true(column_is_missing(table_find(table, "a"), 1));
    assert_true(column_is_missing(table_find(table, "b"), 0));
}

static void rows_are_taken_kept_and_named(void **state)
{
    (void)state;
    AUTO(table_free) struct table *table = read("id,x\n30,a\n10,b\n20,c\n");
    assert_int_equal(table_use_ids(table, "id", NULL), OK);
    AUTO(table_free) struct table *taken = NULL;
    const uint32_t order[] = {2, 0}, second[] = {1};
    assert_int_equal(table_take_rows(table, order, 2, &taken, NULL), OK);
    assert_int_equal(taken->row_ids[0], 20);
    assert_int_equal(taken->row_ids[1], 30);
    size_t bytes;
    assert_memory_equal(column_text(taken, table_find(taken, "x"), 0, &bytes), "c", 1);
    table_keep_rows(taken, second, 1);
    assert_int_equal(taken->rows, 1);
    assert_int_equal(taken->row_ids[0], 30);
    assert_int_equal(taken->lines[0], 2);
}

static void ids_must_be_distinct_integers(void **state)
{
    (void)state;
    struct err err;
    AUTO(table_free) struct table *doubled = read("id\n1\n1\n");
    assert_int_equal(table_use_ids(doubled, "id", &err), E_INVALID);
    assert_non_null(strstr(err.text, "twice"));
    AUTO(table_free) struct table *text = read("id\na\nb\n");
    assert_int_equal(table_use_ids(text, "id", &err), E_INVALID);
    AUTO(table_free) struct table *holes = read("id,x\n1,1\n,2\n");
    assert_int_equal(table_use_ids(holes, "id", &err), E_INVALID);
    assert_non_null(strstr(err.text, "t.csv:3"));
}

static void expect_error(const char *text, size_t bytes, const char *wanted)
{
    struct table *table;
    struct err err = {0};
    assert_int_equal(read_text(text, bytes, NULL, &table, &err), E_INVALID);
    if (!strstr(err.text, wanted))
        fail_msg("`%s` lacks `%s`", err.text, wanted);
    assert_null(table);
}
#define EXPECT_ERROR(text, wanted) expect_error(text, sizeof(text) - 1, wanted)

static void bad_files_are_named(void **state)
{
    (void)state;
    EXPECT_ERROR("", "empty");
    EXPECT_ERROR("\n\n", "empty");
    EXPECT_ERROR("a,b\n", "no rows");
    EXPECT_ERROR("a,b\n1,2\n3\n", "t.csv:3");
    EXPECT_ERROR("a,b\n1,2\n3,4,5\n", "t.csv:3");
    EXPECT_ERROR("a,a\n1,2\n", "two columns are named `a`");
    EXPECT_ERROR("\x7f"
                 "ELF\x02\x01\x01\0\0\0",
                 "not a text file");
    EXPECT_ERROR("a,b\n1,2\n\0\0\0\0\n", "not a text file");
    EXPECT_ERROR("a,\xff\xfe\n1,2\n", "not a text file");
}

static void a_mistyped_column_gets_a_suggestion(void **state)
{
    (void)state;
    AUTO(table_free) struct table *table = read("sepal_length,species\n1,a\n");
    struct column *column;
    struct err err;
    assert_int_equal(table_get(table, "target", "specis", &column, &err), E_INVALID);
    assert_string_equal(err.text, "t.csv: target: no column `specis`; did you mean `species`?");
    assert_int_equal(table_get(table, "target", "zzzzzzzzz", &column, &err), E_INVALID);
    assert_non_null(strstr(err.text, "the columns are: sepal_length, species"));
}

static void mutations_never_crash(void **state)
{
    (void)state;
    static const char text[] = "a,\"b \"\"x\"\"\",c\n1,2.5,\"t, u\"\n-3,,\"v\nw\"\n4,1e5,z\n";
    static const char bytes[] = ",\"\n\r\t 1.e-\xff";
    struct rng rng = rng_seed(3);
    for (int round = 0; round < 20000; round++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        for (uint32_t i = rng_below(&rng, 5) + 1; i; i--)
            copy[rng_below(&rng, sizeof text - 1)] = bytes[rng_below(&rng, sizeof bytes - 1)];
        AUTO(table_free) struct table *table = NULL;
        if (read_text(copy, sizeof text - 1 - rng_below(&rng, 10), NULL, &table, NULL) != OK)
            continue;
        for (size_t i = 0; i < table->column_count; i++) {
            struct column *column = &table->columns[i];
            assert_int_equal(table_type(table, column, NULL), OK);
            for (size_t row = 0; row < table->rows; row++)
                (void)column_is_missing(column, row);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_typed_by_what_they_hold),
        cmocka_unit_test(tabs_names_and_missing_texts),
        cmocka_unit_test(rows_are_taken_kept_and_named),
        cmocka_unit_test(ids_must_be_distinct_integers),
        cmocka_unit_test(bad_files_are_named),
        cmocka_unit_test(a_mistyped_column_gets_a_suggestion),
        cmocka_unit_test(mutations_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
