/* A HELLO at its limits, and past each. */
// SPDX-License-Identifier: Apache-2.0
#include "proto/msg.h"

#include "common/base/buf.h"
#include "tests/unit/proto/support.h"

static enum status hello_of(uint32_t slots, struct mp_view labels, struct mp_view running)
{
    AUTO(buf_fini) struct buf out = buf_init(0);
    struct hello hello = {.protocol = PROTOCOL_VERSION,
                          .slots = slots,
                          .kinds = {(const uint8_t *)"\x90", 1},
                          .labels = labels,
                          .running = running};
    size_t room = labels.count + running.count + 256;
    struct mp_writer w = mp_writer(buf_reserve(&out, room), room);
    msg_write_hello(&w, &hello);
    assert_false(mp_writer_is_full(&w));
    return msg_decode_hello(w.out, w.need, &hello, NULL);
}

/* The most that it may list, and one more. */
static void test_what_hello_may_list(void **state)
{
    (void)state;
    const struct mp_view labels = {(const uint8_t *)"\x80", 1};
    const struct mp_view running = {(const uint8_t *)"\x90", 1};
    assert_int_equal(hello_of(1, labels, running), OK);
    assert_int_equal(hello_of(SLOTS_MAX, labels, running), OK);
    assert_int_equal(hello_of(0, labels, running), E_PROTOCOL);
    assert_int_equal(hello_of(SLOTS_MAX + 1, labels, running), E_PROTOCOL);
    for (uint32_t more = 0; more < 2; more++) {
        const enum status expected = more ? E_PROTOCOL : OK;
        AUTO(buf_fini) struct buf texts = buf_init(0), attempts = buf_init(0);
        size_t room = (LABELS_MAX + 1) * 2 + 5;
        struct mp_writer w = mp_writer(buf_reserve(&texts, room), room);
        mp_write_map(&w, LABELS_MAX + more);
        for (uint32_t i = 0; i < 2 * (LABELS_MAX + more); i++)
            mp_write_text(&w, "");
        assert_int_equal(hello_of(1, (struct mp_view){w.out, w.need}, running), expected);
        room = (BATCH_ENTRIES_MAX + 1) * (ID_BYTES + 4) + 5;
        w = mp_writer(buf_reserve(&attempts, room), room);
        mp_write_array(&w, BATCH_ENTRIES_MAX + more);
        for (uint32_t i = 0; i < BATCH_ENTRIES_MAX + more; i++)
            msg_write_attempt(&w, &(struct attempt){.number = 1});
        assert_int_equal(hello_of(1, labels, (struct mp_view){w.out, w.need}), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_hello_may_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
