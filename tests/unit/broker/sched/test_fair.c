/* A small run beside a large one: it ends in about its own time. Too large for a story. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/sched/sched.h"
#include "common/base/mem.h"

enum { LARGE = 200000, SMALL = 20, SLOTS = 2, CREDIT = 8, BEFORE = 1000, RING = 64 };

struct world {
    struct sched *sched;
    struct sched_actions actions;
    uint32_t assigned[RING], first, count; /* a ring: the worker does them in this order */
    bool is_over[2];
};

static void step(struct world *world, struct sched_event event)
{
    world->actions.count = 0;
    sched_step(world->sched, &event, &world->actions);
    uint32_t checks[2], check_count = 0;
    for (size_t i = 0; i < world->actions.count; i++) {
        const struct sched_action *action = &world->actions.items[i];
        if (action->type == SCHED_ASSIGN) {
            assert_true(world->count < RING);
            world->assigned[(world->first + world->count++) % RING] = action->task;
        } else if (action->type == SCHED_CHECK) {
            checks[check_count++] = action->run;
        } else if (action->type == SCHED_RUN_OVER) {
            world->is_over[action->run] = true;
        }
    }
    for (uint32_t i = 0; i < check_count; i++)
        step(world, (struct sched_event){.type = SCHED_CHECKED, .checked = {.run = checks[i]}});
}

static uint32_t unfinished(const struct world *world)
{
    struct sched_load load;
    sched_load(world->sched, &load);
    return load.ready + load.running;
}

static void submit(struct world *world, uint32_t run, uint32_t count)
{
    static const struct task_policy policy = {.cpu_hundredths = 100};
    struct task_node *nodes = mem_alloc(count * sizeof *nodes);
    uint32_t wanted = unfinished(world) + count;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(nodes[i].id.bytes, &i, sizeof i);
        nodes[i].id.bytes[ID_BYTES - 1] = (uint8_t)(1 + run);
    }
    step(world, (struct sched_event){.type = SCHED_SUBMIT,
                                     .submit = {.run = run,
                                                .nodes = nodes,
                                                .node_count = count,
                                                .policies = &policy,
                                                .policy_count = 1}});
    for (uint32_t ticks = 0; unfinished(world) < wanted; ticks++) {
        assert_true(ticks < count); /* a large one takes several steps */
        step(world, (struct sched_event){.type = SCHED_TICK});
    }
    mem_free(nodes);
}

static void finish_one(struct world *world)
{
    struct sched_task_info info;
    struct artifact output = {.bytes = 1};
    assert_true(world->count > 0);
    sched_task_info(world->sched, world->assigned[world->first++ % RING], &info);
    world->count--;
    step(world,
         (struct sched_event){
             .type = SCHED_DONE,
             .done = {.attempt = {info.id, info.attempts}, .outputs = &output, .output_count = 1}});
    step(world, (struct sched_event){.type = SCHED_COMMITTED});
}

static void test_small_beside_large(void **state)
{
    (void)state;
    struct world world = {.sched = sched_new(&(struct sched_options){.seed = 1})};
    submit(&world, 0, LARGE);
    step(&world,
         (struct sched_event){.type = SCHED_HELLO, .hello = {.slots = SLOTS, .credit = CREDIT}});
    for (uint32_t i = 0; i < BEFORE; i++)
        finish_one(&world);
    submit(&world, 1, SMALL);
    uint32_t results = 0;
    for (; !world.is_over[1]; results++)
        finish_one(&world);
    /* What was at the worker when it came; then every other task is its own. */
    assert_in_range(results, SMALL, CREDIT + 2 * SMALL);
    assert_false(world.is_over[0]);
    sched_free(world.sched);
    sched_actions_fini(&world.actions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_small_beside_large)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
