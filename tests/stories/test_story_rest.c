/* Workers whose disk is full. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_rests(void **state)
{
    (void)state;
    story_play("# It is given nothing, and what waits there is asked back, at no cost in "
               "retries.\n"
               "# Then it has one task, and after a success as many as before.\n"
               "given the state answers at once\n"
               "given wakes are shown\n"
               "given a has retry=1 backoff=100\n"
               "submit run 1: a, b, c, d, e, f\n"
               "w1 joins: slots=2\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign c#1 to w1\n"
               "> assign d#1 to w1\n"
               "> wake at 15000\n"
               "w1 starts a#1\n"
               "w1 starts b#1\n"
               "time is 500\n"
               "w1 fails a#1: disk_full\n"
               "> rest w1 until 1500: disk_full\n"
               "> revoke c#1 from w1\n"
               "> revoke d#1 from w1\n"
               "> wake at 570\n"
               "w1 hands back c#1\n"
               "w1 hands back d#1\n"
               "time is 1499\n"
               "> wake at 1500\n"
               "time is 1500\n"
               "> assign c#2 to w1\n"
               "> wake at 15000\n"
               "w1 is heard\n"
               "w1 finishes c#2\n"
               "> assign d#2 to w1\n"
               "> assign e#1 to w1\n"
               "> assign f#1 to w1\n"
               "w1 is heard\n");
}

static void test_other_takes_over(void **state)
{
    (void)state;
    story_play("# What was to be done there is done elsewhere.\n"
               "given the state answers at once\n"
               "given a has retry=1\n"
               "submit run 1: a, b, c\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 fails a#1: disk_full\n"
               "> rest w1 until 1000: disk_full\n"
               "> revoke b#1 from w1\n"
               "w2 joins: slots=1\n"
               "> assign a#2 to w2\n"
               "> assign c#1 to w2\n"
               "w1 hands back b#1\n"
               "w2 finishes c#1\n"
               "> assign b#2 to w2\n"
               "w2 finishes a#2\n"
               "w2 finishes b#2\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 3 executed, 0 hit\n");
}

static void test_doubles(void **state)
{
    (void)state;
    story_play("# Each failure of a trial doubles the rest, up to 16 s; a success ends that.\n"
               "given the state answers at once\n"
               "given leases of 60000 ms\n"
               "given a has retry=9\n"
               "submit run 1: a\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "w1 fails a#1: disk_full\n"
               "> rest w1 until 1000: disk_full\n"
               "time is 1000\n"
               "> assign a#2 to w1\n"
               "w1 fails a#2: disk_full\n"
               "> rest w1 until 3000: disk_full\n"
               "time is 2999\n"
               "time is 3000\n"
               "> assign a#3 to w1\n"
               "w1 fails a#3: disk_full\n"
               "> rest w1 until 7000: disk_full\n"
               "time is 7000\n"
               "> assign a#4 to w1\n"
               "w1 fails a#4: disk_full\n"
               "> rest w1 until 15000: disk_full\n"
               "time is 15000\n"
               "> assign a#5 to w1\n"
               "w1 fails a#5: disk_full\n"
               "> rest w1 until 31000: disk_full\n"
               "time is 31000\n"
               "> assign a#6 to w1\n"
               "w1 fails a#6: disk_full\n"
               "> rest w1 until 47000: disk_full\n"
               "time is 47000\n"
               "> assign a#7 to w1\n"
               "w1 finishes a#7\n"
               "> run 1 over\n"
               "given b has retry=9\n"
               "submit run 2: b\n"
               "> assign b#1 to w1\n"
               "w1 fails b#1: disk_full\n"
               "> rest w1 until 48000: disk_full\n");
}

static void test_burst(void **state)
{
    (void)state;
    story_play("# What was there before it began to rest fails once more, during the rest and\n"
               "# after: all of it counts as one. A success in the rest is no sign of health.\n"
               "given the state answers at once\n"
               "given a has retry=1\n"
               "given b has retry=1\n"
               "given c has retry=1\n"
               "submit run 1: a, b, c, d\n"
               "w1 joins: slots=4\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign c#1 to w1\n"
               "> assign d#1 to w1\n"
               "w1 starts a#1\n"
               "w1 starts b#1\n"
               "w1 starts c#1\n"
               "w1 starts d#1\n"
               "w1 fails a#1: disk_full\n"
               "> rest w1 until 1000: disk_full\n"
               "w1 fails b#1: disk_full\n"
               "w1 finishes d#1\n"
               "why a?\n"
               "> is ready; w1, the only worker that could run it, is resting after "
               "disk_full, and is tried again in 1000 ms\n"
               "time is 1000\n"
               "> assign a#2 to w1\n"
               "w1 fails c#1: disk_full\n"
               "w1 fails a#2: disk_full\n"
               "> rest w1 until 3000: disk_full\n"
               "time is 3000\n"
               "> assign b#2 to w1\n");
}

static void test_earlier_task_succeeds_after(void **state)
{
    (void)state;
    story_play("# A task that began before its rest succeeds after it: there is room again.\n"
               "given the state answers at once\n"
               "given a has retry=1\n"
               "submit run 1: a, b, c, d, e\n"
               "w1 joins: slots=2\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign c#1 to w1\n"
               "> assign d#1 to w1\n"
               "w1 starts a#1\n"
               "w1 starts b#1\n"
               "w1 fails a#1: disk_full\n"
               "> rest w1 until 1000: disk_full\n"
               "> revoke c#1 from w1\n"
               "> revoke d#1 from w1\n"
               "w1 hands back c#1\n"
               "w1 hands back d#1\n"
               "time is 1000\n"
               "> assign a#2 to w1\n"
               "w1 finishes b#1\n"
               "> assign c#2 to w1\n"
               "> assign d#2 to w1\n"
               "> assign e#1 to w1\n");
}

static void test_known_of_the_worker(void **state)
{
    (void)state;
    story_play("# A trial that fails costs the task no retry while another worker is well, "
               "however\n"
               "# busy: that its disk is full was known. Where none is, it counts.\n"
               "given the state answers at once\n"
               "given a has retry=1\n"
               "w2 joins: slots=1 credit=1\n"
               "submit run 1: long\n"
               "> assign long#1 to w2\n"
               "w2 starts long#1\n"
               "w1 joins: slots=1\n"
               "submit run 2: a\n"
               "> assign a#1 to w1\n"
               "w1 fails a#1: disk_full\n"
               "> rest w1 until 1000: disk_full\n"
               "time is 1000\n"
               "> assign a#2 to w1\n"
               "w2 is heard\n"
               "w1 fails a#2: disk_full\n"
               "> rest w1 until 3000: disk_full\n"
               "why a?\n"
               "> is ready; both workers that could run it are busy or resting\n"
               "time is 3000\n"
               "> assign a#3 to w1\n"
               "w2 goes away\n"
               "w1 fails a#3: disk_full\n"
               "> rest w1 until 7000: disk_full\n"
               "> run 2 over\n"
               "why a?\n"
               "> failed after 3 attempts: disk_full: it said why\n");
}

static void test_no_other(void **state)
{
    (void)state;
    story_play("# The task's limit holds: where no worker has room, it fails.\n"
               "given the state answers at once\n"
               "given a has retry=1\n"
               "submit run 1: a\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "w1 fails a#1: disk_full\n"
               "> rest w1 until 1000: disk_full\n"
               "time is 1000\n"
               "> assign a#2 to w1\n"
               "w1 fails a#2: disk_full\n"
               "> rest w1 until 3000: disk_full\n"
               "> run 1 over\n"
               "why a?\n"
               "> failed after 2 attempts: disk_full: it said why\n");
}

static void test_other_codes(void **state)
{
    (void)state;
    story_play("# Other failures may be the task's own: nobody rests for them.\n"
               "given the state answers at once\n"
               "given a has retry=9\n"
               "submit run 1: a\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "w1 fails a#1: io\n"
               "> assign a#2 to w1\n"
               "w1 fails a#2: no_memory\n"
               "> assign a#3 to w1\n"
               "w1 fails a#3: exit\n"
               "> assign a#4 to w1\n");
}

static void test_steals_one(void **state)
{
    (void)state;
    story_play("# On trial, it asks others for one task, not for as many as it has slots.\n"
               "given the state answers at once\n"
               "given a has retry=1\n"
               "w1 joins: slots=4 name=full\n"
               "submit run 1: a\n"
               "> assign a#1 to w1\n"
               "w1 fails a#1: disk_full\n"
               "> rest w1 until 1000: disk_full\n"
               "w2 joins: slots=3\n"
               "> assign a#2 to w2\n"
               "submit run 2: p, q, r, s, t\n"
               "> assign p#1 to w2\n"
               "> assign q#1 to w2\n"
               "> assign r#1 to w2\n"
               "> assign s#1 to w2\n"
               "> assign t#1 to w2\n"
               "time is 1000\n"
               "w1 is heard\n"
               "> revoke t#1 from w2\n"
               "w2 hands back t#1\n"
               "> assign t#2 to w1\n"
               "w1 is heard\n");
}

static void test_leaves(void **state)
{
    (void)state;
    story_play("# Another that comes in its place is well; its rest ends with nothing.\n"
               "given the state answers at once\n"
               "given a has retry=1\n"
               "submit run 1: a\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "w1 fails a#1: disk_full\n"
               "> rest w1 until 1000: disk_full\n"
               "w1 goes away\n"
               "w1 joins: slots=1\n"
               "> assign a#2 to w1\n"
               "time is 1000\n"
               "w1 is heard\n");
}

static void test_explained(void **state)
{
    (void)state;
    story_play("# Who rests, why, and until when.\n"
               "given the state answers at once\n"
               "given a has retry=9\n"
               "given b has retry=9\n"
               "submit run 1: a, b\n"
               "w1 joins: slots=1 name=gpu-7\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w1 fails a#1: disk_full\n"
               "> rest w1 until 1000: disk_full\n"
               "> revoke b#1 from w1\n"
               "w1 hands back b#1\n"
               "why a?\n"
               "> is ready; gpu-7, the only worker that could run it, is resting after "
               "disk_full, and is tried again in 1000 ms\n"
               "time is 400\n"
               "w2 joins: slots=1 name=gpu-8\n"
               "> assign a#2 to w2\n"
               "> assign b#2 to w2\n"
               "w2 fails a#2: disk_full\n"
               "> rest w2 until 1400: disk_full\n"
               "> revoke b#2 from w2\n"
               "w2 hands back b#2\n"
               "why b?\n"
               "> is ready; both workers that could run it are resting after disk_full; gpu-7 "
               "is tried again first, in 600 ms\n"
               "time is 1000\n"
               "> assign b#3 to w1\n"
               "time is 1400\n"
               "> assign a#3 to w2\n"
               "submit run 2: c\n"
               "why c?\n"
               "> is ready; both workers that could run it are being tried again with one task\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rests),
        cmocka_unit_test(test_other_takes_over),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_burst),
        cmocka_unit_test(test_earlier_task_succeeds_after),
        cmocka_unit_test(test_known_of_the_worker),
        cmocka_unit_test(test_no_other),
        cmocka_unit_test(test_other_codes),
        cmocka_unit_test(test_steals_one),
        cmocka_unit_test(test_leaves),
        cmocka_unit_test(test_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
