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

/* Runs that want prepare -> train. One of them is stopped, with prepare in each of its stages: the
 * others don't notice. */

static void test_stopped_before_it_ran(void **state)
{
    (void)state;
    story_play("# Ready, and what waits for it waiting.\n"
               "given the state answers at once\n"
               "submit run 1: prepare -> train\n"
               "submit run 2: prepare -> train\n"
               "kill run 1\n"
               "> run 1 over\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> assign train#1 to w1\n"
               "w1 finishes train#1\n"
               "> run 2 over\n"
               "count run 1\n"
               "> 0 executed, 0 hit, 2 cancelled\n"
               "count run 2\n"
               "> 2 executed, 0 hit\n");
}

static void test_stopped_in_flight(void **state)
{
    (void)state;
    story_play("# Given to a worker, then running: nothing is asked back, nothing is killed.\n"
               "given the state answers at once\n"
               "submit run 1: prepare -> train\n"
               "submit run 2: prepare -> train\n"
               "submit run 3: prepare -> train\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "kill run 1\n"
               "> run 1 over\n"
               "w1 starts prepare#1\n"
               "kill run 2\n"
               "> run 2 over\n"
               "w1 finishes prepare#1\n"
               "> assign train#1 to w1\n"
               "w1 finishes train#1\n"
               "> run 3 over\n"
               "count run 3\n"
               "> 2 executed, 0 hit\n");
}

static void test_stopped_in_backoff(void **state)
{
    (void)state;
    story_play("# Between two attempts: the other run's retries are left to it.\n"
               "given the state answers at once\n"
               "given prepare has retry=1 backoff=1000\n"
               "submit run 1: prepare -> train\n"
               "submit run 2: prepare -> train\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 fails prepare#1: exit\n"
               "kill run 1\n"
               "> run 1 over\n"
               "time is 2000\n"
               "> assign prepare#2 to w1\n"
               "w1 finishes prepare#2\n"
               "> assign train#1 to w1\n"
               "w1 finishes train#1\n"
               "> run 2 over\n");
}

static void test_stopped_in_commit(void **state)
{
    (void)state;
    story_play("# While its record is written, and while what reads it is looked up.\n"
               "submit run 1: prepare -> train\n"
               "submit run 2: prepare -> train\n"
               "submit run 3: prepare -> train\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> persist prepare\n"
               "kill run 1\n"
               "> run 1 over\n"
               "the commit is durable\n"
               "> ack prepare to w1\n"
               "> resolve train\n"
               "kill run 2\n"
               "> run 2 over\n"
               "look-up of train: new\n"
               "> assign train#1 to w1\n"
               "w1 finishes train#1\n"
               "> persist train\n"
               "the commit is durable\n"
               "> ack train to w1\n"
               "> check 1 outputs of run 3\n"
               "check of run 3: all there\n"
               "> run 3 over\n");
}

static void test_stopped_at_the_end(void **state)
{
    (void)state;
    story_play("# When all is done, and the outputs are being looked at.\n"
               "submit run 1: prepare\n"
               "submit run 2: prepare\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> persist prepare\n"
               "the commit is durable\n"
               "> ack prepare to w1\n"
               "> check 1 outputs of run 2\n"
               "> check 1 outputs of run 1\n"
               "kill run 1\n"
               "check of run 2: all there\n"
               "> run 2 over\n"
               "check of run 1: all there\n"
               "> run 1 over\n");
}

static void test_stopped_by_all(void **state)
{
    (void)state;
    story_play("# When the last run that wants it is stopped, it is ended.\n"
               "given the state answers at once\n"
               "submit run 1: prepare -> train\n"
               "submit run 2: prepare -> train\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 starts prepare#1\n"
               "kill run 2\n"
               "> run 2 over\n"
               "kill run 1\n"
               "> kill prepare#1 at w1\n"
               "w1 fails prepare#1: cancelled\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 0 executed, 0 hit, 2 cancelled\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_within_a_run),
        cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_done_before),
        cmocka_unit_test(test_forced_again),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_stopped_before_it_ran),
        cmocka_unit_test(test_stopped_in_flight),
        cmocka_unit_test(test_stopped_in_backoff),
        cmocka_unit_test(test_stopped_in_commit),
        cmocka_unit_test(test_stopped_at_the_end),
        cmocka_unit_test(test_stopped_by_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
