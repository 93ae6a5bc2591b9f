/* Records: written, read back, refused. */
// SPDX-License-Identifier: Apache-2.0
#include "proto/record.h"

#include "tests/unit/proto/support.h"

static const char full[] =
    "{'action': {'kind': 'train', 'outputs': ['history', 'model'], 'version': '1'},"
    " 'attempt': 2, 'log': [{'$id': '01'}, 123, false],"
    " 'outputs': {'history': [{'$id': '02'}, 4567, false], 'model': [{'$id': '03'}, 89, true]},"
    " 'timings': [1700000000000000, 1500], 'values': {'history': {'loss': 0.5}}, 'worker': 'w1'}";

static void test_round_trip(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    size_t count;
    uint8_t *bytes = json_bytes(&arena, full, &count);
    struct record record;
    struct err err = {0};
    assert_int_equal(record_parse(bytes, count, &record, &err), OK);
    assert_int_equal(record.attempt, 2);
    assert_true(record.has_log);
    assert_int_equal(record.log.bytes, 123);
    assert_int_equal(record.begun_us, 1700000000000000);
    assert_int_equal(record.took_us, 1500);
    assert_memory_equal(record.worker, "w1", 2);
    assert_int_equal(record.output_count, 2);
    struct record_output outputs[2], none;
    size_t at = 0;
    assert_true(record_next_output(&record, &at, &outputs[0]));
    assert_true(record_next_output(&record, &at, &outputs[1]));
    assert_false(record_next_output(&record, &at, &none));
    assert_memory_equal(outputs[0].name, "history", 7);
    assert_true(outputs[1].artifact.is_tree);
    assert_int_equal(outputs[1].artifact.id.bytes[0], 3);
    uint8_t out[512];
    assert_int_equal(record_encode(&record, outputs, out, sizeof out), count);
    assert_memory_equal(out, bytes, count);
    assert_int_equal(record_encode(&record, outputs, NULL, 0), count);
}

/* Every completion is journalled: this size is what a million of them cost. */
static void test_a_no_op_is_small(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct record record = {.attempt = 1,
                            .begun_us = 1700000000000000,
                            .took_us = 12,
                            .worker = "worker-01a2b3c4d",
                            .worker_bytes = 16};
    record.action = json_bytes(
        &arena, "{'kind': 'sleep', 'outputs': [], 'params': {'index': 1000000}, 'version': '1'}",
        &record.action_bytes);
    uint8_t out[256];
    size_t count = record_encode(&record, NULL, out, sizeof out);
    assert_true(count <= 140);
    struct record back;
    assert_int_equal(record_parse(out, count, &back, NULL), OK);
    size_t at = 0;
    struct record_output output;
    assert_false(record_next_output(&back, &at, &output));
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "[]",
        "{'action': {}, 'attempt': 1, 'timings': [1, 2], 'worker': 'w'}",
        "{'action': [1], 'attempt': 1, 'timings': [1, 2], 'worker': 'w'}",
        "{'action': {'a': 1}, 'attempt': -1, 'timings': [1, 2], 'worker': 'w'}",
        "{'action': {'a': 1}, 'attempt': 4294967296, 'timings': [1, 2], 'worker': 'w'}",
        "{'action': {'a': 1}, 'attempt': 1, 'timings': [1], 'worker': 'w'}",
        "{'action': {'a': 1}, 'attempt': 1, 'timings': [1, 2.0], 'worker': 'w'}",
        "{'action': {'a': 1}, 'attempt': 1, 'outputs': {}, 'timings': [1, 2], 'worker': 'w'}",
        "{'action': {'a': 1}, 'attempt': 1, 'outputs': {'': [{'$id': '01'}, 1, false]}, "
        "'timings': [1, 2], 'worker': 'w'}",
        "{'action': {'a': 1}, 'attempt': 1, 'outputs': {'a': [{'$id': '01'}, 1]}, 'timings': "
        "[1, 2], 'worker': 'w'}",
        "{'action': {'a': 1}, 'attempt': 1, 'timings': [1, 2], 'values': {}, 'worker': 'w'}",
        "{'action': {'a': 1}, 'attempt': 1, 'timings': [1, 2], 'values': [1], 'worker': 'w'}",
        "{'action': {'a': 1}, 'attempt': 1, 'timings': [1, 2], 'worker': 'w', 'x': 1}",
        "{'action': {'a': 1}, 'attempt': 1, 'extra': 1, 'timings': [1, 2], 'worker': 'w'}",
        "{'attempt': 1, 'timings': [1, 2], 'worker': 'w'}",
    };
    AUTO(arena_fini) struct arena arena = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t count;
        uint8_t *bytes = json_bytes(&arena, rows[i], &count);
        struct record record;
        if (record_parse(bytes, count, &record, NULL) != E_PROTOCOL)
            fail_msg("%s", rows[i]);
    }
}

static void parse_hostile(const uint8_t *bytes, size_t count)
{
    struct record record;
    struct record_output outputs[64];
    if (record_parse(bytes, count, &record, NULL) != OK)
        return;
    size_t at = 0, n = 0;
    while (record_next_output(&record, &at, &outputs[n]))
        n++;
    assert_int_equal(n, record.output_count);
    uint8_t out[512];
    assert_int_equal(record_encode(&record, outputs, out, sizeof out), count);
    assert_memory_equal(out, bytes, count);
}

static void test_hostile_bytes(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    size_t count;
    uint8_t *bytes = json_bytes(&arena, full, &count);
    attack(bytes, count, 40000, parse_hostile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_a_no_op_is_small),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
