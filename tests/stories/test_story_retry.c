/* Attempts that fail, and what follows. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_backoff(void **state)
{
    (void)state;
    story_play("# A failed attempt is tried again after a pause drawn from the seed:\n"
               "# at most 1000 ms, then at most 2000.\n"
               "given the state answers at once\n"
               "given wakes are shown\n"
               "given train has retry=2 backoff=1000\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "> wake at 15000\n"
               "w1 fails train#1: exit\n"
               "> wake at 703\n"
               "why train?\n"
               "> failed (exit), and is tried again in 703 ms (retry 1 of 2)\n"
               "time is 1000\n"
               "> assign train#2 to w1\n"
               "> wake at 15000\n"
               "w1 fails train#2: exit\n"
               "> wake at 2041\n"
               "time is 3000\n"
               "> assign train#3 to w1\n"
               "> wake at 15000\n"
               "w1 finishes train#3\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 1 executed, 0 hit\n");
}

static void test_limit(void **state)
{
    (void)state;
    story_play("# After its last retry it fails, and says why.\n"
               "given the state answers at once\n"
               "given train has retry=1\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 fails train#1: exit\n"
               "> assign train#2 to w1\n"
               "w1 fails train#2: exit\n"
               "> run 1 over\n"
               "why train?\n"
               "> failed after 2 attempts: exit: it said why\n"
               "count run 1\n"
               "> 0 executed, 0 hit, 1 failed\n");
}

static void test_not_retryable(void **state)
{
    (void)state;
    story_play("# What trying again can't mend is not tried again.\n"
               "given the state answers at once\n"
               "given train has retry=5\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 fails train#1: invalid\n"
               "> run 1 over\n"
               "why train?\n"
               "> failed after 1 attempt: invalid: it said why\n");
}

static void test_stale_failure(void **state)
{
    (void)state;
    story_play("# The failure of an attempt that was given up is ignored. It is acknowledged,\n"
               "# so that the worker forgets it.\n"
               "given leases of 1000 ms\n"
               "given train has retry=2\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "time is 1000\n"
               "> kill train#1 at w1\n"
               "w2 joins: slots=1\n"
               "> assign train#2 to w2\n"
               "w1 fails train#1: exit\n"
               "> ack train to w1\n"
               "w2 finishes train#2\n"
               "> persist train\n"
               "the commit is durable\n"
               "> ack train to w2\n"
               "> check 1 outputs of run 1\n"
               "check of run 1: all there\n"
               "> run 1 over\n");
}

static void test_failed_twice_reported(void **state)
{
    (void)state;
    story_play("# A failure that is sent twice counts once.\n"
               "given train has retry=1 backoff=1000\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 fails train#1: exit\n"
               "> ack train to w1\n"
               "w1 fails train#1: exit\n"
               "> ack train to w1\n"
               "why train?\n"
               "> failed (exit), and is tried again in 703 ms (retry 1 of 1)\n");
}

static void test_killer(void **state)
{
    (void)state;
    story_play(
        "# A task that costs three workers their life fails alone; that costs it no retry before.\n"
        "given the state answers at once\n"
        "given bomb has retry=0 poison=3\n"
        "submit run 1: bomb, other\n"
        "w1 joins: slots=2\n"
        "> assign bomb#1 to w1\n"
        "> assign other#1 to w1\n"
        "w1 starts bomb#1\n"
        "w1 finishes other#1\n"
        "w1 goes away\n"
        "w2 joins: slots=1\n"
        "> assign bomb#2 to w2\n"
        "w2 starts bomb#2\n"
        "w2 goes away\n"
        "w3 joins: slots=1\n"
        "> assign bomb#3 to w3\n"
        "w3 starts bomb#3\n"
        "w3 goes away\n"
        "> run 1 over\n"
        "why bomb?\n"
        "> failed after 3 attempts: poison: 3 of its attempts cost a worker or slot its life; the "
        "last time: its worker went away while it ran (worker_gone)\n"
        "count run 1\n"
        "> 1 executed, 0 hit, 1 failed\n");
}

static void test_bystander(void **state)
{
    (void)state;
    story_play("# A task that was waiting at a worker that crashed is not to blame.\n"
               "given the state answers at once\n"
               "given bomb has poison=1\n"
               "given calm has poison=1\n"
               "submit run 1: bomb, calm\n"
               "w1 joins: slots=1\n"
               "> assign bomb#1 to w1\n"
               "> assign calm#1 to w1\n"
               "w1 starts bomb#1\n"
               "w1 goes away\n"
               "w2 joins: slots=1\n"
               "> assign calm#2 to w2\n"
               "w2 finishes calm#2\n"
               "> run 1 over\n"
               "why bomb?\n"
               "> failed after 1 attempt: poison: 1 of its attempts cost a worker or slot its "
               "life; the last time: its worker went away while it ran (worker_gone)\n");
}

static void test_crashed_slots(void **state)
{
    (void)state;
    story_play("# A slot that crashes costs a retry, and counts as a life too.\n"
               "given the state answers at once\n"
               "given bomb has retry=5 poison=2\n"
               "submit run 1: bomb\n"
               "w1 joins: slots=1\n"
               "> assign bomb#1 to w1\n"
               "w1 fails bomb#1: crashed\n"
               "> assign bomb#2 to w1\n"
               "w1 fails bomb#2: crashed\n"
               "> run 1 over\n"
               "why bomb?\n"
               "> failed after 2 attempts: poison: 2 of its attempts cost a worker or slot its "
               "life; the last time: it said why\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_not_retryable),
        cmocka_unit_test(test_stale_failure),
        cmocka_unit_test(test_failed_twice_reported),
        cmocka_unit_test(test_killer),
        cmocka_unit_test(test_bystander),
        cmocka_unit_test(test_crashed_slots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
