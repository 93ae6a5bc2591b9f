// SPDX-License-Identifier: Apache-2.0
#include "common/text/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/text/json.h"
#include "proto/limits.h"

static struct arena arena;
static struct err err;

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static enum status parse(const char *text, struct value *out)
{
    return yaml_parse("t.yaml", text, strlen(text), &arena, out, &err);
}

static void expect_json(const char *text, const char *json)
{
    struct value value;
    if (parse(text, &value) != OK)
        fail_msg("%s: %s", text, err.text);
    AUTO(buf_fini) struct buf out = buf_init(0);
    json_write(&value, 0, &out);
    assert_string_equal(buf_text(&out), json);
}

static void expect_error(const char *text, enum status code, const char *message)
{
    struct value value;
    assert_int_equal(parse(text, &value), code);
    if (!strstr(err.text, message))
        fail_msg("expected \"%s\" in \"%s\"", message, err.text);
}

static void test_scalars_follow_the_core_schema(void **state)
{
    (void)state;
    expect_json("[null, Null, NULL, ~, ]", "[null, null, null, null]");
    expect_json("[true, True, TRUE, false, False, FALSE]",
                "[true, true, true, false, false, false]");
    expect_json("[0, -7, +7, 007, 0o17, 0xfF]", "[0, -7, 7, 7, 15, 255]");
    expect_json("[1.0, .5, 1., 1e3, -1.5E-2, +1.25]", "[1.0, 0.5, 1.0, 1000.0, -0.015, 1.25]");
    expect_json("[on, no, yes, y, 1:30, 2024-01-01, 1_000, 0b1, nan, inf, 1e, ., -, e3]",
                "[\"on\", \"no\", \"yes\", \"y\", \"1:30\", \"2024-01-01\", \"1_000\", \"0b1\", "
                "\"nan\", \"inf\", \"1e\", \".\", \"-\", \"e3\"]");
    expect_json("['1', \"true\", '', !!str 7, ! 7]", "[\"1\", \"true\", \"\", \"7\", \"7\"]");
    expect_json("[!!float 1, !!int 5, !!bool true, !!null ~]", "[1.0, 5, true, null]");
    expect_json("9223372036854775807", "9223372036854775807");
    expect_error("9223372036854775808", E_INVALID, "t.yaml:1:1: the integer 9223372036854775808");
    expect_error("a: 1e999", E_INVALID, "t.yaml:1:4: the number 1e999");
    expect_error("a: .nan", E_INVALID, "t.yaml:1:4: .nan is not a number");
    expect_error("a: -.Inf", E_INVALID, "t.yaml:1:4: -.Inf is not a number");
    expect_error("a: !!int x", E_INVALID, "t.yaml:1:4: the tag !!int does not fit this string");
    expect_error("a: !raw x", E_INVALID, "t.yaml:1:4: unknown tag !raw");
    expect_error("a: !!set {}", E_INVALID, "t.yaml:1:4: unknown tag");
}

static void test_json_is_yaml(void **state)
{
    (void)state;
    expect_json("{\"a\": [1, 2.5, \"x\\n\\u00e9\"], \"b\": {}}",
                "{\"a\": [1, 2.5, \"x\\n\xc3\xa9\"], \"b\": {}}");
}

static void test_each_node_knows_its_place(void **state)
{
    (void)state;
    struct value root;
    assert_int_equal(
        parse("# note\nsteps:\n  train:\n    kind: trian\n    list: [a, é, c]\n", &root), OK);
    const struct value *train = value_get(value_get(&root, "steps"), "train");
    const struct value *kind = value_get(train, "kind");
    assert_int_equal(kind->line, 4);
    assert_int_equal(kind->column, 11);
    const struct value *list = value_get(train, "list");
    assert_int_equal(list->line, 5);
    assert_int_equal(list->column, 11);
    assert_int_equal(list->items[2].column, 18); /* characters, not bytes */
    assert_int_equal(train->line, 4);
    assert_int_equal(train->column, 5);
}

static void test_aliases_and_merge_keys_expand(void **state)
{
    (void)state;
    expect_json("a: &x [1, 2]\nb: *x\n", "{\"a\": [1, 2], \"b\": [1, 2]}");
    expect_json("base: &b {x: 1, y: 2}\nc: {<<: *b, y: 3, z: 4}\n",
                "{\"base\": {\"x\": 1, \"y\": 2}, \"c\": {\"x\": 1, \"y\": 3, \"z\": 4}}");
    expect_json("c: {<<: [{x: 1}, {x: 2, y: 2}], z: 4}\n",
                "{\"c\": {\"x\": 1, \"y\": 2, \"z\": 4}}");
    expect_json("c: {<<: \"${matrix.case}\", z: 4}\n",
                "{\"c\": {\"<<\": \"${matrix.case}\", \"z\": 4}}");
    expect_json("b: &b {<<: \"${matrix.a}\"}\nc: {<<: *b, z: 4}\n",
                "{\"b\": {\"<<\": \"${matrix.a}\"}, \"c\": {\"<<\": \"${matrix.a}\", \"z\": 4}}");
    expect_json("a: &x 1\nb: &x 2\nc: *x", "{\"a\": 1, \"b\": 2, \"c\": 2}");
    expect_error("a: *x", E_INVALID, "t.yaml:1:4: the alias *x has no anchor before it");
    expect_error("a: &x [*x]", E_INVALID, "t.yaml:1:8: the alias *x is inside its own anchor");
    expect_error("a: {<<: 3}", E_INVALID, "t.yaml:1:9: << merges a mapping");
    expect_error("a: {<<: {}, <<: {}}", E_INVALID, "the key \"<<\" is already there");
}

static void test_bad_documents_are_refused(void **state)
{
    (void)state;
    expect_error("", E_INVALID, "t.yaml: the file is empty");
    expect_error("# only a comment\n", E_INVALID, "t.yaml: the file is empty");
    expect_error("a: 1\nb: 2\na: 3\n", E_INVALID,
                 "t.yaml:3:1: the key \"a\" is already there, at line 1");
    expect_error("{1: a}", E_INVALID,
                 "t.yaml:1:2: a key must be a string, and this reads as integer; quote it: \"1\"");
    expect_error("{[a]: b}", E_INVALID, "t.yaml:1:2: a key must be a string");
    expect_error("a: 1\n---\nb: 2\n", E_INVALID, "t.yaml:2:1: a second document begins here");
    expect_error("a: [1, 2", E_INVALID, "t.yaml:");
    expect_error("a: b: c", E_INVALID, "t.yaml:1:5: YAML: mapping values are not allowed");
    expect_error("a:\n\t- b", E_INVALID, "t.yaml:2:1: YAML:");
    expect_error("a: \"\\0\"", E_INVALID, "t.yaml:1:4: a string with a NUL byte");
    struct value value;
    assert_int_equal(yaml_parse("t.yaml",
                                "\x7f"
                                "ELF\0\0",
                                6, &arena, &value, &err),
                     E_INVALID);
    assert_string_equal(err.text,
                        "t.yaml: not a text: byte 0x7f at offset 0; expected YAML in UTF-8");
    expect_error("a: \xff", E_INVALID, "byte 0xff at offset 3");
    expect_error("a: \xc0\xaf", E_INVALID, "byte 0xc0 at offset 3");
    expect_error("a: \xed\xa0\x80", E_INVALID, "byte 0xed at offset 3");
    expect_json("\xef\xbb\xbf"
                "a: 1",
                "{\"a\": 1}");
}

static void test_many_keys_are_compared_in_linear_time(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf text = buf_init(0);
    for (int i = 0; i < 100000; i++)
        buf_format(&text, "k%d: %d\n", i, i);
    struct value value;
    assert_int_equal(parse(buf_text(&text), &value), OK);
    assert_int_equal(value.count, 100000);
    buf_put_text(&text, "k77: 1\n");
    expect_error(buf_text(&text), E_INVALID,
                 "t.yaml:100001:1: the key \"k77\" is already there, at line 78");
}

static void expect_deep(const char *piece, size_t count)
{
    AUTO(buf_fini) struct buf text = buf_init(0);
    for (size_t i = 0; i < count; i++)
        buf_put_text(&text, piece);
    struct value value;
    assert_int_equal(parse(buf_text(&text), &value), E_LIMIT);
    assert_non_null(strstr(err.text, "nested deeper than 64 levels"));
}

static void test_nesting_is_bounded(void **state)
{
    (void)state;
    expect_deep("[", 80000);
    expect_deep("{a: ", 80000);
    expect_deep("- ", 80000);
    AUTO(buf_fini) struct buf fine = buf_init(0);
    for (int i = 0; i < VALUE_DEPTH_MAX; i++)
        buf_put_char(&fine, '[');
    for (int i = 0; i < VALUE_DEPTH_MAX; i++)
        buf_put_char(&fine, ']');
    struct value value;
    assert_int_equal(parse(buf_text(&fine), &value), OK);
    /* Deep only once an alias is expanded. */
    expect_error(
        "a: &a [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n"
        "b: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
        E_LIMIT, "nested deeper");
}

static void test_an_alias_bomb_ends(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf text = buf_init(0);
    buf_put_text(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++)
        buf_format(&text, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i,
                   i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    expect_error(buf_text(&text), E_LIMIT, "values once aliases are expanded");
    assert_true(arena.used_bytes < 1 << 20);
}

static void test_many_anchors_are_refused(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf text = buf_init(0);
    for (int i = 0; i < ANCHORS_MAX + 1; i++)
        buf_format(&text, "- &a%d x\n", i);
    expect_error(buf_text(&text), E_LIMIT, "more than 1000 anchors");
}

static void test_a_large_file_is_refused(void **state)
{
    (void)state;
    AUTO(mem_free) char *text = mem_alloc(PIPELINE_BYTES_MAX + 2);
    memset(text, ' ', PIPELINE_BYTES_MAX + 1);
    struct value value;
    assert_int_equal(yaml_parse("t.yaml", text, PIPELINE_BYTES_MAX + 1, &arena, &value, &err),
                     E_LIMIT);
}

static void test_mutated_documents_end(void **state)
{
    (void)state;
    static const char sample[] =
        "a: &x {b: [1, 2.5, ~, \"q\\u00e9\"], c: 'd'}\n"
        "e: {<<: *x, f: |\n  text\n  more\n}\ng:\n- !!str 5\n- >-\n  folded\n";
    static const char alphabet[] = "{}[]&*<:!|>-'\"\\,#%@` \n\t?~0x\xc3\xa9";
    struct rng rng = rng_seed(1);
    char text[sizeof sample];
    for (int i = 0; i < 20000; i++) {
        memcpy(text, sample, sizeof text);
        for (uint32_t k = rng_below(&rng, 6) + 1; k; k--)
            text[rng_below(&rng, sizeof sample - 1)] =
                alphabet[rng_below(&rng, sizeof alphabet - 1)];
        struct value value;
        err.text[0] = 0;
        enum status status =
            yaml_parse("t.yaml", text, rng_below(&rng, sizeof sample), &arena, &value, &err);
        assert_true(status == OK || (status == err.code && err.text[0]));
        arena_fini(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_scalars_follow_the_core_schema, teardown),
        cmocka_unit_test_teardown(test_json_is_yaml, teardown),
        cmocka_unit_test_teardown(test_each_node_knows_its_place, teardown),
        cmocka_unit_test_teardown(test_aliases_and_merge_keys_expand, teardown),
        cmocka_unit_test_teardown(test_bad_documents_are_refused, teardown),
        cmocka_unit_test_teardown(test_many_keys_are_compared_in_linear_time, teardown),
        cmocka_unit_test_teardown(test_nesting_is_bounded, teardown),
        cmocka_unit_test_teardown(test_an_alias_bomb_ends, teardown),
        cmocka_unit_test_teardown(test_many_anchors_are_refused, teardown),
        cmocka_unit_test_teardown(test_a_large_file_is_refused, teardown),
        cmocka_unit_test_teardown(test_mutated_documents_end, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
