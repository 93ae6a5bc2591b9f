/* What is special to a store in S3: its settings, without a server; and, where PENSTOCK_TEST_S3
 * names a bucket (tests/system/test_s3.py), large files, many keys, corrupt objects. */
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "common/store/s3.h"
#include "proto/limits.h"
#include "tests/unit/common/store/helpers.h"

static const char *const variables[] = {
    "AWS_ENDPOINT_URL_S3", "S3_ENDPOINT_URL",   "AWS_ENDPOINT_URL", "AWS_REGION",
    "AWS_DEFAULT_REGION",  "PENSTOCK_S3_STYLE", "AWS_CA_BUNDLE",    "AWS_PROFILE"};

/* The environment says nothing of AWS, but for what the test sets. */
static void forget_settings(void)
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
}

static int set_up_settings(void **state)
{
    forget_settings();
    return temp_setup(state);
}

static void expect_place(const char *url, const char *origin, const char *path, const char *prefix)
{
    struct s3_config config;
    if (s3_config_load(url, &config, &store_err) != OK)
        fail_msg("%s", store_err.text);
    assert_string_equal(config.origin, origin);
    assert_string_equal(config.host, strstr(origin, "//") + 2);
    assert_string_equal(config.path, path);
    assert_string_equal(config.prefix, prefix);
    s3_config_close(&config);
}

static void settings_say_where_the_server_is(void **state)
{
    struct temp *temp = *state;
    expect_place("s3://b", "https://b.s3.us-east-1.amazonaws.com", "/", "");
    setenv("AWS_DEFAULT_REGION", "eu-west-1", 1);
    expect_place("s3://b/", "https://b.s3.eu-west-1.amazonaws.com", "/", "");
    setenv("AWS_REGION", "eu-west-2", 1);
    expect_place("s3://b/a/b/", "https://b.s3.eu-west-2.amazonaws.com", "/", "a/b/");
    expect_place("s3://b.c", "https://s3.eu-west-2.amazonaws.com", "/b.c/", "");
    setenv("AWS_REGION", "cn-north-1", 1);
    expect_place("s3://b", "https://b.s3.cn-north-1.amazonaws.com.cn", "/", "");
    setenv("AWS_REGION", "eu-west-2", 1);
    setenv("PENSTOCK_S3_STYLE", "path", 1);
    expect_place("s3://b/a", "https://s3.eu-west-2.amazonaws.com", "/b/", "a/");
    unsetenv("PENSTOCK_S3_STYLE");
    setenv("AWS_ENDPOINT_URL", "http://one:80/", 1);
    expect_place("s3://b", "http://one", "/b/", "");
    setenv("S3_ENDPOINT_URL", "https://two:443", 1);
    expect_place("s3://b", "https://two", "/b/", "");
    setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:3900", 1);
    expect_place("s3://b", "http://127.0.0.1:3900", "/b/", "");
    setenv("PENSTOCK_S3_STYLE", "virtual", 1);
    expect_place("s3://b", "http://b.127.0.0.1:3900", "/", "");
    forget_settings();
    temp_write_text(temp_at(temp, "config"), "[default]\nregion=r\nendpoint_url=http://three\n"
                                             "s3 =\n  addressing_style = virtual\n");
    setenv("AWS_CONFIG_FILE", temp_at(temp, "config"), 1);
    expect_place("s3://b", "http://b.three", "/", "");
    temp_write_text(
        temp_at(temp, "config"),
        "[services mine]\ndynamodb =\n  endpoint_url = http://no\ns3 =\n"
        "  endpoint_url = http://four\n[services other]\ns3 =\n  endpoint_url = http://no"
        "\n[default]\nservices = mine\nendpoint_url = http://three\n");
    expect_place("s3://b", "http://four", "/b/", "");
}

static void a_server_names_no_other_host(void **state)
{
    (void)state;
    static const char *const names[] = {"evil.example/", "a.b", "x#", "EU", "a b"};
    struct s3_config config;
    assert_int_equal(s3_config_load("s3://b", &config, &store_err), OK);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(s3_config_move(&config, names[i], &store_err), E_PROTOCOL);
    assert_string_equal(config.origin, "https://b.s3.us-east-1.amazonaws.com");
    assert_int_equal(s3_config_move(&config, "eu-west-1", &store_err), OK);
    assert_string_equal(config.origin, "https://b.s3.eu-west-1.amazonaws.com");
    s3_config_close(&config);
}

static void expect_refusal(const char *url, const char *text)
{
    struct store *store;
    bool is_setting = strcmp(url, "s3://b") == 0; /* so it is not the URL */
    assert_int_equal(store_open(url, &store, &store_err), is_setting ? E_DENIED : E_INVALID);
    assert_null(store);
    if (!strstr(store_err.text, text))
        fail_msg("%s", store_err.text);
}

static void bad_settings_are_refused(void **state)
{
    (void)state;
    expect_refusal("s3://", "s3://: names no bucket; write s3://bucket or s3://bucket/prefix");
    expect_refusal("s3:///x", "names no bucket");
    expect_refusal("s3://b?x", "names no bucket");
    expect_refusal("s3://b/x//y", "has an empty part");
    expect_refusal("s3://b/x/../y", "or one of dots");
    expect_refusal("s3://b/x?y", "has a character");
    char url[OBJECT_KEY_BYTES_MAX + 2] = "s3://b/";
    memset(url + 7, 'x', OBJECT_KEY_BYTES_MAX - 7);
    expect_refusal(url, "the prefix is too long");
    setenv("AWS_ENDPOINT_URL_S3", "localhost:3900", 1);
    expect_refusal("s3://b", "AWS_ENDPOINT_URL_S3=localhost:3900: begin it with http://");
    setenv("AWS_ENDPOINT_URL_S3", "http://localhost:3900/s3", 1);
    expect_refusal("s3://b", "write http://host:port");
    setenv("AWS_ENDPOINT_URL_S3", "http://me:pw@localhost", 1);
    expect_refusal("s3://b", "write http://host:port");
    setenv("AWS_ENDPOINT_URL_S3", "http://localhost", 1);
    setenv("PENSTOCK_S3_STYLE", "dns", 1);
    expect_refusal("s3://b", "PENSTOCK_S3_STYLE is dns: set it to path or virtual");
    unsetenv("PENSTOCK_S3_STYLE");
    setenv("AWS_PROFILE", "nobody", 1);
    expect_refusal("s3://b", "AWS_PROFILE=nobody: no such profile");
}

/* ---- with a server ---- */

static struct store *open_remote(struct temp *temp)
{
    const char *s3 = getenv("PENSTOCK_TEST_S3");
    if (!s3) {
        print_message("SKIPPED: PENSTOCK_TEST_S3 names no bucket\n");
        skip();
    }
    AUTO(buf_fini) struct buf format = buf_init(0);
    buf_format(&format, "%s%%s/store", s3);
    return store_open_at(temp, buf_text(&format));
}

/* A file of `bytes` that no two places of look alike. */
static void write_large(const char *path, size_t bytes)
{
    AUTO(mem_free) uint8_t *data = mem_alloc(bytes);
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t word = (i + 1) * 0x9e3779b97f4a7c15u;
        memcpy(data + i, &word, 8);
    }
    temp_write(path, data, bytes);
}

static void round_trip(struct temp *temp, struct store *store, size_t bytes)
{
    struct id id, again;
    uint64_t count;
    const char *from = temp_at(temp, "from"), *to = temp_at(temp, "to");
    write_large(from, bytes);
    for (int i = 0; i < 2; i++) {
        if (store_put_file(store, from, &id, &count, &store_err) != OK)
            fail_msg("%zu: %s", bytes, store_err.text);
        assert_int_equal(count, bytes);
    }
    if (store_get_file(store, &id, to, &store_err) != OK)
        fail_msg("%zu: %s", bytes, store_err.text);
    AUTO(store_close) struct store *hasher = store_open_at(temp, "null:");
    assert_int_equal(store_put_file(hasher, to, &again, &count, &store_err), OK);
    assert_true(id_equal(&id, &again));
    assert_int_equal(count, bytes);
    unlink(to);
}

static void large_files_go_in_parts_and_ranges(void **state)
{
    AUTO(store_close) struct store *store = open_remote(*state);
    static const size_t sizes[] = {(8 << 20) - 1,
                                   8 << 20,
                                   (8 << 20) + 1,
                                   (40 << 20) + 7,
                                   STORE_PARTS_BYTES,
                                   STORE_PARTS_BYTES + 1,
                                   STORE_PARTS_BYTES + (20 << 20)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        round_trip(*state, store, sizes[i]);
}

static enum status count_items(void *context, const struct store_item *item, struct err *err)
{
    (void)item, (void)err;
    ++*(size_t *)context;
    return OK;
}

static enum status count_objects(void *context, const struct store_object *object, struct err *err)
{
    size_t *count = context;
    char key[32];
    (void)err;
    snprintf(key, sizeof key, "journal/%06zu", (*count)++);
    assert_string_equal(object->key, key);
    return OK;
}

enum { MANY = 1100 }; /* more than a page of a listing */

static void listings_have_pages(void **state)
{
    AUTO(store_close) struct store *store = open_remote(*state);
    static struct id ids[2 * MANY];
    static bool has[2 * MANY];
    char text[32];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "journal/%06zu", i);
        assert_int_equal(store_put_object(store, text, text, 14, &store_err), OK);
        ids[2 * i] = store_put_text(store, text);
        hash_bytes(NULL, &i, sizeof i, &ids[2 * i + 1]); /* absent */
    }
    size_t count = 0;
    assert_int_equal(store_list_objects(store, "journal/", count_objects, &count, &store_err), OK);
    assert_int_equal(count, MANY);
    count = 0;
    assert_int_equal(store_list(store, count_items, &count, &store_err), OK);
    assert_int_equal(count, MANY);
    static const size_t asked[] = {2 * MANY, 1000, 63, 1, 0}; /* by pages, by both, one by one */
    for (size_t k = 0; k < sizeof asked / sizeof *asked; k++) {
        memset(has, k % 2, sizeof has);
        assert_int_equal(store_has(store, ids, asked[k], has, &store_err), OK);
        for (size_t i = 0; i < asked[k]; i++)
            assert_int_equal(has[i], i % 2 == 0);
    }
}

static void nothing_is_there_in_an_empty_store(void **state)
{
    AUTO(store_close) struct store *store = open_remote(*state);
    static struct id ids[200];
    static bool has[200];
    for (size_t i = 0; i < 200; i++)
        hash_bytes(NULL, &i, sizeof i, &ids[i]);
    memset(has, true, sizeof has);
    assert_int_equal(store_has(store, ids, 200, has, &store_err), OK);
    for (size_t i = 0; i < 200; i++)
        assert_false(has[i]);
}

/* Damage by a store in between, so that S3 holds bytes of another id. */
static void corrupt_objects_are_put_aside(void **state)
{
    struct temp *temp = *state;
    AUTO(store_close) struct store *store = open_remote(temp);
    AUTO(buf_fini) struct buf url = buf_init(0), out = buf_init(0);
    AUTO(store_close) struct store *spoiler = NULL;
    buf_format(&url, "fault+%s?on=put&corrupt=1&times=0", store_url(store));
    assert_int_equal(store_open(buf_text(&url), &spoiler, &store_err), OK);
    struct id id, tree, large;
    uint64_t bytes;
    id = store_put_text(spoiler, "precious");
    assert_int_equal(store_put_manifest(spoiler, "manifest", 8, &tree, &store_err), OK);
    write_large(temp_at(temp, "from"), 9 << 20);
    assert_int_equal(store_put_file(spoiler, temp_at(temp, "from"), &large, &bytes, &store_err),
                     OK);
    assert_int_equal(store_get(store, &id, &out, &store_err), E_CORRUPT);
    assert_non_null(strstr(store_err.text, "it was moved to quarantine/"));
    assert_int_equal(store_get(store, &id, &out, &store_err), E_NOTFOUND);
    assert_int_equal(store_get_manifest(store, &tree, &out, &store_err), E_CORRUPT);
    assert_int_equal(store_get_manifest(store, &tree, &out, &store_err), E_NOTFOUND);
    assert_int_equal(store_get_file(store, &large, temp_at(temp, "to"), &store_err), E_CORRUPT);
    assert_int_equal(store_get_file(store, &large, temp_at(temp, "to"), &store_err), E_NOTFOUND);
    assert_false(fs_exists(temp_at(temp, "to")));
    store_put_text(store, "precious");
    store_expect_text(store, &id, "precious");
}

/* What quarantine holds, and what killed uploads left, goes by age. */
static void what_lies_about_is_swept(void **state)
{
    AUTO(store_close) struct store *store = open_remote(*state);
    if (getenv("PENSTOCK_TEST_S3_MOTO")) {
        print_message("SKIPPED: moto tells no true age of an upload\n");
        skip();
    }
    struct store_leavings left;
    struct id id = store_put_text(store, "aside");
    int64_t now_s = (int64_t)time(NULL);
    assert_int_equal(store_quarantine(store, &id, &store_err), OK);
    struct s3_op op = {.method = "POST"};
    s3_key(s3_of(store), STORE_BLOBS, &id, op.key);
    s3_query(&op, "uploads", "");
    assert_int_equal(s3_do(s3_of(store), &op, &store_err), OK);
    static const struct {
        int64_t age_s;
        bool removes;
        uint64_t count;
    } sweeps[] = {{60, true, 0}, {-60, false, 2}, {-60, true, 2}, {-60, true, 0}};
    for (size_t i = 0; i < sizeof sweeps / sizeof *sweeps; i++) {
        if (store_sweep(store, now_s - sweeps[i].age_s, sweeps[i].removes, &left, &store_err) != OK)
            fail_msg("%s", store_err.text);
        assert_int_equal(left.count, sweeps[i].count);
    }
}

/* No server lets us make an object old; that a copy onto itself is accepted, and makes it no older,
 * is what renewal needs. */
static void a_copy_onto_itself_is_new(void **state)
{
    AUTO(store_close) struct store *store = open_remote(*state);
    struct id id = store_put_text(store, "abc");
    char key[S3_KEY_BYTES];
    s3_key(s3_of(store), STORE_BLOBS, &id, key);
    struct s3_op before = {.method = "HEAD"}, after = {.method = "HEAD"};
    memcpy(before.key, key, sizeof key);
    memcpy(after.key, key, sizeof key);
    assert_int_equal(s3_do(s3_of(store), &before, &store_err), OK);
    sleep(2);
    if (s3_copy(s3_of(store), key, key, &store_err) != OK)
        fail_msg("%s", store_err.text);
    assert_int_equal(s3_do(s3_of(store), &after, &store_err), OK);
    assert_true(after.modified_s > before.modified_s);
    store_expect_text(store, &id, "abc");
}

static int http_status_of(const char *method, const char *url, const char *body, struct buf *out)
{
    struct http *http;
    assert_int_equal(http_open(&(struct http_options){0}, &http, &store_err), OK);
    const struct http_request request = {.method = method,
                                         .url = url,
                                         .body = body,
                                         .body_bytes = body ? strlen(body) : 0,
                                         .out = out};
    struct http_call *call = http_do(http, &request);
    int status = http_status(call);
    http_end(call);
    http_close(http);
    return status;
}

/* Who has the URL needs no key: what a client of a served broker puts and gets its bytes with. */
static void urls_put_and_get(void **state)
{
    AUTO(store_close) struct store *store = open_remote(*state);
    AUTO(buf_fini) struct buf url = buf_init(0), out = buf_init(0);
    struct store_presign presign = {.is_put = true, .seconds = 60};
    hash_bytes(NULL, "by URL", 6, &presign.id);
    assert_int_equal(store_presign(store, &presign, &url, &store_err), OK);
    assert_int_equal(http_status_of("PUT", buf_text(&url), "by URL", NULL), 200);
    store_expect_text(store, &presign.id, "by URL");
    presign = (struct store_presign){.is_manifest = true, .seconds = 60};
    assert_int_equal(store_put_manifest(store, "tree", 4, &presign.id, &store_err), OK);
    buf_clear(&url);
    assert_int_equal(store_presign(store, &presign, &url, &store_err), OK);
    assert_int_equal(http_status_of("GET", buf_text(&url), NULL, &out), 200);
    assert_string_equal(buf_text(&out), "tree");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_setup, temp_teardown)
    const struct CMUnitTest remote[] = {
        TEST(large_files_go_in_parts_and_ranges),
        TEST(listings_have_pages),
        TEST(nothing_is_there_in_an_empty_store),
        TEST(corrupt_objects_are_put_aside),
        TEST(what_lies_about_is_swept),
        TEST(a_copy_onto_itself_is_new),
        TEST(urls_put_and_get),
    };
#define SETTINGS(name) cmocka_unit_test_setup_teardown(name, set_up_settings, temp_teardown)
    const struct CMUnitTest settings[] = {
        SETTINGS(settings_say_where_the_server_is),
        SETTINGS(a_server_names_no_other_host),
        SETTINGS(bad_settings_are_refused),
    };
    /* With a server first: the others empty the environment. */
    int failed = cmocka_run_group_tests_name("remote", remote, NULL, NULL);
    return failed + cmocka_run_group_tests_name("settings", settings, NULL, NULL);
}
