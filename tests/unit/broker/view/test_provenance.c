// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/view/provenance.h"
#include "common/base/buf.h"
#include "common/text/json.h"

static struct id numbered(uint8_t number)
{
    struct id id;
    memset(id.bytes, number, sizeof id.bytes);
    return id;
}

/* A record as canonical bytes, from JSON in which "@7" stands for the id 07 07 …. */
static void put_ids(struct value *value, struct arena *arena)
{
    if (value->type == VALUE_STRING && value->text[0] == '@') {
        struct id id = numbered((uint8_t)(value->text[1] - '0'));
        uint8_t *bytes = arena_alloc(arena, ID_BYTES);
        memcpy(bytes, id.bytes, ID_BYTES);
        *value = (struct value){.type = VALUE_BINARY, .count = ID_BYTES, .binary = bytes};
    }
    uint32_t items = value->type == VALUE_ARRAY ? value->count
                     : value->type == VALUE_MAP ? 2 * value->count
                                                : 0;
    for (uint32_t i = 0; i < items; i++)
        put_ids(&value->items[i], arena);
}

static void read_record(const char *json, struct arena *arena, struct record *out)
{
    struct value document;
    assert_int_equal(json_parse("record", json, strlen(json), arena, &document, NULL), OK);
    put_ids(&document, arena);
    size_t bytes = value_encode(&document, NULL, 0);
    uint8_t *encoded = arena_alloc(arena, bytes);
    value_encode(&document, encoded, bytes);
    assert_int_equal(record_parse(encoded, bytes, out, NULL), OK);
}

static const char record_json[] =
    "{\"action\": {\"inputs\": {\"table\": [\"blob\", \"@1\"], \"parts\": [[[\"blob\", \"@2\"],"
    " [\"tree\", \"@3\"]]]}, \"kind\": \"exec\", \"outputs\": [\"o\"],"
    " \"params\": {\"command\": \"x\"}, \"version\": \"1\"}, \"attempt\": 2,"
    " \"log\": [\"@8\", 5, false], \"outputs\": {\"o\": [\"@9\", 10, true]},"
    " \"timings\": [1700000000000000, 2500000], \"worker\": \"w1\"}";

static void make_statement_of(bool is_tree, struct arena *arena, struct value *out)
{
    struct record record;
    read_record(record_json, arena, &record);
    static const char sources_json[] =
        "[{\"name\": \"iris\", \"location\": \"data/iris.csv\", \"id\": "
        "\"0101010101010101010101010101010101010101010101010101010101010101\"}]";
    struct value sources;
    assert_int_equal(
        json_parse("sources", sources_json, strlen(sources_json), arena, &sources, NULL), OK);
    struct id key = numbered(7);
    const struct provenance_file files[] = {{"a.txt", numbered(4)}, {"sub/b.txt", numbered(5)}};
    const struct provenance p = {.name = "step.o",
                                 .artifact = {numbered(9), 10, is_tree},
                                 .files = files,
                                 .file_count = is_tree ? 2 : 0,
                                 .record = &record,
                                 .task = numbered(6),
                                 .public_key = key.bytes,
                                 .run = "20260101t000000000-aaaaaa",
                                 .sources = &sources};
    assert_int_equal(provenance_statement(&p, arena, out, NULL), OK);
}

static void make_statement(struct arena *arena, struct value *out)
{
    make_statement_of(true, arena, out);
}

static void has_text(const struct buf *json, const char *part)
{
    if (!strstr((const char *)json->bytes, part))
        fail_msg("%s is not in %s", part, (const char *)json->bytes);
}

static void says_what_made_it(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct value statement;
    make_statement(&arena, &statement);
    AUTO(buf_fini) struct buf json = buf_init(0);
    json_write(&statement, 0, &json);
    buf_text(&json);
    has_text(&json, "\"_type\": \"https://in-toto.io/Statement/v1\"");
    has_text(&json, "\"predicateType\": \"https://slsa.dev/provenance/v1\"");
    has_text(&json, "{\"name\": \"step.o\", \"digest\": {\"penstockTree\": \"0909");
    has_text(&json, "{\"name\": \"step.o/sub/b.txt\", \"digest\": {\"blake2b256\": \"0505");
    has_text(&json, "\"externalParameters\": {\"kind\": \"exec\", \"version\": \"1\", "
                    "\"params\": {\"command\": \"x\"}, \"outputs\": [\"o\"]}");
    has_text(&json, "{\"name\": \"parts[1]\", \"digest\": {\"penstockTree\": \"0303");
    has_text(&json, "\"annotations\": {\"source\": \"data/iris.csv\"}");
    has_text(&json, "\"id\": \"urn:penstock:worker:0707");
    has_text(&json, "\"invocationId\": \"20260101t000000000-aaaaaa\"");
    has_text(&json,
             "\"startedOn\": \"2023-11-14T22:13:20Z\", \"finishedOn\": \"2023-11-14T22:13:22Z");
    has_text(&json, "\"byproducts\": [{\"name\": \"log\", \"digest\": {\"blake2b256\": \"0808");
}

static enum status check(const struct value *statement, const struct provenance_file *files,
                         size_t count, struct err *err)
{
    return provenance_check("s", statement, files, count, err);
}

static void is_about_these_files_alone(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct value statement, other = {0};
    struct err err = {0};
    make_statement(&arena, &statement);
    struct provenance_file files[] = {{"a.txt", numbered(4)}, {"sub/b.txt", numbered(5)}};
    assert_int_equal(check(&statement, files, 2, &err), OK);
    assert_int_equal(check(&statement, files, 1, &err), E_CORRUPT);
    assert_string_equal(err.text, "s: is about 2 files, not 1");
    files[1].path = "b.txt"; /* the end of a name is not the name */
    assert_int_equal(check(&statement, files, 2, &err), E_CORRUPT);
    files[1] = (struct provenance_file){"sub/b.txt", numbered(3)};
    assert_int_equal(check(&statement, files, 2, &err), E_CORRUPT);
    const struct provenance_file whole = {NULL, numbered(9)};
    assert_int_equal(check(&statement, &whole, 1, &err), E_CORRUPT);
    assert_int_equal(check(&other, files, 2, &err), E_INVALID);
}

static void an_empty_folder_is_no_file(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct value statement;
    struct err err = {0};
    make_statement_of(false, &arena, &statement);
    const struct provenance_file whole = {NULL, numbered(9)};
    assert_int_equal(check(&statement, &whole, 1, &err), OK);
    assert_int_equal(check(&statement, NULL, 0, &err), E_CORRUPT);
    assert_string_equal(err.text, "s: is about a file, not a folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_made_it),
        cmocka_unit_test(is_about_these_files_alone),
        cmocka_unit_test(an_empty_folder_is_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
