/* Why does a task not run? Each sentence says what a person can do about it. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_nobody(void **state)
{
    (void)state;
    story_play("# Nobody is there, or not enough.\n"
               "submit run 1: a\n"
               "why a?\n"
               "> is ready, but no worker is connected\n");
    story_play("given no work before 3 workers\n"
               "submit run 1: a\n"
               "w1 joins: slots=1\n"
               "why a?\n"
               "> waits until 3 workers have joined; 1 is connected\n"
               "w2 joins: slots=1\n"
               "why a?\n"
               "> waits until 3 workers have joined; 2 are connected\n");
}

static void test_kind(void **state)
{
    (void)state;
    story_play("# The kind, or its version.\n"
               "given train has kind=train.mlp@1\n"
               "given plot has kind=plot@3\n"
               "submit run 1: train, plot\n"
               "w1 joins: slots=1 kinds=train.mlp@2,train.mlp.deep@1\n"
               "why train?\n"
               "> needs kind train.mlp@1; the only worker offers version 2\n"
               "w2 joins: slots=1 kinds=train.mlp@2\n"
               "w3 joins: slots=1 kinds=train@1\n"
               "why train?\n"
               "> needs kind train.mlp@1; 2 of 3 workers offer version 2\n"
               "why plot?\n"
               "> needs kind plot@3; no worker offers it; 3 are connected\n");
}

static void test_label(void **state)
{
    (void)state;
    story_play("given train has label=zone:a\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "why train?\n"
               "> needs label zone=a; no worker has it; 1 is connected\n"
               "w2 joins: slots=1 labels=zone:b\n"
               "w3 joins: slots=1 labels=zone:b\n"
               "why train?\n"
               "> needs label zone=a; no worker has it; 3 are connected\n");
}

static void test_amounts(void **state)
{
    (void)state;
    story_play("# How much is asked for, and the most that there is.\n"
               "given a has takes=gpu:2\n"
               "given b has cpu=650\n"
               "given c has memory=68719476736\n"
               "given d has takes=licence:1\n"
               "submit run 1: a, b, c, d\n"
               "w1 joins: slots=1 has=gpu:1 cpu=400 memory=1610612736\n"
               "why a?\n"
               "> needs 2 gpu; the only worker has 1\n"
               "w2 joins: slots=1 cpu=250 memory=17179869184\n"
               "w3 joins: slots=1 cpu=100 memory=1000\n"
               "why a?\n"
               "> needs 2 gpu; the most any of 3 workers has is 1\n"
               "why b?\n"
               "> needs 6.50 cpu; the most any of 3 workers has is 4\n"
               "why c?\n"
               "> needs memory 64 GiB; the largest of 3 workers has 16 GiB\n"
               "why d?\n"
               "> needs 1 licence; no worker has any; 3 are connected\n");
}

static void test_together(void **state)
{
    (void)state;
    story_play("# Each is there, but not at one worker: two of them, or three.\n"
               "given a has label=zone:a takes=gpu:1\n"
               "given b has label=zone:a takes=gpu:1 takes=licence:1\n"
               "submit run 1: a, b\n"
               "w1 joins: slots=1 labels=zone:a\n"
               "w2 joins: slots=1 labels=zone:a\n"
               "w3 joins: slots=1 has=gpu:1\n"
               "why a?\n"
               "> needs label zone=a and 1 gpu; no worker has both: 2 of 3 have the one, 1 the "
               "other\n"
               "given a has label=zone:a\n"
               "w4 joins: slots=1 labels=zone:a has=licence:1\n"
               "w5 joins: slots=1 has=gpu:1,licence:1\n"
               "w6 joins: slots=1 labels=zone:a has=gpu:1\n"
               "> assign a#1 to w6\n"
               "why b?\n"
               "> needs label zone=a, 1 gpu, 1 licence, 1 cpu; no worker has all of that; 6 are "
               "connected\n");
}

static void test_taken(void **state)
{
    (void)state;
    story_play("# There, but taken, and by what.\n"
               "given a has takes=gpu:1\n"
               "given b has takes=gpu:1\n"
               "given c has takes=gpu:1\n"
               "submit run 1: a, b, c\n"
               "w1 joins: slots=4 has=gpu:1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "why c?\n"
               "> needs 1 gpu; w1, the only worker that has it, is busy with a, b\n"
               "w2 joins: slots=4 has=gpu:1\n"
               "> assign c#1 to w2\n"
               "given d has takes=gpu:1\n"
               "given e has takes=gpu:1\n"
               "submit run 2: d, e\n"
               "> assign d#1 to w2\n"
               "why e?\n"
               "> needs 1 gpu; both workers that have it are busy with a, b, c and 1 more\n");
}

static void test_taken_memory(void **state)
{
    (void)state;
    story_play("given a has memory=3221225472\n"
               "given b has memory=3221225472\n"
               "given c has memory=2147483648\n"
               "submit run 1: a, b, c, x\n"
               "w1 joins: slots=4 memory=4294967296\n"
               "> assign a#1 to w1\n"
               "> assign x#1 to w1\n"
               "> assign b#1 to w1\n"
               "why c?\n"
               "> needs memory 2 GiB; w1, the only worker that has it, is busy with a, b\n");
}

static void test_busy(void **state)
{
    (void)state;
    story_play("# Busy workers, and what goes first.\n"
               "given x has priority=7\n"
               "submit run 1: a, b, c, d\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "submit run 2: x\n"
               "why c?\n"
               "> is ready; w1, the only worker that could run it, is busy; 1 of higher priority "
               "goes first\n"
               "why x?\n"
               "> is ready; w1, the only worker that could run it, is busy\n"
               "w1 starts a#1\n"
               "why b?\n"
               "> is to be next at w1, which runs 1 other\n"
               "why a?\n"
               "> runs at w1\n");
}

static void test_silent(void **state)
{
    (void)state;
    story_play("given leases of 1000 ms\n"
               "submit run 1: a, b, c\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w2 joins: slots=1\n"
               "> assign c#1 to w2\n"
               "time is 1000\n"
               "> kill a#1 at w1\n"
               "> kill b#1 at w1\n"
               "> kill c#1 at w2\n"
               "why a?\n"
               "> is ready; both workers that could run it are silent\n");
}

static void test_credit(void **state)
{
    (void)state;
    story_play("# Nothing more is sent before what came back is written down.\n"
               "submit run 1: a, b\n"
               "w1 joins: slots=2 credit=1\n"
               "> assign a#1 to w1\n"
               "w1 finishes a#1\n"
               "> persist a\n"
               "why b?\n"
               "> is ready; w1, the only worker that could run it, is waiting for results to be "
               "written: the credit is used up\n");
}

static void test_upstream(void **state)
{
    (void)state;
    story_play(
        "# What waits for others is told what is at the end of the chain.\n"
        "given the state answers at once\n"
        "given b has label=zone:a\n"
        "submit run 1: a + b -> c -> d, b -> d\n"
        "w1 joins: slots=1 name=mill\n"
        "> assign a#1 to w1\n"
        "why c?\n"
        "> waits for a, which was given to mill and has not begun; and for 1 more\n"
        "w1 starts a#1\n"
        "why d?\n"
        "> waits for c, and first of all for a, which runs at mill; and for 1 more\n"
        "w1 finishes a#1\n"
        "why d?\n"
        "> waits for c, and first of all for b, which needs label zone=a; no worker has it; 1 "
        "is connected; and for 1 more\n"
        "why c?\n"
        "> waits for b, which needs label zone=a; no worker has it; 1 is connected\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody),       cmocka_unit_test(test_kind),
        cmocka_unit_test(test_label),        cmocka_unit_test(test_amounts),
        cmocka_unit_test(test_together),     cmocka_unit_test(test_taken),
        cmocka_unit_test(test_taken_memory), cmocka_unit_test(test_busy),
        cmocka_unit_test(test_silent),       cmocka_unit_test(test_credit),
        cmocka_unit_test(test_upstream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
