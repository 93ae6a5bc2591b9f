/* The MessagePack writer and reader: shortest forms, measuring, stickiness, strictness, hostile
 * bytes. */
// SPDX-License-Identifier: Apache-2.0
#include "proto/codec.h"

#include <math.h>

#include "proto/limits.h"
#include "tests/unit/proto/support.h"

static const struct {
    int64_t value;
    const char *hex;
} integers[] = {{0, "00"},
                {1, "01"},
                {127, "7f"},
                {128, "cc80"},
                {255, "ccff"},
                {256, "cd0100"},
                {65535, "cdffff"},
                {65536, "ce00010000"},
                {4294967295, "ceffffffff"},
                {4294967296, "cf0000000100000000"},
                {INT64_MAX, "cf7fffffffffffffff"},
                {-1, "ff"},
                {-32, "e0"},
                {-33, "d0df"},
                {-128, "d080"},
                {-129, "d1ff7f"},
                {-32768, "d18000"},
                {-32769, "d2ffff7fff"},
                {INT32_MIN, "d280000000"},
                {(int64_t)INT32_MIN - 1, "d3ffffffff7fffffff"},
                {INT64_MIN, "d38000000000000000"}};

static void test_integers_take_their_shortest_form(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        uint8_t out[16];
        struct mp_writer w = mp_writer(out, sizeof out);
        mp_write_int(&w, integers[i].value);
        assert_string_equal(to_hex(&arena, out, w.need), integers[i].hex);
        struct mp_reader r = mp_reader_canonical(out, w.need);
        assert_int_equal(mp_peek(&r), MP_INT);
        assert_true(mp_read_int(&r) == integers[i].value);
        assert_int_equal(mp_reader_finish(&r, "test", NULL), OK);
    }
}

static void test_uint64_above_int64(void **state)
{
    (void)state;
    uint8_t out[16];
    struct mp_writer w = mp_writer(out, sizeof out);
    mp_write_uint(&w, UINT64_MAX);
    struct mp_reader r = mp_reader(out, w.need);
    assert_true(mp_read_uint(&r) == UINT64_MAX && !r.is_bad);
    r = mp_reader(out, w.need);
    mp_read_int(&r);
    assert_true(r.is_bad);
    /* A frame may hold it, a document with an identity may not. */
    r = mp_reader(out, w.need);
    assert_int_equal(mp_read_any(&r).count, 9);
    r = mp_reader_canonical(out, w.need);
    mp_read_any(&r);
    assert_true(r.is_bad);
}

/* Writes strings, binaries and containers at the sizes where the form changes, and reads them back.
 */
static void test_sizes_take_their_shortest_form(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        uint8_t str, str_head, bin, bin_head, array, map, head;
    } rows[] = {{0, 0xa0, 1, 0xc4, 2, 0x90, 0x80, 1},    {15, 0xaf, 1, 0xc4, 2, 0x9f, 0x8f, 1},
                {16, 0xb0, 1, 0xc4, 2, 0xdc, 0xde, 3},   {31, 0xbf, 1, 0xc4, 2, 0xdc, 0xde, 3},
                {32, 0xd9, 2, 0xc4, 2, 0xdc, 0xde, 3},   {255, 0xd9, 2, 0xc4, 2, 0xdc, 0xde, 3},
                {256, 0xda, 3, 0xc5, 3, 0xdc, 0xde, 3},  {65535, 0xda, 3, 0xc5, 3, 0xdc, 0xde, 3},
                {65536, 0xdb, 5, 0xc6, 5, 0xdd, 0xdf, 5}};
    enum { ROOM = 3 * 65536 };
    uint8_t *out = mem_alloc(ROOM);
    char *data = mem_alloc(65537);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = rows[i].size;
        struct mp_writer w = mp_writer(out, ROOM);
        mp_write_str(&w, data, size);
        assert_int_equal(out[0], rows[i].str);
        assert_int_equal(w.need, rows[i].str_head + size);
        struct mp_reader r = mp_reader_canonical(out, w.need);
        uint32_t text_bytes;
        assert_ptr_equal(mp_read_str(&r, &text_bytes), out + rows[i].str_head);
        assert_int_equal(text_bytes, size);
        assert_int_equal(mp_reader_finish(&r, "str", NULL), OK);

        w = mp_writer(out, ROOM);
        mp_write_bin(&w, data, size);
        assert_int_equal(out[0], rows[i].bin);
        assert_int_equal(w.need, rows[i].bin_head + size);
        r = mp_reader_canonical(out, w.need);
        size_t bytes;
        assert_ptr_equal(mp_read_bin(&r, &bytes), out + rows[i].bin_head);
        assert_int_equal(bytes, size);

        w = mp_writer(out, ROOM);
        mp_write_array(&w, (uint32_t)size);
        assert_int_equal(out[0], rows[i].array);
        assert_int_equal(w.need, rows[i].head);
        r = mp_reader_canonical(out, rows[i].head + size);
        assert_int_equal(mp_read_array(&r), size);
        r = mp_reader_canonical(out, rows[i].head + size - (size > 0)); /* a byte too few */
        mp_read_array(&r);
        assert_int_equal(r.is_bad, size > 0);

        w = mp_writer(out, ROOM);
        mp_write_map(&w, (uint32_t)size);
        assert_int_equal(out[0], rows[i].map);
        r = mp_reader_canonical(out, rows[i].head + 2 * size);
        assert_int_equal(mp_read_map(&r), size);
    }
    mem_free(data);
    mem_free(out);
}

static void test_writer_measures_and_never_passes_its_end(void **state)
{
    (void)state;
    uint8_t out[64], want[64];
    struct mp_writer w = mp_writer(want, sizeof want);
    mp_write_array(&w, 4);
    mp_write_text(&w, "penstock");
    mp_write_nil(&w);
    mp_write_bool(&w, true);
    mp_write_real(&w, 0.5);
    size_t need = w.need;
    for (size_t capacity = 0; capacity <= need; capacity++) {
        memset(out, 0xee, sizeof out);
        w = mp_writer(out, capacity);
        mp_write_array(&w, 4);
        mp_write_text(&w, "penstock");
        mp_write_nil(&w);
        mp_write_bool(&w, true);
        mp_write_real(&w, 0.5);
        assert_int_equal(w.need, need);
        assert_int_equal(mp_writer_is_full(&w), capacity < need);
        for (size_t i = capacity; i < sizeof out; i++)
            assert_int_equal(out[i], 0xee);
    }
    assert_memory_equal(out, want, need);
    w = mp_writer(NULL, 0);
    mp_write_text(&w, "measured");
    assert_int_equal(w.need, 9);
}

static void test_reader_is_sticky(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x93, 0xc3, 0x05, 0xc3};
    struct mp_reader r = mp_reader(bytes, sizeof bytes);
    assert_int_equal(mp_read_array(&r), 3);
    assert_true(mp_read_bool(&r));
    assert_false(mp_read_bool(&r)); /* a 5 is no boolean */
    assert_false(mp_read_bool(&r)); /* and nothing is read behind it */
    struct err err;
    assert_int_equal(mp_reader_finish(&r, "frame", &err), E_PROTOCOL);
    assert_string_equal(err.text, "frame: malformed MessagePack");
    r = mp_reader(bytes, sizeof bytes);
    mp_read_array(&r);
    assert_int_equal(mp_reader_finish(&r, "frame", &err), E_PROTOCOL);
    assert_string_equal(err.text, "frame: 3 bytes behind its end");
}

/* Each is valid MessagePack, and not the one form that has an identity. */
static void test_canonical_reader_takes_one_form_only(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint8_t bytes[12];
        size_t count;
    } rows[] = {{"5 in two bytes", {0xcc, 0x05}, 2},
                {"255 in three", {0xcd, 0x00, 0xff}, 3},
                {"65535 in five", {0xce, 0x00, 0x00, 0xff, 0xff}, 5},
                {"2^32 − 1 in nine", {0xcf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 9},
                {"a positive in a signed form", {0xd0, 0x05}, 2},
                {"−1 in two bytes", {0xd0, 0xff}, 2},
                {"−128 in three", {0xd1, 0xff, 0x80}, 3},
                {"−32768 in five", {0xd2, 0xff, 0xff, 0x80, 0x00}, 5},
                {"float32", {0xca, 0x3f, 0x80, 0x00, 0x00}, 5},
                {"−0", {0xcb, 0x80}, 9},
                {"infinity", {0xcb, 0x7f, 0xf0}, 9},
                {"NaN", {0xcb, 0x7f, 0xf8}, 9},
                {"a short string in str 8", {0xd9, 0x01, 'a'}, 3},
                {"a short string in str 16", {0xda, 0x00, 0x01, 'a'}, 4},
                {"a short binary in bin 16", {0xc5, 0x00, 0x01, 0x00}, 4},
                {"a short binary in bin 32", {0xc6, 0x00, 0x00, 0x00, 0x00}, 5},
                {"a short array in array 16", {0xdc, 0x00, 0x01, 0x00}, 4},
                {"a short array in array 32", {0xdd, 0x00, 0x00, 0x00, 0x00}, 5},
                {"a short map in map 16", {0xde, 0x00, 0x00}, 3},
                {"a short map in map 32", {0xdf, 0x00, 0x00, 0x00, 0x00}, 5},
                {"keys out of order", {0x82, 0xa1, 'b', 0xc0, 0xa1, 'a', 0xc0}, 7},
                {"a key twice", {0x82, 0xa1, 'a', 0xc0, 0xa1, 'a', 0xc0}, 7},
                {"a key that is a number", {0x81, 0x01, 0xc0}, 3},
                {"a string that is not UTF-8", {0xa1, 0xff}, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct mp_reader lenient = mp_reader(rows[i].bytes, rows[i].count);
        mp_read_any(&lenient);
        struct mp_reader strict = mp_reader_canonical(rows[i].bytes, rows[i].count);
        mp_read_any(&strict);
        if (mp_reader_finish(&lenient, rows[i].what, NULL) != OK || !strict.is_bad)
            fail_msg("%s", rows[i].what);
    }
}

static void test_what_is_never_taken(void **state)
{
    (void)state;
    static const uint8_t tags[] = {0xc1, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8};
    for (size_t i = 0; i < sizeof tags; i++) {
        uint8_t bytes[24] = {tags[i]};
        struct mp_reader r = mp_reader(bytes, sizeof bytes);
        assert_int_equal(mp_peek(&r), MP_BAD);
        mp_read_any(&r);
        assert_true(r.is_bad);
    }
}

static void test_depth_is_limited(void **state)
{
    (void)state;
    uint8_t bytes[VALUE_DEPTH_MAX + 2];
    memset(bytes, 0x91, sizeof bytes);
    bytes[VALUE_DEPTH_MAX] = 0xc0;
    struct mp_reader r = mp_reader(bytes, VALUE_DEPTH_MAX + 1);
    assert_int_equal(mp_read_any(&r).count, VALUE_DEPTH_MAX + 1);
    bytes[VALUE_DEPTH_MAX] = 0x91;
    bytes[VALUE_DEPTH_MAX + 1] = 0xc0;
    r = mp_reader(bytes, VALUE_DEPTH_MAX + 2);
    mp_read_any(&r);
    assert_true(r.is_bad);
}

static void test_utf8(void **state)
{
    (void)state;
    static const char *const good[] = {"", "a", "é", "€", "𝄞", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"};
    static const char *const bad[] = {"\x80",         "\xc0\xaf",
                                      "\xc1\xbf",     "\xe0\x80\xaf",
                                      "\xed\xa0\x80", "\xf0\x80\x80\xaf",
                                      "\xf5\x80",     "\xf4\x90\x80\x80",
                                      "\xe2\x82",     "\xc3",
                                      "a\xff",        "\xe2\x28\xa1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(mp_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (mp_is_utf8(bad[i], strlen(bad[i])))
            fail_msg("bad sequence %zu was taken", i);
}

static void test_compare_orders_by_bytes(void **state)
{
    (void)state;
    assert_true(mp_compare("a", 1, "b", 1) < 0);
    assert_true(mp_compare("aa", 2, "b", 1) < 0);
    assert_true(mp_compare("a", 1, "aa", 2) < 0);
    assert_true(mp_compare("\xc3\xa9", 2, "z", 1) > 0); /* é behind z: bytes, not letters */
    assert_true(mp_compare("", 0, "", 0) == 0);
}

static void skip_both_ways(const uint8_t *bytes, size_t count)
{
    struct mp_reader r = mp_reader(bytes, count);
    struct mp_view view = mp_read_any(&r);
    assert_true(view.count <= count);
    struct mp_reader strict = mp_reader_canonical(bytes, count);
    struct mp_view same = mp_read_any(&strict);
    if (!strict.is_bad) /* what the strict one takes, the lenient one takes alike */
        assert_true(!r.is_bad && same.count == view.count);
}

static void test_hostile_bytes(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct value value = from_json(
        &arena,
        "{'a': [1, -200, 70000, 1.5, true, null, 'text'], 'b': {'c': {'d': [[]]}}, 'e': 'é'}");
    size_t count;
    uint8_t *bytes = encode_value(&arena, &value, &count);
    attack(bytes, count, 20000, skip_both_ways);
    static const uint8_t huge[][6] = {{0xdd, 0xff, 0xff, 0xff, 0xff},
                                      {0xdf, 0xff, 0xff, 0xff, 0xff},
                                      {0xdb, 0xff, 0xff, 0xff, 0xff},
                                      {0xc6, 0xff, 0xff, 0xff, 0xff},
                                      {0xdc, 0xff, 0xff},
                                      {0xde, 0xff, 0xff}};
    for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
        struct mp_reader r = mp_reader(huge[i], sizeof huge[i]);
        mp_read_any(&r);
        assert_true(r.is_bad);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_take_their_shortest_form),
        cmocka_unit_test(test_uint64_above_int64),
        cmocka_unit_test(test_sizes_take_their_shortest_form),
        cmocka_unit_test(test_writer_measures_and_never_passes_its_end),
        cmocka_unit_test(test_reader_is_sticky),
        cmocka_unit_test(test_canonical_reader_takes_one_form_only),
        cmocka_unit_test(test_what_is_never_taken),
        cmocka_unit_test(test_depth_is_limited),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_compare_orders_by_bytes),
        cmocka_unit_test(test_hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
