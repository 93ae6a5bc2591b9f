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

static void test_grown_path(void **state)
{
    (void)state;
    story_play(
        "# A later run hangs a long path on a task that is ready already: it goes first now,\n"
        "# and so does what the path needs further up.\n"
        "submit run 1: a, b, c -> d\n"
        "submit run 2: b -> e -> f -> g, c -> d -> h -> i -> j\n"
        "w1 joins: slots=3 credit=3\n"
        "> assign c#1 to w1\n"
        "> assign b#1 to w1\n"
        "> assign a#1 to w1\n");
}

static void test_grown_path_in_flight(void **state)
{
    (void)state;
    story_play("# What is at a worker already keeps the rank for when it comes back.\n"
               "given the state answers at once\n"
               "submit run 1: a, b, c\n"
               "w1 joins: slots=1 credit=2\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "submit run 2: b -> x -> y\n"
               "w1 says goodbye\n"
               "w2 joins: slots=1 credit=1\n"
               "> assign b#2 to w2\n");
}

static void test_small_beside_large(void **state)
{
    (void)state;
    story_play("# A small run beside a large one that had every slot: it gets each that is free\n"
               "# until it has as many as the other.\n"
               "given the state answers at once\n"
               "submit run 1: a, b, c, d, e, f, g, h, i, j, k, l\n"
               "w1 joins: slots=2 credit=4\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign c#1 to w1\n"
               "> assign d#1 to w1\n"
               "submit run 2: x, y, z\n"
               "w1 finishes a#1\n"
               "> assign x#1 to w1\n"
               "w1 finishes b#1\n"
               "> assign y#1 to w1\n"
               "w1 finishes c#1\n"
               "> assign e#1 to w1\n"
               "w1 finishes x#1\n"
               "> assign z#1 to w1\n"
               "w1 finishes y#1\n"
               "> assign f#1 to w1\n"
               "w1 finishes z#1\n"
               "> assign g#1 to w1\n"
               "> run 2 over\n");
}

static void test_long_beside_short(void **state)
{
    (void)state;
    story_play("# A run of long tasks holds its slots and no more; short ones pass through the "
               "rest.\n"
               "given the state answers at once\n"
               "submit run 1: l1, l2, l3, l4, l5, l6\n"
               "submit run 2: s1, s2, s3, s4, s5, s6\n"
               "w1 joins: slots=4 credit=4\n"
               "> assign l1#1 to w1\n"
               "> assign s1#1 to w1\n"
               "> assign l2#1 to w1\n"
               "> assign s2#1 to w1\n"
               "w1 finishes s1#1\n"
               "> assign s3#1 to w1\n"
               "w1 finishes s2#1\n"
               "> assign s4#1 to w1\n"
               "w1 finishes s3#1\n"
               "> assign s5#1 to w1\n"
               "w1 finishes l1#1\n"
               "> assign l3#1 to w1\n");
}

static void test_three_priorities(void **state)
{
    (void)state;
    story_play("# Three priorities: however little an urgent run has in flight, what is more\n"
               "# urgent goes first; of equals the one with less in flight.\n"
               "given a has priority=2\n"
               "given b has priority=2\n"
               "given c has priority=2\n"
               "given x has priority=1\n"
               "given y has priority=1\n"
               "submit run 1: a, b, x, m\n"
               "submit run 2: c, y, n\n"
               "w1 joins: slots=7\n"
               "> assign a#1 to w1\n"
               "> assign c#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign y#1 to w1\n"
               "> assign x#1 to w1\n"
               "> assign n#1 to w1\n"
               "> assign m#1 to w1\n");
}

static void test_shared_in_flight(void **state)
{
    (void)state;
    story_play("# A task in flight that changes its owner is in flight for the new one.\n"
               "given the state answers at once\n"
               "submit run 1: a\n"
               "w1 joins: slots=1 credit=2\n"
               "> assign a#1 to w1\n"
               "submit run 2: a, b, c\n"
               "> assign b#1 to w1\n"
               "cancel run 1\n"
               "> run 1 over\n"
               "submit run 3: x\n"
               "w1 finishes b#1\n"
               "> assign x#1 to w1\n");
}

static void test_shared_with_urgent(void **state)
{
    (void)state;
    story_play("# What an urgent run needs goes first, though a run that is not had it before;\n"
               "# when the urgent one is stopped, it goes back to where it was.\n"
               "given the state answers at once\n"
               "submit run 1: a, b, c, prepare\n"
               "given prepare has priority=5\n"
               "submit run 2: prepare\n"
               "w1 joins: slots=1 credit=1\n"
               "> assign prepare#1 to w1\n"
               "w1 hands back prepare#1\n"
               "> assign prepare#2 to w1\n"
               "w1 starts prepare#2\n"
               "kill run 2\n"
               "> run 2 over\n"
               "w1 goes away\n"
               "w1 joins: slots=1 credit=1\n"
               "> assign a#1 to w1\n");
}

static void test_keeps_its_age(void **state)
{
    (void)state;
    story_play("# What a lost worker had is older than what became ready later; so is what was\n"
               "# handed back.\n"
               "given the state answers at once\n"
               "submit run 1: a, b, c, d, e\n"
               "w1 joins: slots=1 credit=3\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 starts a#1\n"
               "time is 10\n"
               "w1 goes away\n"
               "w2 joins: slots=1 credit=1\n"
               "> assign a#2 to w2\n"
               "time is 20\n"
               "w2 hands back a#2\n"
               "> assign a#3 to w2\n"
               "w2 finishes a#3\n"
               "> assign b#2 to w2\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priority),
        cmocka_unit_test(test_critical_path),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_runs_in_turn),
        cmocka_unit_test(test_urgent_run),
        cmocka_unit_test(test_grown_path),
        cmocka_unit_test(test_grown_path_in_flight),
        cmocka_unit_test(test_small_beside_large),
        cmocka_unit_test(test_long_beside_short),
        cmocka_unit_test(test_three_priorities),
        cmocka_unit_test(test_shared_in_flight),
        cmocka_unit_test(test_shared_with_urgent),
        cmocka_unit_test(test_keeps_its_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
