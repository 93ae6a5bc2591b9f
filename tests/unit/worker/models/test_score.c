// SPDX-License-Identifier: Apache-2.0
#include "worker/models/score.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define CLOSE(a, b) assert_true(fabs((a) - (b)) < 1e-12)

/* Expected values of this file were printed by scikit-learn 1.9 with zero_division=0. */
static void classes_score_as_in_scikit_learn(void **state)
{
    (void)state;
    const double target[] = {0, 0, 1, 1, 2, 2, 2}, prediction[] = {0, 1, 1, 1, 2, 0, 2};
    uint64_t counts[9];
    score_confusion(target, prediction, 7, 3, counts);
    assert_int_equal(counts[0 * 3 + 1], 1);
    assert_int_equal(counts[2 * 3 + 0], 1);
    CLOSE(score_accuracy(counts, 3), 5.0 / 7);
    struct score_averages macro = score_macro(counts, 3), weighted = score_weighted(counts, 3);
    CLOSE(macro.precision, (0.5 + 2.0 / 3 + 1) / 3);
    CLOSE(macro.recall, (0.5 + 1 + 2.0 / 3) / 3);
    CLOSE(macro.f1, (0.5 + 0.8 + 0.8) / 3);
    CLOSE(weighted.f1, (2 * 0.5 + 2 * 0.8 + 3 * 0.8) / 7);
}

static void a_class_never_predicted_counts_as_zero(void **state)
{
    (void)state;
    const double target[] = {0, 1, 2}, prediction[] = {0, 1, 1};
    uint64_t counts[9];
    score_confusion(target, prediction, 3, 3, counts);
    struct score_class last = score_class(counts, 3, 2);
    assert_true(last.precision == 0 && last.recall == 0 && last.f1 == 0);
    CLOSE(score_macro(counts, 3).precision, 0.5);
}

static void a_class_that_occurs_nowhere_does_not_count(void **state)
{
    (void)state;
    const double target[] = {0, 2}, prediction[] = {0, 2};
    uint64_t counts[9];
    score_confusion(target, prediction, 2, 3, counts);
    CLOSE(score_macro(counts, 3).f1, 1);
}

static double binary_area(const double *target, const double *scores, size_t rows)
{
    double probabilities[2 * 16], out;
    for (size_t i = 0; i < rows; i++) {
        probabilities[2 * i] = 1 - scores[i];
        probabilities[2 * i + 1] = scores[i];
    }
    assert_int_equal(score_roc_auc(target, probabilities, rows, 2, 1, &out, NULL), OK);
    return out;
}

static void ties_count_half_in_the_area(void **state)
{
    (void)state;
    const double target[] = {0, 0, 1, 1}, distinct[] = {0.1, 0.4, 0.35, 0.8};
    const double tied[] = {0.1, 0.5, 0.5, 0.8}, flat[] = {0.5, 0.5, 0.5, 0.5};
    CLOSE(binary_area(target, distinct, 4), 0.75);
    CLOSE(binary_area(target, tied, 4), 0.875);
    CLOSE(binary_area(target, flat, 4), 0.5);
}

static void the_area_of_one_class_is_undefined(void **state)
{
    (void)state;
    const double target[] = {1, 1}, scores[] = {0.2, 0.3};
    assert_true(isnan(binary_area(target, scores, 2)));
    const double probabilities[] = {1, 0, 0, 0, 1, 0}, labels[] = {0, 1};
    double out = 0;
    assert_int_equal(score_roc_auc_macro(labels, probabilities, 2, 3, &out, NULL), OK);
    assert_true(isnan(out));
}

static void log_loss_clips(void **state)
{
    (void)state;
    const double target[] = {0, 1}, sure[] = {1, 0, 1, 0}, right[] = {1, 0, 0, 1};
    CLOSE(score_log_loss(target, sure, 2, 2), (36.04365338911715 + 2.220446049250313e-16) / 2);
    CLOSE(score_log_loss(target, right, 2, 2), 2.220446049250313e-16);
}

static void errors_of_quantities(void **state)
{
    (void)state;
    const double target[] = {3, -0.5, 2, 7}, prediction[] = {2.5, 0, 2, 8};
    struct score_errors errors = score_regression(target, prediction, 4);
    CLOSE(errors.mae, 0.5);
    CLOSE(errors.mse, 0.375);
    CLOSE(errors.rmse, sqrt(0.375));
    CLOSE(errors.r2, 0.9486081370449679);
}

static void r2_of_a_constant_target(void **state)
{
    (void)state;
    const double target[] = {2, 2}, right[] = {2, 2}, wrong[] = {2, 3};
    CLOSE(score_regression(target, right, 2).r2, 1);
    CLOSE(score_regression(target, wrong, 2).r2, 0);
    assert_true(isnan(score_regression(target, right, 1).r2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_score_as_in_scikit_learn),
        cmocka_unit_test(a_class_never_predicted_counts_as_zero),
        cmocka_unit_test(a_class_that_occurs_nowhere_does_not_count),
        cmocka_unit_test(ties_count_half_in_the_area),
        cmocka_unit_test(the_area_of_one_class_is_undefined),
        cmocka_unit_test(log_loss_clips),
        cmocka_unit_test(errors_of_quantities),
        cmocka_unit_test(r2_of_a_constant_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
