/* Removing records beside work that goes on. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/loop_batch.h"
#include "tests/unit/broker/loop_world.h"

enum { TURNS = 200 };

static void submit_and_finish(struct world *world)
{
    loop_world_submit(world, 0);
    loop_world_join(world);
    loop_world_run_to_the_end(world);
}

static void turn_until_removed(struct world *world)
{
    for (int i = 0; i < TURNS && !loop_has_removed(world->loop); i++)
        loop_world_turn(world);
    assert_true(loop_has_removed(world->loop));
}

/* One task whose record is there, and a new loop that knows nothing of it. */
static struct id leave_a_record(struct world *world)
{
    loop_world_add_task(world, 1, UINT32_MAX);
    submit_and_finish(world);
    struct id task = world->nodes[0].id;
    assert_true(loop_world_has_record(world, &task));
    loop_world_new_loop(world, false);
    return task;
}

static void what_nobody_knows_goes(void **context)
{
    struct world *world = *context;
    struct id task = leave_a_record(world);
    int begins = world->state.begins;
    loop_remove_records(world->loop, &task, 1, false);
    assert_true(loop_is_removing(world->loop));
    assert_false(loop_is_idle(world->loop));
    turn_until_removed(world);
    assert_false(loop_world_has_record(world, &task));
    assert_int_equal(world->state.begins, begins + 1);
}

static void what_the_scheduler_knows_by_then_stays(void **context)
{
    struct world *world = *context;
    loop_world_add_task(world, 1, UINT32_MAX);
    submit_and_finish(world);
    struct id task = world->nodes[0].id;
    loop_remove_records(world->loop, &task, 1, false);
    turn_until_removed(world);
    assert_true(loop_world_has_record(world, &task));
    loop_remove_records(world->loop, &task, 1, true); /* its bytes are damaged */
    turn_until_removed(world);
    assert_false(loop_world_has_record(world, &task));
}

/* Nothing to remove: whoever put runs before wants to know when they are there. */
static void it_is_a_mark_for_what_was_put_before(void **context)
{
    struct world *world = *context;
    loop_world_new_loop(world, false);
    loop_put_run(world->loop, "20260101t0", (const uint8_t *)"document", 8);
    loop_remove_records(world->loop, NULL, 0, false);
    turn_until_removed(world);
    char id[STATE_RUN_ID_BYTES];
    AUTO(buf_fini) struct buf document = buf_init(0);
    assert_int_equal(state_get_run(world->state.real, "latest", id, sizeof id, &document, NULL),
                     OK);
    assert_string_equal(id, "20260101t0");
}

static void a_commit_that_fails_is_tried_again_with_it(void **context)
{
    struct world *world = *context;
    struct id task = leave_a_record(world);
    world->state.failures_left = 1;
    loop_remove_records(world->loop, &task, 1, false);
    loop_world_turn(world);
    assert_true(loop_is_removing(world->loop));
    assert_true(loop_world_has_record(world, &task));
    turn_until_removed(world);
    assert_false(loop_world_has_record(world, &task));
}

/* An alias is made of the record that its action has: a batch with one takes no removal along. */
static void an_early_cutoff_goes_first(void **context)
{
    struct world *world = *context;
    const struct sched *sched = loop_sched(world->loop);
    const struct id task = {{1}}, action = {{2}}, removed = {{3}};
    struct loop_batch batch;
    struct state_batch seen;
    loop_batch_init(&batch);
    loop_batch_alias(&batch, &task, &action);
    loop_batch_want_removals(&batch, &removed, 1, false);
    assert_false(loop_batch_join_removals(&batch, sched));
    loop_batch_view(&batch, &seen);
    assert_int_equal(seen.removal_count, 0);
    loop_batch_clear(&batch); /* it was committed */
    assert_false(loop_batch_is_empty(&batch));
    assert_true(loop_batch_join_removals(&batch, sched));
    loop_batch_view(&batch, &seen);
    assert_int_equal(seen.removal_count, 1);
    assert_int_equal(seen.alias_count, 0);
    assert_true(loop_batch_is_removing(&batch));
    loop_batch_clear(&batch);
    assert_false(loop_batch_is_removing(&batch));
    assert_true(loop_batch_is_empty(&batch));
    loop_batch_fini(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(what_nobody_knows_goes),
        IN_WORLD(what_the_scheduler_knows_by_then_stays),
        IN_WORLD(it_is_a_mark_for_what_was_put_before),
        IN_WORLD(a_commit_that_fails_is_tried_again_with_it),
        IN_WORLD(an_early_cutoff_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
