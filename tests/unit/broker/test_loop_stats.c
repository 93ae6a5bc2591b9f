// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"

enum { LONG_US = 1000000, LONGER_US = 2000000 };

static void the_longest_step_is_kept_with_its_event(void **state)
{
    (void)state;
    struct loop_stats stats = {0};
    loop_stats_step_end(&stats, SCHED_COMMITTED, clock_us() - LONGER_US);
    loop_stats_step_end(&stats, SCHED_TICK, clock_us() - LONG_US);
    assert_int_equal(stats.worst_step, SCHED_COMMITTED);
    assert_true(stats.worst_step_us >= LONGER_US);
}

static void what_comes_in_masses_is_not_timed(void **state)
{
    (void)state;
    struct loop_stats stats = {0};
    assert_int_equal(loop_stats_step_begin(SCHED_DONE), 0);
    assert_int_equal(loop_stats_step_begin(SCHED_RESOLVED), 0);
    assert_int_not_equal(loop_stats_step_begin(SCHED_COMMITTED), 0);
    loop_stats_step_end(&stats, SCHED_DONE, 0);
    assert_int_equal(stats.worst_step_us, 0);
}

static void the_longest_beat_is_kept(void **state)
{
    (void)state;
    struct loop_stats stats = {0};
    loop_stats_beat(&stats, clock_us() - LONGER_US);
    loop_stats_beat(&stats, clock_us() - LONG_US);
    assert_int_equal(stats.beats, 2);
    assert_true(stats.worst_beat_us >= LONGER_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_step_is_kept_with_its_event),
        cmocka_unit_test(what_comes_in_masses_is_not_timed),
        cmocka_unit_test(the_longest_beat_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
