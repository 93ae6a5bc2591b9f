// SPDX-License-Identifier: Apache-2.0
#include "worker/models/cart.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "tests/unit/worker/models/example.h"

static const struct cart_options plain = {.criterion = CART_GINI,
                                          .class_count = 3,
                                          .depth_max = UINT32_MAX,
                                          .split_samples_min = 2,
                                          .leaf_samples_min = 1,
                                          .features_max = 1};

static void grow(const struct fit_input *input, const struct cart_options *options,
                 const uint32_t *weights, struct cart *out)
{
    AUTO(cart_data_fini) struct cart_data data = {0};
    struct err err = {0};
    struct rng rng = rng_seed(1);
    assert_int_equal(
        cart_data_init(&input->features, input->target, input->class_count, &data, &err), OK);
    *out = (struct cart){0};
    assert_int_equal(cart_grow(out, &data, options, weights, &rng, &err), OK);
    assert_int_equal(cart_check(out, 0, out->node_count, input->features.columns, &err), OK);
}

/* The length of the petal alone, so that no two features tie. */
static struct fit_input petal_length(void)
{
    static double column[EXAMPLE_ROWS];
    struct fit_input input = example_iris(0, EXAMPLE_ROWS);
    for (size_t i = 0; i < EXAMPLE_ROWS; i++)
        column[i] = input.features.values[i * EXAMPLE_COLUMNS + 2];
    input.features = (struct matrix){EXAMPLE_ROWS, 1, column};
    return input;
}

struct expected {
    size_t count;
    int32_t left[9], right[9];
    int64_t samples[9];
    double threshold[9], impurity[9];
};

static void assert_tree(const struct cart *cart, const struct expected *expected)
{
    assert_int_equal(cart->node_count, expected->count);
    for (size_t i = 0; i < expected->count; i++) {
        assert_int_equal(cart->left[i], expected->left[i]);
        assert_int_equal(cart->right[i], expected->right[i]);
        assert_int_equal(cart->samples[i], expected->samples[i]);
        assert_true(cart->threshold[i] == expected->threshold[i]);
        assert_true(fabs(cart->impurity[i] - expected->impurity[i]) < 1e-12);
    }
}

/* What scikit-learn 1.9's tree_ holds. */
static void classifiers_equal_those_of_scikit_learn(void **state)
{
    (void)state;
    struct fit_input input = petal_length();
    struct cart_options options = plain;
    options.depth_max = 3;
    AUTO(cart_fini) struct cart gini;
    struct cart entropy;
    grow(&input, &options, NULL, &gini);
    assert_tree(&gini, &(struct expected){9,
                                          {1, -1, 3, 4, -1, -1, 7, -1, -1},
                                          {2, -1, 6, 5, -1, -1, 8, -1, -1},
                                          {150, 50, 100, 45, 29, 16, 55, 13, 42},
                                          {2.449999988079071, -2, 4.75, 4.450000047683716, -2, -2,
                                           5.049999952316284, -2, -2},
                                          {2.0 / 3, 0, 0.5, 0.04345679012345682, 0, 0.1171875,
                                           0.19438016528925617, 0.47337278106508873,
                                           0.046485260770975034}});
    options.criterion = CART_ENTROPY;
    grow(&input, &options, NULL, &entropy);
    assert_tree(&entropy,
                &(struct expected){9,
                                   {1, -1, 3, 4, -1, -1, 7, -1, -1},
                                   {2, -1, 6, 5, -1, -1, 8, -1, -1},
                                   {150, 50, 100, 45, 29, 16, 55, 21, 34},
                                   {2.449999988079071, -2, 4.75, 4.450000047683716, -2, -2,
                                    5.1499998569488525, -2, -2},
                                   {1.584962500721156, 0, 1, 0.1537421803287619, 0,
                                    0.3372900666170139, 0.4971677614160753, 0.863120568566631, 0}});
    cart_fini(&entropy);
}

static void regressors_equal_those_of_scikit_learn(void **state)
{
    (void)state;
    struct fit_input input = example_petal_width();
    struct cart_options options = plain;
    options.criterion = CART_SQUARED_ERROR;
    options.class_count = 0;
    options.features_max = 3;
    options.depth_max = 2;
    AUTO(cart_fini) struct cart cart;
    grow(&input, &options, NULL, &cart);
    assert_tree(&cart,
                &(struct expected){7,
                                   {1, 2, -1, -1, 5, -1, -1},
                                   {4, 3, -1, -1, 6, -1, -1},
                                   {150, 50, 18, 32, 100, 45, 55},
                                   {0x1.3999998p+1, 3.25, -2, -2, 4.75, -2, -2},
                                   {0.5785315555555552, 0.011264000000000073, 0.0036111111111111205,
                                    0.012333984375000134, 0.17862399999999745, 0.03377777777777902,
                                    0.08682314049586504}});
    assert_true(fabs(cart.value[0] - 1.1986666666666672) < 1e-12);
    float row[] = {5.1f, 3.0f, 1.4f};
    assert_true(fabs(*cart_leaf(&cart, 0, row) - 0.18333333333333335) < 1e-12);
}

static void limits_stop_the_growth(void **state)
{
    (void)state;
    struct fit_input input = example_iris(0, EXAMPLE_ROWS);
    struct cart_options options = plain;
    options.features_max = EXAMPLE_COLUMNS;
    options.leaf_samples_min = 7;
    AUTO(cart_fini) struct cart leaf;
    struct cart split, decrease;
    grow(&input, &options, NULL, &leaf);
    for (size_t i = 0; i < leaf.node_count; i++)
        assert_true(leaf.samples[i] >= 7);
    assert_true(leaf.node_count > 3);
    options.leaf_samples_min = 1;
    options.split_samples_min = 101;
    grow(&input, &options, NULL, &split);
    assert_int_equal(split.node_count, 3);
    options.split_samples_min = 2;
    options.impurity_decrease_min = 0.34; /* the first split takes away a third */
    grow(&input, &options, NULL, &decrease);
    assert_int_equal(decrease.node_count, 1);
    cart_fini(&split);
    cart_fini(&decrease);
}

static void weights_count_as_repeated_rows(void **state)
{
    (void)state;
    struct fit_input input = petal_length();
    uint32_t weights[EXAMPLE_ROWS];
    static double column[3 * EXAMPLE_ROWS], target[3 * EXAMPLE_ROWS];
    size_t count = 0;
    for (size_t i = 0; i < EXAMPLE_ROWS; i++) {
        weights[i] = (uint32_t)(i * 7 % 3);
        for (uint32_t w = 0; w < weights[i]; w++, count++) {
            column[count] = input.features.values[i];
            target[count] = input.target[i];
        }
    }
    struct fit_input repeated = {
        .features = {count, 1, column}, .target = target, .class_count = 3};
    AUTO(cart_fini) struct cart weighted;
    struct cart plainly;
    grow(&input, &plain, weights, &weighted);
    grow(&repeated, &plain, NULL, &plainly);
    assert_int_equal(weighted.node_count, plainly.node_count);
    for (size_t i = 0; i < weighted.node_count; i++) {
        assert_true(weighted.threshold[i] == plainly.threshold[i]);
        assert_true(weighted.impurity[i] == plainly.impurity[i]);
    }
    cart_fini(&plainly);
}

static void constant_columns_are_never_split(void **state)
{
    (void)state;
    double column[] = {3, 3, 3, 3, 3.00000001, 3}, target[] = {0, 1, 0, 1, 0, 1};
    struct fit_input input = {.features = {6, 1, column}, .target = target, .class_count = 2};
    struct cart_options options = plain;
    options.class_count = 2;
    AUTO(cart_fini) struct cart cart;
    grow(&input, &options, NULL, &cart);
    assert_int_equal(cart.node_count, 1);
    assert_true(cart.value[0] == 0.5 && cart.value[1] == 0.5);
}

static void values_beyond_float_are_refused(void **state)
{
    (void)state;
    double column[] = {1, 2, 1e39}, target[] = {0, 1, 0};
    struct matrix features = {3, 1, column};
    struct err err;
    AUTO(cart_data_fini) struct cart_data data = {0};
    assert_int_equal(cart_data_init(&features, target, 2, &data, &err), E_INVALID);
    assert_non_null(strstr(err.text, "row 2"));
    float row;
    assert_int_equal(cart_round_row(&features, 2, &row, &err), E_INVALID);
}

/* Long chains: the sums must not depend on how deep the tree gets. */
static void a_tree_as_deep_as_its_rows_grows(void **state)
{
    (void)state;
    enum { ROWS = 3000 };
    static double column[ROWS], target[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        column[i] = (double)i;
        target[i] = (double)(i % 2);
    }
    struct fit_input input = {.features = {ROWS, 1, column}, .target = target, .class_count = 2};
    struct cart_options options = plain;
    options.class_count = 2;
    AUTO(cart_fini) struct cart cart;
    grow(&input, &options, NULL, &cart);
    assert_int_equal(cart.node_count, 2 * ROWS - 1);
    for (size_t i = 0; i < ROWS; i++) {
        float row = (float)column[i];
        assert_true(cart_leaf(&cart, 0, &row)[i % 2] == 1);
    }
}

/* ---- damaged trees ---- */

struct small {
    int32_t left[3], right[3], feature[3];
    int64_t samples[3];
    double threshold[3], impurity[3], value[6];
};

static enum status load(const struct small *small)
{
    const struct tensor tensors[] = {{"children_left", TENSOR_I32, 1, {3}, small->left},
                                     {"children_right", TENSOR_I32, 1, {3}, small->right},
                                     {"feature", TENSOR_I32, 1, {3}, small->feature},
                                     {"impurity", TENSOR_F64, 1, {3}, small->impurity},
                                     {"n_node_samples", TENSOR_I64, 1, {3}, small->samples},
                                     {"threshold", TENSOR_F64, 1, {3}, small->threshold},
                                     {"value", TENSOR_F64, 2, {3, 2}, small->value}};
    AUTO(cart_fini) struct cart cart;
    struct err err;
    TRY(cart_load(tensors, 7, 2, &cart, &err));
    return cart_check(&cart, 0, 3, 4, &err);
}

static void damaged_trees_are_refused(void **state)
{
    (void)state;
    const struct small sound = {.left = {1, -1, -1}, .right = {2, -1, -1}, .feature = {3, -2, -2}};
    assert_int_equal(load(&sound), OK);
    struct small small = sound;
    small.left[0] = 0; /* its own child */
    assert_int_equal(load(&small), E_CORRUPT);
    small = sound;
    small.left[0] = 3;
    assert_int_equal(load(&small), E_CORRUPT);
    small = sound;
    small.right[0] = -1;
    assert_int_equal(load(&small), E_CORRUPT);
    small = sound;
    small.left[2] = small.right[2] = 1; /* back up */
    assert_int_equal(load(&small), E_CORRUPT);
    small = sound;
    small.feature[0] = 4;
    assert_int_equal(load(&small), E_CORRUPT);
    small = sound;
    small.threshold[0] = NAN;
    assert_int_equal(load(&small), E_CORRUPT);
    small = sound;
    small.value[5] = INFINITY;
    assert_int_equal(load(&small), E_CORRUPT);
}

static void arrays_of_another_shape_are_refused(void **state)
{
    (void)state;
    static const double zeros[6];
    struct tensor tensors[] = {{"children_left", TENSOR_I32, 1, {3}, zeros},
                               {"children_right", TENSOR_I32, 1, {2}, zeros}};
    struct cart cart;
    struct err err;
    assert_int_equal(cart_load(tensors, 0, 2, &cart, &err), E_CORRUPT);
    assert_int_equal(cart_load(tensors, 2, 2, &cart, &err), E_CORRUPT);
    assert_non_null(strstr(err.text, "children_right"));
    cart_fini(&cart);
    tensors[0].shape[0] = 0;
    assert_int_equal(cart_load(tensors, 2, 2, &cart, &err), E_CORRUPT);
    cart_fini(&cart);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classifiers_equal_those_of_scikit_learn),
        cmocka_unit_test(regressors_equal_those_of_scikit_learn),
        cmocka_unit_test(limits_stop_the_growth),
        cmocka_unit_test(weights_count_as_repeated_rows),
        cmocka_unit_test(constant_columns_are_never_split),
        cmocka_unit_test(values_beyond_float_are_refused),
        cmocka_unit_test(a_tree_as_deep_as_its_rows_grows),
        cmocka_unit_test(damaged_trees_are_refused),
        cmocka_unit_test(arrays_of_another_shape_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
