// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "proto/kinds.h"
#include "tests/unit/worker/models/example.h"
#include "worker/models/model_list.h"

static void every_variant_of_train_is_a_model(void **state)
{
    (void)state;
    const struct model *const *model = model_all();
    const char *const *variant = kind_variants("train");
    for (; *variant; variant++, model++) {
        assert_non_null(*model);
        assert_string_equal((*model)->name, *variant);
        assert_ptr_equal(model_find(*variant), *model);
        assert_string_equal((*model)->schema->name, *variant);
        assert_true(!(*model)->save != !(*model)->save_bytes);
        assert_true(!(*model)->load != !(*model)->load_bytes);
    }
    assert_null(*model);
    assert_null(model_find("perceptron"));
}

static void the_libraries_are_those_built_with(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(model_library_check(&err), OK);
}

static struct fitted *fit(const struct model *model, struct fit_input input,
                          const struct value *given)
{
    struct example_params params;
    struct fitted *fitted;
    struct err err = {0};
    example_params(model, &params, given);
    input.params = params.bytes;
    if (model->fit(&input, NULL, &fitted, &err) != OK)
        fail_msg("%s: %s", model->name, err.text);
    return fitted;
}

/* The promise of reproducible bits: these change only together with the kind's version in
 * proto/kinds.def. Equal for gcc and clang, with and without optimisation. */
static void weights_are_pinned_to_the_bit(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        uint64_t classifier, regressor;
    } pinned[] = {
        {"logistic_regression", 0xf8597b33b1183678u, 0},
        {"decision_tree", 0x661d3a26711fa8a5u, 0x92703c02cf56383au},
        {"random_forest", 0xf9d4620467ad2675u, 0x25260c762b5015dbu},
        {"gradient_boosting", 0x5015cd2e6db57994u, 0x4c9e5daabc186732u},
    };
    for (size_t i = 0; i < sizeof pinned / sizeof *pinned; i++) {
        const struct model *model = model_find(pinned[i].model);
        for (int is_regression = 0; is_regression <= model->can_regress; is_regression++) {
            uint64_t expected = is_regression ? pinned[i].regressor : pinned[i].classifier;
            struct fitted *fitted = fit(
                model, is_regression ? example_petal_width() : example_iris(0, EXAMPLE_ROWS), NULL);
            uint64_t found = example_hash(fitted);
            model->free(fitted);
            if (found != expected)
                fail_msg("%s: 0x%016llxu", model->name, (unsigned long long)found);
        }
    }
}

static void a_loaded_model_predicts_the_same_bits(void **state)
{
    (void)state;
    static double before[EXAMPLE_ROWS * 3], after[EXAMPLE_ROWS * 3];
    for (const struct model *const *model = model_all(); *model; model++) {
        for (int is_regression = 0; is_regression <= (*model)->can_regress; is_regression++) {
            struct fit_input input =
                is_regression ? example_petal_width() : example_iris(0, EXAMPLE_ROWS);
            struct fitted *fitted = fit(*model, input, NULL), *loaded;
            example_reload(fitted, &loaded);
            size_t bytes = EXAMPLE_ROWS * (is_regression ? 1u : 3u) * sizeof(double);
            assert_int_equal((*model)->predict(fitted, &input.features, before, NULL), OK);
            assert_int_equal((*model)->predict(loaded, &input.features, after, NULL), OK);
            assert_memory_equal(before, after, bytes);
            assert_true(example_hash(fitted) == example_hash(loaded));
            (*model)->free(fitted);
            (*model)->free(loaded);
        }
    }
}

static void every_model_learns_the_flowers(void **state)
{
    (void)state;
    struct fit_input input = example_iris(0, EXAMPLE_ROWS);
    for (const struct model *const *model = model_all(); *model; model++) {
        struct fitted *fitted = fit(*model, input, NULL);
        assert_true(example_accuracy(fitted, &input) > 0.96);
        double probabilities[EXAMPLE_ROWS * 3];
        assert_int_equal((*model)->predict(fitted, &input.features, probabilities, NULL), OK);
        for (size_t i = 0; i < EXAMPLE_ROWS; i++) {
            const double *p = probabilities + 3 * i;
            assert_true(fabs(p[0] + p[1] + p[2] - 1) < 1e-6);
            assert_true(p[0] >= 0 && p[1] >= 0 && p[2] >= 0);
        }
        (*model)->free(fitted);
    }
}

static void a_row_is_enough_to_predict_and_none_is_fine(void **state)
{
    (void)state;
    struct fit_input input = example_iris(0, EXAMPLE_ROWS);
    for (const struct model *const *model = model_all(); *model; model++) {
        struct fitted *fitted = fit(*model, input, NULL);
        double all[EXAMPLE_ROWS * 3], one[3];
        struct matrix last = {1, EXAMPLE_COLUMNS,
                              input.features.values + (EXAMPLE_ROWS - 1) * EXAMPLE_COLUMNS};
        assert_int_equal((*model)->predict(fitted, &input.features, all, NULL), OK);
        assert_int_equal((*model)->predict(fitted, &last, one, NULL), OK);
        assert_memory_equal(one, all + (EXAMPLE_ROWS - 1) * 3, sizeof one);
        last.rows = 0;
        assert_int_equal((*model)->predict(fitted, &last, one, NULL), OK);
        (*model)->free(fitted);
    }
}

/* Every allocation whose size the data decide fails once. */
static void out_of_memory_is_an_error_not_a_crash(void **state)
{
    (void)state;
    struct fit_input input = example_iris(0, EXAMPLE_ROWS);
    for (const struct model *const *model = model_all(); *model; model++) {
        struct example_params params;
        example_params(*model, &params, NULL);
        input.params = params.bytes;
        enum status status = E_NOMEM;
        size_t k = 1;
        for (; status != OK && k < 5000; k++) {
            struct fitted *fitted = NULL;
            mem_fail_after(k);
            status = (*model)->fit(&input, NULL, &fitted, NULL);
            mem_fail_after(0);
            if (status == OK)
                (*model)->free(fitted);
            else
                assert_null(fitted);
            assert_true(status == OK || status == E_NOMEM);
        }
        assert_true(status == OK && k > 2);
    }
}

static void a_criterion_of_the_other_task_is_refused(void **state)
{
    (void)state;
    struct value items[] = {value_string("criterion"), value_string("squared_error")};
    struct value given = {.type = VALUE_MAP, .count = 1, .items = items};
    struct example_params params;
    struct err err;
    struct fitted *fitted;
    example_params(&model_decision_tree, &params, &given);
    struct fit_input input = example_iris(0, EXAMPLE_ROWS);
    input.params = params.bytes;
    assert_int_equal(model_decision_tree.fit(&input, NULL, &fitted, &err), E_INVALID);
    assert_non_null(strstr(err.text, "squared_error"));
    items[1] = value_string("gini");
    example_params(&model_random_forest, &params, &given);
    input = example_petal_width();
    input.params = params.bytes;
    assert_int_equal(model_random_forest.fit(&input, NULL, &fitted, &err), E_INVALID);
    assert_non_null(strstr(err.text, "gini"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_of_train_is_a_model),
        cmocka_unit_test(the_libraries_are_those_built_with),
        cmocka_unit_test(weights_are_pinned_to_the_bit),
        cmocka_unit_test(a_loaded_model_predicts_the_same_bits),
        cmocka_unit_test(every_model_learns_the_flowers),
        cmocka_unit_test(a_row_is_enough_to_predict_and_none_is_fine),
        cmocka_unit_test(out_of_memory_is_an_error_not_a_crash),
        cmocka_unit_test(a_criterion_of_the_other_task_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
