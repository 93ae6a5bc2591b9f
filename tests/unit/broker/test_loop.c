/* The four beats with a real scheduler, state and store in memory, a worker by hand at a socket. */
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
#include "tests/unit/broker/moody.h"
#include "tests/unit/broker/work/peer.h"

enum { NODES_MAX = 600, SPEC_MAX = 128 };

struct world {
    struct moody state;
    struct store *store;
    struct router *router;
    struct loop *loop;
    struct peer peer;
    struct task_node nodes[NODES_MAX];
    struct task_edge edges[NODES_MAX];
    uint8_t specs[NODES_MAX][SPEC_MAX];
    uint32_t node_count, edge_count;
    uint32_t executed, acks, overs, published;
    uint64_t sequence;
    bool tells_lies, is_idle_peer, is_plain; /* plain: tasks take no named resource */
    const char *content; /* what every task puts out; NULL: something of its own */
};

/* ---- the world ---- */

static void run_over(void *context, uint32_t run)
{
    struct world *world = context;
    (void)run;
    world->overs++;
}

static void published(void *context, uint32_t run, uint32_t task)
{
    struct world *world = context;
    (void)run, (void)task;
    world->published++;
}

static void new_loop(struct world *world, bool has_router)
{
    struct loop_options options = {.state = &world->state.base,
                                   .store = world->store,
                                   .router = has_router ? world->router : NULL,
                                   .hooks = {published, run_over, world},
                                   .wake_fd = -1};
    if (world->loop)
        loop_free(world->loop);
    world->loop = loop_new(&options);
    world->node_count = world->edge_count = world->overs = world->executed = world->acks = 0;
}

static int open_world(void **context)
{
    struct world *world = calloc(1, sizeof *world);
    struct router_options options = {.endpoint = "tcp://127.0.0.1:*", .epoch = 1};
    if (moody_open(&world->state) != OK || store_open("mem:", &world->store, NULL) != OK ||
        router_open(&options, &world->router, NULL) != OK)
        return -1;
    peer_connect(&world->peer, router_endpoint(world->router), "worker-1");
    new_loop(world, true);
    *context = world;
    return 0;
}

static int close_world(void **context)
{
    struct world *world = *context;
    loop_free(world->loop);
    peer_close(&world->peer);
    router_close(world->router);
    state_close(world->state.real);
    store_close(world->store);
    free(world);
    return 0;
}

/* A `sleep` task with the parameter n that reads the output of `input` (or nothing: UINT32_MAX). */
static uint32_t add_task(struct world *world, uint32_t n, uint32_t input)
{
    uint32_t at = world->node_count++;
    struct mp_writer w = mp_writer(world->specs[at], SPEC_MAX);
    mp_write_map(&w, input == UINT32_MAX ? 4 : 5);
    if (input != UINT32_MAX) {
        mp_write_text(&w, "inputs");
        mp_write_map(&w, 1);
        mp_write_text(&w, "x");
        mp_write_array(&w, 2);
        mp_write_id(&w, &world->nodes[input].id);
        mp_write_text(&w, "out");
    }
    mp_write_text(&w, "kind");
    mp_write_text(&w, "sleep");
    mp_write_text(&w, "outputs");
    mp_write_array(&w, 1);
    mp_write_text(&w, "out");
    mp_write_text(&w, "params");
    mp_write_map(&w, 1);
    mp_write_text(&w, "n");
    mp_write_uint(&w, n);
    mp_write_text(&w, "version");
    mp_write_text(&w, "1");
    assert_false(mp_writer_is_full(&w));
    struct task_node *node = &world->nodes[at];
    *node = (struct task_node){.spec = world->specs[at],
                               .spec_bytes = (uint32_t)w.need,
                               .first_edge = world->edge_count,
                               .edge_count = input != UINT32_MAX};
    hash_bytes(PERSON_TASK, node->spec, node->spec_bytes, &node->id);
    if (input != UINT32_MAX)
        world->edges[world->edge_count++] = (struct task_edge){input, 0};
    return at;
}

static void submit(struct world *world, uint32_t retry_limit)
{
    static const struct resource gpu = {"gpu", 1};
    static struct task_policy policy;
    policy = (struct task_policy){.retry_limit = retry_limit,
                                  .cpu_hundredths = 100,
                                  .poison_kills = 3,
                                  .resources = &gpu,
                                  .resource_count = !world->is_plain,
                                  .kind_version = "sleep@1"};
    struct sched_event event = {.type = SCHED_SUBMIT,
                                .submit = {.nodes = world->nodes,
                                           .node_count = world->node_count,
                                           .edges = world->edges,
                                           .policies = &policy,
                                           .policy_count = 1}};
    loop_step(world->loop, &event);
}

/* ---- the worker by hand ---- */

static struct artifact make_output(struct world *world, const struct task_msg *task)
{
    struct artifact output = {0};
    const void *data = world->content ? (const void *)world->content : task->spec;
    size_t bytes = world->content ? strlen(world->content) : task->spec_bytes;
    assert_int_equal(store_put(world->store, data, bytes, &output.id, NULL), OK);
    output.bytes = bytes;
    return output;
}

static size_t make_record(struct world *world, const struct task_msg *task, uint8_t out[512])
{
    uint8_t action[256];
    struct artifact inputs[4];
    struct task_spec spec;
    struct mp_reader reader = mp_reader(task->inputs, task->inputs_bytes);
    uint32_t count = mp_read_array(&reader);
    assert_int_equal(count, task->input_count);
    assert_in_range(count, 0, 4);
    for (uint32_t i = 0; i < count; i++)
        mp_read_artifact(&reader, &inputs[i]);
    assert_int_equal(task_spec_parse(task->spec, task->spec_bytes, &spec, NULL), OK);
    if (world->tells_lies && count)
        inputs[0].id.bytes[0] ^= 1;
    size_t bytes = task_spec_action(&spec, inputs, count, action, sizeof action);
    assert_in_range(bytes, 1, sizeof action);
    struct artifact output = make_output(world, task);
    return peer_record(action, bytes, &output, out, 512);
}

static void work_off(struct world *world)
{
    static uint8_t records[64][512], frame[1 << 16];
    struct result_msg results[64];
    struct mp_reader reader = mp_reader(world->peer.frame, world->peer.frame_bytes);
    uint32_t count = msg_batch_begin(&reader, MSG_TASKS);
    for (uint32_t at = 0, n; at < count;) {
        for (n = 0; n < 64 && at < count; n++, at++) {
            struct task_msg task;
            msg_next_task(&reader, &task);
            assert_int_equal(task.resources.count, world->is_plain ? 1 : 6); /* {gpu: 1} */
            results[n] = (struct result_msg){.attempt = task.attempt,
                                             .record = records[n],
                                             .record_bytes = make_record(world, &task, records[n])};
            world->executed++;
        }
        peer_send(&world->peer, frame,
                  peer_results(&world->peer, world->sequence++, results, n, frame, sizeof frame));
    }
}

static void serve(struct world *world)
{
    struct peer *peer = &world->peer;
    for (;;) {
        int got = zmq_recv(peer->socket, peer->frame, sizeof peer->frame, ZMQ_DONTWAIT);
        if (got < 0)
            return;
        peer->frame_bytes = (size_t)got;
        struct mp_reader reader = mp_reader(peer->frame, peer->frame_bytes);
        enum msg_type type = msg_type(peer->frame, peer->frame_bytes);
        if (type == MSG_TASKS && !world->is_idle_peer)
            work_off(world);
        if (type == MSG_ACK)
            world->acks += msg_batch_begin(&reader, MSG_ACK);
    }
}

static void join(struct world *world)
{
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "w", NULL, 0);
}

static void turn(struct world *world)
{
    struct err err = {0};
    if (loop_turn(world->loop, 5, &err) != OK)
        fail_msg("%s", err.text);
    if (world->peer.socket)
        serve(world);
}

static void run_to_the_end(struct world *world)
{
    for (ms_t end = clock_ms() + 10000; !world->overs;) {
        turn(world);
        assert_true(clock_ms() < end);
    }
}

static void set_true(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    (void)index, (void)record, (void)bytes;
    *(bool *)context = true;
}

static bool is_in_state(struct world *world, const struct id *task)
{
    bool is_found = false;
    assert_int_equal(state_find_tasks(world->state.real, task, 1, set_true, &is_found, NULL), OK);
    return is_found;
}

static struct sched_task_info info_of(struct world *world, uint32_t node)
{
    struct sched_task_info info;
    struct sched *sched = loop_sched(world->loop);
    sched_task_info(sched, sched_task_index(sched, 0, node), &info);
    return info;
}

/* ---- what is asked of it ---- */

static void a_chain_runs_to_its_end(void **context)
{
    struct world *world = *context;
    add_task(world, 1, UINT32_MAX);
    add_task(world, 2, 0);
    add_task(world, 3, 1);
    submit(world, 0);
    assert_false(world->overs);
    join(world);
    run_to_the_end(world);
    assert_int_equal(world->overs, 1);
    assert_int_equal(world->executed, 3);
    assert_true(world->published >= 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(info_of(world, i).state, TASK_SUCCEEDED);
        assert_true(is_in_state(world, &world->nodes[i].id));
    }
    while (world->acks < 3)
        turn(world);
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
        add_task(world, n, UINT32_MAX);
    submit(world, 0);
    join(world);
    run_to_the_end(world);
    loop_stats(world->loop, &stats);
    assert_int_equal(stats.results, NODES_MAX);
    assert_true(stats.commits < NODES_MAX / 4);
    for (uint32_t n = 0; n < NODES_MAX; n++)
        assert_true(is_in_state(world, &world->nodes[n].id));
}

static void the_same_bytes_are_not_worked_on_twice(void **context)
{
    struct world *world = *context;
    world->content = "always the same";
    add_task(world, 1, UINT32_MAX);
    add_task(world, 2, 0);
    submit(world, 0);
    join(world);
    run_to_the_end(world);
    assert_int_equal(world->executed, 2);
    new_loop(world, true);
    router_forget(world->router, 0); /* HELLO is new to it, too */
    add_task(world, 99, UINT32_MAX); /* another task with the same output */
    add_task(world, 2, 0);           /* another id, the same action */
    submit(world, 0);
    join(world);
    run_to_the_end(world);
    assert_int_equal(world->executed, 1);
    assert_true(info_of(world, 1).is_cutoff);
    assert_true(is_in_state(world, &world->nodes[1].id)); /* by an alias */
}

static void a_record_of_another_action_is_refused(void **context)
{
    struct world *world = *context;
    world->tells_lies = true;
    add_task(world, 1, UINT32_MAX);
    add_task(world, 2, 0);
    submit(world, 0);
    join(world);
    run_to_the_end(world);
    assert_int_equal(info_of(world, 0).state, TASK_SUCCEEDED);
    assert_int_equal(info_of(world, 1).state, TASK_FAILED);
    assert_int_equal(info_of(world, 1).code, E_PROTOCOL);
    assert_false(is_in_state(world, &world->nodes[1].id));
}

static void a_full_state_pauses_the_run(void **context)
{
    struct world *world = *context;
    add_task(world, 1, UINT32_MAX);
    add_task(world, 2, 0);
    submit(world, 0);
    join(world);
    world->state.failures_left = 2;
    while (world->state.failures_left) {
        turn(world);
        assert_false(is_in_state(world, &world->nodes[0].id));
        assert_int_equal(world->acks, 0); /* nothing visible before it is durable */
        assert_int_equal(world->executed <= 1, 1);
    }
    run_to_the_end(world);
    assert_int_equal(world->executed, 2);
    assert_true(is_in_state(world, &world->nodes[1].id));
}

/* A while's trouble fails neither the question whether the results are there nor the flush. */
static void a_store_in_trouble_pauses_the_run(void **context)
{
    struct world *world = *context;
    store_close(world->store);
    assert_int_equal(
        store_open("fault+mem:?on=has,flush&fail=1&times=2&status=disk_full", &world->store, NULL),
        OK);
    new_loop(world, true);
    add_task(world, 1, UINT32_MAX);
    submit(world, 0);
    join(world);
    run_to_the_end(world);
    assert_int_equal(world->overs, 1);
    assert_int_equal(world->executed, 1);
}

static void a_fenced_broker_ends(void **context)
{
    struct world *world = *context;
    struct err err = {0};
    enum status status = OK;
    add_task(world, 1, UINT32_MAX);
    submit(world, 0);
    join(world);
    world->state.failures_left = -1;
    for (ms_t end = clock_ms() + 5000; status == OK && clock_ms() < end;) {
        status = loop_turn(world->loop, 5, &err);
        serve(world);
    }
    assert_int_equal(status, E_FENCED);
    assert_int_equal(world->overs, 0);
}

/* Its tasks go to the next one. */
static void a_worker_that_vanishes_is_replaced(void **context)
{
    struct world *world = *context;
    add_task(world, 1, UINT32_MAX);
    add_task(world, 2, 0);
    submit(world, 0);
    join(world);
    world->is_idle_peer = true;
    while (info_of(world, 0).attempts == 0)
        turn(world);
    peer_close(&world->peer);
    peer_connect(&world->peer, router_endpoint(world->router), "worker-2");
    world->is_idle_peer = false;
    join(world);
    run_to_the_end(world);
    assert_int_equal(info_of(world, 1).state, TASK_SUCCEEDED);
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
    new_loop(world, false);
    add_task(world, 1, UINT32_MAX);
    add_task(world, 2, 0);
    restore(world, 0, &output);
    restore(world, 1, &output);
    submit(world, 0);
    turn(world); /* a look for its outputs: the other beats come before its end */
    assert_int_equal(world->overs, 0);
    run_to_the_end(world);
    assert_true(info_of(world, 1).is_hit);
    assert_int_equal(world->state.begins, 0);
}

static void a_result_that_is_not_in_the_store_is_made_again(void **context)
{
    struct world *world = *context;
    struct artifact gone = {.bytes = 1};
    hash_bytes(NULL, "gone", 4, &gone.id);
    add_task(world, 1, UINT32_MAX);
    restore(world, 0, &gone);
    submit(world, 0);
    join(world);
    run_to_the_end(world);
    assert_int_equal(world->executed, 1);
    assert_true(is_in_state(world, &world->nodes[0].id));
}

static void a_run_document_is_committed(void **context)
{
    struct world *world = *context;
    char id[STATE_RUN_ID_BYTES];
    AUTO(buf_fini) struct buf document = buf_init(0);
    loop_put_run(world->loop, "2026-a", (const uint8_t *)"doc", 3);
    assert_false(loop_is_idle(world->loop));
    turn(world);
    assert_true(loop_is_idle(world->loop));
    assert_int_equal(state_get_run(world->state.real, "latest", id, sizeof id, &document, NULL),
                     OK);
    assert_string_equal(buf_text(&document), "doc");
}

static void a_worker_said_to_be_gone_is_forgotten(void **context)
{
    struct world *world = *context;
    join(world);
    for (ms_t end = clock_ms() + 2000; router_worker_find(world->router, "w") == UINT32_MAX;) {
        turn(world);
        assert_true(clock_ms() < end);
    }
    struct sched_event event = {.type = SCHED_GONE, .gone = {.worker = 0, .code = E_GONE}};
    loop_step(world->loop, &event);
    assert_int_equal(router_worker_find(world->router, "w"), UINT32_MAX);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_chain_runs_to_its_end),
        IN_WORLD(many_tasks_share_commits),
        IN_WORLD(the_same_bytes_are_not_worked_on_twice),
        IN_WORLD(a_record_of_another_action_is_refused),
        IN_WORLD(a_full_state_pauses_the_run),
        IN_WORLD(a_store_in_trouble_pauses_the_run),
        IN_WORLD(a_fenced_broker_ends),
        IN_WORLD(a_worker_that_vanishes_is_replaced),
        IN_WORLD(all_hits_need_no_worker),
        IN_WORLD(a_result_that_is_not_in_the_store_is_made_again),
        IN_WORLD(a_run_document_is_committed),
        IN_WORLD(a_worker_said_to_be_gone_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
