/* The agent and its broker, as stories: connections, heartbeats, drains, and how it ends. */
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include "tests/unit/worker/runtime/agent_story.h"

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

static void refuse(struct story *story, enum status code)
{
    struct agent_event event = {.type = AGENT_REFUSED};
    event.done.code = code;
    event.done.text = "the broker refuses";
    happen(story, event);
}

static void a_broker_that_began_anew_hears_hello_again(void **state)
{
    (void)state;
    struct story story = begin();
    refuse(&story, E_PROTOCOL);
    expect(&story, "reconnect");
    happen(&story, (struct agent_event){.type = AGENT_DISCONNECTED});
    happen(&story, (struct agent_event){.type = AGENT_CONNECTED});
    expect(&story, "hello");
    end(&story);
}

static void a_refusal_for_good_ends_the_worker(void **state)
{
    (void)state;
    static const enum status codes[] = {E_VERSION, E_DENIED};
    static const char *const traces[] = {"exit version", "exit denied"};
    for (int i = 0; i < 2; i++) {
        struct story story = begin();
        refuse(&story, codes[i]);
        expect(&story, traces[i]);
        end(&story);
    }
}

static void refusals_without_end_are_given_up(void **state)
{
    (void)state;
    struct story story = begin();
    for (int i = 0; i < 20; i++) { /* a heartbeat that was due tells: all was well in between */
        refuse(&story, E_PROTOCOL);
        expect(&story, "reconnect");
        story.now += 1000;
        tick(&story, "heartbeat");
    }
    for (int i = 0; i < 9; i++) {
        refuse(&story, E_PROTOCOL);
        expect(&story, "reconnect");
        welcome(&story, 1); /* but not what it then sends */
        expect(&story, "resend");
    }
    refuse(&story, E_PROTOCOL);
    expect(&story, "exit protocol");
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
    tick(&story, "started j1 heartbeat kill s0");
    slot_died(&story, 0, SIGKILL, 0);
    expect(&story, "");
    tick(&story, "goodbye exit");
    end(&story);
}

static void a_worker_that_is_not_yet_welcome_says_goodbye(void **state)
{
    (void)state;
    struct story story = begin();
    happen(&story, (struct agent_event){.type = AGENT_DISCONNECTED});
    happen(&story, (struct agent_event){.type = AGENT_CONNECTED});
    expect(&story, "hello"); /* by now it may have been given something */
    happen(&story, (struct agent_event){.type = AGENT_DRAIN});
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
    expect(&story, "goodbye exit");
    uint32_t at = 0;
    struct attempt held;
    assert_true(agent_next_held(story.agent, &at, &held)); /* what runs is handed back */
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
    expect(&story, "goodbye exit unsupported");
    end(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_lost_connection_it_says_hello_with_what_it_holds),
        cmocka_unit_test(a_broker_of_a_lower_epoch_is_refused),
        cmocka_unit_test(a_broker_that_began_anew_hears_hello_again),
        cmocka_unit_test(a_refusal_for_good_ends_the_worker),
        cmocka_unit_test(refusals_without_end_are_given_up),
        cmocka_unit_test(heartbeats_come_three_to_a_lease),
        cmocka_unit_test(a_drain_finishes_what_runs_and_hands_back_the_rest),
        cmocka_unit_test(a_drain_ends_what_runs_past_the_grace),
        cmocka_unit_test(a_worker_that_is_not_yet_welcome_says_goodbye),
        cmocka_unit_test(a_second_signal_ends_at_once),
        cmocka_unit_test(a_dismissed_worker_leaves_when_results_are_acknowledged),
        cmocka_unit_test(slots_that_never_start_end_the_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
