/* The agent and its jobs, as stories: fetched, run, published; timeouts, deaths, cancels. */
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include "tests/unit/worker/runtime/agent_story.h"

static void a_heavy_job_is_fetched_started_published_and_reported(void **state)
{
    (void)state;
    struct story story = begin();
    give(&story, 7, (struct given){0});
    expect(&story, "");
    tick(&story, "fetch j7");
    done(&story, AGENT_FETCHED, 7, OK, "");
    tick(&story, "start j7 s0");
    slot_result(&story, 0, 5000);
    expect(&story, "publish j7");
    done(&story, AGENT_PUBLISHED, 7, OK, "");
    expect(&story, "result j7 release j7");
    tick(&story, "flush");
    end(&story);
}

static void a_further_attempt_is_announced_at_once(void **state)
{
    (void)state;
    struct story story = begin();
    struct agent_event event = {.type = AGENT_TASK};
    event.task.job = 1;
    event.task.attempt = attempt_of(1);
    event.task.attempt.number = 2;
    event.task.is_light = true;
    happen(&story, event);
    tick(&story, "start j1 s0 started j1");
    end(&story);
}

static void a_job_is_announced_once_it_has_run_for_a_while(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){0});
    tick(&story, "");
    assert_int_equal(story.wake_at, story.now + 10);
    story.now += 9;
    tick(&story, "");
    story.now++;
    tick(&story, "started j1");
    tick(&story, "");
    assert_true(story.wake_at > story.now + 10);
    end(&story);
}

static void an_input_that_is_lost_fails_the_job_without_a_slot(void **state)
{
    (void)state;
    struct story story = begin();
    give(&story, 1, (struct given){0});
    tick(&story, "fetch j1");
    done(&story, AGENT_FETCHED, 1, E_LOST, "input x is missing");
    expect(&story, "result j1 lost release j1");
    assert_string_equal(story.result, "input x is missing");
    end(&story);
}

static void light_jobs_are_batched_once_they_prove_quick(void **state)
{
    (void)state;
    struct story story = begin();
    for (uint32_t i = 0; i < 8; i++)
        give(&story, i, (struct given){.is_light = true});
    tick(&story, "start j0 s0 spawn s1"); /* a window of one at first */
    slot_result(&story, 0, 10);
    expect(&story, "result j0 release j0");
    tick(&story, "start j1 s0 start j2 s0");
    slot_result(&story, 0, 10);
    slot_result(&story, 0, 10);
    buf_clear(&story.trace);
    tick(&story, "start j3 s0 start j4 s0 start j5 s0"); /* its share of five for two slots */
    slot_result(&story, 0, 2000000);
    buf_clear(&story.trace);
    tick(&story, ""); /* a slow one: no more behind it */
    end(&story);
}

static void results_wait_for_company_while_all_slots_work(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){0});
    for (uint32_t i = 2; i < 4; i++)
        give(&story, i, (struct given){.is_light = true});
    tick(&story, "spawn s1");
    slot_ready(&story, 1);
    tick(&story, "start j2 s1");
    slot_result(&story, 1, 10000);
    expect(&story, "result j2 release j2");
    tick(&story, "start j3 s1");
    assert_int_equal(story.wake_at, story.now + 4);
    story.now += 4;
    tick(&story, "flush");
    end(&story);
}

/* The broker may hold what only that result releases. */
static void results_are_sent_at_once_when_a_slot_waits_for_work(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){0});
    give(&story, 2, (struct given){.is_light = true});
    tick(&story, "spawn s1");
    slot_ready(&story, 1);
    tick(&story, "start j2 s1");
    slot_result(&story, 1, 10);
    expect(&story, "result j2 release j2");
    tick(&story, "flush");
    end(&story);
}

static void a_job_past_its_timeout_is_killed_and_says_so(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){.timeout_ms = 10000});
    story.now += 9999;
    tick(&story, "started j1 heartbeat");
    story.now++;
    tick(&story, "kill s0");
    slot_died(&story, 0, SIGKILL, 0);
    expect(&story, "publish j1 timeout");
    assert_string_equal(story.result, "ran past its timeout of 10 s");
    done(&story, AGENT_PUBLISHED, 1, E_TIMEOUT, story.result);
    expect(&story, "result j1 timeout release j1");
    end(&story);
}

static void a_job_that_grows_too_large_is_killed_and_says_so(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){.memory_bytes = 64 << 20});
    story.now += 10;
    tick(&story, "started j1");
    story.now = story.wake_at;
    tick(&story, "sample s0");
    struct agent_event event = {.type = AGENT_RESIDENT};
    event.resident.bytes = 64 << 20;
    happen(&story, event);
    expect(&story, "");
    event.resident.bytes = 65 << 20;
    happen(&story, event);
    expect(&story, "kill s0");
    slot_died(&story, 0, SIGKILL, 0);
    expect(&story, "publish j1 memory_limit");
    assert_string_equal(story.result, "grew past its memory limit of 64 MiB (resident 65 MiB)");
    end(&story);
}

/* The loop carries out one action after another, and another slot may die in between. */
static void two_slots_that_die_at_once_each_say_why(void **state)
{
    (void)state;
    char first[ERR_TEXT_BYTES];
    const char *text = NULL;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){.timeout_ms = 10000});
    run_heavy(&story, 2, (struct given){.timeout_ms = 5000});
    slot_ready(&story, 1);
    story.now += 5000;
    tick(&story, "start j2 s1 started j1 heartbeat");
    story.now += 5000;
    tick(&story, "kill s0 kill s1 heartbeat");
    slot_died(&story, 0, SIGKILL, 0);
    text = story.actions.items[0].text;
    snprintf(first, sizeof first, "%s", text);
    slot_died(&story, 1, SIGKILL, 0);
    assert_string_equal(text, first);
    assert_string_equal(story.result, "ran past its timeout of 5 s");
    end(&story);
}

static void a_crash_and_an_exit_name_signal_and_status(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){0});
    slot_died(&story, 0, SIGSEGV, 0);
    expect(&story, "publish j1 crashed");
    assert_string_equal(story.result, "killed by SIGSEGV (segmentation fault)");
    give(&story, 2, (struct given){.is_light = true});
    tick(&story, "spawn s0");
    slot_ready(&story, 0);
    tick(&story, "start j2 s0");
    slot_died(&story, 0, 0, 3);
    expect(&story, "result j2 exit release j2");
    assert_string_equal(story.result, "exited with status 3");
    end(&story);
}

static void when_a_slot_dies_with_many_in_flight_they_run_again_alone(void **state)
{
    (void)state;
    struct story story = begin();
    give(&story, 0, (struct given){.is_light = true});
    tick(&story, "start j0 s0");
    slot_result(&story, 0, 1);
    expect(&story, "result j0 release j0");
    for (uint32_t i = 1; i < 5; i++)
        give(&story, i, (struct given){.is_light = true});
    tick(&story, "start j1 s0 start j2 s0 spawn s1");
    slot_died(&story, 0, SIGSEGV, 0);
    expect(&story, ""); /* nobody is blamed yet */
    slot_ready(&story, 1);
    tick(&story, "start j1 s1 spawn s0");
    slot_died(&story, 1, SIGSEGV, 0);
    expect(&story, "result j1 crashed release j1"); /* it was alone: its fault */
    slot_ready(&story, 0);
    happen(&story, (struct agent_event){.type = AGENT_TICK});
    slot_result(&story, 0, 1);
    assert_non_null(strstr(buf_text(&story.trace), "result j2 release j2"));
    end(&story);
}

static void cancelled_jobs_end_wherever_they_are(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){0});
    give(&story, 2, (struct given){0});
    about(&story, AGENT_KILL, 2);
    expect(&story, "result j2 cancelled release j2");
    about(&story, AGENT_KILL, 1);
    expect(&story, "kill s0");
    slot_died(&story, 0, SIGKILL, 0);
    expect(&story, "publish j1 cancelled");
    about(&story, AGENT_KILL, 9); /* never heard of */
    expect(&story, "");
    end(&story);
}

static void only_what_has_not_begun_is_given_back(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){0});
    give(&story, 2, (struct given){0});
    give(&story, 3, (struct given){.is_light = true});
    tick(&story, "fetch j2 spawn s1");
    about(&story, AGENT_REVOKE, 1);
    expect(&story, "");
    about(&story, AGENT_REVOKE, 2);
    expect(&story, "revoked");
    about(&story, AGENT_REVOKE, 3);
    expect(&story, "revoked release j3");
    done(&story, AGENT_FETCHED, 2, OK, "");
    expect(&story, "release j2");
    end(&story);
}

static void higher_priority_is_fetched_first(void **state)
{
    (void)state;
    struct story story = begin();
    give(&story, 1, (struct given){.priority = 0});
    give(&story, 2, (struct given){.priority = 5});
    give(&story, 3, (struct given){.priority = 5});
    tick(&story, "fetch j2 fetch j3 fetch j1 spawn s1");
    end(&story);
}

static void amounts_read_well(void **state)
{
    (void)state;
    char out[64];
    assert_string_equal(agent_describe_bytes(64 << 20, out, sizeof out), "64 MiB");
    assert_string_equal(agent_describe_bytes(3 << 9, out, sizeof out), "1.5 KiB");
    assert_string_equal(agent_describe_ms(250, out, sizeof out), "250 ms");
    assert_string_equal(agent_describe_ms(1500, out, sizeof out), "1.5 s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heavy_job_is_fetched_started_published_and_reported),
        cmocka_unit_test(a_further_attempt_is_announced_at_once),
        cmocka_unit_test(a_job_is_announced_once_it_has_run_for_a_while),
        cmocka_unit_test(an_input_that_is_lost_fails_the_job_without_a_slot),
        cmocka_unit_test(light_jobs_are_batched_once_they_prove_quick),
        cmocka_unit_test(results_wait_for_company_while_all_slots_work),
        cmocka_unit_test(results_are_sent_at_once_when_a_slot_waits_for_work),
        cmocka_unit_test(a_job_past_its_timeout_is_killed_and_says_so),
        cmocka_unit_test(a_job_that_grows_too_large_is_killed_and_says_so),
        cmocka_unit_test(two_slots_that_die_at_once_each_say_why),
        cmocka_unit_test(a_crash_and_an_exit_name_signal_and_status),
        cmocka_unit_test(when_a_slot_dies_with_many_in_flight_they_run_again_alone),
        cmocka_unit_test(cancelled_jobs_end_wherever_they_are),
        cmocka_unit_test(only_what_has_not_begun_is_given_back),
        cmocka_unit_test(higher_priority_is_fetched_first),
        cmocka_unit_test(amounts_read_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
