/* What comes twice, or in another order than it happened. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/work/router.h"
#include "common/clock.h"
#include "tests/unit/broker/work/peer.h"

struct world {
    struct router *router;
    struct peer peer;
    struct buf trace;
};

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct router_options options = {.endpoint = "tcp://127.0.0.1:*", .epoch = 5, .credit = 100};
    if (router_open(&options, &world->router, NULL) != OK)
        return -1;
    world->trace = buf_init(0);
    peer_connect(&world->peer, router_endpoint(world->router), "first");
    *state = world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;
    peer_close(&world->peer);
    router_close(world->router);
    buf_fini(&world->trace);
    free(world);
    return 0;
}

static void note(void *context, struct sched_event *event, const struct router_record *record)
{
    struct world *world = context;
    assert_null(record);
    switch (event->type) {
    case SCHED_HELLO: buf_put_text(&world->trace, "hello "); break;
    case SCHED_HEARTBEAT: buf_put_text(&world->trace, "heartbeat "); break;
    case SCHED_REVOKED: buf_put_text(&world->trace, "revoked "); break;
    case SCHED_GONE:
        buf_put_text(&world->trace, event->gone.is_drain ? "drained " : "gone ");
        break;
    default: buf_format(&world->trace, "?%d ", (int)event->type); break;
    }
}

/* Receives until `words` words have come, or half a second has passed. */
static const char *receive(struct world *world, size_t words)
{
    buf_clear(&world->trace);
    for (ms_t end = clock_ms() + 500; clock_ms() < end;) {
        size_t seen = 0;
        const struct router_sink sink = {.on_event = note, .context = world};
        assert_int_equal(router_receive(world->router, 0, &sink, NULL), OK);
        for (size_t i = 0; i < world->trace.count; i++)
            seen += world->trace.bytes[i] == ' ';
        if (seen >= words)
            break;
        usleep(500);
    }
    return buf_text(&world->trace);
}

static void join(struct world *world)
{
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", NULL, 0);
    assert_string_equal(receive(world, 1), "hello ");
    assert_true(peer_receive(&world->peer, MSG_WELCOME));
}

static void a_hello_that_comes_twice_counts_once(void **state)
{
    struct world *world = *state;
    struct attempt attempt = peer_attempt(1);
    join(world);
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", &attempt, 1); /* of a while ago */
    peer_attempts(&world->peer, MSG_HEARTBEAT, NULL, 0);
    assert_string_equal(receive(world, 1), "heartbeat ");
    assert_true(peer_receive(&world->peer, MSG_WELCOME));
}

static void a_goodbye_counts_though_the_end_was_seen_first(void **state)
{
    struct world *world = *state;
    struct attempt attempt = peer_attempt(1);
    join(world);
    peer_attempts(&world->peer, MSG_GOODBYE, &attempt, 1);
    peer_hang_up(&world->peer);
    for (int i = 0; i < 50; i++) { /* until a send finds nobody */
        router_kill(world->router, 0, &attempt);
        assert_int_equal(router_flush(world->router, NULL), OK);
        usleep(2000);
    }
    assert_string_equal(receive(world, 2), "revoked drained ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_hello_that_comes_twice_counts_once, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(a_goodbye_counts_though_the_end_was_seen_first, open_world,
                                        close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
