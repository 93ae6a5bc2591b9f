/* However large a graph is, no step is long: it is submitted, released, failed, cancelled and
 * checked in many, and others have their turn between them. What a step may do is counted by its
 * actions, since a test has no clock to rely on. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/sched/sched.h"
#include "common/base/mem.h"

enum { LEAVES = 5000, WORK = 100, BIG = 0, SMALL = 1 };

/* One root and LEAVES tasks that need it; beside it a run of one task. */
struct world {
    struct sched *sched;
    struct sched_actions actions;
    struct task_node nodes[LEAVES + 1], small;
    struct task_edge edges[LEAVES];
    const uint8_t *is_target; /* of the big run */
    struct artifact output;
    size_t actions_max, checked;
    uint32_t steps, resolve_count;
    uint32_t resolves[LEAVES + 1];
    struct attempt assigned[LEAVES + 2]; /* in order */
    uint32_t assigned_count;
    uint32_t kill_count, freed;
    bool is_over[2], is_asked;
    ms_t now, wake_at;
};

static const struct task_policy policy = {.cpu_hundredths = 100, .backoff_max_ms = 1};

static void take(struct world *world, const struct sched_action *action)
{
    struct sched_task_info info;
    switch (action->type) {
    case SCHED_KILL: world->kill_count++; break;
    case SCHED_RESOLVE: world->resolves[world->resolve_count++] = action->task; break;
    case SCHED_ASSIGN:
        sched_task_info(world->sched, action->task, &info);
        world->assigned[world->assigned_count++] = (struct attempt){info.id, action->attempt};
        break;
    case SCHED_CHECK:
        world->checked += action->input_count;
        world->is_asked = true;
        break;
    case SCHED_RUN_OVER: world->is_over[action->run] = true; break;
    case SCHED_FREED: world->freed += action->index; break;
    case SCHED_WAKE_AT: world->wake_at = action->at; break;
    default: break;
    }
}

static void step(struct world *world, struct sched_event *event)
{
    struct err err;
    event->now = world->now;
    world->wake_at = MS_NEVER;
    world->actions.count = 0;
    sched_step(world->sched, event, &world->actions);
    world->steps++;
    if (!sched_check(world->sched, &err))
        fail_msg("%s", err.text);
    size_t count = world->actions.count;
    world->actions_max = count > world->actions_max ? count : world->actions_max;
    for (size_t i = 0; i < count; i++)
        take(world, &world->actions.items[i]);
}

/* What is left over asks for a step at once; how many it took. */
static uint32_t go_on(struct world *world)
{
    uint32_t before = world->steps;
    while (world->wake_at <= world->now)
        step(world, &(struct sched_event){.type = SCHED_TICK});
    return world->steps - before;
}

static void submit(struct world *world, uint32_t run)
{
    struct sched_event event = {.type = SCHED_SUBMIT,
                                .submit = {.run = run,
                                           .nodes = run == BIG ? world->nodes : &world->small,
                                           .node_count = run == BIG ? LEAVES + 1 : 1,
                                           .edges = world->edges,
                                           .policies = &policy,
                                           .policy_count = 1,
                                           .is_target = run == BIG ? world->is_target : NULL}};
    step(world, &event);
}

static void finish(struct world *world, const struct attempt *attempt, enum status code)
{
    struct sched_event event = {.type = SCHED_DONE};
    event.done.attempt = *attempt;
    event.done.outputs = &world->output;
    event.done.output_count = 1;
    if (code != OK) {
        event = (struct sched_event){.type = SCHED_FAILED};
        event.failed.attempt = *attempt;
        event.failed.code = code;
        event.failed.text = "";
    }
    step(world, &event);
    step(world, &(struct sched_event){.type = SCHED_COMMITTED});
}

static int setup(void **state)
{
    struct world *world = mem_alloc(sizeof *world);
    world->now = 1;
    struct sched_options options = {.step_work = WORK};
    world->sched = sched_new(&options);
    world->output.bytes = 1;
    for (uint32_t i = 0; i <= LEAVES; i++) {
        memcpy(world->nodes[i].id.bytes, &i, sizeof i);
        world->nodes[i].edge_count = i > 0;
        world->nodes[i].first_edge = i ? i - 1 : 0;
    }
    memset(world->small.id.bytes, 0xff, ID_BYTES);
    step(world, &(struct sched_event){.type = SCHED_HELLO, .hello = {.slots = 2, .credit = 16}});
    world->steps = 0;
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    sched_free(world->sched);
    sched_actions_fini(&world->actions);
    mem_free(world);
    return 0;
}

static uint32_t count(const struct world *world, uint32_t run, enum task_state which)
{
    struct sched_run_info info;
    sched_run_info(world->sched, run, &info);
    return info.counts[which];
}

static void is_submitted_in_steps(void **state)
{
    struct world *world = *state;
    struct sched_run_info info;
    submit(world, BIG);
    sched_run_info(world->sched, BIG, &info);
    assert_false(info.is_begun);
    submit(world, SMALL); /* takes its turn behind it */
    assert_true(go_on(world) > 5 * LEAVES / WORK);
    assert_true(world->actions_max <= 2 * WORK);
    sched_run_info(world->sched, BIG, &info);
    assert_true(info.is_begun);
    assert_int_equal(count(world, BIG, TASK_WAITING), LEAVES);
    assert_int_equal(world->assigned_count, 2); /* the root, and the small run's task */
}

static void submit_both(struct world *world)
{
    submit(world, BIG);
    submit(world, SMALL);
    go_on(world);
    world->actions_max = 0;
}

static void releases_in_steps(void **state)
{
    struct world *world = *state;
    submit_both(world);
    finish(world, &world->assigned[0], OK);
    assert_true(world->resolve_count <= WORK);
    finish(world, &world->assigned[1], OK); /* another run's end is seen meanwhile */
    assert_true(world->resolve_count < LEAVES);
    assert_int_equal(count(world, SMALL, TASK_SUCCEEDED), 1);
    assert_true(go_on(world) > LEAVES / WORK / 2);
    assert_int_equal(world->resolve_count, LEAVES);
    assert_true(world->actions_max <= 2 * WORK);
}

/* Answers and what workers say come by the thousand: they go by without working off what is left.
 * Nor does a task that is handed back, and is settled, wait for all of a release. */
static void hands_back_while_another_releases(void **state)
{
    struct world *world = *state;
    submit_both(world);
    finish(world, &world->assigned[0], OK);
    uint32_t released = world->resolve_count;
    step(world,
         &(struct sched_event){.type = SCHED_RESOLVED, .resolved = {.task = world->resolves[0]}});
    assert_int_equal(world->assigned_count, 3);
    step(world,
         &(struct sched_event){.type = SCHED_REVOKED, .worker = {.attempt = world->assigned[2]}});
    assert_int_equal(world->assigned_count, 4); /* at once, to the next */
    assert_int_equal(world->resolve_count, released);
    go_on(world);
    assert_int_equal(world->resolve_count, LEAVES);
    assert_true(world->actions_max <= 2 * WORK);
}

static void failures_spread_in_steps(void **state)
{
    struct world *world = *state;
    submit_both(world);
    finish(world, &world->assigned[0], E_INVALID);
    assert_true(count(world, BIG, TASK_UPSTREAM_FAILED) <= 2 * WORK);
    go_on(world);
    assert_int_equal(count(world, BIG, TASK_UPSTREAM_FAILED), LEAVES);
    assert_true(world->is_over[BIG]);
    assert_true(world->actions_max <= 2 * WORK);
}

static void is_cancelled_in_steps(void **state)
{
    struct world *world = *state;
    submit_both(world);
    finish(world, &world->assigned[0], OK);
    go_on(world);
    for (uint32_t i = 0; i < world->resolve_count; i++)
        step(world, &(struct sched_event){.type = SCHED_RESOLVED,
                                          .resolved = {.task = world->resolves[i]}});
    uint32_t given = world->assigned_count;
    step(world, &(struct sched_event){.type = SCHED_CANCEL, .cancel = {.run = BIG}});
    assert_true(count(world, BIG, TASK_CANCELLED) <= WORK);
    finish(world, &world->assigned[1], OK); /* makes room: nothing of a cancelled run goes there */
    assert_int_equal(world->assigned_count, given);
    go_on(world);
    assert_true(count(world, BIG, TASK_CANCELLED) >= LEAVES - 16);
    assert_true(world->actions_max <= 2 * WORK);
}

/* Also a run that is still being submitted. */
static void a_submission_is_cancelled(void **state)
{
    struct world *world = *state;
    submit(world, BIG);
    step(world, &(struct sched_event){.type = SCHED_CANCEL, .cancel = {.run = BIG}});
    go_on(world);
    assert_int_equal(count(world, BIG, TASK_CANCELLED), LEAVES + 1);
    assert_true(world->is_over[BIG]);
    assert_int_equal(world->assigned_count, 0);
}

/* In steps; what it was, others may be. */
static void forget(struct world *world, uint32_t run)
{
    struct sched_run_info info = {.is_known = true};
    sched_forget(world->sched, run);
    while (info.is_known) {
        step(world, &(struct sched_event){.type = SCHED_GO_ON});
        sched_run_info(world->sched, run, &info);
    }
}

/* The end that it had reached already comes before what is left of the cancel. */
static void a_cancelled_run_is_forgotten(void **state)
{
    struct world *world = *state;
    uint8_t is_target[LEAVES + 1] = {[LEAVES] = 1};
    world->is_target = is_target;
    submit_both(world);
    finish(world, &world->assigned[0], OK);
    go_on(world);
    step(world, &(struct sched_event){.type = SCHED_RESOLVED,
                                      .resolved = {.task = world->resolves[0],
                                                   .is_found = true,
                                                   .record = {1, &world->output}}});
    step(world, &(struct sched_event){.type = SCHED_COMMITTED});
    assert_false(world->is_asked); /* its target is the last of its tasks */
    step(world, &(struct sched_event){.type = SCHED_CANCEL, .cancel = {.run = BIG}});
    assert_true(world->is_over[BIG]);
    forget(world, BIG);
    world->is_over[BIG] = false;
    submit(world, BIG); /* another run of the same number */
    go_on(world);
    assert_int_equal(count(world, BIG, TASK_CANCELLED), 0);
    assert_false(world->is_over[BIG]);
}

static void outputs_are_checked_in_parts(void **state)
{
    struct world *world = *state;
    submit_both(world);
    finish(world, &world->assigned[0], OK);
    go_on(world);
    for (uint32_t i = 0; i < world->resolve_count; i++)
        step(world, &(struct sched_event){.type = SCHED_RESOLVED,
                                          .resolved = {.task = world->resolves[i],
                                                       .is_found = true,
                                                       .record = {1, &world->output}}});
    world->actions_max = 0;
    step(world, &(struct sched_event){.type = SCHED_COMMITTED});
    uint32_t looks = 0;
    for (; !world->is_over[BIG]; looks++) {
        go_on(world);
        assert_true(world->is_asked || world->is_over[BIG]);
        if (!world->is_asked)
            break;
        world->is_asked = false;
        step(world, &(struct sched_event){.type = SCHED_CHECKED, .checked = {.run = BIG}});
    }
    go_on(world);
    assert_true(world->is_over[BIG]);
    assert_int_equal(world->checked, LEAVES);
    assert_true(looks > LEAVES / WORK / 2);
}

static void a_run_is_forgotten_in_steps(void **state)
{
    struct world *world = *state;
    submit(world, SMALL);
    submit(world, BIG);
    go_on(world);
    step(world, &(struct sched_event){.type = SCHED_CANCEL, .cancel = {.run = BIG, .kill = true}});
    go_on(world);
    finish(world, &world->assigned[1], E_CANCELLED);
    go_on(world);
    assert_true(world->is_over[BIG]);
    world->steps = world->freed = 0;
    world->actions_max = 0;
    sched_forget(world->sched, BIG);
    sched_forget(world->sched, BIG); /* once is enough */
    step(world, &(struct sched_event){.type = SCHED_GO_ON});
    finish(world, &world->assigned[0], OK); /* others have their turn */
    go_on(world);
    step(world, &(struct sched_event){.type = SCHED_CHECKED, .checked = {.run = SMALL}});
    assert_true(world->is_over[SMALL]);
    assert_true(world->steps > 2 * LEAVES / WORK);
    assert_true(world->actions_max <= 2 * WORK);
    assert_int_equal(world->freed, LEAVES + 1);
    struct sched_run_info info;
    sched_run_info(world->sched, BIG, &info);
    assert_false(info.is_known);
    assert_int_equal(sched_task_find(world->sched, &world->nodes[7].id), UINT32_MAX);
}

/* While heartbeats may wait in the socket, what is left over goes on and no lease ends; a TICK ends
 * it. */
static void goes_on_without_time(void **state)
{
    struct world *world = *state;
    struct sched_run_info info = {0};
    submit(world, SMALL);
    submit(world, BIG);
    assert_int_equal(world->assigned_count, 1);
    world->now = 10 * LEASE_MS_DEFAULT;
    while (!info.is_begun) {
        step(world, &(struct sched_event){.type = SCHED_GO_ON});
        sched_run_info(world->sched, BIG, &info);
    }
    assert_int_equal(world->kill_count, 0);
    assert_true(world->wake_at <= world->now); /* the lease is still to be seen to */
    step(world, &(struct sched_event){.type = SCHED_TICK});
    assert_true(world->kill_count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(goes_on_without_time, setup, teardown),
        cmocka_unit_test_setup_teardown(is_submitted_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(releases_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(hands_back_while_another_releases, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_spread_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(is_cancelled_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(a_submission_is_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_run_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(outputs_are_checked_in_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_is_forgotten_in_steps, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
