/* What running jobs share, as stories: cpu, memory and a gpu; who waits for whom, and when what was
 * taken is free again. */
// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include "tests/unit/worker/runtime/agent_story.h"

/* A worker of some slots with one gpu and 8 GiB, all slots started. */
static struct story begin_sharing(uint32_t slots)
{
    static const struct resource resources[] = {{"license", 3}, {"gpu", 1}};
    const struct agent_options options = {.slots = slots,
                                          .grace_ms = 1000,
                                          .prefetch = 8,
                                          .memory_bytes = (uint64_t)8 << 30,
                                          .resources = resources,
                                          .resource_count = 2};
    struct story story = begin_with(&options);
    for (uint32_t i = 0; i < slots; i++) { /* slots start for work alone */
        give(&story, 1000 + i, (struct given){.is_light = true});
        happen(&story, (struct agent_event){.type = AGENT_TICK});
    }
    for (uint32_t i = 1; i < slots; i++)
        slot_ready(&story, i);
    for (uint32_t done = 0, round = 0; done < slots; round++) {
        assert_true(round < 2 * slots); /* each has its turn */
        happen(&story, (struct agent_event){.type = AGENT_TICK});
        for (uint32_t i = 0; i < slots; i++)
            if (agent_is_awaiting(story.agent, i)) {
                slot_result(&story, i, 1000);
                done++;
            }
    }
    happen(&story, (struct agent_event){.type = AGENT_TICK});
    buf_clear(&story.trace);
    return story;
}

/* Its inputs are here. */
static void give_fetched(struct story *story, uint32_t job, struct given given)
{
    give(story, job, given);
    char fetch[32];
    snprintf(fetch, sizeof fetch, "fetch j%u", job);
    tick(story, fetch);
    done(story, AGENT_FETCHED, job, OK, "");
}

static const struct given gpu = {.cpu_hundredths = 100, .gpu = 1};
static const struct given plain = {.cpu_hundredths = 100};

static void two_jobs_on_one_gpu_run_one_after_the_other(void **state)
{
    (void)state;
    struct story story = begin_sharing(2);
    give_fetched(&story, 1, gpu);
    tick(&story, "start j1 s0");
    give_fetched(&story, 2, gpu);
    tick(&story, "");
    give_fetched(&story, 3, plain);
    tick(&story, ""); /* the one slot left is the head's */
    slot_result(&story, 0, 1);
    expect(&story, "publish j1");
    tick(&story, "start j2 s0 start j3 s1");
    end(&story);
}

static void a_plain_job_passes_the_head_where_a_slot_is_left(void **state)
{
    (void)state;
    struct story story = begin_sharing(3);
    give_fetched(&story, 1, gpu);
    tick(&story, "start j1 s0");
    give_fetched(&story, 2, gpu);
    give_fetched(&story, 3, gpu);
    give_fetched(&story, 4, plain);
    tick(&story, "start j4 s1");
    give_fetched(&story, 5, plain);
    tick(&story, ""); /* s2 is kept for j2, which lacks only the gpu */
    slot_result(&story, 0, 1);
    buf_clear(&story.trace);
    tick(&story, "start j2 s0");
    slot_result(&story, 1, 1);
    buf_clear(&story.trace);
    tick(&story, "start j5 s1");
    end(&story);
}

/* Cores are plenty, slots are not. */
static void the_last_slot_is_kept_for_the_head(void **state)
{
    (void)state;
    const struct given small_gpu = {.cpu_hundredths = 10, .gpu = 1}, small = {.cpu_hundredths = 10};
    struct story story = begin_sharing(2);
    give_fetched(&story, 1, small_gpu);
    tick(&story, "start j1 s0");
    give_fetched(&story, 2, small_gpu);
    give_fetched(&story, 3, small);
    tick(&story, "");
    slot_result(&story, 0, 1);
    buf_clear(&story.trace);
    tick(&story, "start j2 s0 start j3 s1");
    end(&story);
}

/* More of them than are fetched ahead: what could start is fetched past them. */
static void many_that_want_the_gpu_leave_no_slot_idle(void **state)
{
    (void)state;
    struct story story = begin_sharing(3);
    give_fetched(&story, 1, gpu);
    tick(&story, "start j1 s0");
    for (uint32_t job = 2; job < 14; job++)
        give(&story, job, gpu);
    give(&story, 14, plain);
    give(&story, 15, plain);
    tick(&story, "fetch j2 fetch j3 fetch j4 fetch j5 fetch j6 fetch j7 fetch j8 fetch j9 "
                 "fetch j10 fetch j11");
    for (uint32_t job = 2; job < 12; job++)
        done(&story, AGENT_FETCHED, job, OK, "");
    tick(&story, "fetch j14"); /* for one of the two idle slots: the other is the head's */
    done(&story, AGENT_FETCHED, 14, OK, "");
    tick(&story, "start j14 s1");
    slot_result(&story, 1, 1);
    buf_clear(&story.trace);
    tick(&story, "fetch j15");
    end(&story);
}

static void a_large_job_is_not_starved_by_small_ones(void **state)
{
    (void)state;
    struct story story = begin_sharing(4);
    give_fetched(&story, 1, plain);
    tick(&story, "start j1 s0");
    give_fetched(&story, 2, (struct given){.cpu_hundredths = 400});
    for (uint32_t job = 3; job < 6; job++)
        give_fetched(&story, job, plain);
    give(&story, 6, (struct given){.is_light = true, .cpu_hundredths = 100});
    tick(&story, ""); /* cores are what it lacks: nobody takes one */
    slot_result(&story, 0, 1);
    buf_clear(&story.trace);
    tick(&story, "start j2 s0");
    slot_result(&story, 0, 1);
    buf_clear(&story.trace);
    tick(&story, "start j3 s0 start j4 s1 start j5 s2 start j6 s3");
    end(&story);
}

static void a_higher_priority_becomes_the_head(void **state)
{
    (void)state;
    struct story story = begin_sharing(2);
    give_fetched(&story, 1, gpu);
    tick(&story, "start j1 s0");
    give_fetched(&story, 2, gpu);
    give_fetched(&story, 3, (struct given){.cpu_hundredths = 100, .priority = 1});
    tick(&story, "start j3 s1");
    give_fetched(&story, 4, (struct given){.cpu_hundredths = 100, .gpu = 1, .priority = 1});
    slot_result(&story, 0, 1);
    buf_clear(&story.trace);
    tick(&story, "start j4 s0");
    end(&story);
}

static void memory_limits_are_reserved(void **state)
{
    (void)state;
    const struct given large = {.memory_bytes = (uint64_t)5 << 30};
    const struct given small = {.memory_bytes = (uint64_t)3 << 30};
    struct story story = begin_sharing(4);
    give_fetched(&story, 1, large);
    tick(&story, "start j1 s0");
    give_fetched(&story, 2, large);
    give_fetched(&story, 3, small);
    give_fetched(&story, 4, (struct given){.cpu_hundredths = 100}); /* reserves nothing */
    tick(&story, "start j4 s1");                                    /* j3 would take from j2 */
    slot_result(&story, 0, 1);
    buf_clear(&story.trace);
    tick(&story, "start j2 s0 start j3 s2");
    end(&story);
}

static void what_a_job_took_is_free_however_it_ends(void **state)
{
    (void)state;
    struct story story = begin_sharing(1);
    give_fetched(&story, 1, (struct given){.gpu = 1, .timeout_ms = 500});
    tick(&story, "start j1 s0");
    for (uint32_t job = 2; job < 6; job++)
        give_fetched(&story, job, (struct given){.gpu = 1, .cpu_hundredths = 100});
    story.now += 500;
    tick(&story, "kill s0"); /* its timeout */
    slot_died(&story, 0, SIGKILL, 0);
    tick(&story, "publish j1 timeout spawn s0");
    slot_ready(&story, 0);
    tick(&story, "start j2 s0");
    slot_died(&story, 0, SIGSEGV, 0); /* a crash */
    tick(&story, "publish j2 crashed spawn s0");
    slot_ready(&story, 0);
    tick(&story, "start j3 s0");
    about(&story, AGENT_KILL, 3);
    slot_died(&story, 0, SIGKILL, 0); /* cancelled */
    tick(&story, "kill s0 publish j3 cancelled spawn s0");
    slot_ready(&story, 0);
    tick(&story, "start j4 s0");
    slot_result(&story, 0, 1); /* a success: before it is published */
    tick(&story, "publish j4 start j5 s0");
    happen(&story, (struct agent_event){.type = AGENT_DRAIN});
    story.now += 1000;
    tick(&story, "started j5 heartbeat kill s0");
    slot_died(&story, 0, SIGKILL, 0); /* the drain's grace: handed back */
    for (uint32_t job = 1; job < 5; job++)
        done(&story, AGENT_PUBLISHED, job, OK, "");
    end(&story);
}

static void a_job_that_was_cancelled_while_it_waited_holds_nobody_up(void **state)
{
    (void)state;
    struct story story = begin_sharing(2);
    give_fetched(&story, 1, gpu);
    tick(&story, "start j1 s0");
    give_fetched(&story, 2, gpu);
    give_fetched(&story, 3, plain);
    tick(&story, "");
    about(&story, AGENT_REVOKE, 2);
    tick(&story, "revoked release j2 start j3 s1");
    end(&story);
}

static void more_than_there_is_fails_at_once(void **state)
{
    (void)state;
    static const struct {
        struct given given;
        const char *text;
    } rows[] = {
        {{.gpu = 2}, "asks for gpu: 2, of which this worker offers 1; see worker --resource"},
        {{.cpu_hundredths = 250},
         "asks for 2.5 cores, of which this worker offers 2; see worker "
         "--cpu"},
        {{.memory_bytes = (uint64_t)9 << 30},
         "asks for 9 GiB of memory, of which this worker "
         "offers 8 GiB; see worker --memory"},
    };
    struct story story = begin_sharing(2);
    for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char trace[64];
        give(&story, i, rows[i].given);
        snprintf(trace, sizeof trace, "result j%u unsupported release j%u", i, i);
        expect(&story, trace);
        assert_string_equal(story.result, rows[i].text);
    }
    struct agent_event event = {.type = AGENT_TASK};
    event.task.job = 9;
    event.task.attempt = attempt_of(9);
    event.task.resources = &(const struct resource){"fpga", 1};
    event.task.resource_count = 1;
    happen(&story, event);
    expect(&story, "result j9 unsupported release j9");
    assert_string_equal(story.result,
                        "asks for fpga: 1, of which this worker offers 0; see worker --resource");
    end(&story);
}

static void light_jobs_leave_the_head_its_slot_and_cores(void **state)
{
    (void)state;
    const struct given light = {.is_light = true, .cpu_hundredths = 100};
    struct story story = begin_sharing(3);
    give_fetched(&story, 1, gpu);
    tick(&story, "start j1 s0");
    give_fetched(&story, 2, gpu);
    give(&story, 3, light);
    give(&story, 4, light);
    tick(&story, "start j3 s1"); /* s2 is kept for j2 */
    slot_result(&story, 1, 1000);
    buf_clear(&story.trace);
    tick(&story, "start j4 s1");
    give_fetched(&story, 5, (struct given){.cpu_hundredths = 200, .priority = 1});
    give(&story, 6, light);
    slot_result(&story, 1, 1000);
    buf_clear(&story.trace);
    tick(&story, "start j5 s1"); /* the new head takes the cores; j6 waits */
    end(&story);
}

static void the_next_is_fetched_while_the_slot_works(void **state)
{
    (void)state;
    struct story story = begin_with(&(const struct agent_options){.slots = 1, .grace_ms = 1000});
    give(&story, 1, plain);
    give(&story, 2, plain);
    give(&story, 3, plain);
    tick(&story, "fetch j1 fetch j2"); /* one for the slot, one ahead of it */
    done(&story, AGENT_FETCHED, 1, OK, "");
    tick(&story, "start j1 s0");
    about(&story, AGENT_REVOKE, 2); /* its fetch is under way */
    tick(&story, "revoked");
    about(&story, AGENT_REVOKE, 1); /* it runs: it stays */
    expect(&story, "");
    done(&story, AGENT_FETCHED, 2, OK, "");
    tick(&story, "release j2 fetch j3");
    about(&story, AGENT_KILL, 3);
    done(&story, AGENT_FETCHED, 3, OK, "");
    tick(&story, "result j3 cancelled release j3");
    end(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_jobs_on_one_gpu_run_one_after_the_other),
        cmocka_unit_test(a_plain_job_passes_the_head_where_a_slot_is_left),
        cmocka_unit_test(the_last_slot_is_kept_for_the_head),
        cmocka_unit_test(many_that_want_the_gpu_leave_no_slot_idle),
        cmocka_unit_test(a_large_job_is_not_starved_by_small_ones),
        cmocka_unit_test(a_higher_priority_becomes_the_head),
        cmocka_unit_test(memory_limits_are_reserved),
        cmocka_unit_test(what_a_job_took_is_free_however_it_ends),
        cmocka_unit_test(a_job_that_was_cancelled_while_it_waited_holds_nobody_up),
        cmocka_unit_test(more_than_there_is_fails_at_once),
        cmocka_unit_test(light_jobs_leave_the_head_its_slot_and_cores),
        cmocka_unit_test(the_next_is_fetched_while_the_slot_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
