/* Early cutoff: the same bytes are not worked on twice. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/stories/story.h"

static void test_cutoff(void **state)
{
    (void)state;
    story_play("# prepare ran again and made the same bytes: training is looked up by them,\n"
               "# found, and does not run.\n"
               "given changes are shown\n"
               "submit run 1: prepare -> train -> report\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> persist prepare\n"
               "the commit is durable\n"
               "> ack prepare to w1\n"
               "> publish prepare succeeded\n"
               "> resolve train\n"
               "look-up of train: found\n"
               "> alias train\n"
               "the commit is durable\n"
               "> publish train succeeded\n"
               "> resolve report\n"
               "look-up of report: found\n"
               "> alias report\n"
               "the commit is durable\n"
               "> publish report succeeded\n"
               "> check 1 outputs of run 1\n"
               "check of run 1: all there\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 1 executed, 2 hit\n"
               "why report?\n"
               "> ran before on the same bytes, though what made them ran again\n");
}

static void test_below_a_forced_task(void **state)
{
    (void)state;
    story_play(
        "# What is known below a forced task was made of other bytes, perhaps: it is looked\n"
        "# up by those that come out.\n"
        "given prepare is known\n"
        "given train is known\n"
        "given report is known\n"
        "given prepare is forced\n"
        "submit run 1: prepare -> train -> report\n"
        "w1 joins: slots=1\n"
        "> assign prepare#1 to w1\n"
        "w1 finishes prepare#1\n"
        "> replace prepare\n"
        "the commit is durable\n"
        "> ack prepare to w1\n"
        "> resolve train\n"
        "look-up of train: new\n"
        "> assign train#1 to w1\n"
        "w1 finishes train#1\n"
        "> replace train\n"
        "the commit is durable\n"
        "> ack train to w1\n"
        "> resolve report\n"
        "look-up of report: found\n"
        "> alias report\n"
        "the commit is durable\n"
        "> check 1 outputs of run 1\n"
        "check of run 1: all there\n"
        "> run 1 over\n"
        "count run 1\n"
        "> 2 executed, 1 hit\n");
}

static void test_no_lookup_without_inputs(void **state)
{
    (void)state;
    story_play("# A task without task inputs is not looked up: its id says the same.\n"
               "submit run 1: prepare\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n");
}

static void test_partly(void **state)
{
    (void)state;
    story_play("# One branch sees the change, the other does not.\n"
               "submit run 1: prepare -> train, prepare -> plot\n"
               "w1 joins: slots=2\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> persist prepare\n"
               "the commit is durable\n"
               "> ack prepare to w1\n"
               "> resolve train\n"
               "> resolve plot\n"
               "look-up of train: new\n"
               "> assign train#1 to w1\n"
               "look-up of plot: found\n"
               "> alias plot\n"
               "the commit is durable\n"
               "w1 finishes train#1\n"
               "> persist train\n"
               "the commit is durable\n"
               "> ack train to w1\n"
               "> check 2 outputs of run 1\n"
               "check of run 1: all there\n"
               "> run 1 over\n"
               "count run 1\n"
               "> 2 executed, 1 hit\n");
}

static void test_durable_first(void **state)
{
    (void)state;
    story_play("# What was found is an alias that has to be durable before anything builds on it.\n"
               "submit run 1: prepare -> train -> report\n"
               "w1 joins: slots=1\n"
               "> assign prepare#1 to w1\n"
               "w1 finishes prepare#1\n"
               "> persist prepare\n"
               "the commit is durable\n"
               "> ack prepare to w1\n"
               "> resolve train\n"
               "look-up of train: found\n"
               "> alias train\n"
               "count run 1\n"
               "> 1 executed, 0 hit, 1 waiting, 1 running\n"
               "the commit is durable\n"
               "> resolve report\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cutoff),
        cmocka_unit_test(test_below_a_forced_task),
        cmocka_unit_test(test_no_lookup_without_inputs),
        cmocka_unit_test(test_partly),
        cmocka_unit_test(test_durable_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
