/* What tasks need of a worker while they run. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_one_gpu(void **state)
{
    (void)state;
    story_play("# Two tasks that need the gpu, and only one gpu. Others go where a slot is free;\n"
               "# then the second is next at the worker, and a third has to stay.\n"
               "given the state answers at once\n"
               "given a has takes=gpu:1\n"
               "given b has takes=gpu:1\n"
               "given c has takes=gpu:1\n"
               "submit run 1: a, b, c, x\n"
               "w1 joins: slots=2 has=gpu:1\n"
               "> assign a#1 to w1\n"
               "> assign x#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 finishes x#1\n"
               "w1 finishes a#1\n"
               "> assign c#1 to w1\n"
               "w1 finishes b#1\n"
               "w1 finishes c#1\n"
               "> run 1 over\n");
}

static void test_two_gpus(void **state)
{
    (void)state;
    story_play("# Of two workers that are alike, the one whose gpu is free gets the next.\n"
               "given the state answers at once\n"
               "given a has takes=gpu:1\n"
               "given b has takes=gpu:1\n"
               "given c has takes=gpu:1\n"
               "w1 joins: slots=2 has=gpu:1\n"
               "w2 joins: slots=2 has=gpu:1\n"
               "submit run 1: a, b\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w2\n"
               "w2 finishes b#1\n"
               "submit run 2: c\n"
               "> assign c#1 to w2\n");
}

static void test_wide_does_not_starve(void **state)
{
    (void)state;
    story_play(
        "# A task of four cores among small ones: they pass it while they fit what is free,\n"
        "# but in its turn it is sent to wait at the worker, and starts when its turn comes\n"
        "# there. Nothing that needs a core is put before it from then on.\n"
        "given the state answers at once\n"
        "given wide has cpu=400\n"
        "submit run 1: a, b, c, d, wide, e, f, g, h, i\n"
        "w1 joins: slots=4 cpu=400\n"
        "> assign a#1 to w1\n"
        "> assign b#1 to w1\n"
        "> assign c#1 to w1\n"
        "> assign d#1 to w1\n"
        "> assign wide#1 to w1\n"
        "> assign e#1 to w1\n"
        "> assign f#1 to w1\n"
        "> assign g#1 to w1\n"
        "w1 finishes a#1\n"
        "> assign h#1 to w1\n"
        "w1 finishes b#1\n"
        "> assign i#1 to w1\n"
        "w1 finishes c#1\n"
        "w1 finishes d#1\n"
        "w1 finishes wide#1\n");
}

static void test_wide_keeps_cores(void **state)
{
    (void)state;
    story_play(
        "# While three of four cores are taken by one task, one slot is free; a task of two\n"
        "# cores waits for the worker that has them free.\n"
        "given the state answers at once\n"
        "given three has cpu=300\n"
        "given two has cpu=200\n"
        "w1 joins: slots=4 cpu=400\n"
        "submit run 1: three\n"
        "> assign three#1 to w1\n"
        "w2 joins: slots=4 cpu=400\n"
        "submit run 2: two, a, b\n"
        "> assign a#1 to w1\n"
        "> assign two#1 to w2\n"
        "> assign b#1 to w2\n");
}

static void test_fewer_cores_than_slots(void **state)
{
    (void)state;
    story_play("# Four slots, but two cores: two start at once; then other workers go first.\n"
               "given the state answers at once\n"
               "w1 joins: slots=4 cpu=200\n"
               "w2 joins: slots=1 cpu=100\n"
               "submit run 1: a, b, c, d\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign c#1 to w2\n"
               "> assign d#1 to w1\n");
}

static void test_memory(void **state)
{
    (void)state;
    story_play("# Memory that a step may use is set aside for it.\n"
               "given the state answers at once\n"
               "given a has memory=6\n"
               "given b has memory=6\n"
               "given c has memory=3\n"
               "submit run 1: a, b, c\n"
               "w1 joins: slots=4 memory=10 cpu=400\n"
               "> assign a#1 to w1\n"
               "> assign c#1 to w1\n"
               "> assign b#1 to w1\n"
               "why b?\n"
               "> was given to w1 and has not begun\n");
}

static void test_licence(void **state)
{
    (void)state;
    story_play("# Any name counts: two licences are two tasks at once.\n"
               "given the state answers at once\n"
               "given a has takes=licence:1\n"
               "given b has takes=licence:1 takes=gpu:1\n"
               "given c has takes=licence:1\n"
               "given d has takes=licence:3\n"
               "submit run 1: a, b, c, d\n"
               "w1 joins: slots=8 has=licence:2,gpu:1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign c#1 to w1\n"
               "w1 finishes b#1\n"
               "w2 joins: slots=1 has=licence:3\n"
               "> assign d#1 to w2\n");
}

static void test_leaving_gives_back(void **state)
{
    (void)state;
    story_play("# What a task took goes with its worker, and is free when the worker is back.\n"
               "given the state answers at once\n"
               "given a has takes=gpu:1\n"
               "given b has takes=gpu:1\n"
               "submit run 1: a, b\n"
               "w1 joins: slots=1 has=gpu:1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 goes away\n"
               "w1 joins: slots=1 has=gpu:1\n"
               "> assign a#2 to w1\n"
               "> assign b#2 to w1\n"
               "w1 finishes a#2\n"
               "w1 finishes b#2\n"
               "> run 1 over\n");
}

static void test_brought_along(void **state)
{
    (void)state;
    story_play("# A worker that comes back with a task that it has too little for keeps it;\n"
               "# until it ends, nothing more that needs the like is sent there.\n"
               "given the state answers at once\n"
               "given a has takes=gpu:2\n"
               "given b has takes=gpu:1\n"
               "submit run 1: a, b, c\n"
               "w1 joins: slots=4 has=gpu:1 running=a#1\n"
               "> assign c#1 to w1\n"
               "w1 finishes a#1\n"
               "> assign b#1 to w1\n");
}

static void test_other_owner(void **state)
{
    (void)state;
    story_play("# A task in flight that another run goes on with takes what that run says.\n"
               "given the state answers at once\n"
               "given a has takes=gpu:1\n"
               "submit run 1: a\n"
               "w1 joins: slots=4 has=gpu:1\n"
               "> assign a#1 to w1\n"
               "given a has memory=5\n"
               "submit run 2: a\n"
               "cancel run 1\n"
               "> run 1 over\n"
               "w1 finishes a#1\n"
               "> run 2 over\n");
}

static void test_quorum(void **state)
{
    (void)state;
    story_play("# Nothing is given out before enough workers are there. Once they were, what is\n"
               "# left goes on with those that stay.\n"
               "given the state answers at once\n"
               "given no work before 2 workers\n"
               "submit run 1: a, b, c\n"
               "w1 joins: slots=1\n"
               "load\n"
               "> 3 ready, 0 running, 0 waiting; 1 workers, 1 slots, 3 wanted; 1 workers awaited\n"
               "w2 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w2\n"
               "> assign c#1 to w1\n"
               "w2 goes away\n"
               "load\n"
               "> 1 ready, 2 running, 0 waiting; 1 workers, 1 slots, 3 wanted\n"
               "w1 finishes a#1\n"
               "> assign b#2 to w1\n");
}

static void test_load(void **state)
{
    (void)state;
    story_play("# What a scaler reads: how much is ready and running, and how many slots all of\n"
               "# that could use. A task of three cores is worth three.\n"
               "given wide has cpu=300\n"
               "submit run 1: wide, a, b, c -> d -> e\n"
               "load\n"
               "> 4 ready, 0 running, 2 waiting; 0 workers, 0 slots, 6 wanted\n"
               "w1 joins: slots=1 cpu=400\n"
               "> assign c#1 to w1\n"
               "> assign wide#1 to w1\n"
               "load\n"
               "> 2 ready, 2 running, 2 waiting; 1 workers, 1 slots, 6 wanted\n"
               "w1 goes away\n"
               "load\n"
               "> 4 ready, 0 running, 2 waiting; 0 workers, 0 slots, 6 wanted\n"
               "cancel run 1\n"
               "> run 1 over\n"
               "load\n"
               "> 0 ready, 0 running, 0 waiting; 0 workers, 0 slots, 0 wanted\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_gpu),
        cmocka_unit_test(test_two_gpus),
        cmocka_unit_test(test_wide_does_not_starve),
        cmocka_unit_test(test_wide_keeps_cores),
        cmocka_unit_test(test_fewer_cores_than_slots),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_licence),
        cmocka_unit_test(test_leaving_gives_back),
        cmocka_unit_test(test_brought_along),
        cmocka_unit_test(test_other_owner),
        cmocka_unit_test(test_quorum),
        cmocka_unit_test(test_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
