// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/doc.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "common/store/tree.h"
#include "tests/unit/broker/api/api_story.h"

static struct api_story story;

static int set_up(void **state)
{
    (void)state;
    api_story_open(&story);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    api_story_close(&story);
    return 0;
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    while ((text = strstr(text, part))) {
        count++;
        text += strlen(part);
    }
    return count;
}

/* ---- events ---- */

static void test_events_come_as_they_happen_until_the_run_is_over(void **state)
{
    (void)state;
    story.event_count = 2;
    int fd = api_say(&story, "GET", "/v1/runs/latest/events", NULL, NULL);
    const char *heard = api_hear(&story, fd, "id: 2\n");
    assert_non_null(strstr(heard, "Content-Type: text/event-stream\r\n"));
    assert_non_null(
        strstr(heard, "id: 1\nevent: task\ndata: {\"id\": 1, \"event\": \"task\"}\n\n"));
    story.event_count = 3;
    api_hear(&story, fd, "id: 3\n");
    story.event_count = 4;
    story.is_over = true;
    heard = api_hear(&story, fd, NULL); /* it ends by itself */
    assert_non_null(strstr(heard, "id: 4\nevent: run\n"));
    close(fd);
}

static void test_who_comes_back_goes_on_where_it_was(void **state)
{
    (void)state;
    story.event_count = 5;
    int fd = api_say(&story, "GET", "/v1/runs/r/events", "Last-Event-ID: 3\r\n", NULL);
    const char *heard = api_hear(&story, fd, "id: 5\n");
    assert_null(strstr(heard, "id: 3\n"));
    assert_non_null(strstr(heard, "id: 4\n"));
    close(fd);
    fd = api_say(&story, "GET", "/v1/runs/r/events?after=4", NULL, NULL);
    heard = api_hear(&story, fd, "id: 5\n");
    assert_null(strstr(heard, "id: 4\n"));
    close(fd);
    story.first_event = 5; /* the others are forgotten */
    fd = api_say(&story, "GET", "/v1/runs/r/events", "Last-Event-ID: 1\r\n", NULL);
    api_hear(&story, fd, "id: 4\nevent: lost\n");
    close(fd);
    assert_int_equal(
        api_ask(&story, "GET", "/v1/runs/r/events", "Last-Event-ID: x\r\n", NULL).status, 400);
}

/* That others do much costs nothing to those who watch a run in which nothing happens. */
static void test_nothing_is_lost_that_is_not_ones_own(void **state)
{
    (void)state;
    story.event_count = 1;
    int fd = api_say(&story, "GET", "/v1/runs/r/events", NULL, NULL);
    api_hear(&story, fd, "id: 1\n");
    story.event_count = 30;
    story.others_end = 31;
    api_turn(story.api);
    story.first_event = 20;
    story.event_count = 40;
    story.others_end = 41;
    api_turn(story.api);
    story.event_count = 41;
    assert_null(strstr(api_hear(&story, fd, "id: 41\n"), "lost"));
    close(fd);
}

/* Whoever asks when it is all over hears at least how it ended. */
static void test_a_run_that_is_over_says_how_it_ended(void **state)
{
    (void)state;
    story.is_over = true;
    struct api_heard heard = api_ask(&story, "GET", "/v1/runs/r/events", NULL, NULL);
    assert_int_equal(heard.status, 200);
    assert_non_null(strstr(heard.body, "event: run\ndata: {\"event\": \"run\", \"run\": \"run-1\", "
                                       "\"pipeline\": \"p\", \"state\": \"succeeded\""));
    story.event_count = 3;
    heard = api_ask(&story, "GET", "/v1/runs/r/events?after=3", NULL, NULL);
    assert_int_equal(count_of(heard.body, "event: run\n"), 1);
    heard = api_ask(&story, "GET", "/v1/runs/r/events", NULL, NULL);
    assert_int_equal(count_of(heard.body, "event: run\n"), 1);
    story.fails = E_NOTFOUND;
    assert_int_equal(api_ask(&story, "GET", "/v1/runs/r/events", NULL, NULL).status, 404);
}

static void test_many_watch_and_leave(void **state)
{
    (void)state;
    enum { WATCHERS = 50 };
    int fds[WATCHERS];
    for (int i = 0; i < WATCHERS; i++)
        fds[i] = api_say(&story, "GET", i % 2 ? "/v1/events" : "/v1/runs/r/events", NULL, NULL);
    for (int i = 0; i < WATCHERS; i++)
        api_hear(&story, fds[i], "retry: 1000\n\n");
    for (int i = 0; i < WATCHERS; i += 3)
        close(fds[i]);
    story.event_count = 1;
    for (int i = 0; i < WATCHERS; i++)
        if (i % 3) {
            api_hear(&story, fds[i], "id: 1\n");
            close(fds[i]);
        }
    assert_int_equal(api_ask(&story, "GET", "/healthz", NULL, NULL).status, 200);
}

/* ---- logs ---- */

static void test_a_log_is_read_from_where_one_stands(void **state)
{
    (void)state;
    story.log_text = "one\ntwo\n";
    story.log.attempt = 2;
    struct api_heard heard = api_ask(&story, "GET", "/v1/runs/r/tasks/a%5Bb=c%5D/log", NULL, NULL);
    assert_string_equal(heard.body, "one\ntwo\n");
    assert_non_null(strstr(heard.headers, "X-Log-Attempt: 2\r\n"));
    assert_non_null(strstr(heard.headers, "X-Log-Offset: 8\r\n"));
    assert_non_null(strstr(heard.headers, "X-Log-Final: false\r\n"));
    story.log.is_final = true;
    heard = api_ask(&story, "GET", "/v1/logs/r/a?attempt=2&offset=4", NULL, NULL);
    assert_string_equal(heard.body, "two\n");
    assert_non_null(strstr(heard.headers, "X-Log-Final: true\r\n"));
    assert_string_equal(story.asked, "logs r/a[b=c] 0 0\nlogs r/a 2 4\n");
}

static void test_a_log_is_followed_until_it_is_final(void **state)
{
    (void)state;
    static const char events[] = "Accept: text/event-stream\r\n";
    story.log_text = "one ";
    story.log.attempt = 1;
    int plain = api_say(&story, "GET", "/v1/logs/a?follow=true", NULL, NULL);
    api_hear(&story, plain, "one ");
    int other = api_say(&story, "GET", "/v1/logs/a?follow=true", events, NULL);
    api_hear(&story, other, "\"text\": \"one \"}\n\n");
    story.log_text = "one \"two\"\n";
    api_hear(&story, plain, "\"two\"\n");
    api_hear(&story, other, "\"text\": \"\\\"two\\\"\\n\"}\n\n");
    story.log.is_final = true;
    api_hear(&story, plain, NULL);
    assert_non_null(strstr(api_hear(&story, other, NULL), "\"is_final\": true, \"text\": \"\"}"));
    close(plain);
    close(other);
    /* One that is final already is an answer like others. */
    assert_string_equal(api_ask(&story, "GET", "/v1/logs/a?follow=true", NULL, NULL).body,
                        "one \"two\"\n");
}

/* ---- bytes ---- */

static const char *blob_path(const char *bytes, const char *person, const char *query)
{
    static char path[200];
    char hex[ID_HEX_BYTES];
    struct id id;
    hash_bytes(person, bytes, strlen(bytes), &id);
    snprintf(path, sizeof path, "/v1/blobs/%s%s", id_hex(&id, hex), query);
    return path;
}

static void test_bytes_go_in_and_come_out(void **state)
{
    (void)state;
    static const char type[] = "Content-Type: application/octet-stream\r\n";
    struct api_heard heard = api_ask(&story, "PUT", blob_path("hello", NULL, ""), type, "hello");
    assert_int_equal(heard.status, 201);
    assert_non_null(strstr(heard.body, "\"bytes\": 5}"));
    heard = api_ask(&story, "GET", blob_path("hello", NULL, ""), NULL, NULL);
    assert_int_equal(heard.status, 200);
    assert_string_equal(heard.body, "hello");
    heard = api_ask(&story, "HEAD", blob_path("hello", NULL, ""), NULL, NULL);
    assert_non_null(strstr(heard.headers, "Content-Length: 5\r\n"));
    assert_int_equal(api_ask(&story, "PUT", blob_path("", NULL, ""), type, "").status, 201);
}

/* What is not what its path says counts for nothing. */
static void test_bytes_that_lie_are_refused(void **state)
{
    (void)state;
    static const char type[] = "Content-Type: application/octet-stream\r\n";
    struct api_heard heard = api_ask(&story, "PUT", blob_path("hello", NULL, ""), type, "hullo");
    assert_int_equal(heard.status, 422);
    assert_non_null(strstr(heard.body, "\"code\": \"corrupt\""));
    assert_int_equal(api_ask(&story, "GET", blob_path("hello", NULL, ""), NULL, NULL).status, 404);
    assert_int_equal(api_ask(&story, "GET", blob_path("hullo", NULL, ""), NULL, NULL).status, 404);
    assert_int_equal(
        api_ask(&story, "PUT", blob_path("x", "penstock tree", "?tree=true"), type, "y").status,
        422);
    static const char *const bad[] = {"/v1/blobs/x", "/v1/blobs/%2Fetc%2Fpasswd",
                                      "/v1/blobs/..%2F..%2Fwrite.token", "/v1/blobs/%2e%2e%2fx"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(api_ask(&story, "GET", bad[i], NULL, NULL).status, 400);
    assert_int_equal(api_ask(&story, "GET", "/v1/blobs//etc/passwd", NULL, NULL).status, 404);
}

static void name_artifact(const char *bytes, const struct id *tree, struct arena *arena)
{
    struct id id;
    hash_bytes(NULL, bytes, strlen(bytes), &id);
    story.artifact = doc_map();
    doc_put(arena, &story.artifact, "id", doc_id(arena, tree ? tree : &id));
    doc_put(arena, &story.artifact, "tree", value_bool(tree != NULL));
}

static void test_artifacts_by_name(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    static const char type[] = "Content-Type: application/octet-stream\r\n";
    assert_int_equal(api_ask(&story, "PUT", blob_path("hello", NULL, ""), type, "hello").status,
                     201);
    name_artifact("hello", NULL, &arena);
    struct api_heard heard =
        api_ask(&story, "GET", "/v1/artifacts/latest/a%5Bb=c%5D.out", NULL, NULL);
    assert_int_equal(heard.status, 200);
    assert_string_equal(heard.body, "hello");
    assert_string_equal(story.asked, "artifact latest/a[b=c].out\n");
    assert_int_equal(api_ask(&story, "GET", "/v1/artifacts/a.out?path=x", NULL, NULL).status, 400);
    story.fails = E_NOTFOUND;
    assert_int_equal(api_ask(&story, "GET", "/v1/artifacts/a.out", NULL, NULL).status, 404);
    name_artifact("never put", NULL, &arena);
    assert_int_equal(api_ask(&story, "GET", "/v1/artifacts/a.out", NULL, NULL).status, 404);
}

static void test_trees_are_listed_and_their_files_sent(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    AUTO(buf_fini) struct buf folder = buf_init(0), path = buf_init(0), url = buf_init(0);
    AUTO(store_close) struct store *store = NULL;
    struct artifact tree;
    buf_format(&url, "%s/store", story.home);
    buf_format(&folder, "%s/tree", story.home);
    buf_format(&path, "%s/tree/a.txt", story.home);
    assert_int_equal(fs_make_dirs(buf_text(&folder), NULL), OK);
    assert_int_equal(fs_write(buf_text(&path), "hello", 5, NULL), OK);
    assert_int_equal(store_open(buf_text(&url), &store, NULL), OK);
    assert_int_equal(tree_put(store, buf_text(&folder), &tree, NULL), OK);
    name_artifact("", &tree.id, &arena);
    struct api_heard heard = api_ask(&story, "GET", "/v1/artifacts/a.model", NULL, NULL);
    assert_non_null(strstr(heard.body, "\"files\": [{\"path\": \"a.txt\", \"is_executable\": "
                                       "false, \"bytes\": 5, \"id\": \""));
    heard = api_ask(&story, "GET", "/v1/artifacts/a.model?path=a.txt", NULL, NULL);
    assert_string_equal(heard.body, "hello");
    heard = api_ask(&story, "GET", "/v1/artifacts/a.model?path=../write.token", NULL, NULL);
    assert_int_equal(heard.status, 404);
}

static void test_uploads_say_what_lacks(void **state)
{
    (void)state;
    struct api_heard heard =
        api_ask(&story, "POST", "/v1/uploads", NULL,
                "{\"artifacts\": [{\"id\": "
                "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\", "
                "\"bytes\": 3, \"is_tree\": false}]}");
    assert_int_equal(heard.status, 200);
    assert_non_null(strstr(heard.body, "{\"uploads\": [{\"id\": \"0123"));
    heard = api_ask(&story, "POST", "/v1/uploads", NULL,
                    "{\"artifacts\": [{\"id\": "
                    "\"X123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\", "
                    "\"bytes\": 3}]}");
    assert_int_equal(heard.status, 400);
    assert_int_equal(api_ask(&story, "POST", "/v1/uploads", NULL, NULL).status, 400);
    assert_string_equal(story.asked, "uploads 1\n");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_events_come_as_they_happen_until_the_run_is_over),
        TEST(test_who_comes_back_goes_on_where_it_was),
        TEST(test_nothing_is_lost_that_is_not_ones_own),
        TEST(test_a_run_that_is_over_says_how_it_ended),
        TEST(test_many_watch_and_leave),
        TEST(test_a_log_is_read_from_where_one_stands),
        TEST(test_a_log_is_followed_until_it_is_final),
        TEST(test_bytes_go_in_and_come_out),
        TEST(test_bytes_that_lie_are_refused),
        TEST(test_artifacts_by_name),
        TEST(test_trees_are_listed_and_their_files_sent),
        TEST(test_uploads_say_what_lacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
