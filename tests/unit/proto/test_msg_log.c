/* WATCH and LOG: there and back, and what must not pass. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "proto/msg.h"

enum { ROOM = LOG_FRAME_BYTES_MAX + 256 };

static uint8_t frame[ROOM], piece[LOG_FRAME_BYTES_MAX + 1];
static const struct attempt attempt = {{{1, 2, 3}}, 7};

static size_t write_log(const struct log_msg *log)
{
    struct mp_writer w = mp_writer(frame, sizeof frame);
    msg_write_log(&w, log);
    assert_false(mp_writer_is_full(&w));
    return w.need;
}

static void what_is_asked_is_read(void **state)
{
    (void)state;
    struct watch_msg watch = {attempt, 123456}, out;
    struct mp_writer w = mp_writer(frame, sizeof frame);
    msg_write_watch(&w, &watch);
    assert_int_equal(msg_type(frame, w.need), MSG_WATCH);
    assert_int_equal(msg_decode_watch(frame, w.need, &out, NULL), OK);
    assert_int_equal(out.offset, 123456);
    assert_int_equal(out.attempt.number, 7);
    assert_memory_equal(&out.attempt.task, &attempt.task, sizeof attempt.task);
    for (size_t cut = 0; cut < w.need; cut++)
        assert_int_not_equal(msg_decode_watch(frame, cut, &out, NULL), OK);
}

static void a_piece_is_read(void **state)
{
    (void)state;
    struct log_msg log = {attempt, 10, 13, {(const uint8_t *)"abc", 3}}, out;
    size_t bytes = write_log(&log);
    assert_int_equal(msg_type(frame, bytes), MSG_LOG);
    assert_int_equal(msg_decode_log(frame, bytes, &out, NULL), OK);
    assert_int_equal(out.offset, 10);
    assert_int_equal(out.size, 13);
    assert_int_equal(out.text.count, 3);
    assert_memory_equal(out.text.bytes, "abc", 3);
    for (size_t cut = 0; cut < bytes; cut++)
        assert_int_not_equal(msg_decode_log(frame, cut, &out, NULL), OK);
    frame[bytes] = 0xc0;
    assert_int_not_equal(msg_decode_log(frame, bytes + 1, &out, NULL), OK);
}

static void pieces_and_offsets_are_bounded(void **state)
{
    (void)state;
    struct log_msg out;
    struct log_msg most = {attempt, 0, LOG_BYTES_MAX, {piece, LOG_FRAME_BYTES_MAX}};
    assert_int_equal(msg_decode_log(frame, write_log(&most), &out, NULL), OK);
    struct log_msg large = {attempt, 0, LOG_BYTES_MAX, {piece, LOG_FRAME_BYTES_MAX + 1}};
    assert_int_not_equal(msg_decode_log(frame, write_log(&large), &out, NULL), OK);
    struct log_msg far = {attempt, LOG_BYTES_MAX + 1, 0, {piece, 0}};
    assert_int_not_equal(msg_decode_log(frame, write_log(&far), &out, NULL), OK);
    struct log_msg size = {attempt, 0, (uint64_t)LOG_BYTES_MAX + 1, {piece, 0}};
    assert_int_not_equal(msg_decode_log(frame, write_log(&size), &out, NULL), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_is_read),
        cmocka_unit_test(a_piece_is_read),
        cmocka_unit_test(pieces_and_offsets_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
