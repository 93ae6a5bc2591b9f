/* Who goes first. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_priority(void **state)
{
    (void)state;
    story_play("# Priority before everything.\n"
               "given b has priority=1\n"
               "given c has priority=2\n"
               "submit run 1: a, b, c\n"
               "w1 joins: slots=1\n"
               "> assign c#1 to w1\n"
               "> assign b#1 to w1\n");
}

static void test_critical_path(void **state)
{
    (void)state;
    story_play("# Among equals, what most work waits for.\n"
               "submit run 1: short, long -> x -> y, middle -> z\n"
               "w1 joins: slots=3\n"
               "> assign long#1 to w1\n"
               "> assign middle#1 to w1\n"
               "> assign short#1 to w1\n");
}

static void test_age(void **state)
{
    (void)state;
    story_play("# Then what has been ready for longest.\n"
               "given the state answers at once\n"
               "submit run 1: a, b, c\n"
               "w1 joins: slots=1 credit=1\n"
               "> assign a#1 to w1\n"
               "time is 10\n"
               "w1 finishes a#1\n"
               "> assign b#1 to w1\n"
               "w1 fails b#1: exit\n"
               "> assign c#1 to w1\n");
}

static void test_runs_in_turn(void **state)
{
    (void)state;
    story_play("# Runs take turns; a large one does not starve a small one.\n"
               "submit run 1: a, b, c, d\n"
               "submit run 2: x, y\n"
               "w1 joins: slots=3\n"
               "> assign a#1 to w1\n"
               "> assign x#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign y#1 to w1\n"
               "> assign c#1 to w1\n"
               "> assign d#1 to w1\n");
}

static void test_urgent_run(void **state)
{
    (void)state;
    story_play("# A run of higher priority goes before the turns of others.\n"
               "given x has priority=5\n"
               "given y has priority=5\n"
               "submit run 1: a, b\n"
               "submit run 2: x, y\n"
               "w1 joins: slots=2\n"
               "> assign x#1 to w1\n"
               "> assign y#1 to w1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priority),   cmocka_unit_test(test_critical_path),
        cmocka_unit_test(test_age),        cmocka_unit_test(test_runs_in_turn),
        cmocka_unit_test(test_urgent_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
