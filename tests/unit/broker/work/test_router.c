/* The router against workers by hand: who is let in, what becomes of frames right and wrong, what
 * is sent to whom. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/work/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/clock.h"
#include "tests/unit/broker/work/peer.h"

struct world {
    struct router *router;
    struct peer peer, other;
    struct buf trace; /* one word per event */
    uint64_t handle;  /* of the last result */
    uint32_t running_count;
    ms_t now;
};

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct router_options options = {.endpoint = "tcp://127.0.0.1:*", .epoch = 5, .credit = 100};
    assert_int_equal(router_open(&options, &world->router, NULL), OK);
    world->trace = buf_init(0);
    peer_connect(&world->peer, router_endpoint(world->router), "first");
    peer_connect(&world->other, router_endpoint(world->router), "second");
    *state = world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;
    peer_close(&world->peer);
    peer_close(&world->other);
    router_close(world->router);
    buf_fini(&world->trace);
    free(world);
    return 0;
}

static void note(void *context, struct sched_event *event, const struct router_record *record)
{
    struct world *world = context;
    struct buf *trace = &world->trace;
    assert_true((event->type == SCHED_DONE) == (record != NULL));
    switch (event->type) {
    case SCHED_HELLO:
        assert_int_equal(event->hello.resource_count, 1);
        assert_string_equal(event->hello.resources[0].name, "gpu");
        buf_format(trace, "hello%u:%s:%s=%s:%u ", event->hello.worker, event->hello.kinds[0],
                   event->hello.labels[0], event->hello.labels[1], event->hello.running_count);
        break;
    case SCHED_HEARTBEAT: buf_format(trace, "heartbeat%u ", event->worker.worker); break;
    case SCHED_STARTED: buf_format(trace, "started%u ", event->worker.worker); break;
    case SCHED_REVOKED: buf_format(trace, "revoked%u ", event->worker.worker); break;
    case SCHED_PROGRESS: buf_format(trace, "progress%u ", event->progress.worker); break;
    case SCHED_GONE:
        buf_format(trace, "gone%u:%s%s ", event->gone.worker, status_name(event->gone.code),
                   event->gone.is_drain ? ":drain" : "");
        break;
    case SCHED_DONE: {
        const struct router_frame *frame = router_frame(world->router, event->done.frame);
        assert_true(record->bytes > frame->bytes &&
                    record->bytes + record->count <= frame->bytes + frame->count);
        assert_int_equal(record->view->output_count, event->done.output_count);
        buf_format(trace, "done%u#%u:%llu ", event->done.worker, event->done.index,
                   (unsigned long long)event->done.outputs[0].bytes);
        world->handle = event->done.frame;
        break;
    }
    case SCHED_FAILED:
        buf_format(trace, "failed%u:%s:%.*s:%u ", event->failed.worker,
                   status_name(event->failed.code), (int)event->failed.text_bytes,
                   event->failed.text, event->failed.lost_count);
        world->handle = event->failed.frame;
        break;
    default: buf_format(trace, "?%d ", (int)event->type); break;
    }
}

#define SINK(world) (&(const struct router_sink){note, NULL, NULL, (world)})

/* Receives until `words` words have come, or half a second has passed. */
static const char *receive(struct world *world, size_t words)
{
    buf_clear(&world->trace);
    for (ms_t end = clock_ms() + 500; clock_ms() < end;) {
        assert_int_equal(router_receive(world->router, world->now, SINK(world), NULL), OK);
        size_t seen = 0;
        for (size_t i = 0; i < world->trace.count; i++)
            seen += world->trace.bytes[i] == ' ';
        if (words && seen >= words)
            break;
        usleep(500);
    }
    return buf_text(&world->trace);
}

static void join(struct world *world)
{
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", NULL, 0);
    assert_string_equal(receive(world, 1), "hello0:sleep@1:zone=a:0 ");
    assert_true(peer_receive(&world->peer, MSG_WELCOME));
}

/* ---- joining ---- */

static void a_worker_is_welcomed(void **state)
{
    struct world *world = *state;
    struct welcome welcome;
    join(world);
    assert_int_equal(msg_decode_welcome(world->peer.frame, world->peer.frame_bytes, &welcome, NULL),
                     OK);
    assert_int_equal(welcome.epoch, 5);
    assert_int_equal(welcome.credit, 100);
    assert_int_equal(welcome.lease_ms, LEASE_MS_DEFAULT);
    assert_string_equal(router_worker_name(world->router, 0), "anna");
    assert_int_equal(router_worker_find(world->router, "anna"), 0);
    assert_int_equal(router_worker_find(world->router, "bert"), UINT32_MAX);
}

static void another_version_is_refused_with_a_reason(void **state)
{
    struct world *world = *state;
    peer_hello(&world->peer, 99, 0, "anna", NULL, 0);
    assert_string_equal(receive(world, 0), "");
    peer_expect_refused(&world->peer, E_VERSION, "99");
    join(world); /* and may try again */
}

static void a_worker_of_a_later_broker_is_refused(void **state)
{
    struct world *world = *state;
    peer_hello(&world->peer, PROTOCOL_VERSION, 6, "anna", NULL, 0);
    assert_string_equal(receive(world, 0), "");
    peer_expect_refused(&world->peer, E_FENCED, "6");
}

static void who_did_not_say_hello_is_refused(void **state)
{
    struct world *world = *state;
    peer_attempts(&world->peer, MSG_HEARTBEAT, NULL, 0);
    assert_string_equal(receive(world, 0), "");
    peer_expect_refused(&world->peer, E_PROTOCOL, "HELLO");
}

static void what_it_still_runs_is_told(void **state)
{
    struct world *world = *state;
    struct attempt running[] = {peer_attempt(1), peer_attempt(2)};
    peer_hello(&world->peer, PROTOCOL_VERSION, 5, "anna", running, 2);
    assert_string_equal(receive(world, 1), "hello0:sleep@1:zone=a:2 ");
}

static void a_worker_that_comes_back_keeps_its_number(void **state)
{
    struct world *world = *state;
    join(world);
    peer_reconnect(&world->peer, router_endpoint(world->router), "third");
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", NULL, 0);
    assert_string_equal(receive(world, 1), "hello0:sleep@1:zone=a:0 ");
    assert_true(peer_receive(&world->peer, MSG_WELCOME));
    peer_attempts(&world->peer, MSG_HEARTBEAT, NULL, 0);
    assert_string_equal(receive(world, 1), "heartbeat0 ");
}

static void another_program_under_the_same_routing_id_is_another_worker(void **state)
{
    struct world *world = *state;
    join(world);
    world->peer.instance[0] ^= 1;
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", NULL, 0);
    assert_string_equal(receive(world, 2), "gone0:worker_gone hello0:sleep@1:zone=a:0 ");
}

static void a_goodbye_is_a_drain(void **state)
{
    struct world *world = *state;
    struct attempt attempt = peer_attempt(1);
    join(world);
    peer_attempts(&world->peer, MSG_GOODBYE, &attempt, 1);
    assert_string_equal(receive(world, 2), "revoked0 gone0:ok:drain ");
}

static void a_peer_that_vanished_is_noticed(void **state)
{
    struct world *world = *state;
    join(world);
    peer_hang_up(&world->peer);
    usleep(100000);
    world->now += 10000;
    assert_string_equal(receive(world, 0), ""); /* it was heard since the last probe */
    world->now += 10000;
    assert_string_equal(receive(world, 1), "gone0:worker_gone ");
}

static void a_silent_peer_is_left_alone(void **state)
{
    struct world *world = *state;
    join(world);
    for (int i = 0; i < 3; i++) {
        world->now += 10000;
        assert_string_equal(receive(world, 1), "");
    }
}

/* ---- frames ---- */

static void attempts_become_events(void **state)
{
    struct world *world = *state;
    struct attempt attempts[] = {peer_attempt(1), peer_attempt(2)};
    join(world);
    peer_attempts(&world->peer, MSG_STARTED, attempts, 2);
    peer_attempts(&world->peer, MSG_REVOKED, attempts, 1);
    peer_attempts(&world->peer, MSG_HEARTBEAT, attempts, 1);
    assert_string_equal(receive(world, 4), "started0 started0 revoked0 heartbeat0 ");
}

static void results_are_held_until_all_are_settled(void **state)
{
    struct world *world = *state;
    uint8_t record[2][256], frame[2048];
    struct id lost = peer_attempt(9).task;
    uint8_t lost_list[64];
    struct mp_writer w = mp_writer(lost_list, sizeof lost_list);
    mp_write_id(&w, &lost);
    struct result_msg results[3] = {peer_success(7, record[0]), peer_success(8, record[1])};
    results[2] = (struct result_msg){.attempt = peer_attempt(9),
                                     .code = E_LOST,
                                     .text = "gone",
                                     .text_bytes = 4,
                                     .lost = lost_list,
                                     .lost_bytes = w.need,
                                     .lost_count = 1};
    join(world);
    peer_send(&world->peer, frame, peer_results(&world->peer, 42, results, 3, frame, sizeof frame));
    assert_string_equal(receive(world, 3), "done0#0:7 done0#1:8 failed0:lost:gone:1 ");
    const struct router_frame *held = router_frame(world->router, world->handle);
    assert_non_null(held);
    assert_int_equal(held->sequence, 42);
    assert_memory_equal(held->bytes, frame, held->count);
    assert_memory_equal(held->public_key, signer_public(world->peer.signer), PUBLIC_KEY_BYTES);
    assert_false(router_settle(world->router, world->handle));
    assert_false(router_settle(world->router, world->handle));
    assert_true(router_settle(world->router, world->handle));
    router_ack(world->router, world->handle);
    assert_null(router_frame(world->router, world->handle));
    assert_false(router_is_idle(world->router));
    assert_int_equal(router_flush(world->router, NULL), OK);
    assert_true(router_is_idle(world->router));
    assert_true(peer_receive(&world->peer, MSG_ACK));
    struct mp_reader reader = mp_reader(world->peer.frame, world->peer.frame_bytes);
    assert_int_equal(msg_batch_begin(&reader, MSG_ACK), 1);
    assert_int_equal(msg_next_sequence(&reader), 42);
}

static void a_frame_that_is_sent_again_is_handed_on_again(void **state)
{
    struct world *world = *state;
    uint8_t record[256], frame[1024];
    struct result_msg result = peer_success(3, record);
    join(world);
    size_t bytes = peer_results(&world->peer, 1, &result, 1, frame, sizeof frame);
    peer_send(&world->peer, frame, bytes);
    assert_string_equal(receive(world, 1), "done0#0:3 ");
    uint64_t first = world->handle;
    peer_reconnect(&world->peer, router_endpoint(world->router), "third");
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", NULL, 0);
    peer_send(&world->peer, frame, bytes);
    assert_string_equal(receive(world, 2), "hello0:sleep@1:zone=a:0 done0#0:3 ");
    assert_true(world->handle != first);
    assert_true(router_settle(world->router, first));
    router_ack(world->router, first); /* goes to where the worker is by now */
    assert_int_equal(router_flush(world->router, NULL), OK);
    assert_true(peer_receive(&world->peer, MSG_WELCOME));
    assert_true(peer_receive(&world->peer, MSG_ACK));
}

static void nobody_gets_the_ack_of_another(void **state)
{
    struct world *world = *state;
    uint8_t record[256], frame[1024];
    struct result_msg result = peer_success(3, record);
    join(world);
    peer_send(&world->peer, frame, peer_results(&world->peer, 0, &result, 1, frame, sizeof frame));
    peer_attempts(&world->peer, MSG_GOODBYE, NULL, 0);
    assert_string_equal(receive(world, 2), "done0#0:3 gone0:ok:drain ");
    peer_hello(&world->other, PROTOCOL_VERSION, 0, "bert", NULL, 0);
    assert_string_equal(receive(world, 1), "hello0:sleep@1:zone=a:0 "); /* the number is free */
    assert_true(peer_receive(&world->other, MSG_WELCOME));
    router_ack(world->router, world->handle);
    assert_int_equal(router_flush(world->router, NULL), OK);
    struct attempt attempt = peer_attempt(1);
    router_kill(world->router, 0, &attempt);
    assert_int_equal(router_flush(world->router, NULL), OK);
    assert_true(peer_receive(&world->other, MSG_KILL)); /* and no ACK before it */
}

static void a_wrong_signature_is_refused(void **state)
{
    struct world *world = *state;
    uint8_t record[256], frame[1024];
    struct result_msg result = peer_success(3, record);
    join(world);
    size_t bytes = peer_results(&world->other, 0, &result, 1, frame, sizeof frame);
    peer_send(&world->peer, frame, bytes); /* signed by another */
    assert_string_equal(receive(world, 1), "gone0:denied ");
    peer_expect_refused(&world->peer, E_DENIED, "signature");
    join(world);
    bytes = peer_results(&world->peer, 0, &result, 1, frame, sizeof frame);
    frame[bytes - 1] ^= 1; /* of the body */
    peer_send(&world->peer, frame, bytes);
    assert_string_equal(receive(world, 1), "gone0:denied ");
}

static void a_frame_with_one_bad_entry_counts_for_nothing(void **state)
{
    struct world *world = *state;
    uint8_t record[2][256], frame[2048];
    struct result_msg results[2] = {peer_success(1, record[0]), peer_success(2, record[1])};
    record[1][0] = 0x80; /* not a record any more */
    join(world);
    peer_send(&world->peer, frame, peer_results(&world->peer, 0, results, 2, frame, sizeof frame));
    assert_string_equal(receive(world, 1), "gone0:protocol ");
    peer_expect_refused(&world->peer, E_PROTOCOL, "record");
}

/* Truncated at every length, and with random bytes: a refusal, never a crash. */
static void mangled_frames_are_refused(void **state)
{
    struct world *world = *state;
    uint8_t record[256], frame[1024], bad[1024];
    struct result_msg result = peer_success(3, record);
    struct rng rng = rng_seed(7);
    size_t bytes = peer_results(&world->peer, 0, &result, 1, frame, sizeof frame);
    for (size_t round = 0; round < 2 * bytes; round++) {
        size_t count = round < bytes ? round : bytes;
        memcpy(bad, frame, bytes);
        for (int i = 0; round >= bytes && i < 3; i++)
            bad[rng_below(&rng, (uint32_t)bytes)] ^= (uint8_t)(1 + rng_below(&rng, 255));
        peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", NULL, 0);
        peer_send(&world->peer, bad, count);
        const char *trace = receive(world, 2);
        if (!strstr(trace, "gone0:"))
            fail_msg("round %zu: %s", round, trace);
        assert_null(strstr(trace, "done"));
        while (peer_receive(&world->peer, MSG_WELCOME))
            continue;
    }
}

static void random_frames_never_crash(void **state)
{
    struct world *world = *state;
    struct rng rng = rng_seed(11);
    uint8_t frame[200];
    for (int round = 0; round < 2000; round++) {
        size_t count = rng_below(&rng, sizeof frame) + 2;
        for (size_t i = 0; i < count && i < sizeof frame; i++)
            frame[i] = (uint8_t)rng_next(&rng);
        frame[0] = (uint8_t)(0x90 | (frame[0] & 15)); /* an array of some type */
        frame[1] = (uint8_t)(frame[1] % (MSG_TYPE_COUNT + 1));
        if (round % 3 == 0)
            peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", NULL, 0);
        peer_send(&world->peer, frame, count < sizeof frame ? count : sizeof frame);
        assert_int_equal(router_receive(world->router, world->now, SINK(world), NULL), OK);
    }
    while (*receive(world, 0))
        continue;
    peer_hello(&world->other, PROTOCOL_VERSION, 0, "bert", NULL, 0); /* it still works */
    assert_non_null(strstr(receive(world, 1), "hello"));
    assert_true(peer_receive(&world->other, MSG_WELCOME));
}

/* ---- sending ---- */

static void tasks_go_out_in_batches(void **state)
{
    struct world *world = *state;
    join(world);
    for (uint8_t n = 0; n < 5; n++) {
        struct task_msg task = {.attempt = peer_attempt(n),
                                .spec = (const uint8_t *)"\x80",
                                .spec_bytes = 1,
                                .inputs = (const uint8_t *)"\x90",
                                .inputs_bytes = 1,
                                .timeout_ms = 10u * n};
        router_assign(world->router, 0, &task);
    }
    router_assign(world->router, 77, &(struct task_msg){.spec = (const uint8_t *)""});
    assert_int_equal(router_flush(world->router, NULL), OK);
    assert_true(peer_receive(&world->peer, MSG_TASKS));
    struct mp_reader reader = mp_reader(world->peer.frame, world->peer.frame_bytes);
    assert_int_equal(msg_batch_begin(&reader, MSG_TASKS), 5);
    for (uint8_t n = 0; n < 5; n++) {
        struct task_msg task;
        struct attempt want = peer_attempt(n);
        msg_next_task(&reader, &task);
        assert_true(id_equal(&task.attempt.task, &want.task));
        assert_int_equal(task.timeout_ms, 10 * n);
    }
    assert_int_equal(mp_reader_finish(&reader, "TASKS", NULL), OK);
}

static void many_tasks_are_several_frames(void **state)
{
    enum { TASKS = FRAME_TASKS_MAX + 10 };
    struct world *world = *state;
    join(world);
    for (uint32_t n = 0; n < TASKS; n++) {
        struct attempt attempt = {.number = n};
        router_revoke(world->router, 0, &attempt);
    }
    assert_int_equal(router_flush(world->router, NULL), OK);
    uint32_t seen = 0, frames = 0;
    while (seen < TASKS && peer_receive(&world->peer, MSG_REVOKE)) {
        struct mp_reader reader = mp_reader(world->peer.frame, world->peer.frame_bytes);
        uint32_t count = msg_batch_begin(&reader, MSG_REVOKE);
        assert_in_range(count, 1, FRAME_TASKS_MAX);
        seen += count;
        frames++;
    }
    assert_int_equal(seen, TASKS);
    assert_true(frames >= 2);
}

static void a_dismissal_is_a_goodbye(void **state)
{
    struct world *world = *state;
    join(world);
    router_dismiss(world->router);
    assert_true(peer_receive(&world->peer, MSG_GOODBYE));
}

static void a_forgotten_worker_has_to_say_hello(void **state)
{
    struct world *world = *state;
    join(world);
    router_forget(world->router, 0);
    peer_attempts(&world->peer, MSG_HEARTBEAT, NULL, 0);
    assert_string_equal(receive(world, 0), "");
    peer_expect_refused(&world->peer, E_PROTOCOL, "HELLO");
}

static void a_bad_endpoint_is_named(void **state)
{
    (void)state;
    struct router *router;
    struct err err;
    struct router_options options = {.endpoint = "ipc:///nowhere/at/all/work.sock"};
    assert_int_equal(router_open(&options, &router, &err), E_IO);
    assert_null(router);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_worker_is_welcomed),
        IN_WORLD(another_version_is_refused_with_a_reason),
        IN_WORLD(a_worker_of_a_later_broker_is_refused),
        IN_WORLD(who_did_not_say_hello_is_refused),
        IN_WORLD(what_it_still_runs_is_told),
        IN_WORLD(a_worker_that_comes_back_keeps_its_number),
        IN_WORLD(another_program_under_the_same_routing_id_is_another_worker),
        IN_WORLD(a_goodbye_is_a_drain),
        IN_WORLD(a_peer_that_vanished_is_noticed),
        IN_WORLD(a_silent_peer_is_left_alone),
        IN_WORLD(attempts_become_events),
        IN_WORLD(results_are_held_until_all_are_settled),
        IN_WORLD(a_frame_that_is_sent_again_is_handed_on_again),
        IN_WORLD(nobody_gets_the_ack_of_another),
        IN_WORLD(a_wrong_signature_is_refused),
        IN_WORLD(a_frame_with_one_bad_entry_counts_for_nothing),
        IN_WORLD(mangled_frames_are_refused),
        IN_WORLD(random_frames_never_crash),
        IN_WORLD(tasks_go_out_in_batches),
        IN_WORLD(many_tasks_are_several_frames),
        IN_WORLD(a_dismissal_is_a_goodbye),
        IN_WORLD(a_forgotten_worker_has_to_say_hello),
        cmocka_unit_test(a_bad_endpoint_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
