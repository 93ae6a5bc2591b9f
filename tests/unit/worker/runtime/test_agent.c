/* The agent's behaviour as stories: events in, the trace of actions out. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/agent.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

struct story {
    struct agent *agent;
    struct agent_actions actions;
    struct buf trace;
    ms_t now;
    ms_t wake_at;
    char result[256]; /* text of the last RESULT or PUBLISH */
};

static const char *const names[] = {
    [AGENT_SEND_HELLO] = "hello",     [AGENT_SEND_HEARTBEAT] = "heartbeat",
    [AGENT_SEND_STARTED] = "started", [AGENT_SEND_REVOKED] = "revoked",
    [AGENT_SEND_GOODBYE] = "goodbye", [AGENT_RECONNECT] = "reconnect",
    [AGENT_RESEND] = "resend",        [AGENT_FETCH] = "fetch",
    [AGENT_SPAWN] = "spawn",          [AGENT_START] = "start",
    [AGENT_KILL_SLOT] = "kill",       [AGENT_SAMPLE] = "sample",
    [AGENT_PUBLISH] = "publish",      [AGENT_RESULT] = "result",
    [AGENT_FLUSH] = "flush",          [AGENT_RELEASE] = "release",
    [AGENT_WAKE_AT] = "wake",         [AGENT_EXIT] = "exit",
};

static void note(struct story *story, const struct agent_action *action)
{
    if (action->type == AGENT_WAKE_AT) {
        story->wake_at = action->at;
        return;
    }
    buf_format(&story->trace, "%s%s", story->trace.count ? " " : "", names[action->type]);
    if (action->job != AGENT_NONE)
        buf_format(&story->trace, " j%u", action->job);
    if (action->slot != AGENT_NONE)
        buf_format(&story->trace, " s%u", action->slot);
    if (action->code != OK)
        buf_format(&story->trace, " %s", status_name(action->code));
    if (action->type == AGENT_RESULT || action->type == AGENT_PUBLISH)
        snprintf(story->result, sizeof story->result, "%s", action->text);
}

static void happen(struct story *story, struct agent_event event)
{
    struct err err = {0};
    event.now = story->now;
    story->actions.count = 0;
    agent_step(story->agent, &event, &story->actions);
    for (size_t i = 0; i < story->actions.count; i++)
        note(story, &story->actions.items[i]);
    if (!agent_check(story->agent, &err))
        fail_msg("%s", err.text);
}

/* What has been done since the last time. */
static void expect(struct story *story, const char *trace)
{
    assert_string_equal(buf_text(&story->trace), trace);
    buf_clear(&story->trace);
}

static void tick(struct story *story, const char *trace)
{
    happen(story, (struct agent_event){.type = AGENT_TICK});
    expect(story, trace);
}

static struct attempt attempt_of(uint32_t job)
{
    struct attempt attempt = {.number = 1};
    memcpy(attempt.task.bytes, &job, sizeof job);
    return attempt;
}

struct given {
    bool is_light;
    uint32_t timeout_ms;
    uint64_t memory_bytes;
    int32_t priority;
};

static void give(struct story *story, uint32_t job, struct given given)
{
    struct agent_event event = {.type = AGENT_TASK};
    event.task.job = job;
    event.task.attempt = attempt_of(job);
    event.task.is_light = given.is_light;
    event.task.timeout_ms = given.timeout_ms;
    event.task.memory_bytes = given.memory_bytes;
    event.task.priority = given.priority;
    happen(story, event);
}

static void slot_ready(struct story *story, uint32_t slot)
{
    struct agent_event event = {.type = AGENT_SLOT_READY};
    event.died.slot = slot;
    happen(story, event);
}

static void slot_result(struct story *story, uint32_t slot, int64_t took_us)
{
    struct agent_event event = {.type = AGENT_SLOT_RESULT};
    event.result.slot = slot;
    event.result.text = "";
    event.result.took_us = took_us;
    happen(story, event);
}

static void slot_died(struct story *story, uint32_t slot, int how, int exit_status)
{
    struct agent_event event = {.type = AGENT_SLOT_DIED};
    event.died.slot = slot;
    event.died.signal = how;
    event.died.exit_status = exit_status;
    happen(story, event);
}

static void done(struct story *story, enum agent_event_type type, uint32_t job, enum status code,
                 const char *text)
{
    struct agent_event event = {.type = type};
    event.done.job = job;
    event.done.code = code;
    event.done.text = text;
    happen(story, event);
}

static void welcome(struct story *story, uint64_t epoch)
{
    struct agent_event event = {.type = AGENT_WELCOME};
    event.welcome.epoch = epoch;
    event.welcome.lease_ms = 3000;
    happen(story, event);
}

static void acknowledge(struct story *story, size_t left)
{
    struct agent_event event = {.type = AGENT_ACK};
    event.ack.left = left;
    happen(story, event);
}

static void about(struct story *story, enum agent_event_type type, uint32_t job)
{
    happen(story, (struct agent_event){.type = type, .attempt = attempt_of(job)});
}

/* A worker of two slots that a broker has welcomed, its first slot started. */
static struct story begin(void)
{
    const struct agent_options options = {.slots = 2, .grace_ms = 1000};
    struct story story = {.agent = agent_new(&options), .now = 1000};
    story.trace = buf_init(0);
    happen(&story, (struct agent_event){.type = AGENT_CONNECTED});
    expect(&story, "hello");
    welcome(&story, 1);
    expect(&story, "resend");
    tick(&story, "spawn s0");
    slot_ready(&story, 0);
    return story;
}

static void end(struct story *story)
{
    agent_free(story->agent);
    agent_actions_fini(&story->actions);
    buf_fini(&story->trace);
}

/* Job `job` of the kind that touches files is fetched and started in the slot. */
static void run_heavy(struct story *story, uint32_t job, struct given given)
{
    give(story, job, given);
    happen(story, (struct agent_event){.type = AGENT_TICK});
    done(story, AGENT_FETCHED, job, OK, "");
    happen(story, (struct agent_event){.type = AGENT_TICK});
    buf_clear(&story->trace);
}

static void a_heavy_job_is_fetched_started_published_and_reported(void **state)
{
    (void)state;
    struct story story = begin();
    give(&story, 7, (struct given){0});
    expect(&story, "");
    tick(&story, "fetch j7");
    done(&story, AGENT_FETCHED, 7, OK, "");
    tick(&story, "start j7 s0 started j7");
    slot_result(&story, 0, 5000);
    expect(&story, "publish j7");
    done(&story, AGENT_PUBLISHED, 7, OK, "");
    expect(&story, "result j7 release j7");
    tick(&story, "flush");
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

static void results_wait_a_millisecond_for_company_while_others_run(void **state)
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
    tick(&story, "");
    assert_int_equal(story.wake_at, story.now + 1);
    story.now++;
    tick(&story, "flush");
    end(&story);
}

static void a_job_past_its_timeout_is_killed_and_says_so(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){.timeout_ms = 10000});
    story.now += 9999;
    tick(&story, "heartbeat");
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

static void after_a_lost_connection_it_says_hello_with_what_it_holds(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){0});
    happen(&story, (struct agent_event){.type = AGENT_DISCONNECTED});
    slot_result(&story, 0, 1);
    expect(&story, "publish j1");
    uint32_t at = 0;
    struct attempt held, expected = attempt_of(1);
    assert_true(agent_next_held(story.agent, &at, &held));
    assert_memory_equal(&held, &expected, sizeof held);
    assert_false(agent_next_held(story.agent, &at, &held));
    done(&story, AGENT_PUBLISHED, 1, OK, "");
    expect(&story, "result j1 release j1");
    tick(&story, ""); /* nobody to send it to */
    happen(&story, (struct agent_event){.type = AGENT_CONNECTED});
    expect(&story, "hello");
    welcome(&story, 1);
    expect(&story, "resend");
    tick(&story, "flush");
    end(&story);
}

static void a_broker_of_a_lower_epoch_is_refused(void **state)
{
    (void)state;
    struct story story = begin();
    welcome(&story, 5);
    buf_clear(&story.trace);
    welcome(&story, 4);
    expect(&story, "reconnect");
    assert_int_equal(agent_epoch(story.agent), 5);
    end(&story);
}

static void heartbeats_come_three_to_a_lease(void **state)
{
    (void)state;
    struct story story = begin();
    tick(&story, "");
    assert_int_equal(story.wake_at, story.now + 1000);
    story.now += 1000;
    tick(&story, "heartbeat");
    end(&story);
}

static void a_drain_finishes_what_runs_and_hands_back_the_rest(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){0});
    give(&story, 2, (struct given){.is_light = true});
    happen(&story, (struct agent_event){.type = AGENT_DRAIN});
    expect(&story, "revoked release j2");
    give(&story, 3, (struct given){.is_light = true}); /* was on its way */
    tick(&story, "");
    slot_result(&story, 0, 1);
    done(&story, AGENT_PUBLISHED, 1, OK, "");
    expect(&story, "publish j1 result j1 release j1");
    tick(&story, "flush");
    acknowledge(&story, 0);
    tick(&story, "goodbye exit");
    uint32_t at = 0;
    struct attempt held;
    assert_true(agent_next_held(story.agent, &at, &held)); /* what GOODBYE lists */
    end(&story);
}

static void a_drain_ends_what_runs_past_the_grace(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){0});
    happen(&story, (struct agent_event){.type = AGENT_DRAIN});
    story.now += 1000;
    tick(&story, "heartbeat kill s0");
    slot_died(&story, 0, SIGKILL, 0);
    expect(&story, "");
    tick(&story, "goodbye exit");
    end(&story);
}

static void a_second_signal_ends_at_once(void **state)
{
    (void)state;
    struct story story = begin();
    run_heavy(&story, 1, (struct given){0});
    happen(&story, (struct agent_event){.type = AGENT_DRAIN});
    happen(&story, (struct agent_event){.type = AGENT_DRAIN});
    expect(&story, "exit");
    end(&story);
}

static void a_dismissed_worker_leaves_when_results_are_acknowledged(void **state)
{
    (void)state;
    struct story story = begin();
    give(&story, 1, (struct given){.is_light = true});
    tick(&story, "start j1 s0");
    slot_result(&story, 0, 1);
    tick(&story, "result j1 release j1 flush");
    happen(&story, (struct agent_event){.type = AGENT_DISMISS});
    tick(&story, "");
    acknowledge(&story, 0);
    tick(&story, "goodbye exit");
    end(&story);
}

static void slots_that_never_start_end_the_worker(void **state)
{
    (void)state;
    struct story story = begin();
    slot_died(&story, 0, SIGKILL, 0);
    give(&story, 1, (struct given){.is_light = true});
    for (int i = 0; i < 2; i++) {
        tick(&story, "spawn s0");
        slot_died(&story, 0, 0, 127);
        expect(&story, "");
    }
    tick(&story, "spawn s0");
    slot_died(&story, 0, 0, 127);
    expect(&story, "exit unsupported");
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
    assert_string_equal(agent_describe_death(SIGBUS, 0, out, sizeof out),
                        "killed by SIGBUS (bus error)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heavy_job_is_fetched_started_published_and_reported),
        cmocka_unit_test(an_input_that_is_lost_fails_the_job_without_a_slot),
        cmocka_unit_test(light_jobs_are_batched_once_they_prove_quick),
        cmocka_unit_test(results_wait_a_millisecond_for_company_while_others_run),
        cmocka_unit_test(a_job_past_its_timeout_is_killed_and_says_so),
        cmocka_unit_test(a_job_that_grows_too_large_is_killed_and_says_so),
        cmocka_unit_test(a_crash_and_an_exit_name_signal_and_status),
        cmocka_unit_test(when_a_slot_dies_with_many_in_flight_they_run_again_alone),
        cmocka_unit_test(cancelled_jobs_end_wherever_they_are),
        cmocka_unit_test(only_what_has_not_begun_is_given_back),
        cmocka_unit_test(higher_priority_is_fetched_first),
        cmocka_unit_test(after_a_lost_connection_it_says_hello_with_what_it_holds),
        cmocka_unit_test(a_broker_of_a_lower_epoch_is_refused),
        cmocka_unit_test(heartbeats_come_three_to_a_lease),
        cmocka_unit_test(a_drain_finishes_what_runs_and_hands_back_the_rest),
        cmocka_unit_test(a_drain_ends_what_runs_past_the_grace),
        cmocka_unit_test(a_second_signal_ends_at_once),
        cmocka_unit_test(a_dismissed_worker_leaves_when_results_are_acknowledged),
        cmocka_unit_test(slots_that_never_start_end_the_worker),
        cmocka_unit_test(amounts_read_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
