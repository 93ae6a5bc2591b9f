/* The signer against what AWS publishes: the cases of its test suite that concern a service which
 * does not normalise paths, as S3; and the examples of S3's API reference.
 * tests/system/test_s3_sigv4.py checks the same facts with botocore. */
// SPDX-License-Identifier: Apache-2.0
#include "common/net/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/crypto/sha256.h"
#include "common/fs.h"
#include "common/text/json.h"

#define VECTORS "tests/unit/common/net/sigv4.json"

struct vectors {
    struct arena arena;
    struct value document;
};

static int load(void **state)
{
    static struct vectors vectors;
    struct err err;
    AUTO(buf_fini) struct buf text = buf_init(0);
    if (fs_read(VECTORS, &text, &err) != OK ||
        json_parse(VECTORS, (const char *)text.bytes, text.count, &vectors.arena, &vectors.document,
                   &err) != OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    *state = &vectors;
    return 0;
}

static int unload(void **state)
{
    arena_fini(&((struct vectors *)*state)->arena);
    return 0;
}

static const char *text_of(const struct value *map, const char *key)
{
    const char *text = value_get_text(map, key);
    assert_non_null(text);
    return text;
}

static size_t pairs_of(const struct value *map, const char *key, struct sigv4_pair out[8])
{
    const struct value *list = value_get(map, key);
    assert_in_range(list->count, 0, 8);
    for (size_t i = 0; i < list->count; i++)
        out[i] = (struct sigv4_pair){list->items[i].items[0].text, list->items[i].items[1].text};
    return list->count;
}

static void expect_same(const char *name, const char *got, const char *end)
{
    if (!strstr(got, end) || strcmp(strstr(got, end), end) != 0)
        fail_msg("%s: %s does not end with %s", name, got, end);
}

static void check(const struct value *group, const struct value *entry)
{
    struct sigv4_pair query[8], headers[8];
    char hex[ID_HEX_BYTES];
    struct id payload, digest;
    const char *body = text_of(entry, "body"), *name = text_of(entry, "name");
    sha256_bytes(body, strlen(body), &payload);
    const struct sigv4_request request = {
        .method = text_of(entry, "method"),
        .host = text_of(group, "host"),
        .path = text_of(entry, "path"),
        .query = query,
        .query_count = pairs_of(entry, "query", query),
        .headers = headers,
        .header_count = pairs_of(entry, "headers", headers),
        .payload = id_hex(&payload, hex),
        .region = text_of(group, "region"),
        .service = text_of(group, "service"),
        .time_s = value_get(group, "time_s")->integer,
        .keys = {text_of(group, "id"), text_of(group, "secret"), value_get_text(entry, "token")}};
    AUTO(buf_fini) struct buf got = buf_init(0), canonical = buf_init(0);
    const struct value *seconds = value_get(entry, "seconds");
    if (seconds)
        sigv4_presign(&request, (uint32_t)seconds->integer, &got);
    else
        sigv4_sign(&request, &got);
    expect_same(name, buf_text(&got), text_of(entry, "signature"));
    const char *expected = value_get_text(entry, "canonical_sha256");
    if (!expected || seconds) /* a presigned URL's has another form */
        return;
    sigv4_canonical(&request, &canonical);
    sha256_bytes(canonical.bytes, canonical.count, &digest);
    assert_string_equal(id_hex(&digest, hex), expected);
}

static void published_signatures_come_out(void **state)
{
    const struct vectors *vectors = *state;
    const struct value *groups = &vectors->document;
    size_t count = 0;
    for (size_t i = 0; i < groups->count; i++) {
        const struct value *cases = value_get(&groups->items[i], "cases");
        for (size_t k = 0; k < cases->count; k++, count++)
            check(&groups->items[i], &cases->items[k]);
    }
    assert_int_equal(count, 29);
}

static const struct sigv4_request example = {
    .method = "GET",
    .host = "examplebucket.s3.amazonaws.com",
    .path = "/test.txt",
    .payload = SIGV4_UNSIGNED,
    .region = "us-east-1",
    .service = "s3",
    .time_s = 1369353600,
    .keys = {"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""}};

static void headers_and_urls_are_whole(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf got = buf_init(0);
    struct sigv4_request request = example;
    const struct sigv4_pair headers[] = {
        {"range", "bytes=0-9"},
        {"x-amz-content-sha256",
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}};
    request.headers = headers;
    request.header_count = 2;
    request.payload = headers[1].value;
    sigv4_sign(&request, &got);
    assert_string_equal(
        buf_text(&got),
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    buf_clear(&got);
    sigv4_presign(&example, 86400, &got);
    assert_string_equal(
        buf_text(&got),
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    request = example;
    request.keys.token = "tok/en+1=";
    buf_clear(&got);
    sigv4_presign(&request, 60, &got);
    assert_non_null(strstr(buf_text(&got), "&X-Amz-Security-Token=tok%2Fen%2B1%3D&"));
}

static void paths_and_queries_are_encoded_once(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf got = buf_init(0);
    sigv4_path("/a b/c+d~e//../%41/\xc3\xa4", &got);
    assert_string_equal(buf_text(&got), "/a%20b/c%2Bd~e//../%2541/%C3%A4");
    buf_clear(&got);
    const struct sigv4_pair query[] = {{"uploadId", "x/y="}, {"b", "2"}, {"a", "z"}, {"a", "y"}};
    const struct sigv4_request request = {.query = query, .query_count = 4};
    sigv4_query(&request, &got);
    assert_string_equal(buf_text(&got), "a=y&a=z&b=2&uploadId=x%2Fy%3D");
    char when[SIGV4_TIME_BYTES];
    sigv4_time(1709164800, when);
    assert_string_equal(when, "20240229T000000Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(published_signatures_come_out, load, unload),
        cmocka_unit_test(headers_and_urls_are_whole),
        cmocka_unit_test(paths_and_queries_are_encoded_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
