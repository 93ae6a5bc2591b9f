/* What a worker was given and does not name in its heartbeats. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_never_came(void **state)
{
    (void)state;
    story_play(
        "# The frame with b got lost: three lists that leave it out, and it is given again.\n"
        "given the state answers at once\n"
        "given leases of 900 ms\n"
        "given b has retry=0 poison=1\n"
        "submit run 1: a, b\n"
        "w1 joins: slots=2\n"
        "> assign a#1 to w1\n"
        "> assign b#1 to w1\n"
        "time is 300\n"
        "w1 holds a#1\n"
        "time is 600\n"
        "w1 holds a#1\n"
        "time is 900\n"
        "w1 holds a#1\n"
        "time is 1200\n"
        "w1 holds a#1\n"
        "> kill b#1 at w1\n"
        "> assign b#2 to w1\n"
        "time is 1500\n"
        "w1 holds a#1\n"
        "w1 holds b#2\n"
        "w1 finishes b#2\n"
        "w1 finishes a#1\n"
        "> run 1 over\n");
}

static void test_nothing_came(void **state)
{
    (void)state;
    story_play("# Not even one frame, and the worker says that it holds nothing.\n"
               "given the state answers at once\n"
               "given leases of 900 ms\n"
               "submit run 1: a\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "time is 300\n"
               "w1 is heard\n"
               "time is 600\n"
               "w1 is heard\n"
               "time is 900\n"
               "w1 is heard\n"
               "time is 1200\n"
               "w1 is heard\n"
               "> kill a#1 at w1\n"
               "> assign a#2 to w1\n");
}

static void test_named_in_time(void **state)
{
    (void)state;
    story_play("# It came late: what is named once has three lists more. Frames of one list that\n"
               "# come together are one.\n"
               "given the state answers at once\n"
               "given leases of 900 ms\n"
               "submit run 1: a, b\n"
               "w1 joins: slots=2\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "time is 300\n"
               "w1 holds a#1\n"
               "w1 holds a#1\n"
               "w1 holds a#1\n"
               "w1 holds a#1\n"
               "w1 holds a#1\n"
               "time is 600\n"
               "w1 is heard\n"
               "time is 900\n"
               "w1 holds b#1\n"
               "time is 1200\n"
               "w1 holds a#1\n"
               "time is 1500\n"
               "w1 is heard\n"
               "time is 1800\n"
               "w1 holds a#1\n"
               "time is 2100\n"
               "w1 holds a#1\n"
               "> kill b#1 at w1\n"
               "> assign b#2 to w1\n");
}

static void test_began(void **state)
{
    (void)state;
    story_play("# Who says that it begins something has it.\n"
               "given the state answers at once\n"
               "given leases of 900 ms\n"
               "submit run 1: a\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "time is 300\n"
               "w1 is heard\n"
               "time is 600\n"
               "w1 is heard\n"
               "time is 900\n"
               "w1 is heard\n"
               "w1 starts a#1\n"
               "time is 1200\n"
               "w1 is heard\n"
               "time is 1500\n"
               "w1 is heard\n");
}

static void test_came_after_all(void **state)
{
    (void)state;
    story_play(
        "# The frame was slow, not lost: its success counts, and the other attempt is ended.\n"
        "given the state answers at once\n"
        "given leases of 900 ms\n"
        "submit run 1: a\n"
        "w1 joins: slots=1\n"
        "> assign a#1 to w1\n"
        "time is 300\n"
        "w1 is heard\n"
        "time is 600\n"
        "w1 is heard\n"
        "time is 900\n"
        "w1 is heard\n"
        "time is 1200\n"
        "w1 is heard\n"
        "> kill a#1 at w1\n"
        "> assign a#2 to w1\n"
        "w1 finishes a#1\n"
        "> kill a#2 at w1\n"
        "> run 1 over\n");
}

static void test_cancelled(void **state)
{
    (void)state;
    story_play("# A run that was stopped is over though the worker never heard of its task.\n"
               "given leases of 900 ms\n"
               "submit run 1: a\n"
               "w1 joins: slots=1\n"
               "> assign a#1 to w1\n"
               "kill run 1\n"
               "> kill a#1 at w1\n"
               "time is 300\n"
               "w1 is heard\n"
               "time is 600\n"
               "w1 is heard\n"
               "time is 900\n"
               "w1 is heard\n"
               "time is 1200\n"
               "w1 is heard\n"
               "> run 1 over\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_came),     cmocka_unit_test(test_nothing_came),
        cmocka_unit_test(test_named_in_time),  cmocka_unit_test(test_began),
        cmocka_unit_test(test_came_after_all), cmocka_unit_test(test_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
