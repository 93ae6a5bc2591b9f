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
#include "worker/models/logistic.h"
#include "worker/models/model_list.h"

enum { PENALTY_NONE, PENALTY_L2 };

static struct logistic_regression_params defaults(void)
{
    struct example_params params;
    struct logistic_regression_params out;
    example_params(&model_logistic_regression, &params, NULL);
    memcpy(&out, params.bytes, sizeof out);
    return out;
}

static enum status fit(struct fit_input *input, const struct logistic_regression_params *params,
                       struct fitted **out, struct err *err)
{
    input->params = params;
    return model_logistic_regression.fit(input, NULL, out, err);
}

static void assert_weights(const struct fitted *fitted, size_t count, const double *coef,
                           const double *intercept)
{
    struct tensor tensors[2];
    assert_int_equal(model_logistic_regression.save(fitted, tensors, 2), 2);
    const double *found = tensors[0].data, *constants = tensors[1].data;
    for (size_t i = 0; i < count * EXAMPLE_COLUMNS; i++)
        assert_true(fabs(found[i] - coef[i]) < 1e-9);
    for (size_t i = 0; i < count; i++)
        assert_true(fabs(constants[i] - intercept[i]) < 1e-9);
}

/* Printed by scikit-learn 1.9, solver newton-cholesky or newton-cg, tol 1e-12. */
static void coefficients_are_those_of_scikit_learn(void **state)
{
    (void)state;
    struct logistic_regression_params params = defaults();
    struct err err = {0};
    struct fit_input input = example_iris(0, 150);
    struct fitted *fitted;
    assert_int_equal(fit(&input, &params, &fitted, &err), OK);
    assert_weights(fitted, 3,
                   (const double[]){-0.42365731812816, 0.96157763450919, -2.5193455826707,
                                    -1.0864023692419, 0.53427401034139, -0.31758440425665,
                                    -0.20547808327266, -0.93928833136603, -0.11061669221321,
                                    -0.64399323025255, 2.7248236659433, 2.0256907006079},
                   (const double[]){9.8828476847151, 2.2174400472574, -12.100287731972});
    fitted->model->free(fitted);
    input = example_iris(50, 100);
    double halves[100];
    for (int i = 0; i < 100; i++)
        halves[i] = input.target[i] - 1;
    input.target = halves;
    input.class_count = 2;
    params.penalty = PENALTY_NONE;
    assert_int_equal(fit(&input, &params, &fitted, &err), OK);
    assert_weights(
        fitted, 1,
        (const double[]){-2.4652201951867, -6.6808870140785, 9.4293851539266, 18.286136887851},
        (const double[]){-42.637803813022});
    fitted->model->free(fitted);
}

static void the_gradient_is_the_slope_of_the_loss(void **state)
{
    (void)state;
    struct fit_input input = example_iris(0, 150);
    struct logistic logistic;
    assert_int_equal(logistic_init(&logistic, &input.features, input.target, 3, 0.01, true, NULL),
                     OK);
    double weights[15], gradient[15], other[15], curvature[15], direction[15] = {0};
    for (int i = 0; i < 15; i++)
        weights[i] = 0.1 * (i % 4) - 0.2;
    const double step = 1e-6;
    for (int i = 0; i < 15; i++) {
        double at = weights[i];
        weights[i] = at + step;
        double above = logistic_loss(&logistic, weights, other);
        weights[i] = at - step;
        double below = logistic_loss(&logistic, weights, gradient);
        weights[i] = at;
        direction[i] = 1;
        logistic_loss(&logistic, weights, curvature);
        double slope = curvature[i];
        assert_true(fabs((above - below) / (2 * step) - slope) < 1e-8);
        logistic_curvature(&logistic, direction, curvature);
        for (int j = 0; j < 15; j++)
            assert_true(fabs((other[j] - gradient[j]) / (2 * step) - curvature[j]) < 1e-7);
        direction[i] = 0;
    }
    logistic_fini(&logistic);
}

static void separable_classes_without_a_penalty_are_refused(void **state)
{
    (void)state;
    struct logistic_regression_params params = defaults();
    params.penalty = PENALTY_NONE;
    struct err err = {0};
    struct fitted *fitted;
    struct fit_input input = example_iris(0, 100);
    input.class_count = 2;
    assert_int_equal(fit(&input, &params, &fitted, &err), E_INVALID);
    assert_non_null(strstr(err.text, "do not overlap"));
    /* One of three classes apart is enough. */
    input = example_iris(0, 150);
    err.text[0] = 0;
    assert_int_equal(fit(&input, &params, &fitted, &err), E_INVALID);
    assert_non_null(strstr(err.text, "do not overlap"));
    assert_null(fitted);
}

static void columns_that_repeat_each_other_are_no_obstacle(void **state)
{
    (void)state;
    struct fit_input input = example_iris(50, 100);
    double doubled[100 * 5], target[100];
    for (int i = 0; i < 100; i++) {
        for (int j = 0; j < 4; j++)
            doubled[i * 5 + j] = input.features.values[i * 4 + j];
        doubled[i * 5 + 4] = 2 * doubled[i * 5] - 3;
        target[i] = input.target[i] - 1;
    }
    input.features = (struct matrix){100, 5, doubled};
    input.target = target;
    input.class_count = 2;
    struct logistic_regression_params params = defaults();
    params.penalty = PENALTY_NONE;
    struct err err = {0};
    struct fitted *fitted;
    assert_int_equal(fit(&input, &params, &fitted, &err), OK);
    assert_true(example_accuracy(fitted, &input) > 0.97);
    fitted->model->free(fitted);
}

static void a_class_without_rows_is_refused(void **state)
{
    (void)state;
    struct logistic_regression_params params = defaults();
    struct fit_input input = example_iris(0, 100);
    struct err err = {0};
    struct fitted *fitted;
    assert_int_equal(fit(&input, &params, &fitted, &err), E_INVALID);
    assert_non_null(strstr(err.text, "class 3 of 3 has no rows"));
}

static enum status stop(void *context, uint64_t step, uint64_t total, double loss)
{
    (void)total;
    assert_true(loss > 0);
    *(uint64_t *)context = step;
    return step == 3 ? E_CANCELLED : OK;
}

static void progress_may_stop_the_fit(void **state)
{
    (void)state;
    struct logistic_regression_params params = defaults();
    struct fit_input input = example_iris(0, 150);
    uint64_t seen = 0;
    input.progress = stop;
    input.progress_context = &seen;
    struct err err = {0};
    struct fitted *fitted;
    assert_int_equal(fit(&input, &params, &fitted, &err), E_CANCELLED);
    assert_int_equal(seen, 3);
}

static void damaged_weights_are_refused(void **state)
{
    (void)state;
    const double coef[12] = {0}, intercept[3] = {0}, bad[12] = {[5] = NAN};
    struct tensor good[] = {{"coef", TENSOR_F64, 2, {3, 4}, coef},
                            {"intercept", TENSOR_F64, 1, {3}, intercept}};
    struct fitted *fitted;
    struct err err = {0};
    const struct model *model = &model_logistic_regression;
    assert_int_equal(model->load(good, 2, 4, 3, &fitted, &err), OK);
    model->free(fitted);
    assert_int_equal(model->load(good, 1, 4, 3, &fitted, &err), E_CORRUPT);
    assert_int_equal(model->load(good, 2, 5, 3, &fitted, &err), E_CORRUPT);
    assert_int_equal(model->load(good, 2, 4, 2, &fitted, &err), E_CORRUPT);
    assert_int_equal(model->load(good, 2, 4, 0, &fitted, &err), E_CORRUPT);
    struct tensor damaged[] = {good[0], good[1]};
    damaged[0].data = bad;
    assert_int_equal(model->load(damaged, 2, 4, 3, &fitted, &err), E_CORRUPT);
    damaged[0] = good[0];
    damaged[0].type = TENSOR_F32;
    assert_int_equal(model->load(damaged, 2, 4, 3, &fitted, &err), E_CORRUPT);
    assert_null(fitted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coefficients_are_those_of_scikit_learn),
        cmocka_unit_test(the_gradient_is_the_slope_of_the_loss),
        cmocka_unit_test(separable_classes_without_a_penalty_are_refused),
        cmocka_unit_test(columns_that_repeat_each_other_are_no_obstacle),
        cmocka_unit_test(a_class_without_rows_is_refused),
        cmocka_unit_test(progress_may_stop_the_fit),
        cmocka_unit_test(damaged_weights_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
