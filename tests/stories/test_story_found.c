/* What the simulator found (tests/sim/), told shortly. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_unneeded_beside_a_failure(void **state)
{
    (void)state;
    story_play(
        "# What nobody needed when its input failed is needed by a run that tries that again:\n"
        "# it waits for the new attempt, not for the one that failed.\n"
        "given the state answers at once\n"
        "given targets are left\n"
        "submit run 1: prepare -> left, prepare -> right\n"
        "w1 joins: slots=1\n"
        "> assign prepare#1 to w1\n"
        "w1 fails prepare#1: invalid\n"
        "> run 1 over\n"
        "submit run 2: prepare -> left, prepare -> right\n"
        "> assign prepare#2 to w1\n"
        "forget run 1\n"
        "w1 finishes prepare#2\n"
        "> assign left#1 to w1\n"
        "> assign right#1 to w1\n"
        "w1 finishes right#1\n"
        "w1 finishes left#1\n"
        "> run 2 over\n");
}

static void test_forced_beside_a_failure(void **state)
{
    (void)state;
    story_play(
        "# What is forced hangs on an input that was lost, and failed when it was made again:\n"
        "# it waits for the attempt of its own run.\n"
        "given the state answers at once\n"
        "submit run 1: prepare -> late, prepare -> train\n"
        "w1 joins: slots=2\n"
        "> assign prepare#1 to w1\n"
        "w1 finishes prepare#1\n"
        "> assign late#1 to w1\n"
        "> assign train#1 to w1\n"
        "w1 finishes train#1\n"
        "w1 misses prepare for late#1\n"
        "> forget prepare\n"
        "> assign prepare#2 to w1\n"
        "w1 fails prepare#2: invalid\n"
        "> run 1 over\n"
        "given train is forced\n"
        "submit run 2: prepare -> train\n"
        "> assign prepare#3 to w1\n"
        "w1 finishes prepare#3\n"
        "> assign train#2 to w1\n"
        "w1 finishes train#2\n"
        "> run 2 over\n");
}

static void test_failed_and_listed(void **state)
{
    (void)state;
    story_play("# It reconnects before it hears that its failure was understood, and lists it:\n"
               "# nobody must wait for that attempt again.\n"
               "given the state answers at once\n"
               "given train has retry=1 backoff=500\n"
               "given zeal has retry=1 backoff=500\n"
               "submit run 1: train + zeal -> report\n"
               "w1 joins: slots=2\n"
               "> assign train#1 to w1\n"
               "> assign zeal#1 to w1\n"
               "w1 fails zeal#1: exit\n"
               "w1 joins again: slots=2 running=train#1,zeal#1\n"
               "> kill zeal#1 at w1\n"
               "time is 1000\n"
               "> assign zeal#2 to w1\n"
               "w1 joins again: slots=2 running=train#1,zeal#2\n"
               "w1 fails train#1: exit\n"
               "w1 joins again: slots=2 running=train#1,zeal#2\n"
               "> kill train#1 at w1\n");
}

static void test_listed_twice(void **state)
{
    (void)state;
    story_play("# A frame that came twice may make a worker hold an attempt twice, and say so.\n"
               "given the state answers at once\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 goes away\n"
               "w1 joins again: slots=1 running=train#1,train#1\n"
               "w1 finishes train#1\n"
               "> run 1 over\n");
}

static void test_killed_while_away(void **state)
{
    (void)state;
    story_play("# It was silent, and did as it was told: what it ended is no failure.\n"
               "given the state answers at once\n"
               "given leases of 1000 ms\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 starts train#1\n"
               "time is 1000\n"
               "> kill train#1 at w1\n"
               "w1 joins again: slots=1 running=train#1\n"
               "w1 fails train#1: cancelled\n"
               "> assign train#2 to w1\n"
               "w1 finishes train#2\n"
               "> run 1 over\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unneeded_beside_a_failure),
        cmocka_unit_test(test_forced_beside_a_failure),
        cmocka_unit_test(test_failed_and_listed),
        cmocka_unit_test(test_listed_twice),
        cmocka_unit_test(test_killed_while_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
