// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/loop_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "common/clock.h"
#include "common/crypto/hash.h"

/* ---- the world ---- */

static void run_over(void *context, uint32_t run, const struct id *kept)
{
    struct world *world = context;
    (void)run, (void)kept;
    world->overs++;
}

static void published(void *context, uint32_t run, uint32_t task)
{
    struct world *world = context;
    (void)run, (void)task;
    world->published++;
}

void loop_world_new_loop(struct world *world, bool has_router)
{
    struct loop_options options = {.state = &world->state.base,
                                   .store = world->store,
                                   .router = has_router ? world->router : NULL,
                                   .hooks = {published, NULL, run_over, NULL, world},
                                   .wake_fd = -1};
    if (world->loop)
        loop_free(world->loop);
    world->loop = loop_new(&options);
    world->node_count = world->edge_count = world->overs = world->executed = world->acks = 0;
}

int loop_world_open(void **context)
{
    struct world *world = calloc(1, sizeof *world);
    struct router_options options = {.endpoint = "tcp://127.0.0.1:*", .epoch = 1};
    if (moody_open(&world->state) != OK || store_open("mem:", &world->store, NULL) != OK ||
        router_open(&options, &world->router, NULL) != OK)
        return -1;
    peer_connect(&world->peer, router_endpoint(world->router), "worker-1");
    loop_world_new_loop(world, true);
    *context = world;
    return 0;
}

int loop_world_close(void **context)
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
uint32_t loop_world_add_task(struct world *world, uint32_t n, uint32_t input)
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

void loop_world_submit(struct world *world, uint32_t retry_limit)
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

void loop_world_serve(struct world *world)
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

void loop_world_join(struct world *world)
{
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "w", NULL, 0);
}

void loop_world_turn(struct world *world)
{
    struct err err = {0};
    if (loop_turn(world->loop, 5, &err) != OK)
        fail_msg("%s", err.text);
    if (world->peer.socket)
        loop_world_serve(world);
}

void loop_world_run_to_the_end(struct world *world)
{
    for (ms_t end = clock_ms() + 10000; !world->overs;) {
        loop_world_turn(world);
        assert_true(clock_ms() < end);
    }
}

static void set_true(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    (void)index, (void)record, (void)bytes;
    *(bool *)context = true;
}

bool loop_world_has_record(struct world *world, const struct id *task)
{
    bool is_found = false;
    assert_int_equal(state_find_tasks(world->state.real, task, 1, set_true, &is_found, NULL), OK);
    return is_found;
}

struct sched_task_info loop_world_task_info(struct world *world, uint32_t node)
{
    struct sched_task_info info;
    struct sched *sched = loop_sched(world->loop);
    sched_task_info(sched, sched_task_index(sched, 0, node), &info);
    return info;
}
