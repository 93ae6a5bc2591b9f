/* What the back end for S3 makes of odd answers: a server that says what the test wants. */
// SPDX-License-Identifier: Apache-2.0
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
#include "common/store/s3.h"
#include "tests/unit/common/net/fake_server.h"
#include "tests/unit/common/store/helpers.h"

static int set_up(void **state)
{
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    setenv("AWS_REGION", "here", 1);
    return temp_setup(state);
}

static struct store *open_fake(struct fake_server *server)
{
    struct store *store;
    setenv("AWS_ENDPOINT_URL_S3", fake_url(server, ""), 1);
    setenv("AWS_ACCESS_KEY_ID", "id", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    if (store_open("s3://b/p", &store, &store_err) != OK)
        fail_msg("%s", store_err.text);
    store_set_patience(store, 100);
    return store;
}

static size_t occurrences(const char *text, const char *word)
{
    size_t count = 0;
    for (; (text = strstr(text, word)); text += strlen(word))
        count++;
    return count;
}

#define OLD_HEAD                                                                                   \
    "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n"                                                 \
    "Last-Modified: Fri, 24 May 2013 00:00:00 GMT\r\n\r\n"
#define NEW_HEAD                                                                                   \
    "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n"                                                 \
    "Last-Modified: Fri, 24 May 2113 00:00:00 GMT\r\n\r\n"
#define EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static const char *say(struct temp *temp, const char *status, const char *code)
{
    return fake_answer(&temp->names, status,
                       arena_format(&temp->names, "<Error><Code>%s</Code></Error>", code));
}

/* Puts a blob that is asked for first, and counts the requests that begin so. */
static size_t put_seventy_thousand(const char *const *answers, const char *word)
{
    AUTO(mem_free) uint8_t *data = mem_alloc(70000);
    struct fake_server *server = fake_start(answers);
    struct store *store = open_fake(server);
    struct id id;
    if (store_put(store, data, 70000, &id, &store_err) != OK)
        fail_msg("%s", store_err.text);
    size_t count = occurrences(fake_requests(server), word);
    store_close(store);
    fake_stop(server);
    return count;
}

/* An old blob is made new by a copy onto itself. One that was removed between the look and the
 * copy, or whose copy failed with status 200, is put again. */
static void a_blob_that_could_not_be_made_new_is_put(void **state)
{
    struct temp *temp = *state;
    const char *copied = fake_answer(&temp->names, "200 OK", "<CopyObjectResult/>");
    const char *made[] = {OLD_HEAD, copied, NULL};
    const char *gone[] = {OLD_HEAD, say(temp, "404 Not Found", "NoSuchKey"), EMPTY, NULL};
    const char *failed[] = {OLD_HEAD, say(temp, "200 OK", "InvalidRequest"), EMPTY, NULL};
    const char *busy[] = {OLD_HEAD, say(temp, "200 OK", "InternalError"), copied, NULL};
    assert_int_equal(put_seventy_thousand(made, "PUT /b/p/blobs/"), 1);
    assert_int_equal(put_seventy_thousand(gone, "PUT /b/p/blobs/"), 2);
    assert_int_equal(put_seventy_thousand(failed, "PUT /b/p/blobs/"), 2);
    assert_int_equal(put_seventy_thousand(busy, "X-Amz-Copy-Source"),
                     2); /* as if it had said 500 */
}

/* A HEAD's refusal tells no region, the same as a GET does; then the HEAD is asked again, since of
 * a GET of one byte the length says nothing. */
static void a_head_is_asked_again_in_the_right_region(void **state)
{
    const char *answers[] = {
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        fake_answer(
            &((struct temp *)*state)->names, "400 Bad Request",
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>there</Region></Error>"),
        NEW_HEAD, NULL};
    assert_int_equal(put_seventy_thousand(answers, "PUT"), 0);
}

static struct s3_op *next_of_two(void *context)
{
    struct s3_op **at = context;
    return (*at)->method ? (*at)++ : NULL;
}

/* The first that hears of the right region corrects it for all; what was under way meanwhile, for
 * the wrong one, is no second mistake. */
static void all_that_run_move_to_the_right_region(void **state)
{
    const char *moved = fake_answer(&((struct temp *)*state)->names,
                                    "301 Moved Permanently\r\nX-Amz-Bucket-Region: there", "");
    const char *last = arena_format(&((struct temp *)*state)->names, "!%s", moved);
    const char *answers[] = {last, last, "!" EMPTY, "!" EMPTY, NULL};
    struct fake_server *server = fake_start(answers);
    struct store *store = open_fake(server);
    struct s3_op ops[] = {{.method = "GET", .key = "a"}, {.method = "GET", .key = "b"}, {0}};
    struct s3_op *at = ops;
    const struct s3_batch batch = {.parallel = 2, .next = next_of_two, .context = &at};
    if (s3_run(s3_of(store), &batch, &store_err) != OK)
        fail_msg("%s", store_err.text);
    assert_int_equal(occurrences(fake_requests(server), "/here/s3/aws4_request"), 2);
    assert_int_equal(occurrences(fake_requests(server), "/there/s3/aws4_request"), 2);
    store_close(store);
    fake_stop(server);
}

/* Asked to wait longer than the patience of 100 ms, it asks once more, and not as often as it would
 * by itself. */
static void a_server_says_when_to_ask_again(void **state)
{
    const char *busy = say(*state, "503 Slow\r\nRetry-After: 1", "SlowDown");
    const char *answers[] = {busy, busy, EMPTY, NULL};
    struct fake_server *server = fake_start(answers);
    struct store *store = open_fake(server);
    assert_int_equal(store_put_object(store, "a/b", "x", 1, &store_err), E_UNREACHABLE);
    assert_int_equal(occurrences(fake_requests(server), "PUT"), 2);
    store_close(store);
    fake_stop(server);
}

static const char *keys_for(struct temp *temp, const char *id, int seconds)
{
    char ends[32];
    struct tm utc;
    time_t when = time(NULL) + seconds;
    strftime(ends, sizeof ends, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&when, &utc));
    return fake_answer(
        &temp->names, "200 OK",
        arena_format(
            &temp->names,
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>"
            "<AccessKeyId>%s</AccessKeyId><SecretAccessKey>s</SecretAccessKey><Expiration>%s"
            "</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
            "</AssumeRoleWithWebIdentityResponse>",
            id, ends));
}

/* A store whose keys are those that `sts` gives. */
static struct store *open_with_sts(struct temp *temp, struct fake_server *sts,
                                   struct fake_server *server)
{
    struct store *store = open_fake(server);
    store_set_patience(store, 20000);
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    temp_write_text(temp_at(temp, "token"), "t");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", temp_at(temp, "token"), 1);
    setenv("AWS_ROLE_ARN", "arn", 1);
    setenv("AWS_ENDPOINT_URL_STS", fake_url(sts, "/"), 1);
    return store;
}

static void expect_url(struct store *store, const char *key, uint32_t least_s, uint32_t most_s)
{
    AUTO(buf_fini) struct buf url = buf_init(0);
    const struct store_presign presign = {.is_put = true, .seconds = 3600};
    if (store_presign(store, &presign, &url, &store_err) != OK)
        fail_msg("%s", store_err.text);
    const char *life = strstr(buf_text(&url), "X-Amz-Expires=");
    assert_non_null(life);
    assert_in_range(strtoul(life + 14, NULL, 10), least_s, most_s);
    assert_non_null(strstr(buf_text(&url), key));
}

/* Keys that are more than half over are fetched anew first. */
static void a_url_says_when_its_keys_end(void **state)
{
    struct temp *temp = *state;
    static const char *const none[] = {NULL};
    const char *given[] = {keys_for(temp, "FIRST", 4), keys_for(temp, "SECOND", 1000), NULL};
    struct fake_server *sts = fake_start(given), *server = fake_start(none);
    struct store *store = open_with_sts(temp, sts, server);
    expect_url(store, "Credential=FIRST%2F", 1, 4);
    sleep(3);
    expect_url(store, "Credential=SECOND%2F", 900, 1000);
    expect_url(store, "Credential=SECOND%2F", 900, 1000);
    store_close(store);
    fake_stop(server);
    fake_stop(sts);
}

/* Thousands of pods that begin at once are too many for STS, as they are for S3. */
static void keys_that_are_not_there_yet_are_waited_for(void **state)
{
    struct temp *temp = *state;
    const char *busy = fake_answer(&temp->names, "503 Slow", "");
    const char *given[] = {busy, busy, keys_for(temp, "K", 3600), NULL};
    static const char *const answers[] = {EMPTY, NULL};
    struct fake_server *sts = fake_start(given), *server = fake_start(answers);
    struct store *store = open_with_sts(temp, sts, server);
    if (store_put_object(store, "a/b", "x", 1, &store_err) != OK)
        fail_msg("%s", store_err.text);
    assert_non_null(strstr(fake_requests(server), "Credential=K/"));
    store_close(store);
    fake_stop(server);
    fake_stop(sts);
}

static void what_is_gone_or_out_of_reach_is_not_renewed(void **state)
{
    const char *gone[] = {OLD_HEAD, say(*state, "404 Not Found", "NoSuchKey"), NULL};
    /* It hangs up more often than a patience of 100 ms has tries. */
    static const char *const away[] = {OLD_HEAD, "", "", "", "", "", "", "", "", "", "",
                                       "",       "", "", "", "", "", "", "", "", "", NULL};
    struct id id = {{1}};
    bool has = true;
    struct fake_server *server = fake_start(gone);
    struct store *store = open_fake(server);
    assert_int_equal(store_renew(store, &id, 1, false, &has, &store_err), OK);
    assert_false(has);
    store_close(store);
    fake_stop(server);
    server = fake_start(away);
    store = open_fake(server);
    assert_int_equal(store_renew(store, &id, 1, false, &has, &store_err), E_UNREACHABLE);
    store_close(store);
    fake_stop(server);
}

static enum status take_one(void *context, const struct store_object *object, struct err *err)
{
    (void)err;
    size_t *count = context;
    assert_string_equal(object->key, "journal/7");
    assert_true(object->modified_s == INT64_MAX);
    ++*count;
    return OK;
}

static void odd_listings_are_survived(void **state)
{
    const char *ours = fake_answer(
        &((struct temp *)*state)->names, "200 OK",
        "<ListBucketResult>"
        "<Contents><Key>p/journal/7</Key><LastModified>soon</LastModified></Contents>"
        "<Contents><Key>x</Key></Contents><Contents><Size>1</Size></Contents>"
        "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        "</ListBucketResult>");
    const char *answers[] = {ours, ours, NULL};
    struct fake_server *server = fake_start(answers);
    struct store *store = open_fake(server);
    size_t count = 0;
    assert_int_equal(store_list_objects(store, "journal/", take_one, &count, &store_err),
                     E_PROTOCOL);
    assert_non_null(strstr(store_err.text, "a listing goes on, but nowhere"));
    assert_int_equal(count, 2); /* and then the same page once more */
    store_close(store);
    fake_stop(server);
}

/* One without a time is not as old as the one before it. */
static void an_upload_of_unknown_age_is_not_swept(void **state)
{
    struct arena *names = &((struct temp *)*state)->names;
    const char *answers[] = {
        fake_answer(names, "200 OK", "<ListBucketResult/>"),
        fake_answer(names, "200 OK",
                    "<ListMultipartUploadsResult><Upload><Key>p/blobs/a</Key><UploadId>1</UploadId>"
                    "<Initiated>2013-05-24T00:00:00Z</Initiated><Owner><ID>x</ID></Owner></"
                    "Upload><Upload><Key>p/blobs/b"
                    "</Key><UploadId>2</UploadId></Upload></ListMultipartUploadsResult>"),
        EMPTY, NULL};
    struct fake_server *server = fake_start(answers);
    struct store *store = open_fake(server);
    struct store_leavings left;
    if (store_sweep(store, 1500000000, true, &left, &store_err) != OK)
        fail_msg("%s", store_err.text);
    assert_int_equal(left.count, 1);
    assert_int_equal(occurrences(fake_requests(server), "DELETE /b/p/blobs/a?uploadId=1"), 1);
    store_close(store);
    fake_stop(server);
}

static void put_twice(const char *const *answers, uint32_t patience_ms, enum status first,
                      enum status second)
{
    struct fake_server *server = fake_start(answers);
    struct store *store = open_fake(server);
    store_set_patience(store, patience_ms);
    assert_int_equal(store_put_object(store, "journal/1", "x", 1, &store_err), first);
    if (first == OK)
        assert_int_equal(store_put_object(store, "journal/2", "x", 1, &store_err), second);
    store_close(store);
    fake_stop(server);
}

/* Strict at first; but where they worked before somebody will give fresh ones. */
static void keys_that_have_ended_are_waited_for(void **state)
{
    enum { LONG_MS = 60000, SHORT_MS = 1 };
    const char *ended = say(*state, "400 Bad Request", "ExpiredToken"),
               *text = "the key id has ended (ExpiredToken); give fresh ones";
    const char *never[] = {ended, NULL}, *back[] = {EMPTY, ended, ended, ended, EMPTY, NULL},
               *gone[] = {EMPTY, ended, ended, ended, ended, ended, ended, ended, ended, NULL};
    put_twice(never, LONG_MS, E_DENIED, OK);
    assert_non_null(strstr(store_err.text, text));
    put_twice(back, LONG_MS, OK, OK);
    put_twice(gone, SHORT_MS, OK, E_UNREACHABLE);
    assert_non_null(strstr(store_err.text, text));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, temp_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_blob_that_could_not_be_made_new_is_put),
        TEST(a_head_is_asked_again_in_the_right_region),
        TEST(all_that_run_move_to_the_right_region),
        TEST(a_server_says_when_to_ask_again),
        TEST(a_url_says_when_its_keys_end),
        TEST(keys_that_are_not_there_yet_are_waited_for),
        TEST(what_is_gone_or_out_of_reach_is_not_renewed),
        TEST(keys_that_have_ended_are_waited_for),
        TEST(odd_listings_are_survived),
        TEST(an_upload_of_unknown_age_is_not_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
