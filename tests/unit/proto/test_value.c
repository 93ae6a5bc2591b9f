/* Value trees: canonical bytes, equality, decoding of what others sent. */
// SPDX-License-Identifier: Apache-2.0
#include "proto/value.h"

#include <math.h>

#include "proto/limits.h"
#include "tests/unit/proto/support.h"

static const char *canonical(struct arena *arena, const char *json)
{
    struct value value = from_json(arena, json);
    return encode_hex(arena, &value);
}

static void test_canonical_bytes(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    assert_string_equal(canonical(&arena, "{'b': 1, 'a': 2}"), "82a16102a16201");
    assert_string_equal(canonical(&arena, "{'aa': 1, 'b': 2, 'a': {'z': 0, 'y': []}}"),
                        "83a16182a17990a17a00a2616101a16202");
    assert_string_equal(canonical(&arena, "1"), "01");
    assert_string_equal(canonical(&arena, "1.0"), "cb3ff0000000000000");
    assert_string_equal(canonical(&arena, "-0.0"), "cb0000000000000000");
    assert_string_equal(canonical(&arena, "[null, true, false, 'x']"), "94c0c3c2a178");
}

static void test_key_order_never_matters(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    /* More keys than the selection holds at once, in an order that is far from sorted. */
    enum { KEYS = 2500 };
    struct value map = {.type = VALUE_MAP, .count = KEYS};
    map.items = arena_alloc(&arena, 2 * KEYS * sizeof *map.items);
    for (uint32_t i = 0; i < KEYS; i++) {
        map.items[2 * i] = value_string(arena_format(&arena, "key %u", i * 7919 % KEYS));
        map.items[2 * i + 1] = value_int(i * 7919 % KEYS);
    }
    struct value sorted = map;
    sorted.items = arena_alloc(&arena, 2 * KEYS * sizeof *map.items);
    memcpy(sorted.items, map.items, 2 * KEYS * sizeof *map.items);
    assert_true(value_sort_map(&sorted));
    assert_true(value_equal(&map, &sorted));
    assert_string_equal(encode_hex(&arena, &map), encode_hex(&arena, &sorted));
    for (uint32_t i = 1; i < KEYS; i++)
        assert_true(strcmp(sorted.items[2 * i - 2].text, sorted.items[2 * i].text) < 0);
}

static void test_no_canonical_form(void **state)
{
    (void)state;
    double reals[] = {NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < 3; i++) {
        struct value real = value_real(reals[i]);
        assert_int_equal(value_encode(&real, NULL, 0), 0);
    }
    struct value twice[] = {value_string("b"), value_nil(),       value_string("a"),
                            value_nil(),       value_string("b"), value_nil()};
    struct value map = {.type = VALUE_MAP, .count = 3, .items = twice};
    assert_int_equal(value_encode(&map, NULL, 0), 0);
    struct value numbered[] = {value_int(1), value_nil()};
    map = (struct value){.type = VALUE_MAP, .count = 1, .items = numbered};
    assert_int_equal(value_encode(&map, NULL, 0), 0);
    struct value nested[VALUE_DEPTH_MAX + 2];
    nested[0] = value_nil();
    for (int i = 1; i < VALUE_DEPTH_MAX + 2; i++)
        nested[i] = (struct value){.type = VALUE_ARRAY, .count = 1, .items = &nested[i - 1]};
    assert_int_equal(value_encode(&nested[VALUE_DEPTH_MAX], NULL, 0), VALUE_DEPTH_MAX + 1);
    assert_int_equal(value_encode(&nested[VALUE_DEPTH_MAX + 1], NULL, 0), 0);
}

static void test_short_buffer(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct value value = from_json(&arena, "{'name': 'penstock', 'n': [1, 2, 3]}");
    uint8_t out[64];
    size_t need = value_encode(&value, NULL, 0);
    for (size_t room = 0; room < need; room++) {
        memset(out, 0xee, sizeof out);
        assert_int_equal(value_encode(&value, out, room), need);
        assert_int_equal(out[room], 0xee);
    }
}

static void test_access(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct value value = from_json(&arena, "{'name': 'iris', 'seed': 7}");
    assert_string_equal(value_get_text(&value, "name"), "iris");
    assert_null(value_get_text(&value, "seed"));
    assert_null(value_get(&value, "nam"));
    assert_null(value_get(NULL, "name"));
    assert_null(value_get(value_get(&value, "seed"), "name"));
    assert_true(value_is_text(value_get(&value, "name"), "iris"));
    assert_false(value_is_text(value_get(&value, "name"), "iri"));
    assert_false(value_is_text(value_get(&value, "seed"), "7"));
    assert_string_equal(value_type_name(VALUE_MAP), "mapping");
}

static bool equal(struct arena *arena, const char *a, const char *b)
{
    struct value x = from_json(arena, a), y = from_json(arena, b);
    assert_int_equal(value_equal(&x, &y), value_equal(&y, &x));
    return value_equal(&x, &y);
}

static void test_equality(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    assert_true(equal(&arena, "{'a': 1, 'b': [2, {}]}", "{'b': [2, {}], 'a': 1}"));
    assert_false(equal(&arena, "{'a': 1, 'b': 2}", "{'a': 1, 'c': 2}"));
    assert_false(equal(&arena, "{'a': 1}", "{'a': 1, 'b': 2}"));
    assert_false(equal(&arena, "1", "1.0"));
    assert_false(equal(&arena, "[1, 2]", "[2, 1]"));
    assert_false(equal(&arena, "'a'", "'ab'"));
    assert_true(equal(&arena, "[null, true, '', []]", "[null, true, '', []]"));
    assert_false(equal(&arena, "true", "false"));
}

static enum status decode(struct arena *arena, const uint8_t *bytes, size_t count,
                          struct value *out, struct err *err)
{
    return value_decode(bytes, count, arena_memory(arena), out, err);
}

static void test_round_trip(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct value value =
        from_json(&arena, "{'a': [1, -200, 70000, 1.5, true, null, 'é'], 'b': {}}");
    size_t count;
    uint8_t *bytes = encode_value(&arena, &value, &count);
    struct value back;
    assert_int_equal(decode(&arena, bytes, count, &back, NULL), OK);
    assert_true(value_equal(&value, &back));
    assert_string_equal(encode_hex(&arena, &back), to_hex(&arena, bytes, count));
}

static void test_binary_and_nul(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    static const uint8_t bytes[] = {0x92, 0xc4, 0x02, 0x00, 0xff, 0xa3, 'a', 0x00, 'b'};
    struct value back;
    assert_int_equal(decode(&arena, bytes, sizeof bytes, &back, NULL), OK);
    assert_int_equal(back.items[0].type, VALUE_BINARY);
    assert_int_equal(back.items[0].count, 2);
    assert_int_equal(back.items[1].count, 3);
    assert_int_equal(back.items[1].text[3], 0);
    assert_false(value_is_text(&back.items[1], "a"));
}

/* Other writers' forms are understood, and become canonical when written again. */
static void test_other_forms(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    static const uint8_t bytes[] = {0xde, 0x00, 0x02, 0xa1, 'b',  0xcc, 0x05, 0xd9,
                                    0x01, 'a',  0xca, 0x3f, 0x00, 0x00, 0x00};
    struct value back;
    assert_int_equal(decode(&arena, bytes, sizeof bytes, &back, NULL), OK);
    assert_string_equal(encode_hex(&arena, &back), "82a161cb3fe0000000000000a16205");
}

static void test_refused_documents(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[10];
        size_t count;
        const char *text;
    } rows[] = {
        {{0}, 0, "MessagePack document: ends too early"},
        {{0x92, 0x01},
         2,
         "MessagePack document: a container claims more items than there are bytes left"},
        {{0xdd, 0xff, 0xff, 0xff, 0xff},
         5,
         "MessagePack document: a container claims more items than there are bytes left"},
        {{0xa5, 'a'}, 2, "MessagePack document: a string is longer than the bytes left"},
        {{0xa1, 0xff}, 2, "MessagePack document: a string is not UTF-8"},
        {{0x81, 0x01, 0x02}, 3, "MessagePack document: a key is not a string"},
        {{0x82, 0xa1, 'a', 0x01, 0xa1, 'a', 0x02}, 7, "MessagePack document: a key comes twice"},
        {{0xcb, 0x7f, 0xf8}, 9, "MessagePack document: a real is not finite"},
        {{0xcf, 0xff, 0, 0, 0, 0, 0, 0, 0},
         9,
         "MessagePack document: a number is cut off or out of range"},
        {{0xcd, 0x01}, 2, "MessagePack document: a number is cut off or out of range"},
        {{0xc1}, 1, "MessagePack document: holds an extension type or the unused byte 0xc1"},
        {{0xd4, 0x01, 0x02},
         3,
         "MessagePack document: holds an extension type or the unused byte 0xc1"},
        {{0x01, 0x02}, 2, "MessagePack document: 1 bytes behind its end"},
    };
    AUTO(arena_fini) struct arena arena = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = {0};
        struct value back;
        assert_int_equal(decode(&arena, rows[i].bytes, rows[i].count, &back, &err), E_PROTOCOL);
        assert_string_equal(err.text, rows[i].text);
        assert_int_equal(back.type, VALUE_NIL);
    }
}

static void test_limits(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct err err = {0};
    struct value back;
    uint8_t deep[VALUE_DEPTH_MAX + 2];
    memset(deep, 0x91, sizeof deep);
    deep[VALUE_DEPTH_MAX] = 0xc0;
    assert_int_equal(decode(&arena, deep, VALUE_DEPTH_MAX + 1, &back, &err), OK);
    deep[VALUE_DEPTH_MAX] = 0x91;
    deep[VALUE_DEPTH_MAX + 1] = 0xc0;
    assert_int_equal(decode(&arena, deep, sizeof deep, &back, &err), E_LIMIT);
    assert_string_equal(err.text, "MessagePack document: nested deeper than 64 levels");
    size_t many = VALUE_COUNT_MAX + 1;
    uint8_t *wide = mem_alloc(many + 5);
    wide[0] = 0xdd;
    for (unsigned i = 0; i < 4; i++)
        wide[1 + i] = (uint8_t)(many >> (24 - 8 * i));
    assert_int_equal(decode(&arena, wide, many + 5, &back, &err), E_LIMIT);
    mem_free(wide);
}

static void test_memory_that_ends(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x93, 0xa5, 'h', 'e', 'l', 'l', 'o', 0x92, 0x01, 0x02, 0x80};
    for (size_t room = 1; room < 300; room += 7) {
        AUTO(arena_fini) struct arena arena = {.max_bytes = room};
        struct value back;
        enum status status = decode(&arena, bytes, sizeof bytes, &back, NULL);
        assert_true(status == OK || status == E_NOMEM);
    }
}

static void decode_hostile(const uint8_t *bytes, size_t count)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct value back;
    if (decode(&arena, bytes, count, &back, NULL) != OK)
        return;
    /* What was taken has a canonical form, and that form means the same. */
    size_t again;
    uint8_t *out = encode_value(&arena, &back, &again);
    struct value same;
    assert_int_equal(decode(&arena, out, again, &same, NULL), OK);
    assert_int_equal(value_encode(&same, NULL, 0), again);
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
    attack(bytes, count, 20000, decode_hostile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical_bytes),
        cmocka_unit_test(test_key_order_never_matters),
        cmocka_unit_test(test_no_canonical_form),
        cmocka_unit_test(test_short_buffer),
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_binary_and_nul),
        cmocka_unit_test(test_other_forms),
        cmocka_unit_test(test_refused_documents),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_memory_that_ends),
        cmocka_unit_test(test_hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
