// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/schemas.h"
#include "tests/unit/worker/models/example.h"
#include "worker/models/model_list.h"

static struct random_forest_params defaults(void)
{
    struct example_params params;
    struct random_forest_params out;
    example_params(&model_random_forest, &params, NULL);
    memcpy(&out, params.bytes, sizeof out);
    out.n_estimators = 5;
    return out;
}

static struct fitted *fit(const struct random_forest_params *params)
{
    struct fitted *fitted;
    struct err err = {0};
    struct fit_input input = example_iris(0, EXAMPLE_ROWS);
    input.params = params;
    if (model_random_forest.fit(&input, NULL, &fitted, &err) != OK)
        fail_msg("%s", err.text);
    return fitted;
}

static uint64_t hash_with(const struct random_forest_params *params)
{
    struct fitted *fitted = fit(params);
    uint64_t hash = example_hash(fitted);
    fitted->model->free(fitted);
    return hash;
}

static void the_seed_decides_the_forest(void **state)
{
    (void)state;
    struct random_forest_params params = defaults();
    uint64_t first = hash_with(&params);
    assert_true(hash_with(&params) == first);
    params.seed = 1;
    assert_true(hash_with(&params) != first);
    params.seed = 0;
    params.bootstrap = false;
    assert_true(hash_with(&params) != first);
}

/* So that a larger forest is the smaller one and more. */
static void the_first_trees_do_not_depend_on_how_many_follow(void **state)
{
    (void)state;
    struct random_forest_params params = defaults();
    struct fitted *small = fit(&params);
    params.n_estimators = 9;
    struct fitted *large = fit(&params);
    struct tensor a[8], b[8];
    assert_int_equal(small->model->save(small, a, 8), 8);
    assert_int_equal(large->model->save(large, b, 8), 8);
    assert_true(b[0].shape[0] > a[0].shape[0]);
    assert_memory_equal(a[0].data, b[0].data, a[0].shape[0] * sizeof(int32_t));
    small->model->free(small);
    large->model->free(large);
}

/* All features, all rows: every tree is the single tree. */
static void without_sampling_it_is_one_tree(void **state)
{
    (void)state;
    struct random_forest_params params = defaults();
    struct value all = value_int(EXAMPLE_COLUMNS);
    params.bootstrap = false;
    params.has_max_features = true;
    params.max_features = &all;
    struct fitted *forest = fit(&params), *tree;
    struct example_params tree_params;
    example_params(&model_decision_tree, &tree_params, NULL);
    struct fit_input input = example_iris(0, EXAMPLE_ROWS);
    input.params = tree_params.bytes;
    assert_int_equal(model_decision_tree.fit(&input, NULL, &tree, NULL), OK);
    double a[EXAMPLE_ROWS * 3], b[EXAMPLE_ROWS * 3];
    assert_int_equal(forest->model->predict(forest, &input.features, a, NULL), OK);
    assert_int_equal(tree->model->predict(tree, &input.features, b, NULL), OK);
    assert_memory_equal(a, b, sizeof a);
    forest->model->free(forest);
    tree->model->free(tree);
}

static enum status load(struct tensor *tensors, size_t count)
{
    struct fitted *loaded;
    enum status status = model_random_forest.load(tensors, count, 4, 3, &loaded, NULL);
    if (status == OK)
        model_random_forest.free(loaded);
    else
        assert_null(loaded);
    return status;
}

static void damaged_forests_are_refused(void **state)
{
    (void)state;
    struct random_forest_params params = defaults();
    struct fitted *fitted = fit(&params);
    struct tensor tensors[8];
    assert_int_equal(fitted->model->save(fitted, tensors, 8), 8);
    assert_int_equal(load(tensors, 8), OK);
    assert_int_equal(load(tensors, 7), E_CORRUPT);
    int64_t first[6], sound[6];
    memcpy(sound, tensors[7].data, sizeof sound);
    tensors[7].data = first;
    for (size_t i = 0; i < 6; i++) {
        memcpy(first, sound, sizeof first);
        first[i] += i == 3 ? 1000000 : i == 4 ? -1000000 : 1;
        assert_int_equal(load(tensors, 8), E_CORRUPT);
    }
    memcpy(first, sound, sizeof first);
    first[2] = first[1]; /* a tree without nodes */
    assert_int_equal(load(tensors, 8), E_CORRUPT);
    tensors[7].shape[0] = 1;
    assert_int_equal(load(tensors, 8), E_CORRUPT);
    fitted->model->free(fitted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_seed_decides_the_forest),
        cmocka_unit_test(the_first_trees_do_not_depend_on_how_many_follow),
        cmocka_unit_test(without_sampling_it_is_one_tree),
        cmocka_unit_test(damaged_forests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
