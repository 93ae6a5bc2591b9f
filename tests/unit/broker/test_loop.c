/* The four beats. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/crypto/hash.h"
#include "tests/unit/broker/loop_world.h"

static void a_chain_runs_to_its_end(void **context)
{
    struct world *world = *context;
    loop_world_add_task(world, 1, UINT32_MAX);
    loop_world_add_task(world, 2, 0);
    loop_world_add_task(world, 3, 1);
    loop_world_submit(world, 0);
    assert_false(world->overs);
    loop_world_join(world);
    loop_world_run_to_the_end(world);
    assert_int_equal(world->overs, 1);
    assert_int_equal(world->executed, 3);
    assert_true(world->published >= 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(loop_world_task_info(world, i).state, TASK_SUCCEEDED);
        assert_true(loop_world_has_record(world, &world->nodes[i].id));
    }
    while (world->acks < 3)
        loop_world_turn(world);
    assert_true(loop_is_idle(world->loop));
    struct loop_stats stats;
    loop_stats(world->loop, &stats);
    assert_int_equal(stats.results, 3);
    assert_true(stats.commits >= 3);
}

static void many_tasks_share_commits(void **context)
{
    struct world *world = *context;
    struct loop_stats stats;
    world->is_plain = true;
    for (uint32_t n = 0; n < NODES_MAX; n++)
        loop_world_add_task(world, n, UINT32_MAX);
    loop_world_submit(world, 0);
    loop_world_join(world);
    loop_world_run_to_the_end(world);
    loop_stats(world->loop, &stats);
    assert_int_equal(stats.results, NODES_MAX);
    assert_true(stats.commits < NODES_MAX / 4);
    for (uint32_t n = 0; n < NODES_MAX; n++)
        assert_true(loop_world_has_record(world, &world->nodes[n].id));
}

static void the_same_bytes_are_not_worked_on_twice(void **context)
{
    struct world *world = *context;
    world->content = "always the same";
    loop_world_add_task(world, 1, UINT32_MAX);
    loop_world_add_task(world, 2, 0);
    loop_world_submit(world, 0);
    loop_world_join(world);
    loop_world_run_to_the_end(world);
    assert_int_equal(world->executed, 2);
    loop_world_new_loop(world, true);
    router_forget(world->router, 0);            /* HELLO is new to it, too */
    loop_world_add_task(world, 99, UINT32_MAX); /* another task with the same output */
    loop_world_add_task(world, 2, 0);           /* another id, the same action */
    loop_world_submit(world, 0);
    loop_world_join(world);
    loop_world_run_to_the_end(world);
    assert_int_equal(world->executed, 1);
    assert_true(loop_world_task_info(world, 1).is_cutoff);
    assert_true(loop_world_has_record(world, &world->nodes[1].id)); /* by an alias */
}

/* Which of them it still answers before it falls silent makes no difference. */
static void a_record_of_another_action_is_refused(void **context)
{
    struct world *world = *context;
    world->tells_lies = true;
    loop_world_add_task(world, 1, UINT32_MAX);
    loop_world_add_task(world, 2, 0);
    loop_world_submit(world, 0);
    loop_world_join(world);
    loop_world_run_to_the_end(world);
    assert_int_equal(loop_world_task_info(world, 0).state, TASK_SUCCEEDED);
    assert_int_equal(loop_world_task_info(world, 1).state, TASK_FAILED);
    assert_int_equal(loop_world_task_info(world, 1).code, E_PROTOCOL);
    assert_false(loop_world_has_record(world, &world->nodes[1].id));
}

/* A while's trouble fails neither the question whether the results are there nor the flush. */
/* What gives out epochs forgot the last ones: the next is higher than any that was seen. */
/* Its tasks go to the next one. */
static void a_worker_that_vanishes_is_replaced(void **context)
{
    struct world *world = *context;
    loop_world_add_task(world, 1, UINT32_MAX);
    loop_world_add_task(world, 2, 0);
    loop_world_submit(world, 0);
    loop_world_join(world);
    world->is_idle_peer = true;
    while (loop_world_task_info(world, 0).attempts == 0)
        loop_world_turn(world);
    peer_close(&world->peer);
    peer_connect(&world->peer, router_endpoint(world->router), "worker-2");
    world->is_idle_peer = false;
    loop_world_join(world);
    loop_world_run_to_the_end(world);
    assert_int_equal(loop_world_task_info(world, 1).state, TASK_SUCCEEDED);
}

static void restore(struct world *world, uint32_t node, const struct artifact *output)
{
    struct sched_known known = {1, output};
    struct sched_event event = {
        .type = SCHED_RESTORE,
        .restore = {.tasks = &world->nodes[node].id, .records = &known, .count = 1}};
    loop_step(world->loop, &event);
}

static void all_hits_need_no_worker(void **context)
{
    struct world *world = *context;
    struct artifact output = {.bytes = 1};
    assert_int_equal(store_put(world->store, "x", 1, &output.id, NULL), OK);
    loop_world_new_loop(world, false);
    loop_world_add_task(world, 1, UINT32_MAX);
    loop_world_add_task(world, 2, 0);
    restore(world, 0, &output);
    restore(world, 1, &output);
    loop_world_submit(world, 0);
    loop_world_run_to_the_end(world);
    assert_true(loop_world_task_info(world, 1).is_hit);
    assert_int_equal(world->state.begins, 0);
}

static void a_result_that_is_not_in_the_store_is_made_again(void **context)
{
    struct world *world = *context;
    struct artifact gone = {.bytes = 1};
    hash_bytes(NULL, "gone", 4, &gone.id);
    loop_world_add_task(world, 1, UINT32_MAX);
    restore(world, 0, &gone);
    loop_world_submit(world, 0);
    loop_world_join(world);
    loop_world_run_to_the_end(world);
    assert_int_equal(world->executed, 1);
    assert_true(loop_world_has_record(world, &world->nodes[0].id));
}

static void a_run_document_is_committed(void **context)
{
    struct world *world = *context;
    char id[STATE_RUN_ID_BYTES];
    AUTO(buf_fini) struct buf document = buf_init(0);
    loop_put_run(world->loop, "2026-a", (const uint8_t *)"doc", 3);
    assert_false(loop_is_idle(world->loop));
    loop_world_turn(world);
    assert_true(loop_is_idle(world->loop));
    assert_int_equal(state_get_run(world->state.real, "latest", id, sizeof id, &document, NULL),
                     OK);
    assert_string_equal(buf_text(&document), "doc");
}

static void a_worker_said_to_be_gone_is_forgotten(void **context)
{
    struct world *world = *context;
    loop_world_join(world);
    for (ms_t end = clock_ms() + 2000; router_worker_find(world->router, "w") == UINT32_MAX;) {
        loop_world_turn(world);
        assert_true(clock_ms() < end);
    }
    struct sched_event event = {.type = SCHED_GONE, .gone = {.worker = 0, .code = E_GONE}};
    loop_step(world->loop, &event);
    assert_int_equal(router_worker_find(world->router, "w"), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_chain_runs_to_its_end),
        IN_WORLD(many_tasks_share_commits),
        IN_WORLD(the_same_bytes_are_not_worked_on_twice),
        IN_WORLD(a_record_of_another_action_is_refused),
        IN_WORLD(a_worker_that_vanishes_is_replaced),
        IN_WORLD(all_hits_need_no_worker),
        IN_WORLD(a_result_that_is_not_in_the_store_is_made_again),
        IN_WORLD(a_run_document_is_committed),
        IN_WORLD(a_worker_said_to_be_gone_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
