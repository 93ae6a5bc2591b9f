/* What a broker answers to HELLO, held to its limits. */
// SPDX-License-Identifier: Apache-2.0
#include "proto/msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 1024 };

/* A lease by which nobody could live, or a credit that is none, is not believed. */
static void test_welcome_is_held_to_its_limits(void **state)
{
    (void)state;
    static const struct welcome out_of_limits[] = {{1, 0, 100},
                                                   {1, LEASE_MS_MIN - 1, 100},
                                                   {1, LEASE_MS_MAX + 1, 100},
                                                   {1, LEASE_MS_MIN, 0},
                                                   {1, LEASE_MS_MAX, WORKER_CREDIT_MAX + 1}};
    uint8_t out[ROOM];
    struct welcome welcome;
    for (size_t i = 0; i < sizeof out_of_limits / sizeof *out_of_limits; i++) {
        struct mp_writer w = mp_writer(out, ROOM);
        msg_write_welcome(&w, &out_of_limits[i]);
        assert_int_equal(msg_decode_welcome(out, w.need, &welcome, NULL), E_PROTOCOL);
    }
    for (int i = 0; i < 2; i++) {
        struct mp_writer w = mp_writer(out, ROOM);
        uint32_t lease_ms = i ? LEASE_MS_MAX : LEASE_MS_MIN;
        msg_write_welcome(&w, &(struct welcome){1, lease_ms, i ? WORKER_CREDIT_MAX : 1});
        assert_int_equal(msg_decode_welcome(out, w.need, &welcome, NULL), OK);
    }
}

static void test_not_leader(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    char endpoint[ENDPOINT_BYTES_MAX + 1];
    struct not_leader back;
    memset(endpoint, 'e', sizeof endpoint);
    struct mp_writer w = mp_writer(out, ROOM);
    msg_write_not_leader(&w, &(struct not_leader){7, endpoint, ENDPOINT_BYTES_MAX});
    assert_int_equal(msg_type(out, w.need), MSG_NOT_LEADER);
    assert_int_equal(msg_decode_not_leader(out, w.need, &back, NULL), OK);
    assert_int_equal(back.epoch, 7);
    assert_int_equal(back.endpoint_bytes, ENDPOINT_BYTES_MAX);
    assert_memory_equal(back.endpoint, endpoint, ENDPOINT_BYTES_MAX);
    w = mp_writer(out, ROOM);
    msg_write_not_leader(&w, &(struct not_leader){7, endpoint, ENDPOINT_BYTES_MAX + 1});
    assert_int_equal(msg_decode_not_leader(out, w.need, &back, NULL), E_PROTOCOL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_welcome_is_held_to_its_limits),
        cmocka_unit_test(test_not_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
