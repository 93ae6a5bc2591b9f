/* A loop whose state or store is slow, full, away, or somebody else's. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "broker/loop_batch.h"
#include "common/clock.h"
#include "tests/unit/broker/loop_world.h"

static void look_ups_wait_for_the_state(void **context)
{
    enum { BELOW = 40 };
    struct world *world = *context;
    world->content = "always the same";
    for (int run = 0; run < 2; run++) {
        loop_world_add_task(world, run ? 99 : 1, UINT32_MAX);
        for (uint32_t n = 0; n < BELOW; n++)
            loop_world_add_task(world, 100 + n, 0);
        loop_world_submit(world, 0);
        loop_world_join(world);
        if (run) {
            world->state.silent_finds = 2;
            world->state.answers = BELOW / 3;
        }
        loop_world_run_to_the_end(world);
        assert_int_equal(world->state.silent_finds, 0);
        assert_int_equal(world->executed, run ? 1 : BELOW + 1);
        for (uint32_t n = 1; run && n <= BELOW; n++)
            assert_true(loop_world_task_info(world, n).is_cutoff);
        loop_world_new_loop(world, true);
        router_forget(world->router, 0);
    }
}

/* Of a chain each is looked up when its input is committed, and was asked for along with that. So
 * are early cutoffs, one below the other. */
static void what_a_success_releases_is_looked_up_along_with_its_commit(void **context)
{
    struct world *world = *context;
    world->content = "always the same";
    for (int run = 0; run < 2; run++) {
        uint32_t first = loop_world_add_task(world, run ? 99 : 1, UINT32_MAX);
        uint32_t second = loop_world_add_task(world, 2, first);
        loop_world_add_task(world, 3, second);
        loop_world_submit(world, 0);
        loop_world_join(world);
        world->state.finds = world->state.finds_ahead = 0;
        loop_world_run_to_the_end(world);
        assert_int_equal(world->state.finds, 2);
        assert_int_equal(world->state.finds_ahead, 2);
        assert_int_equal(world->executed, run ? 1 : 3);
        loop_world_new_loop(world, true);
        router_forget(world->router, 0);
    }
}

/* A beat of many is long beside a round trip: none is asked for ahead rather than some. */
static void of_many_none_is_looked_up_ahead(void **context)
{
    struct world *world = *context;
    struct loop_batch batch;
    struct state_batch view;
    loop_world_add_task(world, 1, UINT32_MAX);
    const struct task_node *node = &world->nodes[loop_world_add_task(world, 2, 0)];
    struct sched_work work = {.spec = node->spec, .spec_bytes = node->spec_bytes};
    loop_batch_init(&batch);
    for (int round = 0; round < 2; round++) {
        for (uint32_t n = 1; n <= 3 * STATE_AHEAD_MAX; n++) {
            struct artifact input = {.id = {{(uint8_t)n}}};
            loop_batch_look_ahead(&batch, &work, &input, 1);
            loop_batch_view(&batch, &view);
            assert_int_equal(view.ahead_count, n <= STATE_AHEAD_MAX ? n : 0);
            struct id action = loop_batch_action(&batch, work.spec, work.spec_bytes, &input, 1);
            if (view.ahead_count)
                assert_true(id_equal(&view.ahead[n - 1], &action));
        }
        loop_batch_clear(&batch);
    }
    loop_batch_fini(&batch);
}

static void a_full_state_pauses_the_run(void **context)
{
    struct world *world = *context;
    loop_world_add_task(world, 1, UINT32_MAX);
    loop_world_add_task(world, 2, 0);
    loop_world_submit(world, 0);
    loop_world_join(world);
    world->state.failures_left = 2;
    while (world->state.failures_left) {
        loop_world_turn(world);
        assert_false(loop_world_has_record(world, &world->nodes[0].id));
        assert_int_equal(world->acks, 0); /* nothing visible before it is durable */
        assert_int_equal(world->executed <= 1, 1);
    }
    loop_world_run_to_the_end(world);
    assert_int_equal(world->executed, 2);
    assert_true(loop_world_has_record(world, &world->nodes[1].id));
}

static void a_store_in_trouble_pauses_the_run(void **context)
{
    struct world *world = *context;
    store_close(world->store);
    assert_int_equal(
        store_open("fault+mem:?on=has,flush&fail=1&times=2&status=disk_full", &world->store, NULL),
        OK);
    loop_world_new_loop(world, true);
    loop_world_add_task(world, 1, UINT32_MAX);
    loop_world_submit(world, 0);
    loop_world_join(world);
    loop_world_run_to_the_end(world);
    assert_int_equal(world->overs, 1);
    assert_int_equal(world->executed, 1);
}

static void a_fenced_broker_ends(void **context)
{
    struct world *world = *context;
    struct err err = {0};
    enum status status = OK;
    loop_world_add_task(world, 1, UINT32_MAX);
    loop_world_submit(world, 0);
    loop_world_join(world);
    world->state.failures_left = -1;
    for (ms_t end = clock_ms() + 5000; status == OK && clock_ms() < end;) {
        status = loop_turn(world->loop, 5, &err);
        loop_world_serve(world);
    }
    assert_int_equal(status, E_FENCED);
    assert_int_equal(world->overs, 0);
}

static void a_broker_without_its_lease_ends(void **context)
{
    struct world *world = *context;
    struct err err = {0};
    world->state.is_deposed = true;
    assert_int_equal(loop_turn(world->loop, 5, &err), E_FENCED);
}

static void a_worker_with_a_higher_epoch_raises_ours(void **context)
{
    struct world *world = *context;
    struct welcome welcome;
    struct err err = {0};
    peer_hello(&world->peer, PROTOCOL_VERSION, 7, "w", NULL, 0);
    for (ms_t end = clock_ms() + 5000; state_epoch(&world->state.base) < 8;) {
        assert_int_equal(loop_turn(world->loop, 5, &err), OK);
        assert_true(clock_ms() < end);
    }
    assert_true(peer_receive(&world->peer, MSG_REFUSED));
    peer_hello(&world->peer, PROTOCOL_VERSION, 7, "w", NULL, 0);
    while (router_worker_find(world->router, "w") == UINT32_MAX)
        assert_int_equal(loop_turn(world->loop, 5, &err), OK);
    assert_true(peer_receive(&world->peer, MSG_WELCOME));
    assert_int_equal(msg_decode_welcome(world->peer.frame, world->peer.frame_bytes, &welcome, &err),
                     OK);
    assert_int_equal(welcome.epoch, 8);
    /* Nonsense is not followed. */
    peer_hello(&world->peer, PROTOCOL_VERSION, UINT64_MAX, "x", NULL, 0);
    while (router_worker_find(world->router, "w") != UINT32_MAX)
        assert_int_equal(loop_turn(world->loop, 5, &err), OK);
    assert_true(peer_receive(&world->peer, MSG_REFUSED));
    assert_int_equal(loop_turn(world->loop, 5, &err), OK);
    assert_int_equal(state_epoch(&world->state.base), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(look_ups_wait_for_the_state),
        IN_WORLD(what_a_success_releases_is_looked_up_along_with_its_commit),
        IN_WORLD(of_many_none_is_looked_up_ahead),
        IN_WORLD(a_full_state_pauses_the_run),
        IN_WORLD(a_store_in_trouble_pauses_the_run),
        IN_WORLD(a_fenced_broker_ends),
        IN_WORLD(a_broker_without_its_lease_ends),
        IN_WORLD(a_worker_with_a_higher_epoch_raises_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
