// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/broker/work/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"

struct world *world_new(const struct router_options *options)
{
    struct err err = {0};
    struct world *world = calloc(1, sizeof *world);
    if (router_open(options, &world->router, &err) != OK)
        fail_msg("%s", err.text);
    world->trace = buf_init(0);
    return world;
}

int world_open(void **state)
{
    struct world *world = world_new(
        &(const struct router_options){.endpoint = "tcp://127.0.0.1:*", .epoch = 5, .credit = 100});
    peer_connect(&world->peer, router_endpoint(world->router), "first");
    peer_connect(&world->other, router_endpoint(world->router), "second");
    *state = world;
    return 0;
}

int world_close(void **state)
{
    struct world *world = *state;
    struct peer *const peers[] = {&world->peer, &world->other};
    for (int i = 0; i < 2; i++)
        if (peers[i]->context)
            peer_close(peers[i]);
    router_close(world->router);
    buf_fini(&world->trace);
    free(world);
    return 0;
}

static void note(void *context, struct sched_event *event, const struct router_record *record)
{
    struct buf *trace = context;
    (void)record;
    switch (event->type) {
    case SCHED_HELLO: buf_format(trace, "hello%u ", event->hello.worker); break;
    case SCHED_HEARTBEAT: buf_format(trace, "heartbeat%u ", event->worker.worker); break;
    case SCHED_STARTED: buf_format(trace, "started%u ", event->worker.worker); break;
    case SCHED_REVOKED: buf_format(trace, "revoked%u ", event->worker.worker); break;
    case SCHED_DONE: buf_format(trace, "done%u ", event->done.worker); break;
    case SCHED_FAILED: buf_format(trace, "failed%u ", event->failed.worker); break;
    case SCHED_GONE:
        if (event->gone.is_drain)
            buf_format(trace, "drained%u ", event->gone.worker);
        else
            buf_format(trace, "gone%u:%s ", event->gone.worker, status_name(event->gone.code));
        break;
    default: buf_format(trace, "?%d ", (int)event->type); break;
    }
}

const char *world_receive(struct world *world, size_t words)
{
    buf_clear(&world->trace);
    for (ms_t end = clock_ms() + 500; clock_ms() < end;) {
        size_t seen = 0;
        const struct router_sink sink = {.on_event = note, .context = &world->trace};
        assert_int_equal(router_receive(world->router, world->now, &sink, NULL), OK);
        for (size_t i = 0; i < world->trace.count; i++)
            seen += world->trace.bytes[i] == ' ';
        if (words && seen >= words)
            break;
        usleep(500);
    }
    return buf_text(&world->trace);
}

void world_join(struct world *world)
{
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", NULL, 0);
    assert_string_equal(world_receive(world, 1), "hello0 ");
    assert_true(peer_receive(&world->peer, MSG_WELCOME));
}
