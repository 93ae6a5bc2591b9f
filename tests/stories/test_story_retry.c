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
        "> failed after 3 attempts: poison: 3 of its attempts cost a worker or slot its life: "
        "attempt 1: w1 went away (worker_gone); attempt 2: w2 went away (worker_gone); attempt 3: "
        "w3 went away (worker_gone)\n"
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
               "life: attempt 1: w1 went away (worker_gone)\n");
}

static void test_short_poison(void **state)
{
    (void)state;
    story_play(
        "# Work that is over before it is announced may cost a worker its life, too: the oldest\n"
        "# attempts are suspected, as many as there were slots.\n"
        "given the state answers at once\n"
        "given bomb has poison=2\n"
        "given calm has poison=1\n"
        "submit run 1: bomb, calm\n"
        "w1 joins: slots=1\n"
        "> assign bomb#1 to w1\n"
        "> assign calm#1 to w1\n"
        "w1 goes away\n"
        "w2 joins: slots=1\n"
        "> assign bomb#2 to w2\n"
        "> assign calm#2 to w2\n"
        "w2 goes away\n"
        "why bomb?\n"
        "> failed after 2 attempts: poison: 2 of its attempts cost a worker or slot its "
        "life: attempt 1: w1 went away (worker_gone); attempt 2: w2 went away "
        "(worker_gone)\n");
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
               "life: attempt 1: its slot at w1 died (it said why); attempt 2: its slot at w1 died "
               "(it said why)\n");
}

static void test_history(void **state)
{
    (void)state;
    story_play("# A task that cost slots and workers their life says when, where and how.\n"
               "given the state answers at once\n"
               "given leases of 1000 ms\n"
               "given bomb has retry=5 poison=3\n"
               "submit run 1: bomb\n"
               "w1 joins: slots=1 name=gpu-7\n"
               "> assign bomb#1 to w1\n"
               "w1 fails bomb#1: crashed\n"
               "> assign bomb#2 to w1\n"
               "w1 starts bomb#2\n"
               "w1 goes away\n"
               "w2 joins: slots=1 name=gpu-8\n"
               "> assign bomb#3 to w2\n"
               "w2 starts bomb#3\n"
               "time is 1000\n"
               "> kill bomb#3 at w2\n"
               "> run 1 over\n"
               "why bomb?\n"
               "> failed after 3 attempts: poison: 3 of its attempts cost a worker or slot its "
               "life: attempt 1: its slot at gpu-7 died (it said why); attempt 2: gpu-7 went away "
               "(worker_gone); attempt 3: gpu-8 was silent for 1000 ms\n");
}

static void test_innocent(void **state)
{
    (void)state;
    story_play("# Nobody lost his life: a worker that drained, one that was silent and is heard "
               "again,\n"
               "# one that came back under a new connection, a slot that we ended.\n"
               "given the state answers at once\n"
               "given leases of 1000 ms\n"
               "given calm has poison=1\n"
               "given calm has retry=1\n"
               "submit run 1: calm, other\n"
               "w1 joins: slots=1\n"
               "> assign calm#1 to w1\n"
               "> assign other#1 to w1\n"
               "w1 starts calm#1\n"
               "w1 says goodbye\n"
               "given calm has poison=2\n"
               "submit run 2: calm\n"
               "kill run 1\n"
               "> run 1 over\n"
               "w2 joins: slots=1\n"
               "> assign calm#2 to w2\n"
               "w2 starts calm#2\n"
               "time is 1000\n"
               "> kill calm#2 at w2\n"
               "w2 is heard\n"
               "> assign calm#3 to w2\n"
               "w2 starts calm#3\n"
               "w2 goes away\n"
               "w2 joins again: slots=1\n"
               "> assign calm#4 to w2\n"
               "w2 starts calm#4\n"
               "w2 goes away\n"
               "w3 joins: slots=1\n"
               "> assign calm#5 to w3\n"
               "w3 starts calm#5\n"
               "w3 finishes calm#5\n"
               "> run 2 over\n");
}

static void test_same_worker_twice(void **state)
{
    (void)state;
    story_play("# The same worker, lost twice, is one worker.\n"
               "given the state answers at once\n"
               "given leases of 1000 ms\n"
               "given bomb has poison=2\n"
               "submit run 1: bomb\n"
               "w1 joins: slots=1\n"
               "> assign bomb#1 to w1\n"
               "w1 starts bomb#1\n"
               "time is 1000\n"
               "> kill bomb#1 at w1\n"
               "w1 fails bomb#1: cancelled\n"
               "> assign bomb#2 to w1\n"
               "w1 starts bomb#2\n"
               "w1 goes away\n"
               "w2 joins: slots=1\n"
               "> assign bomb#3 to w2\n"
               "w2 starts bomb#3\n"
               "w2 goes away\n"
               "> run 1 over\n"
               "why bomb?\n"
               "> failed after 3 attempts: poison: 2 of its attempts cost a worker or slot its "
               "life: attempt 2: w1 went away (worker_gone); attempt 3: w2 went away "
               "(worker_gone)\n");
}

static void test_lost_worker_is_free(void **state)
{
    (void)state;
    story_play("# A lost worker costs no retry: after it, the one retry is still there.\n"
               "given the state answers at once\n"
               "given train has retry=1 poison=5\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 starts train#1\n"
               "w1 goes away\n"
               "w2 joins: slots=1\n"
               "> assign train#2 to w2\n"
               "w2 fails train#2: timeout\n"
               "> assign train#3 to w2\n"
               "w2 fails train#3: unreachable\n"
               "> run 1 over\n"
               "why train?\n"
               "> failed after 3 attempts: unreachable: it said why\n");
}

static void test_which_codes(void **state)
{
    (void)state;
    story_play(
        "# What trying again can mend: a store that is away, a full disk, a timeout. Not: a\n"
        "# missing column, a kind that is not there, something not allowed.\n"
        "given the state answers at once\n"
        "given a has retry=1\n"
        "given b has retry=1\n"
        "given c has retry=1\n"
        "given d has retry=1\n"
        "given e has retry=1\n"
        "given f has retry=1\n"
        "w1 joins: slots=6\n"
        "submit run 1: a, b, c, d, e, f\n"
        "> assign a#1 to w1\n"
        "> assign b#1 to w1\n"
        "> assign c#1 to w1\n"
        "> assign d#1 to w1\n"
        "> assign e#1 to w1\n"
        "> assign f#1 to w1\n"
        "w1 fails a#1: unreachable\n"
        "> assign a#2 to w1\n"
        "w1 fails c#1: timeout\n"
        "> assign c#2 to w1\n"
        "w1 fails b#1: disk_full\n"
        "> rest w1 until 1000: disk_full\n"
        "> revoke d#1 from w1\n"
        "> revoke e#1 from w1\n"
        "> revoke f#1 from w1\n"
        "> revoke a#2 from w1\n"
        "> revoke c#2 from w1\n"
        "w1 fails d#1: invalid\n"
        "w1 fails e#1: version\n"
        "w1 fails f#1: denied\n"
        "count run 1\n"
        "> 0 executed, 0 hit, 3 ready, 3 failed\n");
}

static void test_most_backoff(void **state)
{
    (void)state;
    story_play("# The pause doubles, but never passes the limit (60000 ms here), however often.\n"
               "given the state answers at once\n"
               "given train has retry=1000 backoff=50000\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 fails train#1: exit\n"
               "time is 60000\n"
               "w1 is heard\n"
               "> assign train#2 to w1\n"
               "w1 fails train#2: exit\n"
               "time is 120000\n"
               "w1 is heard\n"
               "> assign train#3 to w1\n"
               "w1 fails train#3: exit\n"
               "time is 180000\n"
               "w1 is heard\n"
               "> assign train#4 to w1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_poison),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_not_retryable),
        cmocka_unit_test(test_stale_failure),
        cmocka_unit_test(test_failed_twice_reported),
        cmocka_unit_test(test_killer),
        cmocka_unit_test(test_bystander),
        cmocka_unit_test(test_crashed_slots),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_innocent),
        cmocka_unit_test(test_same_worker_twice),
        cmocka_unit_test(test_lost_worker_is_free),
        cmocka_unit_test(test_which_codes),
        cmocka_unit_test(test_most_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
