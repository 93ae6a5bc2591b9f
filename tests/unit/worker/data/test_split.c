// SPDX-License-Identifier: Apache-2.0
#include "worker/data/split.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS_MAX = 2000 };
static int64_t ids[ROWS_MAX];

static int set_up(void **state)
{
    (void)state;
    for (int64_t i = 0; i < ROWS_MAX; i++)
        ids[i] = i;
    return 0;
}

static void assert_rows(const uint32_t *rows, size_t count, const uint32_t *expected,
                        size_t expected_count)
{
    assert_int_equal(count, expected_count);
    assert_memory_equal(rows, expected, count * sizeof *rows);
}
#define ASSERT_ROWS(rows, count, ...)                                                              \
    assert_rows(rows, count, (const uint32_t[]){__VA_ARGS__},                                      \
                sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* The expected rows were printed by scikit-learn 1.9's train_test_split. */
static void shuffle_gives_the_rows_of_scikit_learn(void **state)
{
    (void)state;
    struct split_options options = {.method = SPLIT_SHUFFLE, .test_size = 0.3, .seed = 42};
    AUTO(split_fini) struct split split;
    assert_int_equal(split_rows(&options, ids, 10, &split, NULL), OK);
    ASSERT_ROWS(split.train, split.train_count, 0, 7, 2, 9, 4, 3, 6);
    ASSERT_ROWS(split.test, split.test_count, 8, 1, 5);
    assert_null(split.validation);
}

static void shuffle_stratifies_as_scikit_learn_does(void **state)
{
    (void)state;
    const uint32_t classes[] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 1};
    struct split_options options = {.method = SPLIT_SHUFFLE,
                                    .test_size = 0.25,
                                    .validation_size = 0.4,
                                    .seed = 7,
                                    .classes = classes,
                                    .class_count = 3};
    AUTO(split_fini) struct split split;
    assert_int_equal(split_rows(&options, ids, 12, &split, NULL), OK);
    ASSERT_ROWS(split.test, split.test_count, 8, 10, 9);
    ASSERT_ROWS(split.train, split.train_count, 4, 5, 11, 0, 3);
    ASSERT_ROWS(split.validation, split.validation_count, 2, 7, 6, 1);
}

/* The expected rows were computed with Python's hashlib from the words of split.h. */
static void hash_draws_are_keyed_blake2b(void **state)
{
    (void)state;
    struct split_options options = {.test_size = 0.25, .validation_size = 0.5, .seed = 5};
    AUTO(split_fini) struct split split;
    assert_int_equal(split_rows(&options, ids, 12, &split, NULL), OK);
    ASSERT_ROWS(split.test, split.test_count, 3);
    ASSERT_ROWS(split.validation, split.validation_count, 0, 2, 4, 7, 8, 9);
    ASSERT_ROWS(split.train, split.train_count, 1, 5, 6, 10, 11);
}

static void a_row_keeps_its_side_when_rows_are_added(void **state)
{
    (void)state;
    struct split_options options = {.test_size = 0.3, .seed = 1};
    AUTO(split_fini) struct split small;
    AUTO(split_fini) struct split large;
    assert_int_equal(split_rows(&options, ids, 1000, &small, NULL), OK);
    assert_int_equal(split_rows(&options, ids, ROWS_MAX, &large, NULL), OK);
    assert_memory_equal(small.test, large.test, small.test_count * sizeof *small.test);
    assert_memory_equal(small.train, large.train, small.train_count * sizeof *small.train);
    assert_in_range(large.test_count, 540, 660);
}

static void hash_stratified_keeps_exact_proportions(void **state)
{
    (void)state;
    uint32_t classes[1000];
    for (uint32_t i = 0; i < 1000; i++)
        classes[i] = i % 10 == 0;
    struct split_options options = {.test_size = 0.2, .classes = classes, .class_count = 2};
    AUTO(split_fini) struct split split;
    assert_int_equal(split_rows(&options, ids, 1000, &split, NULL), OK);
    assert_int_equal(split.test_count, 200);
    size_t rare = 0;
    for (size_t i = 0; i < split.test_count; i++)
        rare += classes[split.test[i]];
    assert_int_equal(rare, 20);
    for (size_t i = 1; i < split.test_count; i++)
        assert_true(split.test[i - 1] < split.test[i]);
}

static void expect_error(const struct split_options *options, size_t rows, const char *text)
{
    struct split split;
    struct err err = {0};
    assert_int_equal(split_rows(options, ids, rows, &split, &err), E_INVALID);
    if (!strstr(err.text, text))
        fail_msg("`%s` lacks `%s`", err.text, text);
    assert_null(split.train);
    assert_null(split.test);
}

static void parts_that_would_be_empty_are_refused(void **state)
{
    (void)state;
    for (int method = SPLIT_HASH; method <= SPLIT_SHUFFLE; method++) {
        struct split_options options = {.method = (enum split_method)method, .test_size = 0.25};
        expect_error(&options, 0, "empty");
        expect_error(&options, 1, "empty");
    }
}

static void classes_too_small_are_refused(void **state)
{
    (void)state;
    const uint32_t lonely[] = {0, 0, 0, 1}, paired[] = {0, 0, 1, 1, 2, 2};
    for (int method = SPLIT_HASH; method <= SPLIT_SHUFFLE; method++) {
        struct split_options options = {.method = (enum split_method)method,
                                        .test_size = 0.5,
                                        .classes = lonely,
                                        .class_count = 2};
        expect_error(&options, 4, "only 1 member");
    }
    struct split_options options = {
        .method = SPLIT_SHUFFLE, .test_size = 0.2, .classes = paired, .class_count = 3};
    expect_error(&options, 6, "as many rows as there are classes (3)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffle_gives_the_rows_of_scikit_learn),
        cmocka_unit_test(shuffle_stratifies_as_scikit_learn_does),
        cmocka_unit_test(hash_draws_are_keyed_blake2b),
        cmocka_unit_test(a_row_keeps_its_side_when_rows_are_added),
        cmocka_unit_test(hash_stratified_keeps_exact_proportions),
        cmocka_unit_test(parts_that_would_be_empty_are_refused),
        cmocka_unit_test(classes_too_small_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
