/* Equal ids are one task. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_within_a_run(void **state)
{
    (void)state;
    story_play("# Two nodes of one run with one id: executed once, listed twice.\n"
               "# (twin' is a second node of twin.)\n"
               "given the state answers at once\n"
               "submit run 1: twin -> left, twin' -> right\n"
               "w1 joins: slots=2\n"
               "> assign twin#1 to w1\n"
               "w1 finishes twin#1\n"
               "> assign right#1 to w1\n"
               "> assign left#1 to w1\n"
               "w1 finishes left#1\n"
               "w1 finishes right#1\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 3 executed, 1 hit\n");
}

static void test_in_flight(void **state)
{
    (void)state;
    story_play("# Another run wants what is being worked on: it waits for the same attempt.\n"
               "given the state answers at once\n"
               "submit run 1: prepare -> train\n"
               "w1 joins: slots=2\n"
               "> assign prepare#1 to w1\n"
               "submit run 2: prepare -> report\n"
               "w1 finishes prepare#1\n"
               "> assign report#1 to w1\n"
               "> assign train#1 to w1\n"
               "w1 finishes train#1\n"
               "> run 1 over\n"
               "w1 finishes report#1\n"
               "> run 2 over\n"
               "count run 1\n"
               "> 2 executed, 0 hit\n"
               "count run 2\n"
               "> 1 executed, 1 hit\n");
}

static void test_done_before(void **state)
{
    (void)state;
    story_play("# What an earlier run of this broker made is there.\n"
               "given the state answers at once\n"
               "submit run 1: prepare\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> run 1 over\n"
               "submit run 2: prepare -> report\n"
               "> assign report#1 to w1\n"
               "w1 finishes report#1\n"
               "> run 2 over\n"
               "count run 2\n"
               "> 1 executed, 1 hit\n");
}

static void test_forced_again(void **state)
{
    (void)state;
    story_play("# A second run forces what the first made: it runs again,\n"
               "# and what the first run said stays.\n"
               "given the state answers at once\n"
               "submit run 1: prepare\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> run 1 over\n"
               "given prepare is forced\n"
               "submit run 2: prepare\n"
               "> assign prepare#2 to w1\n"
               "w1 finishes prepare#2\n"
               "> run 2 over\n"
               "count run 1\n"
               "> 1 executed, 0 hit\n"
               "count run 2\n"
               "> 1 executed, 0 hit\n");
}

static void test_forget(void **state)
{
    (void)state;
    story_play("# A forgotten run leaves what other runs have.\n"
               "given the state answers at once\n"
               "submit run 1: prepare -> train\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> assign train#1 to w1\n"
               "w1 finishes train#1\n"
               "> run 1 over\n"
               "submit run 2: prepare -> report\n"
               "> assign report#1 to w1\n"
               "forget run 1\n"
               "w1 finishes report#1\n"
               "> run 2 over\n"
               "count run 2\n"
               "> 1 executed, 1 hit\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_within_a_run), cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_done_before),  cmocka_unit_test(test_forced_again),
        cmocka_unit_test(test_forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
