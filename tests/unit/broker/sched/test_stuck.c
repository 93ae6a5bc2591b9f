/* Which steps wait for a worker that is not there? */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "broker/sched/sched.h"

enum { NODES = 6, LEASE_MS = 1000 };

struct fixture {
    struct sched *sched;
    struct sched_actions actions;
    ms_t now;
};

/* Nodes 0 to 2 may run anywhere, 3 and 4 in zone a, 5 comes after 4 in zone b. */
static void submit(struct fixture *f)
{
    static const uint8_t spec[] = {0x80};
    static const char *const zone_a[] = {"zone", "a"}, *const zone_b[] = {"zone", "b"};
    static struct task_node nodes[NODES];
    static const struct task_edge edges[] = {{4, 0}};
    static const struct task_policy policies[] = {
        {.poison_kills = 3},
        {.poison_kills = 3, .label_count = 1, .labels = zone_a},
        {.poison_kills = 3, .label_count = 1, .labels = zone_b},
    };
    static const uint32_t policy_of[NODES] = {0, 0, 0, 1, 1, 2};
    for (uint8_t i = 0; i < NODES; i++) {
        nodes[i] = (struct task_node){
            .spec = spec, .spec_bytes = sizeof spec, .policy = policy_of[i], .first_edge = 0};
        nodes[i].id.bytes[0] = i;
        nodes[i].edge_count = i == 5;
    }
    struct sched_event event = {.type = SCHED_SUBMIT,
                                .submit = {.run = 0,
                                           .nodes = nodes,
                                           .node_count = NODES,
                                           .edges = edges,
                                           .policies = policies,
                                           .policy_count = 3}};
    sched_step(f->sched, &event, &f->actions);
}

static void join(struct fixture *f, uint32_t worker, const char *zone)
{
    const char *labels[] = {"zone", zone};
    struct sched_event event = {.type = SCHED_HELLO, .now = f->now};
    event.hello.worker = worker;
    event.hello.instance[0] = (uint8_t)worker;
    event.hello.slots = 1;
    event.hello.labels = labels;
    event.hello.label_count = zone ? 1 : 0;
    sched_step(f->sched, &event, &f->actions);
}

/* A bit for each policy with a stuck task. */
static unsigned stuck(const struct fixture *f)
{
    unsigned found = 0;
    uint32_t cursor = 0, task;
    while ((task = sched_next_stuck(f->sched, 0, &cursor)) != UINT32_MAX) {
        struct sched_task_info info;
        sched_task_info(f->sched, task, &info);
        assert_int_equal(info.state, TASK_READY);
        unsigned bit = info.id.bytes[0] < 3 ? 1 : info.id.bytes[0] < 5 ? 2 : 4;
        assert_false(found & bit);
        found |= bit;
    }
    return found;
}

static int setup(void **state)
{
    static struct fixture f;
    static const struct sched_options options = {.lease_ms = LEASE_MS};
    f = (struct fixture){.sched = sched_new(&options)};
    submit(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sched_free(f->sched);
    sched_actions_fini(&f->actions);
    return 0;
}

static void test_only_what_is_ready_and_fits_nobody(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(stuck(f), 1 | 2);
    join(f, 0, NULL);
    assert_int_equal(stuck(f), 2);
    join(f, 1, "b");
    assert_int_equal(stuck(f), 2);
    join(f, 2, "a");
    assert_int_equal(stuck(f), 0);
}

static void test_busy_is_not_stuck_but_silent_is(void **state)
{
    struct fixture *f = *state;
    join(f, 0, "a");
    assert_int_equal(stuck(f), 0); /* one slot, five tasks that it could run */
    f->now = 3 * LEASE_MS;
    struct sched_event tick = {.type = SCHED_TICK, .now = f->now};
    sched_step(f->sched, &tick, &f->actions);
    assert_int_equal(stuck(f), 1 | 2);
    struct sched_event heard = {.type = SCHED_HEARTBEAT, .now = f->now};
    sched_step(f->sched, &heard, &f->actions);
    assert_int_equal(stuck(f), 0);
    struct sched_event gone = {.type = SCHED_GONE, .now = f->now, .gone = {.is_drain = true}};
    sched_step(f->sched, &gone, &f->actions);
    assert_int_equal(stuck(f), 1 | 2);
}

static void test_who_rests_takes_nothing(void **state)
{
    struct fixture *f = *state;
    join(f, 0, NULL);
    struct sched_event failed = {
        .type = SCHED_FAILED, .now = 500, .failed = {.attempt = {.number = 1}, .code = E_FULL}};
    sched_step(f->sched, &failed, &f->actions);
    assert_int_equal(stuck(f), 1 | 2);
    struct sched_worker_info info;
    uint32_t cursor = 0;
    assert_true(sched_next_worker(f->sched, &cursor, &info));
    assert_int_equal(info.rest_code, E_FULL);
    assert_int_equal(info.rest_left_ms, REST_MS_MIN);
    struct sched_event heard = {.type = SCHED_HEARTBEAT, .now = 1400};
    sched_step(f->sched, &heard, &f->actions);
    struct sched_event tick = {.type = SCHED_TICK, .now = 500 + REST_MS_MIN};
    sched_step(f->sched, &tick, &f->actions);
    assert_int_equal(stuck(f), 2);
}

static void test_of_another_run_nothing_is(void **state)
{
    struct fixture *f = *state;
    uint32_t cursor = 0;
    assert_int_equal(sched_next_stuck(f->sched, 1, &cursor), UINT32_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_only_what_is_ready_and_fits_nobody),
        TEST(test_busy_is_not_stuck_but_silent_is),
        TEST(test_who_rests_takes_nothing),
        TEST(test_of_another_run_nothing_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
