/* Tasks go where their inputs are, and nobody waits for that. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_where_it_was_made(void **state)
{
    (void)state;
    story_play("# What reads large inputs goes to the worker that made them.\n"
               "given the state answers at once\n"
               "given prepare makes 5000000\n"
               "w1 joins: slots=1\n"
               "w2 joins: slots=1\n"
               "w3 joins: slots=1\n"
               "submit run 1: first, prepare -> train\n"
               "> assign prepare#1 to w1\n"
               "> assign first#1 to w2\n"
               "w2 finishes first#1\n"
               "w1 finishes prepare#1\n"
               "> assign train#1 to w1\n");
}

static void test_small_inputs(void **state)
{
    (void)state;
    story_play("# Small ones are fetched sooner than it could matter.\n"
               "given the state answers at once\n"
               "given prepare makes 1000000\n"
               "w1 joins: slots=1\n"
               "w2 joins: slots=1\n"
               "submit run 1: prepare -> train\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> assign train#1 to w2\n");
}

static void test_most_bytes(void **state)
{
    (void)state;
    story_play("# The worker with most of the bytes, not with most of the inputs.\n"
               "given the state answers at once\n"
               "given a makes 2000000\n"
               "given b makes 2000000\n"
               "given c makes 5000000\n"
               "w1 joins: slots=2\n"
               "w2 joins: slots=1\n"
               "w3 joins: slots=1\n"
               "submit run 1: a + c + x + b -> join\n"
               "> assign a#1 to w1\n"
               "> assign c#1 to w2\n"
               "> assign x#1 to w3\n"
               "> assign b#1 to w1\n"
               "w1 finishes a#1\n"
               "w2 finishes c#1\n"
               "w3 finishes x#1\n"
               "w1 finishes b#1\n"
               "> assign join#1 to w2\n");
}

static void test_who_fetched_it(void **state)
{
    (void)state;
    story_play("# Whoever read it has it too. (w1, which made it, is gone.)\n"
               "given the state answers at once\n"
               "given prepare makes 5000000\n"
               "w1 joins: slots=1\n"
               "submit run 1: prepare -> a -> b\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> assign a#1 to w1\n"
               "w1 says goodbye\n"
               "w2 joins: slots=1\n"
               "> assign a#2 to w2\n"
               "w3 joins: slots=1\n"
               "w4 joins: slots=1\n"
               "w2 finishes a#2\n"
               "> assign b#1 to w3\n"
               "submit run 2: prepare -> c\n"
               "> assign c#1 to w2\n");
}

static void test_never_waits(void **state)
{
    (void)state;
    story_play("# The worker that has the bytes is busy: another begins at once.\n"
               "given the state answers at once\n"
               "given prepare makes 5000000\n"
               "w1 joins: slots=1\n"
               "submit run 1: prepare -> train, other\n"
               "> assign prepare#1 to w1\n"
               "> assign other#1 to w1\n"
               "w2 joins: slots=1\n"
               "> revoke other#1 from w1\n"
               "w1 finishes prepare#1\n"
               "> assign train#1 to w2\n");
}

static void test_only_where_it_fits(void **state)
{
    (void)state;
    story_play("# Labels and what is free go before locality.\n"
               "given the state answers at once\n"
               "given prepare makes 5000000\n"
               "given train has label=zone:b\n"
               "given score has takes=gpu:1\n"
               "w1 joins: slots=1 labels=zone:a\n"
               "submit run 1: prepare -> train, prepare -> score\n"
               "> assign prepare#1 to w1\n"
               "w2 joins: slots=2 labels=zone:b\n"
               "w3 joins: slots=2 has=gpu:1\n"
               "w1 finishes prepare#1\n"
               "> assign train#1 to w2\n"
               "> assign score#1 to w3\n");
}

static void test_others_are_still_fed(void **state)
{
    (void)state;
    story_play(
        "# a goes past w2 to w3, which has its bytes. w4 is idle, and gets one all the same.\n"
        "given prepare makes 5000000\n"
        "given x has takes=gpu:1 priority=9\n"
        "given p has priority=8\n"
        "given q has priority=7\n"
        "given a has takes=gpu:1\n"
        "given b has takes=gpu:1\n"
        "given c has takes=gpu:1\n"
        "w1 joins: slots=2 has=gpu:1\n"
        "submit run 1: x\n"
        "> assign x#1 to w1\n"
        "w2 joins: slots=1 has=gpu:1\n"
        "w3 joins: slots=1 has=gpu:1\n"
        "given a is forced\n"
        "given b is forced\n"
        "given c is forced\n"
        "submit run 2: p, q, prepare -> a, prepare -> b, prepare -> c\n"
        "> assign p#1 to w1\n"
        "> assign q#1 to w2\n"
        "> assign prepare#1 to w3\n"
        "w1 finishes p#1\n"
        "> persist p\n"
        "w2 finishes q#1\n"
        "> persist q\n"
        "w3 finishes prepare#1\n"
        "> persist prepare\n"
        "w4 joins: slots=1 has=gpu:1\n"
        "the commit is durable\n"
        "> ack p to w1\n"
        "> ack q to w2\n"
        "> ack prepare to w3\n"
        "> assign a#1 to w3\n"
        "> assign b#1 to w2\n"
        "> assign c#1 to w4\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_it_was_made),    cmocka_unit_test(test_small_inputs),
        cmocka_unit_test(test_most_bytes),           cmocka_unit_test(test_who_fetched_it),
        cmocka_unit_test(test_never_waits),          cmocka_unit_test(test_only_where_it_fits),
        cmocka_unit_test(test_others_are_still_fed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
