/* Three hundred random histories; a failure prints its seed. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "tests/unit/broker/sched/world.h"

enum { SEEDS = 300, FAULTY_TURNS = 1200, SETTLE_TURNS = 60000 };

/* I1: every task has one final state. I4: a task is made at most once, plus once per loss. */
static void check_end(const struct world *world)
{
    for (uint32_t i = 0; i < world->run_count; i++) {
        const struct world_run *run = &world->runs[i];
        struct sched_run_info info;
        sched_run_info(world->sched, run->number, &info);
        assert_true(info.is_over);
        assert_int_equal(
            info.counts[TASK_WAITING] + info.counts[TASK_READY] + info.counts[TASK_RUNNING], 0);
        assert_int_equal(info.executed + info.hit, info.counts[TASK_SUCCEEDED]);
        if (!run->is_cancelled)
            assert_int_equal(info.counts[TASK_CANCELLED], 0);
    }
    for (uint32_t i = 0; i < world->frame_count; i++)
        assert_int_equal(world->acks[i], 1);
}

static void test_histories(void **state)
{
    (void)state;
    struct world *world = mem_alloc(sizeof *world);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        world_init(world, seed);
        for (uint32_t turn = 0; turn < FAULTY_TURNS; turn++)
            world_turn(world);
        world_settle(world, SETTLE_TURNS);
        check_end(world);
        for (uint32_t i = 0; i < world->run_count; i++)
            sched_forget(world->sched, world->runs[i].number);
        struct err err;
        assert_true(sched_check(world->sched, &err));
        world_fini(world);
    }
    mem_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_histories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
