/* How a run goes when nothing goes wrong. Read these first. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_chain(void **state)
{
    (void)state;
    story_play("# A chain runs one after the other, and nothing is shown before it is durable.\n"
               "given changes are shown\n"
               "submit run 1: prepare -> train\n"
               "w1 joins: slots=2\n"
               "> assign prepare#1 to w1\n"
               "w1 starts prepare#1\n"
               "> publish prepare running\n"
               "w1 finishes prepare#1\n"
               "> persist prepare\n"
               "the commit is durable\n"
               "> ack prepare to w1\n"
               "> publish prepare succeeded\n"
               "> resolve train\n"
               "look-up of train: new\n"
               "> assign train#1 to w1\n"
               "w1 starts train#1\n"
               "> publish train running\n"
               "w1 finishes train#1\n"
               "> persist train\n"
               "the commit is durable\n"
               "> ack train to w1\n"
               "> publish train succeeded\n"
               "> check 1 outputs of run 1\n"
               "check of run 1: all there\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 2 executed, 0 hit\n");
}

static void test_diamond(void **state)
{
    (void)state;
    story_play("# Two branches run side by side; what joins them waits for both.\n"
               "given the state answers at once\n"
               "submit run 1: prepare -> left + right -> join\n"
               "w1 joins: slots=2\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> assign left#1 to w1\n"
               "> assign right#1 to w1\n"
               "w1 finishes right#1\n"
               "why join?\n"
               "> waits for left, which was given to w1 and has not begun\n"
               "w1 finishes left#1\n"
               "> assign join#1 to w1\n"
               "w1 finishes join#1\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 4 executed, 0 hit\n");
}

static void test_second_time(void **state)
{
    (void)state;
    story_play("# The same command again: every task is a hit, and no worker is needed.\n"
               "given the state answers at once\n"
               "given prepare is known\n"
               "given train is known\n"
               "submit run 1: prepare -> train\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 0 executed, 2 hit\n"
               "why train?\n"
               "> has run before, with the same inputs\n");
}

static void test_ancestors_of_hits(void **state)
{
    (void)state;
    story_play("# Work is what the targets need: what made a hit is not made again.\n"
               "given the state answers at once\n"
               "given train is known\n"
               "submit run 1: prepare -> train -> report\n"
               "w1 joins: slots=1\n"
               "> assign report#1 to w1\n"
               "w1 finishes report#1\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 1 executed, 1 hit, 1 unneeded\n"
               "why prepare?\n"
               "> is not needed: what would use it is there\n");
}

static void test_forced(void **state)
{
    (void)state;
    story_play("# A forced task ignores its record, is not looked up, and replaces it.\n"
               "given train is known\n"
               "given train is forced\n"
               "given prepare is known\n"
               "submit run 1: prepare -> train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 finishes train#1\n"
               "> replace train\n"
               "the commit is durable\n"
               "> ack train to w1\n"
               "> check 1 outputs of run 1\n"
               "check of run 1: all there\n"
               "> run 1 over\n");
}

static void test_targets(void **state)
{
    (void)state;
    story_play("# Only what the named targets need is worked on.\n"
               "given the state answers at once\n"
               "given targets are left\n"
               "submit run 1: prepare -> left, prepare -> right\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> assign left#1 to w1\n"
               "w1 finishes left#1\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 2 executed, 0 hit, 1 unneeded\n");
}

static void test_progress(void **state)
{
    (void)state;
    story_play("# What a worker tells of its progress is shown at once; it is no promise.\n"
               "given the state answers at once\n"
               "given changes are shown\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 is at 3 of 10 in train#1\n"
               "> publish train running\n"
               "w1 finishes train#1\n"
               "> publish train succeeded\n"
               "> run 1 over\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),       cmocka_unit_test(test_diamond),
        cmocka_unit_test(test_second_time), cmocka_unit_test(test_ancestors_of_hits),
        cmocka_unit_test(test_forced),      cmocka_unit_test(test_targets),
        cmocka_unit_test(test_progress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
