/* A task that fails, and the rest that goes on. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_branches(void **state)
{
    (void)state;
    story_play("# What depends on the failed task can't run; the other branch does.\n"
               "given the state answers at once\n"
               "given changes are shown\n"
               "submit run 1: prepare -> bad -> below -> bottom, prepare -> good\n"
               "w1 joins: slots=2\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> publish prepare succeeded\n"
               "> assign bad#1 to w1\n"
               "> assign good#1 to w1\n"
               "w1 fails bad#1: exit\n"
               "> publish bad failed: exit\n"
               "> publish below upstream_failed\n"
               "> publish bottom upstream_failed\n"
               "why bottom?\n"
               "> cannot run, since it needs bad, which failed\n"
               "w1 finishes good#1\n"
               "> publish good succeeded\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 2 executed, 0 hit, 1 failed, 2 upstream_failed\n");
}

static void test_join_fails(void **state)
{
    (void)state;
    story_play("# A join with one failed input fails with it, once.\n"
               "given the state answers at once\n"
               "given changes are shown\n"
               "submit run 1: a + b -> join\n"
               "w1 joins: slots=2\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 fails a#1: exit\n"
               "> publish a failed: exit\n"
               "> publish join upstream_failed\n"
               "w1 fails b#1: exit\n"
               "> publish b failed: exit\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 0 executed, 0 hit, 2 failed, 1 upstream_failed\n");
}

static void test_next_run_tries_again(void **state)
{
    (void)state;
    story_play("# A failure is remembered for its run alone: the next run tries again.\n"
               "given the state answers at once\n"
               "submit run 1: bad -> below\n"
               "w1 joins: slots=1\n"
               "> assign bad#1 to w1\n"
               "w1 fails bad#1: exit\n"
               "> run 1 over\n"
               "submit run 2: bad -> below\n"
               "> assign bad#2 to w1\n"
               "w1 finishes bad#2\n"
               "> assign below#1 to w1\n"
               "w1 finishes below#1\n"
               "> run 2 over\n"
               "count run 1\n"
               "> 0 executed, 0 hit, 1 failed, 1 upstream_failed\n"
               "count run 2\n"
               "> 2 executed, 0 hit\n");
}

static void test_gather(void **state)
{
    (void)state;
    story_play("# A gather of four waits for the last of them.\n"
               "given the state answers at once\n"
               "submit run 1: a + b + c + d -> all\n"
               "w1 joins: slots=4\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign c#1 to w1\n"
               "> assign d#1 to w1\n"
               "w1 finishes a#1\n"
               "w1 finishes d#1\n"
               "w1 finishes c#1\n"
               "why all?\n"
               "> waits for b, which was given to w1 and has not begun\n"
               "w1 finishes b#1\n"
               "> assign all#1 to w1\n"
               "w1 finishes all#1\n"
               "> run 1 over\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_branches),
        cmocka_unit_test(test_join_fails),
        cmocka_unit_test(test_next_run_tries_again),
        cmocka_unit_test(test_gather),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
