/* Runs that are stopped. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_soft(void **state)
{
    (void)state;
    story_play("# Ctrl-C once: what runs may finish, what has not begun is asked back,\n"
               "# the rest is cancelled.\n"
               "given the state answers at once\n"
               "given changes are shown\n"
               "submit run 1: a -> c, b\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 starts a#1\n"
               "> publish a running\n"
               "cancel run 1\n"
               "> publish c cancelled\n"
               "> revoke b#1 from w1\n"
               "w1 hands back b#1\n"
               "> publish b cancelled\n"
               "w1 finishes a#1\n"
               "> publish a succeeded\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 1 executed, 0 hit, 2 cancelled\n");
}

static void test_kill(void **state)
{
    (void)state;
    story_play("# Ctrl-C twice: what runs is ended too.\n"
               "given the state answers at once\n"
               "submit run 1: a -> b\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "w1 starts a#1\n"
               "cancel run 1\n"
               "kill run 1\n"
               "> kill a#1 at w1\n"
               "w1 fails a#1: cancelled\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 0 executed, 0 hit, 2 cancelled\n");
}

static void test_success_beats_kill(void **state)
{
    (void)state;
    story_play("# It was done before the kill reached it: the result counts.\n"
               "given the state answers at once\n"
               "submit run 1: a\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "w1 starts a#1\n"
               "kill run 1\n"
               "> kill a#1 at w1\n"
               "w1 finishes a#1\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 1 executed, 0 hit\n");
}

static void test_no_retry(void **state)
{
    (void)state;
    story_play("# A run that is being stopped tries nothing again.\n"
               "given the state answers at once\n"
               "given a has retry=3\n"
               "submit run 1: a\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "w1 starts a#1\n"
               "cancel run 1\n"
               "w1 fails a#1: exit\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 0 executed, 0 hit, 1 failed\n");
}

static void test_shared_goes_on(void **state)
{
    (void)state;
    story_play("# What another run wants too goes on for that run.\n"
               "given the state answers at once\n"
               "submit run 1: prepare -> train\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 starts prepare#1\n"
               "submit run 2: prepare -> report\n"
               "kill run 1\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 0 executed, 0 hit, 2 cancelled\n"
               "w1 finishes prepare#1\n"
               "> assign report#1 to w1\n"
               "w1 finishes report#1\n"
               "> run 2 over\n"
               "count run 2\n"
               "> 2 executed, 0 hit\n");
}

static void test_idle(void **state)
{
    (void)state;
    story_play("# A run that waits for a worker is over as soon as it is cancelled.\n"
               "given the state answers at once\n"
               "submit run 1: a -> b\n"
               "why a?\n"
               "> is ready, but no worker is connected\n"
               "cancel run 1\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 0 executed, 0 hit, 2 cancelled\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_soft),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_success_beats_kill),
        cmocka_unit_test(test_no_retry),
        cmocka_unit_test(test_shared_goes_on),
        cmocka_unit_test(test_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
