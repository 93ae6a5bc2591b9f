/* The work plane's messages: each written, read back, cut short and mutated. */
// SPDX-License-Identifier: Apache-2.0
#include "proto/msg.h"

#include "tests/unit/proto/support.h"

enum { ROOM = 1024 };

static struct id id_of(uint8_t byte)
{
    struct id id;
    memset(id.bytes, byte, ID_BYTES);
    return id;
}

static struct mp_view view_of(struct arena *arena, const char *json)
{
    struct mp_view view;
    view.bytes = json_bytes(arena, json, &view.count);
    return view;
}

static size_t write_hello(struct arena *arena, uint8_t *out)
{
    struct hello hello = {.protocol = PROTOCOL_VERSION,
                          .name = "w1",
                          .name_bytes = 2,
                          .slots = 4,
                          .cpu_hundredths = 350,
                          .memory_bytes = (uint64_t)8 << 30,
                          .epoch = 3,
                          .kinds = view_of(arena, "['exec@1', 'sleep@1']"),
                          .labels = view_of(arena, "{'zone': 'a'}"),
                          .resources = view_of(arena, "{'gpu': 2, 'license': 1000000}"),
                          .running = view_of(arena, "[[{'$id': 'a1'}, 2]]")};
    memset(hello.instance, 5, sizeof hello.instance);
    memset(hello.public_key, 6, sizeof hello.public_key);
    struct mp_writer w = mp_writer(out, ROOM);
    msg_write_hello(&w, &hello);
    assert_false(mp_writer_is_full(&w));
    return w.need;
}

/* gpu: 2, license: 1000000. */
static void expect_resources(const struct mp_view *resources)
{
    static const struct resource expected[] = {{"gpu", 2}, {"license", RESOURCE_COUNT_MAX}};
    struct mp_reader r;
    struct resource resource;
    uint32_t bytes;
    assert_int_equal(msg_resources_begin(&r, resources), 2);
    for (int i = 0; i < 2; i++) {
        msg_next_resource(&r, &resource, &bytes);
        assert_int_equal(bytes, strlen(expected[i].name));
        assert_memory_equal(resource.name, expected[i].name, bytes);
        assert_int_equal(resource.count, expected[i].count);
    }
    assert_int_equal(mp_reader_finish(&r, "resources", NULL), OK);
}

static void test_hello(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    uint8_t out[ROOM];
    size_t count = write_hello(&arena, out);
    struct hello back;
    assert_int_equal(msg_type(out, count), MSG_HELLO);
    assert_int_equal(msg_decode_hello(out, count, &back, NULL), OK);
    assert_int_equal(back.protocol, PROTOCOL_VERSION);
    assert_memory_equal(back.name, "w1", 2);
    assert_int_equal(back.instance[15], 5);
    assert_int_equal(back.public_key[31], 6);
    assert_int_equal(back.slots, 4);
    assert_int_equal(back.cpu_hundredths, 350);
    assert_true(back.memory_bytes == (uint64_t)8 << 30);
    assert_int_equal(back.epoch, 3);
    expect_resources(&back.resources);
    struct mp_reader running = mp_reader(back.running.bytes, back.running.count);
    struct attempt attempt;
    assert_int_equal(mp_read_array(&running), 1);
    msg_next_attempt(&running, &attempt);
    assert_int_equal(attempt.number, 2);
    assert_int_equal(attempt.task.bytes[0], 0xa1);
    uint8_t again[ROOM];
    struct mp_writer w = mp_writer(again, ROOM);
    msg_write_hello(&w, &back);
    assert_int_equal(w.need, count);
    assert_memory_equal(again, out, count);
}

/* Named counts in a HELLO and in an entry of TASKS. */
static void take_resources(struct mp_view resources, enum status expected)
{
    static uint8_t out[4 * ROOM];
    struct hello hello = {.protocol = PROTOCOL_VERSION,
                          .slots = 1,
                          .kinds = {(const uint8_t *)"\x90", 1},
                          .labels = {(const uint8_t *)"\x80", 1},
                          .resources = resources,
                          .running = {(const uint8_t *)"\x90", 1}};
    struct mp_writer w = mp_writer(out, sizeof out);
    msg_write_hello(&w, &hello);
    assert_false(mp_writer_is_full(&w));
    assert_int_equal(msg_decode_hello(out, w.need, &hello, NULL), expected);
    struct task_msg task = {.spec = out, .resources = resources};
    w = mp_writer(out, sizeof out);
    msg_write_batch_head(&w, MSG_TASKS, 1);
    msg_write_task(&w, &task);
    assert_false(mp_writer_is_full(&w));
    struct mp_reader r = mp_reader(out, w.need);
    assert_int_equal(msg_batch_begin(&r, MSG_TASKS), 1);
    msg_next_task(&r, &task);
    assert_int_equal(mp_reader_finish(&r, "TASKS", NULL), expected);
}

static void test_resources_are_checked(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        enum status expected;
    } rows[] = {
        {"{}", OK},
        {"{'b': 0, 'a': 1000000}", OK},
        {"{'gpu': 1000001}", E_PROTOCOL},
        {"{'gpu': 4294967297}", E_PROTOCOL}, /* 1, to whoever cuts it to 32 bits */
        {"{'gpu': -1}", E_PROTOCOL},
        {"{'gpu': 1.0}", E_PROTOCOL},
        {"{'gpu': '1'}", E_PROTOCOL},
        {"{'': 1}", E_PROTOCOL},
        {"['gpu']", E_PROTOCOL},
        {"1", E_PROTOCOL},
    };
    AUTO(arena_fini) struct arena arena = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        take_resources(view_of(&arena, rows[i].json), rows[i].expected);
    take_resources((struct mp_view){0}, OK); /* nothing said is nothing asked */
}

/* What no JSON can say: names there twice or with a NUL, too long ones, too many. */
static void test_hostile_resources(void **state)
{
    (void)state;
    uint8_t out[2 * RESOURCES_BYTES_MAX];
    char names[RESOURCES_MAX + 1][NAME_BYTES_MAX + 2];
    struct resource counts[RESOURCES_MAX + 1];
    for (int i = 0; i <= RESOURCES_MAX; i++) {
        memset(names[i], 'a' + i, NAME_BYTES_MAX + 1);
        names[i][NAME_BYTES_MAX] = names[i][NAME_BYTES_MAX + 1] = 0;
        counts[i] = (struct resource){names[i], RESOURCE_COUNT_MAX};
    }
    struct mp_writer w = mp_writer(out, sizeof out);
    mp_write_resources(&w, counts, RESOURCES_MAX);
    assert_true(w.need <= RESOURCES_BYTES_MAX);
    take_resources((struct mp_view){out, w.need}, OK);
    w = mp_writer(out, sizeof out);
    mp_write_resources(&w, counts, RESOURCES_MAX + 1);
    take_resources((struct mp_view){out, w.need}, E_PROTOCOL);
    counts[2].name = names[0];
    w = mp_writer(out, sizeof out);
    mp_write_resources(&w, counts, 3);
    take_resources((struct mp_view){out, w.need}, E_PROTOCOL);
    names[1][NAME_BYTES_MAX] = 'b';
    w = mp_writer(out, sizeof out);
    mp_write_resources(&w, counts, 2);
    take_resources((struct mp_view){out, w.need}, E_PROTOCOL);
    static const uint8_t nul[] = {0x81, 0xa3, 'g', 0, 'u', 1};
    take_resources((struct mp_view){nul, sizeof nul}, E_PROTOCOL);
}

/* Whatever else another version's HELLO holds, it is refused by its number. */
static void test_another_version_is_named(void **state)
{
    (void)state;
    static const uint8_t frame[] = {0x93, MSG_HELLO, PROTOCOL_VERSION + 6, 0xc0};
    struct hello hello;
    struct err err = {0};
    assert_int_equal(msg_decode_hello(frame, sizeof frame, &hello, &err), E_VERSION);
    assert_string_equal(err.text, "protocol 7, where this side speaks 1");
}

static void test_welcome_and_refused(void **state)
{
    (void)state;
    uint8_t out[ROOM];
    struct mp_writer w = mp_writer(out, ROOM);
    msg_write_welcome(&w, &(struct welcome){.epoch = 9, .lease_ms = 15000, .credit = 8192});
    struct welcome welcome;
    assert_int_equal(msg_type(out, w.need), MSG_WELCOME);
    assert_int_equal(msg_decode_welcome(out, w.need, &welcome, NULL), OK);
    assert_int_equal(welcome.epoch, 9);
    assert_int_equal(welcome.lease_ms, 15000);
    assert_int_equal(welcome.credit, 8192);
    struct refused refused;
    assert_int_equal(msg_decode_refused(out, w.need, &refused, NULL), E_PROTOCOL);
    w = mp_writer(out, ROOM);
    msg_write_refused(&w,
                      &(struct refused){.code = E_VERSION, .reason = "too old", .reason_bytes = 7});
    assert_int_equal(msg_decode_refused(out, w.need, &refused, NULL), OK);
    assert_int_equal(refused.code, E_VERSION);
    assert_memory_equal(refused.reason, "too old", 7);
    out[2] = OK; /* a refusal with the code OK is none */
    assert_int_equal(msg_decode_refused(out, w.need, &refused, NULL), E_PROTOCOL);
}

static size_t write_tasks(struct arena *arena, uint8_t *out)
{
    struct mp_view spec =
        view_of(arena, "{'kind': 'sleep', 'outputs': [], 'params': {'index': 5}, 'version': '1'}");
    struct mp_view inputs =
        view_of(arena, "[[{'$id': 'b1'}, 10, false], [{'$id': 'b2'}, 20, true]]");
    struct task_msg first = {.attempt = {id_of(0xa1), 1},
                             .spec = spec.bytes,
                             .spec_bytes = spec.count,
                             .inputs = inputs.bytes,
                             .inputs_bytes = inputs.count,
                             .input_count = 2,
                             .priority = -7,
                             .timeout_ms = 60000,
                             .memory_bytes = 1 << 20,
                             .cpu_hundredths = CPU_HUNDREDTHS_MAX,
                             .resources = view_of(arena, "{'gpu': 2, 'license': 1000000}")};
    struct task_msg second = {
        .attempt = {id_of(0xa2), 3}, .spec = spec.bytes, .spec_bytes = spec.count};
    struct mp_writer w = mp_writer(out, ROOM);
    msg_write_batch_head(&w, MSG_TASKS, 2);
    msg_write_task(&w, &first);
    msg_write_task(&w, &second);
    assert_false(mp_writer_is_full(&w));
    return w.need;
}

static void test_tasks(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    uint8_t out[ROOM];
    size_t count = write_tasks(&arena, out);
    assert_int_equal(msg_type(out, count), MSG_TASKS);
    struct mp_reader r = mp_reader(out, count);
    assert_int_equal(msg_batch_begin(&r, MSG_TASKS), 2);
    struct task_msg task;
    msg_next_task(&r, &task);
    assert_int_equal(task.attempt.number, 1);
    assert_int_equal(task.attempt.task.bytes[0], 0xa1);
    assert_int_equal(task.priority, -7);
    assert_int_equal(task.timeout_ms, 60000);
    assert_int_equal(task.memory_bytes, 1 << 20);
    assert_int_equal(task.cpu_hundredths, CPU_HUNDREDTHS_MAX);
    expect_resources(&task.resources);
    assert_int_equal(task.input_count, 2);
    struct task_spec spec;
    assert_int_equal(task_spec_parse(task.spec, task.spec_bytes, &spec, NULL), OK);
    struct mp_reader inputs = mp_reader(task.inputs, task.inputs_bytes);
    struct artifact artifact;
    assert_int_equal(mp_read_array(&inputs), 2);
    mp_read_artifact(&inputs, &artifact);
    assert_false(artifact.is_tree);
    mp_read_artifact(&inputs, &artifact);
    assert_true(artifact.is_tree);
    assert_int_equal(artifact.bytes, 20);
    assert_int_equal(mp_reader_finish(&inputs, "inputs", NULL), OK);
    msg_next_task(&r, &task);
    assert_int_equal(task.attempt.number, 3);
    assert_int_equal(task.input_count, 0);
    assert_int_equal(mp_reader_finish(&r, "TASKS", NULL), OK);
    r = mp_reader(out, count);
    assert_int_equal(msg_batch_begin(&r, MSG_REVOKE), 0);
    assert_true(r.is_bad);
}

static size_t write_body(struct arena *arena, uint8_t *out)
{
    uint8_t lost[2 * (2 + ID_BYTES)];
    struct mp_writer ids = mp_writer(lost, sizeof lost);
    struct id one = id_of(0xd1), two = id_of(0xd2);
    mp_write_id(&ids, &one);
    mp_write_id(&ids, &two);
    struct mp_view record = view_of(arena, "{'any': 'bytes'}");
    struct result_msg done = {.attempt = {id_of(0xa1), 1},
                              .code = OK,
                              .record = record.bytes,
                              .record_bytes = record.count};
    struct result_msg failed = {.attempt = {id_of(0xa2), 2},
                                .code = E_LOST,
                                .text = "gone",
                                .text_bytes = 4,
                                .has_log = true,
                                .log = {id_of(0xe1), 99, false},
                                .lost = lost,
                                .lost_bytes = ids.need,
                                .lost_count = 2};
    struct result_msg plain = {
        .attempt = {id_of(0xa3), 1}, .code = E_TIMEOUT, .text = "", .text_bytes = 0};
    struct mp_writer w = mp_writer(out, ROOM);
    mp_write_array(&w, 3);
    msg_write_result(&w, &done);
    msg_write_result(&w, &failed);
    msg_write_result(&w, &plain);
    assert_false(mp_writer_is_full(&w));
    return w.need;
}

static void test_results(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    uint8_t body[ROOM], out[ROOM], signature[SIGNATURE_BYTES];
    memset(signature, 0x55, sizeof signature);
    struct results_msg results = {.sequence = 300,
                                  .signature = signature,
                                  .body = body,
                                  .body_bytes = write_body(&arena, body)};
    struct mp_writer w = mp_writer(out, ROOM);
    msg_write_results(&w, &results);
    struct results_msg back;
    assert_int_equal(msg_type(out, w.need), MSG_RESULTS);
    assert_int_equal(msg_decode_results(out, w.need, &back, NULL), OK);
    assert_int_equal(back.sequence, 300);
    assert_memory_equal(back.signature, signature, SIGNATURE_BYTES);
    assert_int_equal(back.body_bytes, results.body_bytes);
    struct mp_reader r = mp_reader(back.body, back.body_bytes);
    assert_int_equal(msg_body_begin(&r), 3);
    struct result_msg result;
    msg_next_result(&r, &result);
    assert_int_equal(result.code, OK);
    assert_int_equal(result.record_bytes, 11);
    msg_next_result(&r, &result);
    assert_int_equal(result.code, E_LOST);
    assert_memory_equal(result.text, "gone", 4);
    assert_true(result.has_log);
    assert_int_equal(result.log.bytes, 99);
    assert_int_equal(result.lost_count, 2);
    struct mp_reader lost = mp_reader(result.lost, result.lost_bytes);
    struct id id;
    mp_read_id(&lost, &id);
    mp_read_id(&lost, &id);
    assert_int_equal(id.bytes[0], 0xd2);
    assert_int_equal(mp_reader_finish(&lost, "lost", NULL), OK);
    msg_next_result(&r, &result);
    assert_int_equal(result.code, E_TIMEOUT);
    assert_false(result.has_log);
    assert_int_equal(result.lost_count, 0);
    assert_int_equal(mp_reader_finish(&r, "body", NULL), OK);
}

static void test_progress(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct progress_msg progress = {.attempt = {id_of(0xa1), 1},
                                    .step = 3,
                                    .total = 10,
                                    .metrics = view_of(&arena, "{'loss': 0.25}")};
    uint8_t out[ROOM];
    struct mp_writer w = mp_writer(out, ROOM);
    msg_write_progress(&w, &progress);
    struct progress_msg back;
    assert_int_equal(msg_decode_progress(out, w.need, &back, NULL), OK);
    assert_int_equal(back.step, 3);
    assert_int_equal(back.total, 10);
    assert_int_equal(back.metrics.count, progress.metrics.count);
}

static void test_batches_of_attempts(void **state)
{
    (void)state;
    static const enum msg_type types[] = {MSG_STARTED,   MSG_REVOKE,  MSG_KILL,
                                          MSG_HEARTBEAT, MSG_GOODBYE, MSG_REVOKED};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        uint8_t out[ROOM];
        struct mp_writer w = mp_writer(out, ROOM);
        msg_write_batch_head(&w, types[i], 2);
        msg_write_attempt(&w, &(struct attempt){id_of(1), 1});
        msg_write_attempt(&w, &(struct attempt){id_of(2), UINT32_MAX});
        assert_int_equal(msg_type(out, w.need), types[i]);
        struct mp_reader r = mp_reader(out, w.need);
        struct attempt attempt;
        assert_int_equal(msg_batch_begin(&r, types[i]), 2);
        msg_next_attempt(&r, &attempt);
        msg_next_attempt(&r, &attempt);
        assert_true(attempt.number == UINT32_MAX);
        assert_int_equal(mp_reader_finish(&r, "batch", NULL), OK);
    }
    uint8_t out[ROOM];
    struct mp_writer w = mp_writer(out, ROOM);
    msg_write_batch_head(&w, MSG_ACK, 2);
    mp_write_uint(&w, 0);
    mp_write_uint(&w, UINT64_MAX);
    struct mp_reader r = mp_reader(out, w.need);
    assert_int_equal(msg_batch_begin(&r, MSG_ACK), 2);
    assert_int_equal(msg_next_sequence(&r), 0);
    assert_true(msg_next_sequence(&r) == UINT64_MAX);
    assert_int_equal(mp_reader_finish(&r, "ACK", NULL), OK);
}

static void test_what_is_no_message(void **state)
{
    (void)state;
    static const uint8_t unknown[] = {0x91, MSG_TYPE_COUNT}, empty[] = {0x90}, map[] = {0x80};
    assert_int_equal(msg_type(unknown, 2), MSG_TYPE_COUNT);
    assert_int_equal(msg_type(empty, 1), MSG_TYPE_COUNT);
    assert_int_equal(msg_type(map, 1), MSG_TYPE_COUNT);
    assert_int_equal(msg_type(NULL, 0), MSG_TYPE_COUNT);
    /* More entries than a frame may have, though there are bytes for them. */
    enum { TOO_MANY = BATCH_ENTRIES_MAX + 1 };
    uint8_t *frame = mem_alloc(TOO_MANY + 16);
    struct mp_writer w = mp_writer(frame, TOO_MANY + 16);
    msg_write_batch_head(&w, MSG_ACK, TOO_MANY);
    struct mp_reader r = mp_reader(frame, w.need + TOO_MANY);
    assert_int_equal(msg_batch_begin(&r, MSG_ACK), 0);
    assert_true(r.is_bad);
    mem_free(frame);
}

/* Any frame may be anything: all decoders see all bytes. */
static void decode_hostile(const uint8_t *bytes, size_t count)
{
    struct hello hello;
    struct welcome welcome;
    struct refused refused;
    struct not_leader not_leader;
    struct results_msg results;
    struct progress_msg progress;
    (void)msg_type(bytes, count);
    (void)!msg_decode_hello(bytes, count, &hello, NULL);
    (void)!msg_decode_welcome(bytes, count, &welcome, NULL);
    (void)!msg_decode_refused(bytes, count, &refused, NULL);
    (void)!msg_decode_progress(bytes, count, &progress, NULL);
    (void)!msg_decode_not_leader(bytes, count, &not_leader, NULL);
    struct mp_reader r = mp_reader(bytes, count);
    for (uint32_t n = msg_batch_begin(&r, MSG_TASKS); n > 0 && !r.is_bad; n--) {
        struct task_msg task;
        struct task_spec spec;
        msg_next_task(&r, &task);
        if (!r.is_bad)
            (void)!task_spec_parse(task.spec, task.spec_bytes, &spec, NULL);
    }
    r = mp_reader(bytes, count);
    if (msg_decode_results(bytes, count, &results, NULL) == OK)
        r = mp_reader(results.body, results.body_bytes);
    for (uint32_t n = msg_body_begin(&r); n > 0 && !r.is_bad; n--) {
        struct result_msg result;
        msg_next_result(&r, &result);
        struct mp_reader lost = mp_reader(result.lost, result.lost_bytes);
        for (uint32_t i = 0; i < result.lost_count && !r.is_bad; i++) {
            struct id id;
            mp_read_id(&lost, &id);
            assert_false(lost.is_bad);
        }
    }
}

static void test_hostile_bytes(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    uint8_t out[ROOM];
    attack(out, write_hello(&arena, out), 10000, decode_hostile);
    attack(out, write_tasks(&arena, out), 10000, decode_hostile);
    attack(out, write_body(&arena, out), 10000, decode_hostile);
    struct mp_view progress = view_of(&arena, "[5, [{'$id': 'a1'}, 1], 3, 10, {'loss': 0.25}]");
    attack(progress.bytes, progress.count, 10000, decode_hostile);
    struct mp_view refused = view_of(&arena, "[2, 16, 'another protocol']");
    attack(refused.bytes, refused.count, 10000, decode_hostile);
    struct mp_view not_leader = view_of(&arena, "[13, 16, 'tcp://10.0.0.1:7000']");
    attack(not_leader.bytes, not_leader.count, 10000, decode_hostile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_resources_are_checked),
        cmocka_unit_test(test_hostile_resources),
        cmocka_unit_test(test_another_version_is_named),
        cmocka_unit_test(test_welcome_and_refused),
        cmocka_unit_test(test_tasks),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_batches_of_attempts),
        cmocka_unit_test(test_what_is_no_message),
        cmocka_unit_test(test_hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
