/* Who gets what. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_kinds(void **state)
{
    (void)state;
    story_play("# A task goes only to a worker that offers its exact kind.\n"
               "given train has kind=train@2\n"
               "submit run 1: train\n"
               "w1 joins: slots=1 kinds=train@1\n"
               "why train?\n"
               "> needs kind train@2; the only worker offers version 1\n"
               "w2 joins: slots=1 kinds=preprocess@1,train@2\n"
               "> assign train#1 to w2\n");
}

static void test_labels_and_size(void **state)
{
    (void)state;
    story_play("# Labels, cores and memory have to fit.\n"
               "given train has label=zone:a cpu=400 memory=8000\n"
               "submit run 1: train\n"
               "w1 joins: slots=1 labels=zone:b cpu=800 memory=9000\n"
               "w2 joins: slots=1 labels=zone:a cpu=200 memory=9000\n"
               "w3 joins: slots=1 labels=zone:a cpu=400 memory=4000\n"
               "why train?\n"
               "> needs label zone=a, 4 cpu, memory 7.8 KiB; no worker has all of that; 3 are "
               "connected\n"
               "w4 joins: slots=1 labels=zone:a cpu=400 memory=8000\n"
               "> assign train#1 to w4\n");
}

static void test_spread(void **state)
{
    (void)state;
    story_play("# Free slots first, one task each in turn; then a little ahead.\n"
               "w1 joins: slots=1\n"
               "w2 joins: slots=1\n"
               "w3 joins: slots=2\n"
               "submit run 1: a, b, c, d, e, f, g\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w2\n"
               "> assign c#1 to w3\n"
               "> assign d#1 to w3\n"
               "> assign e#1 to w1\n"
               "> assign f#1 to w2\n"
               "> assign g#1 to w3\n");
}

static void test_credit(void **state)
{
    (void)state;
    story_play("# Never more than the worker's credit; room comes with the acknowledgement.\n"
               "submit run 1: a, b, c, d\n"
               "w1 joins: slots=2 credit=2\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 finishes a#1\n"
               "> persist a\n"
               "the commit is durable\n"
               "> ack a to w1\n"
               "> assign c#1 to w1\n");
}

static void test_goodbye(void **state)
{
    (void)state;
    story_play("# A worker that drains hands back its tasks; nobody is blamed.\n"
               "given the state answers at once\n"
               "given a has poison=1\n"
               "submit run 1: a, b\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 starts a#1\n"
               "w1 says goodbye\n"
               "w2 joins: slots=2\n"
               "> assign a#2 to w2\n"
               "> assign b#2 to w2\n");
}

static void test_came_back(void **state)
{
    (void)state;
    story_play("# A worker that lost its connection comes back and goes on with what it runs.\n"
               "given the state answers at once\n"
               "given leases of 1000 ms\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 starts train#1\n"
               "w1 goes away\n"
               "w1 joins again: slots=1 running=train#1\n"
               "w1 finishes train#1\n"
               "> run 1 over\n");
}

static void test_came_back_late(void **state)
{
    (void)state;
    story_play("# When it comes back somebody else has begun: there can only be one.\n"
               "given the state answers at once\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 starts train#1\n"
               "w1 goes away\n"
               "w2 joins: slots=1\n"
               "> assign train#2 to w2\n"
               "w1 joins again: slots=1 running=train#1\n"
               "> kill train#1 at w1\n"
               "w2 finishes train#2\n"
               "> run 1 over\n");
}

static void test_new_connection(void **state)
{
    (void)state;
    story_play("# The same program under a new connection, before the old one was seen to end:\n"
               "# what it still runs moves with it, what it lost is given again.\n"
               "given the state answers at once\n"
               "submit run 1: a, b\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 starts a#1\n"
               "w2 joins as w1: slots=1 running=a#1\n"
               "> assign b#2 to w2\n"
               "w1 goes away\n"
               "w2 finishes a#1\n"
               "w2 finishes b#2\n"
               "> run 1 over\n");
}

static void test_adopted(void **state)
{
    (void)state;
    story_play("# A broker that was restarted adopts what a worker still runs.\n"
               "given the state answers at once\n"
               "submit run 1: train\n"
               "w1 joins: slots=1 running=train#3\n"
               "w1 finishes train#3\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 1 executed, 0 hit\n");
}

static void test_nobody_elses(void **state)
{
    (void)state;
    story_play("# What nobody wants any more is ended at the worker.\n"
               "given the state answers at once\n"
               "given train is known\n"
               "submit run 1: train\n"
               "> run 1 over\n"
               "w1 joins: slots=1 running=train#1,stranger#7\n"
               "> kill train#1 at w1\n"
               "> kill stranger#7 at w1\n");
}

static void test_stealing(void **state)
{
    (void)state;
    story_play("# An idle worker is given some of what waits at a busy one.\n"
               "submit run 1: a, b\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 starts a#1\n"
               "w2 joins: slots=1\n"
               "> revoke b#1 from w1\n"
               "w1 hands back b#1\n"
               "> assign b#2 to w2\n");
}

static void test_deeper(void **state)
{
    (void)state;
    story_play("# Of short tasks a worker is given more ahead: 50 ms of work for each slot.\n"
               "given the state answers at once\n"
               "submit run 1: a, b, c, d, e, f, g, h\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 finishes a#1 in 15 ms\n"
               "> assign c#1 to w1\n"
               "w1 finishes b#1 in 15 ms\n"
               "> assign d#1 to w1\n"
               "> assign e#1 to w1\n"
               "> assign f#1 to w1\n");
}

static void test_no_length(void **state)
{
    (void)state;
    story_play("# Of tasks of no length it gets what its credit allows, after its first ones.\n"
               "given the state answers at once\n"
               "submit run 1: a, b, c, d, e, f, g, h, i\n"
               "w1 joins: slots=1 credit=6\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 finishes a#1 in 0 ms\n"
               "> assign c#1 to w1\n"
               "w1 finishes b#1 in 0 ms\n"
               "> assign d#1 to w1\n"
               "> assign e#1 to w1\n"
               "> assign f#1 to w1\n"
               "> assign g#1 to w1\n"
               "> assign h#1 to w1\n");
}

static void test_not_deep(void **state)
{
    (void)state;
    story_play("# Of long ones, one ahead of each slot; so also a worker whose tasks were short.\n"
               "given the state answers at once\n"
               "submit run 1: a, b, c, d, e, f\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 finishes a#1 in 25 ms\n"
               "> assign c#1 to w1\n"
               "w1 finishes b#1 in 25 ms\n"
               "> assign d#1 to w1\n"
               "> assign e#1 to w1\n"
               "w1 finishes c#1 in 5000 ms\n"
               "w1 finishes d#1 in 5000 ms\n"
               "> assign f#1 to w1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),          cmocka_unit_test(test_labels_and_size),
        cmocka_unit_test(test_spread),         cmocka_unit_test(test_credit),
        cmocka_unit_test(test_goodbye),        cmocka_unit_test(test_came_back),
        cmocka_unit_test(test_came_back_late), cmocka_unit_test(test_new_connection),
        cmocka_unit_test(test_adopted),        cmocka_unit_test(test_nobody_elses),
        cmocka_unit_test(test_stealing),       cmocka_unit_test(test_deeper),
        cmocka_unit_test(test_no_length),      cmocka_unit_test(test_not_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
