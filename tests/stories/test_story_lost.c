/* Blobs that the store should have, and has not. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_input(void **state)
{
    (void)state;
    story_play("# An input is missing: its record is forgotten, its producer runs again,\n"
               "# then the consumer.\n"
               "given the state answers at once\n"
               "given prepare is known\n"
               "submit run 1: prepare -> train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 misses prepare for train#1\n"
               "> forget prepare\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> assign train#2 to w1\n"
               "w1 finishes train#2\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 2 executed, 0 hit\n");
}

static void test_deep(void **state)
{
    (void)state;
    story_play("# The producer's own input was never needed: now it is.\n"
               "given the state answers at once\n"
               "given prepare is known\n"
               "submit run 1: fetch -> prepare -> train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "count run 1\n"
               "> 0 executed, 1 hit, 1 ready, 1 unneeded\n"
               "w1 misses prepare for train#1\n"
               "> forget prepare\n"
               "> assign fetch#1 to w1\n"
               "w1 finishes fetch#1\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> assign train#2 to w1\n"
               "w1 finishes train#2\n"
               "> run 1 over\n");
}

static void test_consumers_wait(void **state)
{
    (void)state;
    story_play("# Others that were ready to use the lost bytes wait too.\n"
               "given the state answers at once\n"
               "given prepare is known\n"
               "submit run 1: prepare -> a, prepare -> b, prepare -> c\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 misses prepare for a#1\n"
               "> forget prepare\n"
               "> assign prepare#1 to w1\n"
               "why c?\n"
               "> waits for prepare, which was given to w1 and has not begun\n"
               "w1 misses prepare for b#1\n"
               "w1 finishes prepare#1\n"
               "> assign a#2 to w1\n"
               "> assign b#2 to w1\n"
               "w1 finishes a#2\n"
               "> assign c#1 to w1\n");
}

static void test_again_and_again(void **state)
{
    (void)state;
    story_play(
        "# Bytes that vanish whenever they are made: in the end that is an error, not a loop.\n"
        "given the state answers at once\n"
        "given prepare is known\n"
        "submit run 1: prepare -> train\n"
        "w1 joins: slots=1\n"
        "> assign train#1 to w1\n"
        "w1 misses prepare for train#1\n"
        "> forget prepare\n"
        "> assign prepare#1 to w1\n"
        "w1 finishes prepare#1\n"
        "> assign train#2 to w1\n"
        "w1 misses prepare for train#2\n"
        "> forget prepare\n"
        "> assign prepare#2 to w1\n"
        "w1 finishes prepare#2\n"
        "> assign train#3 to w1\n"
        "w1 misses prepare for train#3\n"
        "> forget prepare\n"
        "> assign prepare#3 to w1\n"
        "w1 finishes prepare#3\n"
        "> assign train#4 to w1\n"
        "w1 misses prepare for train#4\n"
        "> forget prepare\n"
        "> run 1 over\n"
        "why prepare?\n"
        "> failed after 3 attempts: lost: its outputs vanish from the store every time they are "
        "made\n"
        "why train?\n"
        "> failed after 4 attempts: lost\n"
        "count run 1\n"
        "> 0 executed, 0 hit, 2 failed\n");
}

static void test_last_outputs(void **state)
{
    (void)state;
    story_play(
        "# Before a run is over its last outputs are looked for; what is missing is made again.\n"
        "given prepare is known\n"
        "given report is known\n"
        "submit run 1: prepare -> report\n"
        "> check 1 outputs of run 1\n"
        "w1 joins: slots=1\n"
        "check of run 1: report is missing\n"
        "> forget report\n"
        "> assign report#1 to w1\n"
        "w1 finishes report#1\n"
        "> replace report\n"
        "the commit is durable\n"
        "> ack report to w1\n"
        "> check 1 outputs of run 1\n"
        "check of run 1: all there\n"
        "> run 1 over\n"
        "count run 1\n"
        "> 1 executed, 1 hit\n");
}

static void test_lost_after_the_source_was_stopped(void **state)
{
    (void)state;
    story_play(
        "# prepare was being made again for a run that was stopped; what was made of it stays.\n"
        "# A later run has a new prepare, and uses it when train's bytes are gone as well.\n"
        "given the state answers at once\n"
        "submit run 1: prepare -> train, prepare -> score\n"
        "w1 joins: slots=1\n"
        "> assign prepare#1 to w1\n"
        "w1 finishes prepare#1\n"
        "> assign train#1 to w1\n"
        "> assign score#1 to w1\n"
        "w1 finishes train#1\n"
        "w1 misses prepare for score#1\n"
        "> forget prepare\n"
        "> assign prepare#2 to w1\n"
        "kill run 1\n"
        "> kill prepare#2 at w1\n"
        "w1 fails prepare#2: cancelled\n"
        "> run 1 over\n"
        "submit run 2: prepare -> train -> report\n"
        "> assign report#1 to w1\n"
        "w1 misses train for report#1\n"
        "> forget train\n"
        "> assign prepare#3 to w1\n"
        "w1 finishes prepare#3\n"
        "> assign train#2 to w1\n"
        "w1 finishes train#2\n"
        "> assign report#2 to w1\n"
        "w1 finishes report#2\n"
        "> run 2 over\n");
}

static void test_made_again_meanwhile(void **state)
{
    (void)state;
    story_play(
        "# prepare is made again while b is at w1, perhaps of other bytes: before b is given to\n"
        "# anybody again it is looked up by those that there are now.\n"
        "given prepare is known\n"
        "submit run 1: prepare -> a, prepare -> b\n"
        "> resolve a\n"
        "> resolve b\n"
        "look-up of a: new\n"
        "look-up of b: new\n"
        "w1 joins: slots=1\n"
        "> assign a#1 to w1\n"
        "> assign b#1 to w1\n"
        "w2 joins: slots=1\n"
        "> revoke b#1 from w1\n"
        "w1 misses prepare for a#1\n"
        "> forget prepare\n"
        "> ack a to w1\n"
        "> assign prepare#1 to w2\n"
        "w2 finishes prepare#1\n"
        "> replace prepare\n"
        "the commit is durable\n"
        "> ack prepare to w2\n"
        "> resolve a\n"
        "look-up of a: new\n"
        "> assign a#2 to w2\n"
        "w1 hands back b#1\n"
        "> resolve b\n"
        "look-up of b: new\n"
        "> assign b#2 to w1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_consumers_wait),
        cmocka_unit_test(test_again_and_again),
        cmocka_unit_test(test_last_outputs),
        cmocka_unit_test(test_lost_after_the_source_was_stopped),
        cmocka_unit_test(test_made_again_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
