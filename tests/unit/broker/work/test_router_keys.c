/* Who is let in by keys, who is not, and who has to leave: real connections, encrypted. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "broker/work/allow_list.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "tests/unit/broker/work/world.h"
#include "tests/unit/common/temp.h"

struct keyed {
    struct temp *temp;
    struct world *world;
    struct signer *broker, *anna;
    const char *workers; /* the list */
    uint8_t anna_key[PUBLIC_KEY_BYTES];
};

static struct id key_of(const struct signer *signer)
{
    struct id key;
    memcpy(key.bytes, signer_public(signer), sizeof key.bytes);
    return key;
}

static void allow(struct keyed *keyed, const struct signer *signer, const char *name)
{
    struct id key = key_of(signer);
    assert_int_equal(allow_list_add(keyed->workers, &key, name, NULL), OK);
}

static int open_keyed(void **state)
{
    struct keyed *keyed = calloc(1, sizeof *keyed);
    void *temp;
    temp_setup(&temp);
    keyed->temp = temp;
    keyed->broker = signer_new();
    keyed->anna = signer_new();
    memcpy(keyed->anna_key, signer_public(keyed->anna), sizeof keyed->anna_key);
    keyed->workers = temp_at(keyed->temp, "workers");
    assert_int_equal(allow_list_create(keyed->workers, NULL), OK);
    allow(keyed, keyed->anna, "anna");
    struct router_keys keys = {keyed->broker, keyed->workers};
    char local[256];
    snprintf(local, sizeof local, "ipc://%s", temp_at(keyed->temp, "sock"));
    keyed->world = world_new(&(const struct router_options){.endpoint = "tcp://127.0.0.1:*",
                                                            .local_endpoint = local,
                                                            .keys = &keys,
                                                            .epoch = 5,
                                                            .credit = 100});
    *state = keyed;
    return 0;
}

static int close_keyed(void **state)
{
    struct keyed *keyed = *state;
    void *world = keyed->world, *temp = keyed->temp;
    world_close(&world);
    signer_free(keyed->broker);
    if (keyed->anna)
        signer_free(keyed->anna);
    temp_teardown(&temp);
    free(keyed);
    return 0;
}

static void connect_keyed(struct keyed *keyed, struct peer *peer, struct signer *signer)
{
    peer_connect_keyed(peer, router_endpoint(keyed->world->router),
                       peer == &keyed->world->peer ? "first" : "second", signer,
                       signer_public(keyed->broker));
}

/* anna, who is on the list, joins. */
static void join(struct keyed *keyed)
{
    connect_keyed(keyed, &keyed->world->peer, TAKE(keyed->anna));
    world_join(keyed->world);
}

static void expect_shut_out(struct keyed *keyed, struct peer *peer)
{
    peer_hello(peer, PROTOCOL_VERSION, 0, "eve", NULL, 0);
    assert_string_equal(world_receive(keyed->world, 0), "");
    assert_false(peer_receive(peer, MSG_WELCOME));
    connect_keyed(keyed, peer == &keyed->world->peer ? &keyed->world->other : &keyed->world->peer,
                  TAKE(keyed->anna)); /* it still works */
    struct peer *good = peer == &keyed->world->peer ? &keyed->world->other : &keyed->world->peer;
    peer_hello(good, PROTOCOL_VERSION, 0, "anna", NULL, 0);
    assert_string_equal(world_receive(keyed->world, 1), "hello0 ");
    assert_true(peer_receive(good, MSG_WELCOME));
}

/* ---- who is let in ---- */

static void a_worker_of_the_list_joins_and_its_results_count(void **state)
{
    struct keyed *keyed = *state;
    struct world *world = keyed->world;
    uint8_t record[256], frame[1024];
    struct result_msg result = peer_success(3, record);
    join(keyed);
    size_t bytes = peer_results(&world->peer, 0, &result, 1, frame, sizeof frame);
    peer_send(&world->peer, frame, bytes);
    assert_string_equal(world_receive(world, 1), "done0 ");
    const struct router_frame *held = router_frame(world->router, 0);
    assert_memory_equal(held->public_key, keyed->anna_key, PUBLIC_KEY_BYTES);
}

static void one_identity_serves_many_instances(void **state)
{
    struct keyed *keyed = *state;
    uint8_t seed[SIGN_SEED_BYTES];
    signer_copy_seed(keyed->anna, seed);
    join(keyed);
    connect_keyed(keyed, &keyed->world->other, signer_of_seed(seed));
    peer_hello(&keyed->world->other, PROTOCOL_VERSION, 0, "anna", NULL, 0);
    assert_string_equal(world_receive(keyed->world, 1), "hello1 ");
}

static void a_worker_that_was_added_a_moment_ago_gets_in(void **state)
{
    struct keyed *keyed = *state;
    struct signer *bert = signer_new();
    join(keyed);
    allow(keyed, bert, "bert");
    connect_keyed(keyed, &keyed->world->other, bert);
    peer_hello(&keyed->world->other, PROTOCOL_VERSION, 0, "bert", NULL, 0);
    assert_string_equal(world_receive(keyed->world, 1), "hello1 ");
}

/* Its key is that of the broker, of which no list needs to say a word. */
static void the_local_endpoint_admits_the_brokers_own_worker(void **state)
{
    struct keyed *keyed = *state;
    struct world *world = keyed->world;
    uint8_t seed[SIGN_SEED_BYTES];
    signer_copy_seed(keyed->broker, seed);
    peer_connect_keyed(&world->other, router_local_endpoint(world->router), "local",
                       signer_of_seed(seed), signer_public(keyed->broker));
    peer_hello(&world->other, PROTOCOL_VERSION, 0, "local", NULL, 0);
    assert_string_equal(world_receive(world, 1), "hello0 ");
    assert_true(peer_receive(&world->other, MSG_WELCOME));
    unlink(keyed->workers); /* no business of it */
    world_receive(world, 0);
    peer_attempts(&world->other, MSG_HEARTBEAT, NULL, 0);
    assert_string_equal(world_receive(world, 1), "heartbeat0 ");
}

/* ---- who is not ---- */

static void who_has_no_keys_is_shut_out(void **state)
{
    struct keyed *keyed = *state;
    peer_connect(&keyed->world->other, router_endpoint(keyed->world->router), "plain");
    expect_shut_out(keyed, &keyed->world->other);
}

/* A program that poses as the local worker: within reach of the socket, but without a key. */
static void nobody_else_is_let_in_at_the_local_endpoint(void **state)
{
    struct keyed *keyed = *state;
    struct world *world = keyed->world;
    peer_connect(&world->other, router_local_endpoint(world->router), "plain");
    peer_hello(&world->other, PROTOCOL_VERSION, 0, "local", NULL, 0);
    assert_string_equal(world_receive(world, 0), "");
    peer_close(&world->other);
    peer_connect_keyed(&world->other, router_local_endpoint(world->router), "foreign", NULL,
                       signer_public(keyed->broker));
    expect_shut_out(keyed, &world->other);
}

static void who_is_not_on_the_list_is_shut_out(void **state)
{
    struct keyed *keyed = *state;
    connect_keyed(keyed, &keyed->world->other, NULL);
    expect_shut_out(keyed, &keyed->world->other);
}

static void who_takes_another_for_the_broker_is_shut_out(void **state)
{
    struct keyed *keyed = *state;
    AUTO(signer_free) struct signer *wrong = signer_new();
    peer_connect_keyed(&keyed->world->other, router_endpoint(keyed->world->router), "other",
                       signer_new(), signer_public(wrong));
    expect_shut_out(keyed, &keyed->world->other);
}

static void who_says_to_be_another_is_refused(void **state)
{
    struct keyed *keyed = *state;
    struct world *world = keyed->world;
    connect_keyed(keyed, &world->peer, TAKE(keyed->anna));
    struct signer *proven = world->peer.signer;
    AUTO(signer_free) struct signer *claimed = signer_new();
    world->peer.signer = claimed;
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", NULL, 0);
    assert_string_equal(world_receive(world, 0), "");
    peer_expect_refused(&world->peer, E_DENIED, "the connection proved");
    world->peer.signer = proven;
}

static void nobody_takes_over_the_instance_of_another(void **state)
{
    struct keyed *keyed = *state;
    struct world *world = keyed->world;
    struct signer *bert = signer_new();
    allow(keyed, bert, "bert");
    join(keyed);
    connect_keyed(keyed, &world->other, bert);
    memcpy(world->other.instance, world->peer.instance, INSTANCE_BYTES);
    peer_hello(&world->other, PROTOCOL_VERSION, 0, "bert", NULL, 0);
    assert_string_equal(world_receive(world, 0), "");
    peer_expect_refused(&world->other, E_DENIED, "another key");
    peer_attempts(&world->peer, MSG_HEARTBEAT, NULL, 0); /* anna did not notice */
    assert_string_equal(world_receive(world, 1), "heartbeat0 ");
}

static void nobody_goes_on_under_the_routing_id_of_another(void **state)
{
    struct keyed *keyed = *state;
    struct world *world = keyed->world;
    struct signer *bert = signer_new();
    struct attempt attempt = peer_attempt(1);
    allow(keyed, bert, "bert");
    join(keyed);
    peer_hang_up(&world->peer);
    usleep(100000); /* until libzmq has let go of the routing id */
    peer_connect_keyed(&world->other, router_endpoint(world->router), "first", bert,
                       signer_public(keyed->broker));
    peer_attempts(&world->other, MSG_REVOKED, &attempt, 1);
    assert_string_equal(world_receive(world, 1), "gone0:worker_gone ");
    peer_expect_refused(&world->other, E_PROTOCOL, "HELLO");
}

static void the_results_of_another_are_refused(void **state)
{
    struct keyed *keyed = *state;
    struct world *world = keyed->world;
    struct signer *bert = signer_new();
    uint8_t record[256], frame[1024];
    struct result_msg result = peer_success(3, record);
    allow(keyed, bert, "bert");
    join(keyed);
    connect_keyed(keyed, &world->other, bert);
    peer_hello(&world->other, PROTOCOL_VERSION, 0, "bert", NULL, 0);
    assert_string_equal(world_receive(world, 1), "hello1 ");
    size_t bytes = peer_results(&world->peer, 0, &result, 1, frame, sizeof frame);
    peer_send(&world->peer, frame, bytes);
    peer_send(&world->peer, frame, bytes); /* its own it may send again */
    assert_string_equal(world_receive(world, 2), "done0 done0 ");
    peer_send(&world->other, frame, bytes); /* overheard, and sent as one's own */
    assert_string_equal(world_receive(world, 1), "gone1:denied ");
}

/* ---- who has to leave ---- */

static void who_is_revoked_is_cut_off(void **state)
{
    struct keyed *keyed = *state;
    struct world *world = keyed->world;
    uint8_t record[256], frame[1024];
    struct result_msg result = peer_success(3, record);
    struct id key;
    memcpy(key.bytes, keyed->anna_key, sizeof key.bytes);
    join(keyed);
    assert_int_equal(allow_list_remove(keyed->workers, "anna", NULL), OK);
    world->now = 1000; /* when the list is looked at again */
    assert_string_equal(world_receive(world, 1), "drained0 ");
    peer_expect_refused(&world->peer, E_DENIED, "not on the broker's list");
    size_t bytes = peer_results(&world->peer, 0, &result, 1, frame, sizeof frame);
    peer_send(&world->peer, frame, bytes); /* over the connection that it still has */
    assert_string_equal(world_receive(world, 0), "");
    peer_expect_refused(&world->peer, E_PROTOCOL, "HELLO");
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", NULL, 0);
    assert_string_equal(world_receive(world, 0), "");
    peer_expect_refused(&world->peer, E_DENIED, "broker keys add");
    assert_int_equal(allow_list_add(keyed->workers, &key, "anna", NULL), OK);
    world_join(world); /* and back */
}

static void a_list_that_was_spoiled_cuts_nobody_off(void **state)
{
    struct keyed *keyed = *state;
    struct world *world = keyed->world;
    join(keyed);
    temp_write_text(keyed->workers, "half a li");
    world->now = 1000;
    peer_attempts(&world->peer, MSG_HEARTBEAT, NULL, 0);
    assert_string_equal(world_receive(world, 1), "heartbeat0 ");
}

/* ---- what is sent ---- */

/* libzmq ends the connection before the frame is taken in; the peer's makes a new one. */
static void a_frame_that_is_too_large_never_comes_in(void **state)
{
    enum { TOO_MANY = FRAME_BYTES_MAX + 1 };
    struct keyed *keyed = *state;
    struct world *world = keyed->world;
    AUTO(mem_free) uint8_t *large = mem_alloc(TOO_MANY);
    join(keyed);
    peer_send(&world->peer, large, TOO_MANY);
    assert_string_equal(world_receive(world, 0), "");
    peer_attempts(&world->peer, MSG_HEARTBEAT, NULL, 0);
    assert_string_equal(world_receive(world, 1), "heartbeat0 ");
}

static void malformed_frames_are_refused(void **state)
{
    static const char *const bad[] = {"", "\x93\x06\x01\xc0", "\xdd\xff\xff\xff\xff",
                                      "\x92\x0a\x91\x01"};
    struct keyed *keyed = *state;
    struct world *world = keyed->world;
    connect_keyed(keyed, &world->peer, TAKE(keyed->anna));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        world_join(world);
        peer_send(&world->peer, bad[i], strlen(bad[i]));
        assert_string_equal(world_receive(world, 1), "gone0:protocol ");
        assert_true(peer_receive(&world->peer, MSG_REFUSED));
    }
}

/* The library closes sockets behind us: their names must be free before. */
static void a_router_opens_again_at_once(void **state)
{
    struct keyed *keyed = *state;
    struct router_keys keys = {keyed->broker, keyed->workers};
    const struct router_options options = {.endpoint = "tcp://127.0.0.1:*", .keys = &keys};
    struct err err = {0};
    for (int i = 0; i < 100; i++) {
        router_close(keyed->world->router);
        if (router_open(&options, &keyed->world->router, &err) != OK)
            fail_msg("%s", err.text);
    }
}

#define KEYED(test) cmocka_unit_test_setup_teardown(test, open_keyed, close_keyed)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEYED(a_worker_of_the_list_joins_and_its_results_count),
        KEYED(one_identity_serves_many_instances),
        KEYED(a_worker_that_was_added_a_moment_ago_gets_in),
        KEYED(the_local_endpoint_admits_the_brokers_own_worker),
        KEYED(nobody_else_is_let_in_at_the_local_endpoint),
        KEYED(who_has_no_keys_is_shut_out),
        KEYED(who_is_not_on_the_list_is_shut_out),
        KEYED(who_takes_another_for_the_broker_is_shut_out),
        KEYED(who_says_to_be_another_is_refused),
        KEYED(nobody_takes_over_the_instance_of_another),
        KEYED(nobody_goes_on_under_the_routing_id_of_another),
        KEYED(the_results_of_another_are_refused),
        KEYED(who_is_revoked_is_cut_off),
        KEYED(a_list_that_was_spoiled_cuts_nobody_off),
        KEYED(a_frame_that_is_too_large_never_comes_in),
        KEYED(malformed_frames_are_refused),
        KEYED(a_router_opens_again_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
