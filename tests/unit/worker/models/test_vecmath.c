// SPDX-License-Identifier: Apache-2.0
#include "worker/models/vecmath.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_near(double found, double expected)
{
    double ulp = fabs(expected) * 0x1p-52;
    if (!(fabs(found - expected) <= 2 * ulp))
        fail_msg("%.17g is not %.17g", found, expected);
}

static void functions_are_exact_to_two_ulps(void **state)
{
    (void)state;
    for (int i = 1; i <= 2000; i++) {
        double x = i * 0.0173;
        assert_near(vecmath_exp(x), exp(x));
        assert_near(vecmath_exp(-x), exp(-x));
        assert_near(vecmath_expm1(-x), expm1(-x));
        assert_near(vecmath_log(x), log(x));
        assert_near(vecmath_log2(x), log2(x));
        assert_near(vecmath_log1p(x), log1p(x));
        assert_near(vecmath_tanh(x), tanh(x));
        assert_near(vecmath_erf(x), erf(x));
        assert_near(vecmath_pow(x, 1.7), pow(x, 1.7));
    }
}

static void extremes_do_not_overflow(void **state)
{
    (void)state;
    assert_true(vecmath_sigmoid(-1000) == 0 && vecmath_sigmoid(1000) == 1);
    assert_true(vecmath_sigmoid(0) == 0.5);
    assert_true(vecmath_softplus(1000) == 1000 && vecmath_softplus(-1000) == 0);
    assert_near(vecmath_softplus(0), log(2));
    double scores[] = {1e6, 1e6 - 1, -1e6};
    assert_near(vecmath_softmax(scores, 3), 1e6 + log1p(exp(-1)));
    assert_near(scores[0], 1 / (1 + exp(-1)));
    assert_true(scores[2] == 0);
}

static void arrays_are_as_single_values(void **state)
{
    (void)state;
    double x[] = {0.5, 1, 2, 3, 4, 5, 6}, out[7];
    vecmath_exp_array(x, 7, out);
    assert_true(out[6] == vecmath_exp(6));
    vecmath_log_array(x, 7, x);
    assert_true(x[0] == vecmath_log(0.5));
}

static void products_are_summed_in_a_fixed_order(void **state)
{
    (void)state;
    /* Four interleaved sums: 1e16 + 1 loses the 1 in one sum, not in two. */
    double a[] = {1e16, 1, 0, 0, 1, 0}, ones[] = {1, 1, 1, 1, 1, 1};
    assert_true(vecmath_dot(a, ones, 6) == (1e16 + 1) + 1);
    double y[] = {1, 2};
    vecmath_add_scaled(3, ones, 2, y);
    assert_true(y[0] == 4 && y[1] == 5);
}

static void the_library_is_the_one_built_with(void **state)
{
    (void)state;
    struct err err = {0};
    assert_int_equal(vecmath_check(&err), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_exact_to_two_ulps),
        cmocka_unit_test(extremes_do_not_overflow),
        cmocka_unit_test(arrays_are_as_single_values),
        cmocka_unit_test(products_are_summed_in_a_fixed_order),
        cmocka_unit_test(the_library_is_the_one_built_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
