// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { DRAWS = 20000 };

/* Full jitter: from 0 up to the bound, the bound included, and evenly. */
static void check_bound(const struct task_policy *policy, uint32_t retry, uint32_t bound)
{
    struct rng rng = rng_seed(retry);
    uint32_t least = UINT32_MAX, most = 0;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        uint32_t delay = retry_delay(policy, retry, &rng);
        least = delay < least ? delay : least;
        most = delay > most ? delay : most;
        sum += delay;
    }
    assert_true(most <= bound && most >= bound - bound / 100);
    assert_true(least <= bound / 100);
    uint64_t mean = sum / DRAWS;
    assert_true(mean > bound * 48ull / 100 && mean < bound * 52ull / 100);
}

static void test_doubles_up_to_the_maximum(void **state)
{
    (void)state;
    struct task_policy policy = {.backoff_ms = 1000, .backoff_max_ms = 5000};
    check_bound(&policy, 1, 1000);
    check_bound(&policy, 2, 2000);
    check_bound(&policy, 3, 4000);
    check_bound(&policy, 4, 5000);
    check_bound(&policy, 1000, 5000);
}

static void test_extremes(void **state)
{
    (void)state;
    struct rng rng = rng_seed(1);
    struct task_policy none = {.backoff_ms = 0, .backoff_max_ms = 1000};
    assert_int_equal(retry_delay(&none, 1, &rng), 0);
    assert_int_equal(retry_delay(&none, 60, &rng), 0);
    struct task_policy small_maximum = {.backoff_ms = 1000, .backoff_max_ms = 10};
    assert_true(retry_delay(&small_maximum, 1, &rng) <= 10);
    struct task_policy huge = {.backoff_ms = UINT32_MAX, .backoff_max_ms = UINT32_MAX};
    retry_delay(&huge, 1000, &rng);
}

static void test_same_seed_same_delays(void **state)
{
    (void)state;
    struct task_policy policy = {.backoff_ms = 1000, .backoff_max_ms = 60000};
    struct rng a = rng_seed(9), b = rng_seed(9);
    for (uint32_t i = 1; i < 100; i++)
        assert_int_equal(retry_delay(&policy, i, &a), retry_delay(&policy, i, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doubles_up_to_the_maximum),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_same_seed_same_delays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
