/* Workers that fall silent. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_expiry(void **state)
{
    (void)state;
    story_play("# A silent worker loses its tasks; whoever comes next gets them.\n"
               "given the state answers at once\n"
               "given leases of 1000 ms\n"
               "given wakes are shown\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "> wake at 1000\n"
               "w1 starts train#1\n"
               "time is 1000\n"
               "> kill train#1 at w1\n"
               "w2 joins: slots=1\n"
               "> assign train#2 to w2\n"
               "> wake at 2000\n"
               "w2 finishes train#2\n"
               "> run 1 over\n");
}

static void test_renewed(void **state)
{
    (void)state;
    story_play("# Being heard renews the lease.\n"
               "given the state answers at once\n"
               "given leases of 1000 ms\n"
               "given wakes are shown\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "> wake at 1000\n"
               "time is 900\n"
               "w1 is heard\n"
               "time is 1000\n"
               "> wake at 1900\n"
               "time is 1900\n"
               "> kill train#1 at w1\n");
}

static void test_late_success(void **state)
{
    (void)state;
    story_play("# A success that comes late still counts: work is not thrown away.\n"
               "# The other attempt is ended.\n"
               "given leases of 1000 ms\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "time is 1000\n"
               "> kill train#1 at w1\n"
               "w2 joins: slots=1\n"
               "> assign train#2 to w2\n"
               "w1 finishes train#1\n"
               "> kill train#2 at w2\n"
               "> persist train\n"
               "w2 fails train#2: cancelled\n"
               "> ack train to w2\n"
               "the commit is durable\n"
               "> ack train to w1\n"
               "> check 1 outputs of run 1\n"
               "check of run 1: all there\n"
               "> run 1 over\n");
}

static void test_two_successes(void **state)
{
    (void)state;
    story_play("# The first commit wins. A second success with other bytes is dropped,\n"
               "# with the same bytes it is only acknowledged.\n"
               "given leases of 1000 ms\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "time is 1000\n"
               "> kill train#1 at w1\n"
               "w2 joins: slots=1\n"
               "> assign train#2 to w2\n"
               "w2 finishes train#2\n"
               "> persist train\n"
               "the commit is durable\n"
               "> ack train to w2\n"
               "> check 1 outputs of run 1\n"
               "w1 finishes train#1\n"
               "> ack train to w1\n"
               "w2 finishes train#2 differently\n"
               "> dropped train#2 from w2\n"
               "> ack train to w2\n");
}

static void test_heard_again(void **state)
{
    (void)state;
    story_play("# A worker that is heard again is given work again.\n"
               "given the state answers at once\n"
               "given leases of 1000 ms\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "time is 1000\n"
               "> kill train#1 at w1\n"
               "why train?\n"
               "> is ready; w1, the only worker that could run it, is silent\n"
               "w1 is heard\n"
               "> assign train#2 to w1\n");
}

static void test_resent(void **state)
{
    (void)state;
    story_play(
        "# A result is sent again until it is acknowledged: the second copy changes nothing,\n"
        "# and is acknowledged with the first, when that is durable.\n"
        "submit run 1: train\n"
        "w1 joins: slots=1\n"
        "> assign train#1 to w1\n"
        "w1 finishes train#1\n"
        "> persist train\n"
        "w1 finishes train#1\n"
        "the commit is durable\n"
        "> ack train to w1\n"
        "> ack train to w1\n"
        "> check 1 outputs of run 1\n");
}

static void test_continued(void **state)
{
    (void)state;
    story_play("# A worker that was stopped with three tasks and goes on later does no harm.\n"
               "# What was done elsewhere meanwhile stays; what is still open takes its result;\n"
               "# that it gave up the third, as it was told, is old news. Every frame is\n"
               "# acknowledged.\n"
               "given leases of 1000 ms\n"
               "submit run 1: a, b, c\n"
               "w1 joins: slots=3 credit=3\n"
               "> assign a#1 to w1\n"
               "> assign b#1 to w1\n"
               "> assign c#1 to w1\n"
               "w1 starts a#1\n"
               "w1 starts b#1\n"
               "w1 starts c#1\n"
               "time is 1000\n"
               "> kill a#1 at w1\n"
               "> kill b#1 at w1\n"
               "> kill c#1 at w1\n"
               "w2 joins: slots=2 credit=2\n"
               "> assign a#2 to w2\n"
               "> assign b#2 to w2\n"
               "w2 finishes a#2\n"
               "> persist a\n"
               "w1 finishes a#1\n"
               "> assign c#2 to w1\n"
               "w1 finishes b#1\n"
               "> kill b#2 at w2\n"
               "> persist b\n"
               "w1 fails c#1: cancelled\n"
               "> ack c to w1\n"
               "w2 fails b#2: cancelled\n"
               "> ack b to w2\n"
               "w1 finishes c#2\n"
               "> persist c\n"
               "the commit is durable\n"
               "> ack a to w2\n"
               "> ack a to w1\n"
               "> ack b to w1\n"
               "> ack c to w1\n"
               "> check 3 outputs of run 1\n"
               "check of run 1: all there\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 3 executed, 0 hit\n");
}

static void test_late_in_backoff(void **state)
{
    (void)state;
    story_play("# A late success ends the pause before the next attempt.\n"
               "given the state answers at once\n"
               "given leases of 1000 ms\n"
               "given train has retry=1 backoff=50000\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "time is 1000\n"
               "> kill train#1 at w1\n"
               "w2 joins: slots=1\n"
               "> assign train#2 to w2\n"
               "w2 fails train#2: timeout\n"
               "w1 finishes train#1\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 1 executed, 0 hit\n");
}

static void test_late_while_input_is_lost(void **state)
{
    (void)state;
    story_play("# A late success counts too while an input is being made again.\n"
               "given the state answers at once\n"
               "given leases of 1000 ms\n"
               "given prepare is known\n"
               "submit run 1: prepare -> train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "time is 1000\n"
               "> kill train#1 at w1\n"
               "w2 joins: slots=1\n"
               "> assign train#2 to w2\n"
               "w2 misses prepare for train#2\n"
               "> forget prepare\n"
               "> assign prepare#1 to w2\n"
               "w1 finishes train#1\n"
               "w2 finishes prepare#1\n"
               "> run 1 over\n");
}

static void test_stranger(void **state)
{
    (void)state;
    story_play("# A success from somebody who never had the attempt is dropped: another start\n"
               "# of the program is another worker.\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 goes away\n"
               "w1 joins: slots=1\n"
               "> assign train#2 to w1\n"
               "w1 finishes train#1\n"
               "> ack train to w1\n"
               "w2 joins: slots=1\n"
               "w2 finishes train#2\n"
               "> ack train to w2\n");
}

static void test_adopted_in_backoff(void **state)
{
    (void)state;
    story_play("# What a worker still runs is taken over also from the pause before a new\n"
               "# attempt; the lease holds for it as for any.\n"
               "given the state answers at once\n"
               "given leases of 1000 ms\n"
               "given train has retry=3 backoff=50000\n"
               "submit run 1: train\n"
               "w1 joins: slots=1\n"
               "> assign train#1 to w1\n"
               "w1 fails train#1: timeout\n"
               "w2 joins: slots=1 running=train#4\n"
               "w2 starts train#4\n"
               "time is 1000\n"
               "> kill train#4 at w2\n"
               "w1 is heard\n"
               "> assign train#5 to w1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_renewed),
        cmocka_unit_test(test_late_success),
        cmocka_unit_test(test_two_successes),
        cmocka_unit_test(test_heard_again),
        cmocka_unit_test(test_resent),
        cmocka_unit_test(test_continued),
        cmocka_unit_test(test_late_in_backoff),
        cmocka_unit_test(test_late_while_input_is_lost),
        cmocka_unit_test(test_stranger),
        cmocka_unit_test(test_adopted_in_backoff),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
