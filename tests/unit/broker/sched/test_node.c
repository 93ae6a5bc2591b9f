/* What a run sees of its nodes, where others have the same tasks. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "broker/sched/sched.h"

enum { NODES = 4 };

static void submit(struct sched *sched, struct sched_actions *actions, uint32_t run,
                   const uint8_t ids[NODES])
{
    static const uint8_t spec[] = {0x80};
    static const struct task_policy policy = {.poison_kills = 3};
    struct task_node nodes[NODES] = {0};
    for (uint8_t i = 0; i < NODES; i++) {
        nodes[i] = (struct task_node){.spec = spec, .spec_bytes = sizeof spec};
        nodes[i].id.bytes[0] = ids[i];
    }
    struct sched_event event = {.type = SCHED_SUBMIT,
                                .submit = {.run = run,
                                           .nodes = nodes,
                                           .node_count = NODES,
                                           .policies = &policy,
                                           .policy_count = 1}};
    sched_step(sched, &event, actions);
}

static void a_cancelled_run_has_left_what_others_go_on_with(void **state)
{
    (void)state;
    struct sched_actions actions = {0};
    struct sched *sched = sched_new(&(struct sched_options){0});
    struct sched_task_info info;
    static const uint8_t first[NODES] = {1, 2, 3, 4}, second[NODES] = {6, 5, 4, 3};
    submit(sched, &actions, 0, first);
    submit(sched, &actions, 1, second); /* its last two are the other's */
    assert_int_equal(sched_first_task(sched, 0), sched_task_index(sched, 0, 0));
    assert_int_equal(sched_first_task(sched, 1), UINT32_MAX);
    assert_int_equal(sched_task_index(sched, 1, 3), sched_task_index(sched, 0, 2));
    struct sched_event cancel = {.type = SCHED_CANCEL, .cancel = {.run = 0}};
    sched_step(sched, &cancel, &actions);
    for (uint32_t node = 0; node < NODES; node++) {
        sched_node_info(sched, 0, node, &info);
        assert_int_equal(info.state, TASK_CANCELLED);
        assert_int_equal(info.is_shared, node >= 2);
        sched_node_info(sched, 1, node, &info);
        assert_int_equal(info.state, TASK_READY);
        assert_int_equal(info.id.bytes[0], second[node]);
    }
    sched_actions_fini(&actions);
    sched_free(sched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cancelled_run_has_left_what_others_go_on_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
