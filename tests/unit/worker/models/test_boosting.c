// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/schemas.h"
#include "tests/unit/worker/models/example.h"
#include "worker/models/model_list.h"

static struct gradient_boosting_params defaults(void)
{
    struct example_params params;
    struct gradient_boosting_params out;
    example_params(&model_gradient_boosting, &params, NULL);
    memcpy(&out, params.bytes, sizeof out);
    out.n_estimators = 8;
    return out;
}

static struct fitted *fit(struct fit_input *input, const struct gradient_boosting_params *params,
                          struct buf *history)
{
    struct fitted *fitted;
    struct err err = {0};
    input->params = params;
    if (model_gradient_boosting.fit(input, history, &fitted, &err) != OK)
        fail_msg("%s", err.text);
    return fitted;
}

static void the_loss_falls_round_by_round(void **state)
{
    (void)state;
    struct gradient_boosting_params params = defaults();
    struct fit_input input = example_iris(0, EXAMPLE_ROWS);
    input.validation_features = input.features;
    input.validation_target = input.target;
    AUTO(buf_fini) struct buf history = buf_init(0);
    struct fitted *fitted = fit(&input, &params, &history);
    const struct history_point *points = (const void *)history.bytes;
    assert_int_equal(history.count, 8 * sizeof *points);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(points[i].step, i + 1);
        assert_true(points[i].loss == points[i].validation_loss);
        assert_true(points[i].loss < (i ? points[i - 1].loss : log(3)));
    }
    assert_true(example_accuracy(fitted, &input) > 0.97);
    fitted->model->free(fitted);
}

static void two_classes_give_both_probabilities(void **state)
{
    (void)state;
    struct gradient_boosting_params params = defaults();
    struct fit_input input = example_iris(0, 100);
    input.class_count = 2;
    struct fitted *fitted = fit(&input, &params, NULL);
    double out[200];
    assert_int_equal(fitted->model->predict(fitted, &input.features, out, NULL), OK);
    for (int i = 0; i < 100; i++) {
        assert_true(out[2 * i] + out[2 * i + 1] == 1);
        assert_true((out[2 * i + 1] > 0.5) == (i >= 50));
    }
    fitted->model->free(fitted);
}

static void numbers_are_regressed(void **state)
{
    (void)state;
    struct gradient_boosting_params params = defaults();
    params.n_estimators = 40;
    struct fit_input input = example_petal_width();
    struct fitted *fitted = fit(&input, &params, NULL);
    double out[EXAMPLE_ROWS];
    assert_int_equal(fitted->model->predict(fitted, &input.features, out, NULL), OK);
    for (int i = 0; i < EXAMPLE_ROWS; i++)
        assert_true(fabs(out[i] - input.target[i]) < 0.5);
    fitted->model->free(fitted);
}

static void sampling_is_repeatable_by_its_seed(void **state)
{
    (void)state;
    struct gradient_boosting_params params = defaults();
    params.subsample = 0.6;
    params.colsample_bytree = 0.5;
    params.seed = 3;
    struct fit_input input = example_iris(0, EXAMPLE_ROWS);
    struct fitted *first = fit(&input, &params, NULL), *again = fit(&input, &params, NULL);
    params.seed = 4;
    struct fitted *other = fit(&input, &params, NULL);
    assert_true(example_hash(first) == example_hash(again));
    assert_true(example_hash(first) != example_hash(other));
    first->model->free(first);
    again->model->free(again);
    other->model->free(other);
}

static void bytes_that_are_no_model_are_refused(void **state)
{
    (void)state;
    struct fitted *fitted;
    struct err err;
    const struct model *model = &model_gradient_boosting;
    static const char *const texts[] = {"", "binf", "{", "{}", "{\"learner\": 3}", "{L\x7f"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        err.text[0] = 0;
        assert_int_equal(
            model->load_bytes((const uint8_t *)texts[i], strlen(texts[i]), 4, 3, &fitted, &err),
            E_CORRUPT);
        assert_null(fitted);
        assert_non_null(strstr(err.text, "gradient_boosting: "));
    }
}

static void a_model_of_other_shape_is_refused(void **state)
{
    (void)state;
    struct gradient_boosting_params params = defaults();
    struct fit_input input = example_iris(0, EXAMPLE_ROWS);
    struct fitted *fitted = fit(&input, &params, NULL), *loaded;
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    const struct model *model = &model_gradient_boosting;
    struct err err;
    assert_int_equal(model->save_bytes(fitted, &bytes, &err), OK);
    assert_int_equal(model->load_bytes(bytes.bytes, bytes.count, 5, 3, &loaded, &err), E_CORRUPT);
    /* The number of classes shows when it predicts. */
    assert_int_equal(model->load_bytes(bytes.bytes, bytes.count, 4, 2, &loaded, &err), OK);
    double out[EXAMPLE_ROWS * 3];
    assert_int_equal(model->predict(loaded, &input.features, out, &err), E_CORRUPT);
    model->free(loaded);
    model->free(fitted);
}

static void features_beyond_float_are_refused(void **state)
{
    (void)state;
    struct gradient_boosting_params params = defaults();
    double column[] = {1, 2, -1e300}, target[] = {0, 1, 0};
    struct fit_input input = {
        .features = {3, 1, column}, .target = target, .class_count = 2, .params = &params};
    struct fitted *fitted;
    struct err err;
    assert_int_equal(model_gradient_boosting.fit(&input, NULL, &fitted, &err), E_INVALID);
    assert_non_null(strstr(err.text, "row 2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_falls_round_by_round),
        cmocka_unit_test(two_classes_give_both_probabilities),
        cmocka_unit_test(numbers_are_regressed),
        cmocka_unit_test(sampling_is_repeatable_by_its_seed),
        cmocka_unit_test(bytes_that_are_no_model_are_refused),
        cmocka_unit_test(a_model_of_other_shape_is_refused),
        cmocka_unit_test(features_beyond_float_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
