/* Work that waits at one worker while another starves. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_half_idle(void **state)
{
    (void)state;
    story_play("# A worker that has work for one of its two slots gets some for the other.\n"
               "given the state answers at once\n"
               "submit run 1: a, b, c, d, e, f\n"
               "w1 joins: slots=2\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign c#1 to w1\n"
               "> assign d#1 to w1\n"
               "w2 joins: slots=2\n"
               "> assign e#1 to w2\n"
               "> assign f#1 to w2\n"
               "w2 finishes e#1\n"
               "> revoke d#1 from w1\n"
               "w1 hands back d#1\n"
               "> assign d#2 to w2\n");
}

static void test_begun_meanwhile(void **state)
{
    (void)state;
    story_play("# What has begun stays. Nothing is awaited any more: something else is asked for.\n"
               "given the state answers at once\n"
               "submit run 1: a, b, c, d\n"
               "w1 joins: slots=2\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign c#1 to w1\n"
               "> assign d#1 to w1\n"
               "w2 joins: slots=1\n"
               "> revoke d#1 from w1\n"
               "w2 is heard\n"
               "w1 finishes a#1\n"
               "w1 starts d#1\n"
               "> revoke c#1 from w1\n");
}

static void test_not_straight_back(void **state)
{
    (void)state;
    story_play("# The thief found other work before the answer came: what was given back goes to\n"
               "# whoever has least, not to and fro. Nobody asks for it again.\n"
               "given the state answers at once\n"
               "submit run 1: a, b\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w2 joins: slots=1\n"
               "> revoke b#1 from w1\n"
               "submit run 2: x\n"
               "> assign x#1 to w2\n"
               "w1 hands back b#1\n"
               "> assign b#2 to w2\n"
               "w1 is heard\n"
               "w2 is heard\n"
               "w1 finishes a#1\n"
               "> revoke b#2 from w2\n"
               "w2 hands back b#2\n"
               "> assign b#3 to w1\n"
               "w1 is heard\n"
               "w2 is heard\n");
}

static void test_only_what_fits(void **state)
{
    (void)state;
    story_play("# A thief is given nothing that it could not start: labels, kinds, resources.\n"
               "given the state answers at once\n"
               "given a has label=zone:a\n"
               "given g has takes=gpu:1\n"
               "given h has takes=gpu:1\n"
               "w1 joins: slots=1 labels=zone:a has=gpu:1\n"
               "submit run 1: p, h, g, a\n"
               "> assign p#1 to w1\n"
               "> assign h#1 to w1\n"
               "w1 starts p#1\n"
               "w2 joins: slots=2\n"
               "w3 joins: slots=1 has=gpu:1\n"
               "> assign g#1 to w3\n"
               "w3 finishes g#1\n"
               "> revoke h#1 from w1\n");
}

static void test_waits_for_a_resource(void **state)
{
    (void)state;
    story_play(
        "# A slot is free where it is, but not the gpu: it moves to where one is. What could\n"
        "# start there stays there.\n"
        "given the state answers at once\n"
        "given g has takes=gpu:1\n"
        "given h has takes=gpu:1\n"
        "submit run 1: g, h, x\n"
        "w1 joins: slots=4 has=gpu:1\n"
        "> assign g#1 to w1\n"
        "> assign x#1 to w1\n"
        "> assign h#1 to w1\n"
        "w2 joins: slots=4 has=gpu:1\n"
        "> revoke h#1 from w1\n"
        "w1 hands back h#1\n"
        "> assign h#2 to w2\n"
        "w1 is heard\n"
        "w2 is heard\n");
}

static void test_many_victims(void **state)
{
    (void)state;
    story_play("# A few of the crowd are looked at, the most loaded first; no more is asked for\n"
               "# than there are free slots.\n"
               "given the state answers at once\n"
               "w1 joins: slots=1\n"
               "w2 joins: slots=2\n"
               "submit run 1: a, b, c, d, e, f\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w2\n"
               "> assign c#1 to w2\n"
               "> assign d#1 to w1\n"
               "> assign e#1 to w2\n"
               "> assign f#1 to w2\n"
               "w3 joins: slots=1\n"
               "> revoke f#1 from w2\n"
               "w3 is heard\n"
               "w4 joins: slots=2\n"
               "> revoke d#1 from w1\n"
               "> revoke e#1 from w2\n");
}

static void test_thief_leaves(void **state)
{
    (void)state;
    story_play("# The thief is gone when the answer comes: another takes it, or the victim again.\n"
               "given the state answers at once\n"
               "submit run 1: a, b\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "w2 joins: slots=1\n"
               "> revoke b#1 from w1\n"
               "w2 goes away\n"
               "w1 hands back b#1\n"
               "> assign b#2 to w1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_half_idle),
        cmocka_unit_test(test_begun_meanwhile),
        cmocka_unit_test(test_not_straight_back),
        cmocka_unit_test(test_only_what_fits),
        cmocka_unit_test(test_waits_for_a_resource),
        cmocka_unit_test(test_many_victims),
        cmocka_unit_test(test_thief_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
