/* The worker's end of a connection, with a ROUTER by hand on the other side. */
// SPDX-License-Identifier: Apache-2.0
#include "worker/link.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zmq.h>

#include "common/clock.h"

enum { WAIT_MS = 10000, PEER_BYTES = 64 };

struct world {
    void *context, *router;
    struct link *link;
    char endpoint[64], peer[PEER_BYTES];
    int peer_bytes;
};

static void sleep_until_readable(struct link *link)
{
    int fds[2];
    link_fds(link, fds);
    struct pollfd polls[2] = {{fds[0], POLLIN, 0}, {fds[1], POLLIN, 0}};
    if (poll(polls, 2, 10) > 0)
        link_stir(link, (const bool[]){polls[0].revents, polls[1].revents});
}

/* The next thing that happens, within reason. */
static struct link_event next(struct link *link)
{
    struct link_event event = {.type = LINK_FRAME};
    ms_t end = clock_ms() + WAIT_MS;
    while (!link_next(link, clock_ms(), &event)) {
        assert_true(clock_ms() < end);
        sleep_until_readable(link);
    }
    return event;
}

/* Connected, and the router knows the peer. */
static int setup(void **state)
{
    static struct world world;
    char hello[8];
    snprintf(world.endpoint, sizeof world.endpoint, "ipc:///tmp/test-link-%d", (int)getpid());
    world.context = zmq_ctx_new();
    world.router = zmq_socket(world.context, ZMQ_ROUTER);
    assert_int_equal(zmq_bind(world.router, world.endpoint), 0);
    const char *const brokers[] = {world.endpoint};
    const struct link_options options = {.brokers = brokers, .broker_count = 1};
    assert_int_equal(link_open(&options, &world.link, NULL), OK);
    assert_int_equal(next(world.link).type, LINK_CONNECTED);
    link_send(world.link, "hello", 5);
    world.peer_bytes = zmq_recv(world.router, world.peer, sizeof world.peer, 0);
    assert_int_equal(zmq_recv(world.router, hello, sizeof hello, 0), 5);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    link_close(world->link);
    if (world->router)
        zmq_close(world->router);
    zmq_ctx_term(world->context);
    unlink(world->endpoint + strlen("ipc://"));
    return 0;
}

static void send_frame(struct world *world, const char *text)
{
    zmq_send(world->router, world->peer, (size_t)world->peer_bytes, ZMQ_SNDMORE);
    assert_int_equal(zmq_send(world->router, text, strlen(text), 0), (int)strlen(text));
}

static void assert_frame(struct link *link, const char *text)
{
    struct link_event event = next(link);
    assert_int_equal(event.type, LINK_FRAME);
    assert_int_equal(event.count, strlen(text));
    assert_memory_equal(event.bytes, text, event.count);
}

/* A broker says GOODBYE and closes: both are there when the worker looks. */
static void test_what_came_before_the_end_is_read_first(void **state)
{
    struct world *world = *state;
    int fds[2];
    struct link_event event;
    link_fds(world->link, fds);
    assert_false(link_next(world->link, clock_ms(), &event)); /* descriptors tell of changes */
    send_frame(world, "one");
    send_frame(world, "two");
    zmq_close(world->router);
    world->router = NULL;
    struct pollfd end = {fds[1], POLLIN, 0};
    assert_int_equal(poll(&end, 1, WAIT_MS), 1); /* the end is known before anything is read */
    assert_frame(world->link, "one");
    assert_true(link_is_ready(world->link));
    assert_frame(world->link, "two");
    assert_true(link_is_ready(world->link));
    assert_int_equal(next(world->link).type, LINK_DISCONNECTED);
    assert_false(link_next(world->link, clock_ms() - WAIT_MS, &event));
}

static void test_a_new_connection_has_a_new_routing_id(void **state)
{
    struct world *world = *state;
    char peer[PEER_BYTES], hello[8];
    link_reconnect(world->link);
    assert_int_equal(next(world->link).type, LINK_DISCONNECTED);
    assert_true(link_wake_at(world->link) > 0);
    assert_int_equal(next(world->link).type, LINK_CONNECTED);
    link_send(world->link, "again", 5);
    int bytes = zmq_recv(world->router, peer, sizeof peer, 0);
    assert_int_equal(zmq_recv(world->router, hello, sizeof hello, 0), 5);
    assert_true(bytes != world->peer_bytes || memcmp(peer, world->peer, (size_t)bytes) != 0);
}

/* Nobody is at the first; the second says that the first is the right one. */
static void test_a_leader_is_followed(void **state)
{
    struct world *world = *state;
    char second[80], hello[8];
    void *other = zmq_socket(world->context, ZMQ_ROUTER);
    snprintf(second, sizeof second, "%s-2", world->endpoint);
    assert_int_equal(zmq_bind(other, second), 0);
    assert_string_equal(link_endpoint(world->link), world->endpoint);
    link_settle(world->link);
    link_follow(world->link, second);
    assert_int_equal(next(world->link).type, LINK_DISCONNECTED);
    assert_int_equal(next(world->link).type, LINK_CONNECTED);
    assert_string_equal(link_endpoint(world->link), second);
    link_send(world->link, "hello", 5);
    char peer[PEER_BYTES];
    assert_true(zmq_recv(other, peer, sizeof peer, 0) > 0);
    assert_int_equal(zmq_recv(other, hello, sizeof hello, 0), 5);
    link_reconnect(world->link); /* it leads no more: back to the list */
    assert_int_equal(next(world->link).type, LINK_DISCONNECTED);
    assert_int_equal(next(world->link).type, LINK_CONNECTED);
    assert_string_equal(link_endpoint(world->link), world->endpoint);
    zmq_close(other);
    unlink(second + strlen("ipc://"));
}

static void test_of_several_the_silent_one_is_not_waited_for(void **state)
{
    struct world *world = *state;
    const char *const brokers[] = {"ipc:///nowhere/at/all", world->endpoint};
    const struct link_options options = {.brokers = brokers, .broker_count = 2};
    link_close(world->link);
    assert_int_equal(link_open(&options, &world->link, NULL), OK);
    ms_t give_up_at = link_wake_at(world->link);
    struct link_event event;
    assert_true(give_up_at < MS_NEVER);
    assert_true(link_next(world->link, give_up_at, &event));
    assert_int_equal(event.type, LINK_DISCONNECTED);
    assert_int_equal(next(world->link).type, LINK_CONNECTED);
    assert_string_equal(link_endpoint(world->link), world->endpoint);
    give_up_at = link_wake_at(world->link); /* connected, but no word of a welcome */
    assert_true(give_up_at < MS_NEVER);
    assert_true(link_next(world->link, give_up_at, &event));
    assert_int_equal(event.type, LINK_DISCONNECTED);
}

static void test_one_broker_is_waited_for(void **state)
{
    struct world *world = *state;
    assert_int_equal(link_wake_at(world->link), MS_NEVER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_what_came_before_the_end_is_read_first),
        TEST(test_a_new_connection_has_a_new_routing_id),
        TEST(test_a_leader_is_followed),
        TEST(test_of_several_the_silent_one_is_not_waited_for),
        TEST(test_one_broker_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
