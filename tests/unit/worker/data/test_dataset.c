// SPDX-License-Identifier: Apache-2.0
#include "worker/data/dataset.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

static const char *const columns[] = {"height, in \"cm\"", "weight"};

static struct dataset *make(enum dataset_task task, bool is_f32)
{
    struct dataset *dataset;
    assert_int_equal(dataset_new(3, 2, task, &dataset, NULL), OK);
    for (size_t i = 0; i < 6; i++)
        dataset->features.values[i] = (double)i / 4;
    for (size_t i = 0; i < 3; i++) {
        dataset->row_id[i] = 10 - (int64_t)i;
        dataset->target[i] = task == DATASET_CLASSIFICATION ? (double)(i % 2) : 0.5 * (double)i;
    }
    dataset->is_f32 = is_f32;
    dataset->columns = columns;
    dataset->target_name = "sex";
    dataset->preprocessor = "00ff";
    if (task == DATASET_CLASSIFICATION) {
        dataset->classes = doc_list();
        doc_add(&dataset->arena, &dataset->classes, value_string("f"));
        doc_add(&dataset->arena, &dataset->classes, value_string("m"));
    }
    return dataset;
}

static void write_example(enum dataset_task task, bool is_f32, struct buf *out)
{
    AUTO(dataset_free) struct dataset *dataset = make(task, is_f32);
    assert_int_equal(dataset_write(dataset, out, NULL), OK);
}

static void classification_reads_back(void **state)
{
    (void)state;
    for (int is_f32 = 0; is_f32 < 2; is_f32++) {
        AUTO(buf_fini) struct buf file = buf_init(0);
        write_example(DATASET_CLASSIFICATION, is_f32, &file);
        AUTO(dataset_free) struct dataset *read = NULL;
        assert_int_equal(dataset_read("d", file.bytes, file.count, &read, NULL), OK);
        assert_int_equal(read->features.rows, 3);
        assert_int_equal(read->features.columns, 2);
        assert_true(read->features.values[5] == 1.25);
        assert_true(read->target[1] == 1);
        assert_int_equal(read->row_id[2], 8);
        assert_string_equal(read->columns[0], columns[0]);
        assert_string_equal(read->classes.items[1].text, "m");
        assert_string_equal(read->preprocessor, "00ff");
        assert_string_equal(read->target_name, "sex");
        assert_int_equal(read->is_f32, is_f32);
    }
}

static void regression_reads_back(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = buf_init(0);
    write_example(DATASET_REGRESSION, false, &file);
    AUTO(dataset_free) struct dataset *read = NULL;
    assert_int_equal(dataset_read("d", file.bytes, file.count, &read, NULL), OK);
    assert_int_equal(read->task, DATASET_REGRESSION);
    assert_true(read->target[2] == 1.0);
    assert_int_equal(read->classes.count, 0);
}

static void what_training_could_not_bear_is_refused(void **state)
{
    (void)state;
    AUTO(dataset_free) struct dataset *dataset = make(DATASET_CLASSIFICATION, false);
    AUTO(buf_fini) struct buf file = buf_init(0);
    dataset->features.values[4] = NAN;
    assert_int_equal(dataset_write(dataset, &file, NULL), OK);
    struct dataset *read;
    struct err err;
    assert_int_equal(dataset_read("d", file.bytes, file.count, &read, &err), E_CORRUPT);
    assert_non_null(strstr(err.text, "NaN"));
    assert_null(read);
    dataset->features.values[4] = 1;
    dataset->target[0] = 2; /* of two classes */
    buf_clear(&file);
    assert_int_equal(dataset_write(dataset, &file, NULL), OK);
    assert_int_equal(dataset_read("d", file.bytes, file.count, &read, &err), E_CORRUPT);
    assert_non_null(strstr(err.text, "class 2 of 2"));
}

static void predictions_are_no_dataset(void **state)
{
    (void)state;
    AUTO(predictions_free) struct predictions *predictions = NULL;
    assert_int_equal(predictions_new(2, 2, true, &predictions, NULL), OK);
    doc_add(&predictions->arena, &predictions->classes, value_int(3));
    doc_add(&predictions->arena, &predictions->classes, value_int(5));
    predictions->probabilities[1] = 0.75;
    predictions->prediction[1] = 1;
    AUTO(buf_fini) struct buf file = buf_init(0);
    assert_int_equal(predictions_write(predictions, &file, NULL), OK);
    struct dataset *dataset;
    assert_int_equal(dataset_read("p", file.bytes, file.count, &dataset, NULL), E_CORRUPT);
    AUTO(predictions_free) struct predictions *read = NULL;
    assert_int_equal(predictions_read("p", file.bytes, file.count, &read, NULL), OK);
    assert_int_equal(read->class_count, 2);
    assert_int_equal(read->classes.items[1].integer, 5);
    assert_true(read->probabilities[1] == 0.75 && read->prediction[1] == 1 && read->target);
}

static void mutations_never_crash(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf file = buf_init(0);
    write_example(DATASET_CLASSIFICATION, false, &file);
    struct rng rng = rng_seed(2);
    for (int round = 0; round < 20000; round++) {
        AUTO(mem_free) uint8_t *copy = mem_alloc(file.count);
        memcpy(copy, file.bytes, file.count);
        for (uint32_t i = rng_below(&rng, 3) + 1; i; i--)
            copy[rng_below(&rng, (uint32_t)file.count)] = (uint8_t)(' ' + rng_below(&rng, 96));
        AUTO(dataset_free) struct dataset *read = NULL;
        if (dataset_read("mutant", copy, file.count, &read, NULL) == OK)
            assert_true(read->features.rows * read->features.columns <= 6);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classification_reads_back),
        cmocka_unit_test(regression_reads_back),
        cmocka_unit_test(what_training_could_not_bear_is_refused),
        cmocka_unit_test(predictions_are_no_dataset),
        cmocka_unit_test(mutations_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
