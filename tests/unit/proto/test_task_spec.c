/* Task specifications: the strict reader, its iterators, actions. */
// SPDX-License-Identifier: Apache-2.0
#include "proto/task_spec.h"

#include "proto/codec.h"
#include "proto/limits.h"
#include "tests/unit/proto/support.h"

static const char full[] =
    "{'inputs': {'dataset': [{'$id': 'a1'}, 'train'],"
    "            'extra': {'from': ['tree', {'$id': 'b2'}], 'path': 'data/extra'},"
    "            'reports': [[[{'$id': 'c3'}, 'metrics'], ['blob', {'$id': 'd4'}],"
    "                         [{'$id': 'e5'}, 'metrics']]],"
    "            'table': ['blob', {'$id': 'f6'}]},"
    " 'kind': 'train', 'outputs': ['history', 'model'], 'params': {'C': 0.5}, 'version': '1+x'}";

static struct task_spec parse(struct arena *arena, const char *json)
{
    size_t count;
    uint8_t *bytes = json_bytes(arena, json, &count);
    struct task_spec spec;
    struct err err = {0};
    if (task_spec_parse(bytes, count, &spec, &err) != OK)
        fail_msg("%s: %s", err.text, json);
    return spec;
}

static void test_views(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct task_spec spec = parse(&arena, full);
    assert_int_equal(spec.kind_bytes, 5);
    assert_memory_equal(spec.kind, "train", 5);
    assert_int_equal(spec.version_bytes, 3);
    assert_memory_equal(spec.version, "1+x", 3);
    assert_int_equal(spec.input_count, 4);
    assert_int_equal(spec.output_count, 2);
    struct value params;
    assert_int_equal(
        value_decode(spec.params, spec.params_bytes, arena_memory(&arena), &params, NULL), OK);
    assert_true(value_get(&params, "C")->real == 0.5);
    const char *name;
    uint32_t bytes;
    size_t at = 0;
    assert_true(task_spec_next_output(&spec, &at, &name, &bytes));
    assert_memory_equal(name, "history", bytes);
    assert_true(task_spec_next_output(&spec, &at, &name, &bytes));
    assert_memory_equal(name, "model", bytes);
    assert_false(task_spec_next_output(&spec, &at, &name, &bytes));
}

static void test_inputs(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct task_spec spec = parse(&arena, full);
    static const struct {
        const char *name, *path;
        bool is_gather;
        uint32_t count;
        const char *refs; /* t: a task's output, b: a blob, d: a tree */
        uint8_t first[3];
    } want[] = {{"dataset", NULL, false, 1, "t", {0xa1}},
                {"extra", "data/extra", false, 1, "d", {0xb2}},
                {"reports", NULL, true, 3, "tbt", {0xc3, 0xd4, 0xe5}},
                {"table", NULL, false, 1, "b", {0xf6}}};
    size_t at = 0;
    struct task_input input;
    for (size_t i = 0; i < 4; i++) {
        assert_true(task_spec_next_input(&spec, &at, &input));
        assert_int_equal(input.name_bytes, strlen(want[i].name));
        assert_memory_equal(input.name, want[i].name, input.name_bytes);
        assert_int_equal(input.path != NULL, want[i].path != NULL);
        if (want[i].path)
            assert_memory_equal(input.path, want[i].path, input.path_bytes);
        assert_int_equal(input.is_gather, want[i].is_gather);
        assert_int_equal(input.ref_count, want[i].count);
        size_t at_ref = 0;
        struct task_ref ref;
        for (uint32_t k = 0; k < want[i].count; k++) {
            assert_true(task_input_next_ref(&input, &at_ref, &ref));
            assert_int_equal(ref.is_task, want[i].refs[k] == 't');
            const struct id *id = ref.is_task ? &ref.task : &ref.artifact.id;
            assert_int_equal(id->bytes[0], want[i].first[k]);
            assert_int_equal(id->bytes[31], want[i].first[k]);
            assert_int_equal(ref.artifact.is_tree, want[i].refs[k] == 'd');
        }
        assert_false(task_input_next_ref(&input, &at_ref, &ref));
    }
    assert_false(task_spec_next_input(&spec, &at, &input));
    /* The same, not asking which input each is of. */
    struct task_ref_cursor cursor = {0};
    struct task_ref ref;
    for (const char *kinds = "tdtbtb"; *kinds; kinds++) {
        assert_true(task_spec_next_ref(&spec, &cursor, &ref));
        assert_int_equal(ref.is_task, *kinds == 't');
        assert_int_equal(ref.artifact.is_tree, *kinds == 'd');
    }
    assert_false(task_spec_next_ref(&spec, &cursor, &ref));
}

static void test_action_replaces_task_outputs(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct task_spec spec = parse(&arena, full);
    struct artifact resolved[3] = {{.is_tree = false}, {.is_tree = true}, {.is_tree = false}};
    memset(resolved[0].id.bytes, 0x11, ID_BYTES);
    memset(resolved[1].id.bytes, 0x22, ID_BYTES);
    memset(resolved[2].id.bytes, 0x33, ID_BYTES);
    size_t want_bytes;
    uint8_t *want =
        json_bytes(&arena,
                   "{'inputs': {'dataset': ['blob', {'$id': '11'}],"
                   "            'extra': {'from': ['tree', {'$id': 'b2'}], 'path': 'data/extra'},"
                   "            'reports': [[['tree', {'$id': '22'}], ['blob', {'$id': 'd4'}],"
                   "                         ['blob', {'$id': '33'}]]],"
                   "            'table': ['blob', {'$id': 'f6'}]},"
                   " 'kind': 'train', 'outputs': ['history', 'model'], 'params': {'C': 0.5},"
                   " 'version': '1+x'}",
                   &want_bytes);
    uint8_t out[512];
    assert_int_equal(task_spec_action(&spec, resolved, 3, out, sizeof out), want_bytes);
    assert_memory_equal(out, want, want_bytes);
    assert_int_equal(task_spec_action(&spec, resolved, 3, NULL, 0), want_bytes);
    assert_int_equal(task_spec_action(&spec, resolved, 2, out, sizeof out), 0);
    assert_int_equal(task_spec_action(&spec, resolved, 4, out, sizeof out), 0);
    /* An action is a specification whose action is itself. */
    struct task_spec action;
    assert_int_equal(task_spec_parse(want, want_bytes, &action, NULL), OK);
    assert_int_equal(task_spec_action(&action, NULL, 0, out, sizeof out), want_bytes);
    assert_memory_equal(out, want, want_bytes);
}

static void test_the_smallest(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct task_spec spec = parse(&arena, "{'kind': 'sleep', 'outputs': [], 'version': '1'}");
    assert_int_equal(spec.input_count, 0);
    assert_null(spec.params);
    struct task_input input;
    size_t at = 0;
    assert_false(task_spec_next_input(&spec, &at, &input));
    struct task_spec gather =
        parse(&arena, "{'inputs': {'a': [[]]}, 'kind': 'exec', 'outputs': [], 'version': '1'}");
    assert_true(task_spec_next_input(&gather, &at, &input));
    assert_true(input.is_gather);
    assert_int_equal(input.ref_count, 0);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } rows[] = {
        {"[]", "it is not a mapping of kind, version, outputs, inputs and params"},
        {"{'kind': 'sleep', 'version': '1'}",
         "it is not a mapping of kind, version, outputs, inputs and params"},
        {"{'kind': 'a', 'outputs': [], 'verse': '1'}",
         "no version where it belongs, or an unknown key"},
        {"{'kind': 'a', 'outputs': [], 'version': '1', 'x': 1}",
         "no version where it belongs, or an unknown key"},
        {"{'kind': '', 'outputs': [], 'version': '1'}", "the kind is not a name of 1 … 64 bytes"},
        {"{'kind': 'a', 'outputs': [], 'version': ''}",
         "the version is not a text of 1 … 255 bytes"},
        {"{'kind': 'a', 'outputs': [], 'params': {}, 'version': '1'}",
         "params are left out when empty"},
        {"{'kind': 'a', 'outputs': [], 'params': [1], 'version': '1'}",
         "params are not a canonical mapping"},
        {"{'inputs': {}, 'kind': 'a', 'outputs': [], 'version': '1'}",
         "inputs are a mapping, left out when empty"},
        {"{'kind': 'a', 'outputs': ['b', 'a'], 'version': '1'}", "outputs are not sorted by name"},
        {"{'kind': 'a', 'outputs': ['a', 'a'], 'version': '1'}", "outputs are not sorted by name"},
        {"{'inputs': {'a': ['file', {'$id': '01'}]}, 'kind': 'a', 'outputs': [], 'version': '1'}",
         "an input is neither [task id, output] nor [\"blob\" or \"tree\", id]"},
        {"{'inputs': {'a': ['blob', {'$bin': '01'}]}, 'kind': 'a', 'outputs': [], 'version': '1'}",
         "an id is not 32 bytes"},
        {"{'inputs': {'a': [[[['blob', {'$id': '01'}]]]]}, 'kind': 'a', 'outputs': [], 'version': "
         "'1'}",
         "what a gather lists are pairs"},
        {"{'inputs': {'a': {'from': ['blob', {'$id': '01'}], 'path': '../x'}}, 'kind': 'a', "
         "'outputs': [], 'version': '1'}",
         "the path of an input leaves the work folder"},
        {"{'inputs': {'a': {'from': ['blob', {'$id': '01'}], 'path': '/etc/x'}}, 'kind': 'a', "
         "'outputs': [], 'version': '1'}",
         "the path of an input leaves the work folder"},
        {"{'inputs': {'a': {'from': ['blob', {'$id': '01'}], 'path': 'a/./x'}}, 'kind': 'a', "
         "'outputs': [], 'version': '1'}",
         "the path of an input leaves the work folder"},
        {"{'inputs': {'a': {'from': ['blob', {'$id': '01'}], 'path': 'a/'}}, 'kind': 'a', "
         "'outputs': [], 'version': '1'}",
         "the path of an input leaves the work folder"},
    };
    AUTO(arena_fini) struct arena arena = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t count;
        uint8_t *bytes = json_bytes(&arena, rows[i].json, &count);
        struct task_spec spec;
        struct err err = {0};
        assert_int_equal(task_spec_parse(bytes, count, &spec, &err), E_PROTOCOL);
        assert_non_null(strstr(err.text, "task specification: "));
        assert_string_equal(err.text + strlen("task specification: "), rows[i].text);
        assert_null(spec.bytes);
    }
}

/* The same document in another form would have another id: it is refused. */
static void test_other_forms_are_refused(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    size_t count;
    uint8_t *bytes = json_bytes(
        &arena, "{'kind': 'sleep', 'outputs': [], 'params': {'index': 5}, 'version': '1'}", &count);
    struct task_spec spec;
    assert_int_equal(task_spec_parse(bytes, count, &spec, NULL), OK);
    /* …index 05 … becomes …index cc 05 … */
    uint8_t longer[128];
    size_t at = count - 11; /* the 5, before "version": "1" */
    assert_int_equal(bytes[at], 5);
    memcpy(longer, bytes, at);
    longer[at] = 0xcc;
    memcpy(longer + at + 1, bytes + at, count - at);
    assert_int_equal(task_spec_parse(longer, count + 1, &spec, NULL), E_PROTOCOL);
    memcpy(longer, bytes, count);
    longer[count] = 0xc0;
    assert_int_equal(task_spec_parse(longer, count + 1, &spec, NULL), E_PROTOCOL);
}

static void test_limits(void **state)
{
    (void)state;
    enum { ROOM = 24 << 20 };
    uint8_t *out = mem_resize(NULL, ROOM);
    const uint32_t gathers[] = {GATHER_INLINE_MAX, GATHER_INLINE_MAX + 1};
    struct id id = {{7}};
    for (size_t i = 0; i < 2; i++) {
        struct mp_writer w = mp_writer(out, ROOM);
        mp_write_map(&w, 4);
        mp_write_text(&w, "inputs");
        mp_write_map(&w, 1);
        mp_write_text(&w, "all");
        mp_write_array(&w, 1);
        mp_write_array(&w, gathers[i]);
        for (uint32_t k = 0; k < gathers[i]; k++) {
            mp_write_array(&w, 2);
            mp_write_id(&w, &id);
            mp_write_text(&w, "out");
        }
        mp_write_text(&w, "kind");
        mp_write_text(&w, "metrics");
        mp_write_text(&w, "outputs");
        mp_write_array(&w, 0);
        mp_write_text(&w, "version");
        mp_write_text(&w, "1");
        struct task_spec spec;
        struct err err = {0};
        assert_int_equal(task_spec_parse(out, w.need, &spec, &err), i == 0 ? OK : E_LIMIT);
        if (i == 1)
            break;
        struct task_input input;
        struct task_ref ref;
        size_t at = 0, at_ref = 0, count = 0;
        assert_true(task_spec_next_input(&spec, &at, &input));
        while (task_input_next_ref(&input, &at_ref, &ref))
            count += ref.is_task && id_equal(&ref.task, &id);
        assert_int_equal(count, GATHER_INLINE_MAX);
    }
    struct task_spec spec;
    assert_int_equal(task_spec_parse(out, SPEC_BYTES_MAX + 1, &spec, NULL), E_LIMIT);
    mem_free(out);
}

static void parse_hostile(const uint8_t *bytes, size_t count)
{
    struct task_spec spec;
    if (task_spec_parse(bytes, count, &spec, NULL) != OK)
        return;
    /* What is taken is canonical: decoded and encoded, it is the same. */
    AUTO(arena_fini) struct arena arena = {0};
    struct value value;
    assert_int_equal(value_decode(bytes, count, arena_memory(&arena), &value, NULL), OK);
    size_t again;
    uint8_t *same = encode_value(&arena, &value, &again);
    assert_int_equal(again, count);
    assert_memory_equal(same, bytes, count);
    struct artifact resolved[8] = {{.bytes = 0}};
    for (size_t n = 0; n < 8; n++)
        (void)task_spec_action(&spec, resolved, n, NULL, 0);
    const char *name;
    uint32_t name_bytes;
    for (size_t at = 0; task_spec_next_output(&spec, &at, &name, &name_bytes);)
        assert_true((const uint8_t *)name + name_bytes <= bytes + count);
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
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_action_replaces_task_outputs),
        cmocka_unit_test(test_the_smallest),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_other_forms_are_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
