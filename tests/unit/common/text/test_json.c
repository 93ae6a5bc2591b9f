// SPDX-License-Identifier: Apache-2.0
#include "common/text/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/limits.h"

static struct arena arena;
static struct err err;

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void expect_round_trip(const char *text)
{
    struct value value;
    if (json_parse("t.json", text, strlen(text), &arena, &value, &err) != OK)
        fail_msg("%s", err.text);
    AUTO(buf_fini) struct buf out = buf_init(0);
    json_write(&value, 0, &out);
    assert_string_equal(buf_text(&out), text);
}

static void test_documents_come_back_as_they_were(void **state)
{
    (void)state;
    expect_round_trip("{\"z\": 1, \"a\": [true, false, null, \"x\"], \"m\": {}}");
    expect_round_trip(
        "[1, -9223372036854775808, 1.0, 0.1, 1e+300, -0.0, 5e-324, 0.30000000000000004]");
    expect_round_trip("\"\\\"\\\\\\n\\t\\u0001 \xc3\xa9\"");
    expect_round_trip("[]");
}

static void test_indented(void **state)
{
    (void)state;
    struct value value;
    const char *text = "{\"a\": [1, {\"b\": 2}], \"c\": []}";
    assert_int_equal(json_parse("t", text, strlen(text), &arena, &value, &err), OK);
    AUTO(buf_fini) struct buf out = buf_init(0);
    json_write(&value, 2, &out);
    assert_string_equal(buf_text(&out),
                        "{\n  \"a\": [\n    1,\n    {\n      \"b\": 2\n    }\n  ],\n"
                        "  \"c\": []\n}");
}

static void test_reals_have_no_other_reading(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf out = buf_init(0);
    json_write_real(100, &out);
    buf_put_char(&out, ' ');
    json_write_real(1.0 / 3, &out);
    buf_put_char(&out, ' ');
    json_write_real(NAN, &out);
    assert_string_equal(buf_text(&out), "100.0 0.3333333333333333 null");
}

static void expect_error(const char *text, enum status code, const char *message)
{
    struct value value;
    assert_int_equal(json_parse("t.json", text, strlen(text), &arena, &value, &err), code);
    if (!strstr(err.text, message))
        fail_msg("expected \"%s\" in \"%s\"", message, err.text);
}

static void test_bad_documents_are_refused(void **state)
{
    (void)state;
    expect_error("", E_INVALID, "t.json:1");
    expect_error("{\"a\": 1, \"a\": 2}", E_INVALID, "t.json:1");
    expect_error("[NaN]", E_INVALID, "t.json:1");
    expect_error("[1] 2", E_INVALID, "t.json:1");
    expect_error("[1,\n 2", E_INVALID, "t.json:2");
    expect_error("[1e999]", E_INVALID, "t.json:1");
    expect_error("[\"\\u0000\"]", E_INVALID, "t.json:1");
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 99);
    deep[199] = 0;
    expect_error(deep, E_INVALID, "t.json:1");
    memset(deep + 100, ']', 100);
    struct value value;
    assert_int_equal(json_parse("t.json", deep, 200, &arena, &value, &err), E_LIMIT);
    assert_non_null(strstr(err.text, "nested deeper than 64 levels"));
}

static void test_a_binary_is_written_as_hex(void **state)
{
    (void)state;
    struct value value = {.type = VALUE_BINARY, .count = 2, .binary = (const uint8_t *)"\xab\x01"};
    AUTO(buf_fini) struct buf out = buf_init(0);
    json_write(&value, 0, &out);
    assert_string_equal(buf_text(&out), "\"ab01\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_documents_come_back_as_they_were, teardown),
        cmocka_unit_test_teardown(test_indented, teardown),
        cmocka_unit_test_teardown(test_reals_have_no_other_reading, teardown),
        cmocka_unit_test_teardown(test_bad_documents_are_refused, teardown),
        cmocka_unit_test_teardown(test_a_binary_is_written_as_hex, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
