// SPDX-License-Identifier: Apache-2.0
#include "common/base/side.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/base/rng.h"

enum { KEYS = 3000 };

/* Puts, replaces and removes at random; after each the map says what an array says. */
static void test_random_against_an_array(void **state)
{
    (void)state;
    struct side side = {0};
    uint32_t model[KEYS], count = 0;
    struct rng rng = rng_seed(11);
    for (uint32_t i = 0; i < KEYS; i++)
        model[i] = SIDE_NONE;
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t key = rng_below(&rng, KEYS);
        if (rng_below(&rng, 2)) {
            count += model[key] == SIDE_NONE;
            model[key] = i;
            side_put(&side, key, i);
        } else {
            count -= model[key] != SIDE_NONE;
            model[key] = SIDE_NONE;
            side_remove(&side, key);
        }
        uint32_t other = rng_below(&rng, KEYS);
        assert_int_equal(side_get(&side, other), model[other]);
        assert_int_equal(side.count, count);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        assert_int_equal(side_get(&side, i), model[i]);
    side_fini(&side);
}

static void test_empty(void **state)
{
    (void)state;
    struct side side = {0};
    assert_int_equal(side_get(&side, 7), SIDE_NONE);
    side_remove(&side, 7);
    side_put(&side, UINT32_MAX, 0);
    assert_int_equal(side_get(&side, UINT32_MAX), 0);
    side_fini(&side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_against_an_array),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
