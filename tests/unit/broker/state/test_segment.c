// SPDX-License-Identifier: Apache-2.0
#include "broker/state/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct err err;

static void names_of_segments_sort_as_they_were_written(void **context)
{
    (void)context;
    static const struct mark order[] = {{1, 9, 1}, {1, 3, 2}, {2, 5, 1}, {16, 1, 15}, {16, 1, 16}};
    char before[SEGMENT_NAME_BYTES] = "", name[SEGMENT_NAME_BYTES];
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        struct mark back;
        segment_name("team.a", order[i], name);
        assert_true(strcmp(before, name) < 0);
        assert_true(segment_read_name("team.a", name, &back));
        assert_true(mark_equal(back, order[i]));
        assert_false(segment_read_name("team", name, &back));
        memcpy(before, name, sizeof before);
    }
    struct mark back;
    assert_false(segment_read_name("team.a", "journal/team.a/", &back));
    assert_false(segment_read_name("team.a", "journal/team.a/readme", &back));
    assert_true(mark_read("", &back) && !back.epoch);
    assert_false(mark_read("1-2-3", &back));
}

static void later_marks_are_known(void **context)
{
    (void)context;
    struct mark here = {5, 7, 10};
    assert_false(mark_is_after(here, here));
    assert_true(mark_is_after((struct mark){5, 7, 11}, here));
    assert_false(mark_is_after((struct mark){5, 7, 9}, here));
    assert_true(mark_is_after((struct mark){6, 1, 1}, here));
    assert_false(mark_is_after((struct mark){4, 9, 99}, here));
    /* An epoch that was given twice: nobody can say, so it is looked at. */
    assert_true(mark_is_after((struct mark){5, 8, 1}, here));
}

static void an_entry_counts_the_first_time(void **context)
{
    (void)context;
    struct marks_seen seen = {buf_init(0)};
    for (uint64_t n = 1; n <= 100; n++)
        assert_true(marks_see(&seen, (struct mark){1, 1, n}));
    assert_true(marks_see(&seen, (struct mark){1, 2, 50}));  /* another writer */
    assert_true(marks_see(&seen, (struct mark){1, 1, 200})); /* a gap, */
    assert_true(marks_see(&seen, (struct mark){1, 1, 150})); /* filled later */
    for (uint64_t n = 1; n <= 100; n++)
        assert_false(marks_see(&seen, (struct mark){1, 1, n}));
    assert_false(marks_see(&seen, (struct mark){1, 1, 150}));
    buf_fini(&seen.runs);
}

static void encode(struct buf *out, uint64_t number)
{
    struct mp_view frame = {(const uint8_t *)"a frame with a record", 21};
    struct state_record record = {.offset = 15, .bytes = 6};
    struct state_run run = {"2026-a", (const uint8_t *)"doc", 3};
    struct state_batch batch = {.frames = &frame,
                                .frame_count = 1,
                                .records = &record,
                                .record_count = 1,
                                .runs = &run,
                                .run_count = 1};
    entry_encode((struct mark){3, 4, number}, &batch, out);
}

static void entries_are_read_one_after_the_other(void **context)
{
    (void)context;
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    AUTO(arena_fini) struct arena arena = {0};
    struct entry entry;
    size_t at = 0;
    for (uint64_t n = 1; n <= 3; n++)
        encode(&bytes, n);
    for (uint64_t n = 1; n <= 3; n++, at += entry.byte_count) {
        assert_int_equal(entry_decode(bytes.bytes + at, bytes.count - at, &arena, &entry, &err),
                         OK);
        assert_true(mark_equal(entry.mark, (struct mark){3, 4, n}));
        assert_int_equal(entry.batch.record_count, 1);
        assert_memory_equal(entry.batch.frames[0].bytes + entry.batch.records[0].offset, "record",
                            6);
        assert_string_equal(entry.batch.runs[0].id, "2026-a");
    }
    assert_int_equal(at, bytes.count);
}

/* Every byte flipped, every length cut. */
static void damage_is_noticed(void **context)
{
    (void)context;
    AUTO(buf_fini) struct buf bytes = buf_init(0);
    AUTO(arena_fini) struct arena arena = {0};
    struct entry entry;
    encode(&bytes, 1);
    for (size_t i = 0; i < bytes.count; i++) {
        assert_int_equal(entry_decode(bytes.bytes, i, &arena, &entry, &err), E_CORRUPT);
        bytes.bytes[i] ^= 0x40;
        assert_int_equal(entry_decode(bytes.bytes, bytes.count, &arena, &entry, &err), E_CORRUPT);
        bytes.bytes[i] ^= 0x40;
    }
    assert_int_equal(entry_decode(bytes.bytes, bytes.count, &arena, &entry, &err), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_segments_sort_as_they_were_written),
        cmocka_unit_test(later_marks_are_known),
        cmocka_unit_test(an_entry_counts_the_first_time),
        cmocka_unit_test(entries_are_read_one_after_the_other),
        cmocka_unit_test(damage_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
