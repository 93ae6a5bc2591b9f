/* Cores that this process may run on. */
// SPDX-License-Identifier: Apache-2.0
#include "common/cores.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void what_it_may_not_run_on_does_not_count(void **state)
{
    (void)state;
    cpu_set_t all, one;
    size_t core = 0;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_int_equal(cores_count(), CPU_COUNT(&all));
    while (!CPU_ISSET(core, &all))
        core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    uint32_t count = cores_count();
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_may_not_run_on_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
