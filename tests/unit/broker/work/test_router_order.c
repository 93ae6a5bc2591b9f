/* What comes twice, all at once, or in another order than it happened; and what comes while another
 * broker leads. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/broker/work/world.h"

static void a_hello_that_comes_twice_counts_once(void **state)
{
    struct world *world = *state;
    struct attempt attempt = peer_attempt(1);
    world_join(world);
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", &attempt, 1); /* of a while ago */
    peer_attempts(&world->peer, MSG_HEARTBEAT, NULL, 0);
    assert_string_equal(world_receive(world, 1), "heartbeat0 ");
    assert_true(peer_receive(&world->peer, MSG_WELCOME));
}

static void a_goodbye_counts_though_the_end_was_seen_first(void **state)
{
    struct world *world = *state;
    struct attempt attempt = peer_attempt(1);
    world_join(world);
    peer_attempts(&world->peer, MSG_GOODBYE, &attempt, 1);
    peer_hang_up(&world->peer);
    for (int i = 0; i < 50; i++) { /* until a send finds nobody */
        router_kill(world->router, 0, &attempt);
        assert_int_equal(router_flush(world->router, NULL), OK);
        usleep(2000);
    }
    assert_string_equal(world_receive(world, 2), "revoked0 drained0 ");
}

static size_t count_words(const char *words)
{
    size_t count = 0;
    for (; *words; words++)
        count += *words == ' ';
    return count;
}

/* Each has a signature to be checked, which is most of the work: a thousand workers that send one
 * result each made a beat of 70 ms. */
static void a_beat_takes_few_small_frames(void **state)
{
    enum { FRAMES = 200, AT_ONCE = 2 + RECEIVE_WORK_MAX / RECEIVE_FRAME_WORK };
    struct world *world = *state;
    uint8_t record[256], frame[1024];
    struct result_msg result = peer_success(3, record);
    world_join(world);
    for (uint64_t n = 0; n < FRAMES; n++)
        peer_send(&world->peer, frame,
                  peer_results(&world->peer, n, &result, 1, frame, sizeof frame));
    usleep(50000); /* until they are there */
    size_t first = count_words(world_receive(world, 1));
    assert_in_range(first, 1, AT_ONCE);
    assert_int_equal(count_words(world_receive(world, FRAMES - first)), FRAMES - first);
}

/* A worker that joins a moment after another takes what that one was given in the same beat. */
static void what_is_taken_back_comes_behind_what_was_given(void **state)
{
    struct world *world = *state;
    struct attempt attempt = peer_attempt(1);
    struct task_msg task = {.attempt = attempt,
                            .spec = (const uint8_t *)"\x80",
                            .spec_bytes = 1,
                            .inputs = (const uint8_t *)"\x90",
                            .inputs_bytes = 1};
    world_join(world);
    for (int i = 0; i < 2; i++) { /* also where a frame is full before the beat ends */
        router_assign(world->router, 0, &task);
        for (int n = 0; n < (i ? FRAME_TASKS_MAX + 1 : 1); n++)
            router_revoke(world->router, 0, &attempt);
        router_kill(world->router, 0, &attempt);
        assert_int_equal(router_flush(world->router, NULL), OK);
        assert_true(peer_receive(&world->peer, MSG_TASKS));
        assert_true(peer_receive(&world->peer, MSG_REVOKE));
        if (i)
            assert_true(peer_receive(&world->peer, MSG_REVOKE));
        assert_true(peer_receive(&world->peer, MSG_KILL));
    }
}

static void expect_not_leader(struct peer *peer, uint64_t epoch, const char *endpoint)
{
    struct not_leader came;
    assert_true(peer_receive(peer, MSG_NOT_LEADER));
    assert_int_equal(msg_decode_not_leader(peer->frame, peer->frame_bytes, &came, NULL), OK);
    assert_int_equal(came.epoch, epoch);
    assert_int_equal(came.endpoint_bytes, strlen(endpoint));
    assert_memory_equal(came.endpoint, endpoint, strlen(endpoint));
}

static void who_asks_a_standby_is_told_who_leads(void **state)
{
    struct world *world = *state;
    router_stand_by(world->router, "tcp://10.0.0.1:7000");
    peer_hello(&world->peer, PROTOCOL_VERSION, 0, "anna", NULL, 0);
    assert_string_equal(world_receive(world, 0), "");
    expect_not_leader(&world->peer, 5, "tcp://10.0.0.1:7000");
    peer_attempts(&world->other, MSG_HEARTBEAT, NULL, 0); /* of before our restart */
    assert_string_equal(world_receive(world, 0), "");
    expect_not_leader(&world->other, 5, "tcp://10.0.0.1:7000");
    router_lead(world->router, 6);
    world_join(world);
    struct welcome welcome;
    assert_int_equal(msg_decode_welcome(world->peer.frame, world->peer.frame_bytes, &welcome, NULL),
                     OK);
    assert_int_equal(welcome.epoch, 6);
}

static void who_works_for_a_broker_that_loses_the_lead_is_told(void **state)
{
    struct world *world = *state;
    uint8_t record[256], frame[1024];
    struct result_msg result = peer_success(3, record);
    world_join(world);
    peer_send(&world->peer, frame, peer_results(&world->peer, 0, &result, 1, frame, sizeof frame));
    assert_string_equal(world_receive(world, 1), "done0 "); /* its frame is held */
    router_stand_by(world->router, "");
    expect_not_leader(&world->peer, 5, "");
    peer_attempts(&world->peer, MSG_HEARTBEAT, NULL, 0);
    assert_string_equal(world_receive(world, 0), "");
    expect_not_leader(&world->peer, 5, "");
}

static void a_standby_learns_of_later_epochs(void **state)
{
    struct world *world = *state;
    router_stand_by(world->router, "");
    peer_hello(&world->peer, PROTOCOL_VERSION, 9, "anna", NULL, 0);
    assert_string_equal(world_receive(world, 0), "");
    expect_not_leader(&world->peer, 9, "");
    assert_int_equal(router_epoch_seen(world->router), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(a_hello_that_comes_twice_counts_once),
        IN_WORLD(a_goodbye_counts_though_the_end_was_seen_first),
        IN_WORLD(a_beat_takes_few_small_frames),
        IN_WORLD(what_is_taken_back_comes_behind_what_was_given),
        IN_WORLD(who_asks_a_standby_is_told_who_leads),
        IN_WORLD(who_works_for_a_broker_that_loses_the_lead_is_told),
        IN_WORLD(a_standby_learns_of_later_epochs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
