// SPDX-License-Identifier: Apache-2.0
#include "common/net/http_server.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fs.h"
#include "proto/limits.h"
#include "tests/unit/common/net/http_story.h"

static struct http_story story;

static void test_a_request_and_its_answer(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){0});
    int fd = story_connect(&story);
    story_say(fd,
              "GET /v1/a%2Fb%20c/d?x=1&y=a+b%26&x=2&z HTTP/1.1\r\nHost: x\r\nX-Mine: 7\r\n\r\n");
    struct httpd_request *r = story_take(&story);
    assert_string_equal(r->method, "GET");
    assert_int_equal(r->segment_count, 3);
    assert_string_equal(r->segments[1], "a/b c");
    assert_string_equal(r->segments[2], "d");
    assert_string_equal(httpd_request_query(r, "x"), "2");
    assert_string_equal(httpd_request_query(r, "y"), "a b&");
    assert_string_equal(httpd_request_query(r, "z"), "");
    assert_null(httpd_request_query(r, "w"));
    assert_string_equal(httpd_request_header(r, "x-mine"), "7");
    assert_memory_equal(r->peer, "127.0.0.1:", 10);
    struct httpd_response response = {.status = 201, .content_type = "text/plain", .fd = -1};
    response.body = buf_init(0);
    buf_put_text(&response.body, "well");
    httpd_response_header(&response, "X-Theirs", "8");
    http_server_answer(story.server, r->id, &response);
    const char *heard = story_hear(fd, "well");
    assert_memory_equal(heard, "HTTP/1.1 201", 12);
    assert_non_null(strstr(heard, "X-Theirs: 8\r\n"));
    assert_non_null(strstr(heard, "Content-Length: 4\r\n"));
    httpd_request_free(r);
    /* The connection is kept. */
    story_say(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    r = story_take(&story);
    assert_int_equal(r->segment_count, 0);
    story_answer(&story, r->id, 200, "again");
    story_hear(fd, "again");
    httpd_request_free(r);
    close(fd);
    story_close(&story);
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){0});
    int fd = story_connect(&story);
    story_say(fd, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"
                  "POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                  "GET /3 HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 1; i <= 3; i++) {
        struct httpd_request *r = story_take(&story);
        char expected[] = {(char)('0' + i), 0}, answer[] = "<n>";
        answer[1] = expected[0];
        assert_string_equal(r->segments[0], expected);
        story_answer(&story, r->id, 200, answer);
        story_hear(fd, answer);
        httpd_request_free(r);
    }
    close(fd);
    story_close(&story);
}

/* ---- bodies ---- */

static void say_chunked(int fd, size_t bytes)
{
    static char body[5000];
    memset(body, 'x', sizeof body);
    char head[200];
    snprintf(head, sizeof head,
             "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n", bytes);
    story_say(fd, head);
    assert_int_equal(send(fd, body, bytes, MSG_NOSIGNAL), (ssize_t)bytes);
    story_say(fd, "\r\n0\r\n\r\n");
}

static void test_bodies_up_to_their_limit(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){0});
    int fd = story_connect(&story);
    story_say(fd, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
    story_say(fd, "llo");
    struct httpd_request *r = story_take(&story);
    assert_int_equal(r->body.count, 5);
    assert_memory_equal(r->body.bytes, "hello", 5);
    story_answer(&story, r->id, 200, "one");
    httpd_request_free(r);
    story_hear(fd, "one");
    say_chunked(fd, 1000);
    r = story_take(&story);
    assert_int_equal(r->body.count, 1000);
    story_answer(&story, r->id, 200, "two");
    httpd_request_free(r);
    story_hear(fd, "two");
    say_chunked(fd, 1001);
    story_hear(fd, "HTTP/1.1 413");
    assert_true(story_is_silent(&story));
    close(fd);
    story_close(&story);
}

/* One that is announced is refused before it is sent: the connection ends, the rest is not read. */
static void test_a_huge_body_is_refused_by_its_head(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){0});
    int fd = story_connect(&story);
    story_say(fd, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nabc");
    assert_memory_equal(story_hear(fd, NULL), "HTTP/1.1 413", 12);
    assert_true(story_is_silent(&story));
    close(fd);
    story_close(&story);
}

static bool want_file(void *context, struct httpd_request *request, struct httpd_response *refusal)
{
    (void)context, (void)refusal;
    request->body_max = 10 << 20;
    request->wants_file = true;
    return true;
}

static void test_a_body_in_a_file_and_a_file_as_answer(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){.head = want_file, .patience_ms = 2000});
    int fd = story_connect(&story);
    story_say(fd, "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n");
    static char body[2000001];
    memset(body, 'y', sizeof body - 1);
    story_say(fd, body);
    struct httpd_request *r = story_take(&story);
    AUTO(buf_fini) struct buf read_back = buf_init(0);
    assert_int_equal(r->body_bytes, 2000000);
    assert_int_equal(lseek(r->body_fd, 0, SEEK_SET), 0);
    assert_int_equal(fs_read_fd(r->body_fd, "body", &read_back, NULL), OK);
    assert_int_equal(read_back.count, 2000000);
    assert_memory_equal(read_back.bytes, body, 2000000);
    struct httpd_response response = {.kind = HTTPD_FILE, .status = 200, .fd = r->body_fd};
    r->body_fd = -1;
    response.file_bytes = 2000000;
    http_server_answer(story.server, r->id, &response);
    httpd_request_free(r);
    shutdown(fd, SHUT_WR);
    const char *heard = story_hear(fd, NULL);
    assert_non_null(strstr(heard, "Content-Length: 2000000\r\n"));
    assert_int_equal(strlen(strstr(heard, "\r\n\r\n") + 4), 2000000);
    close(fd);
    story_close(&story);
}

/* ---- streams ---- */

static uint64_t begin_stream(int fd, const char *method)
{
    char head[100];
    snprintf(head, sizeof head, "%s /events HTTP/1.1\r\nHost: x\r\n\r\n", method);
    story_say(fd, head);
    struct httpd_request *r = story_take(&story);
    uint64_t id = r->id;
    struct httpd_response response = {.kind = HTTPD_STREAM, .status = 200, .fd = -1};
    response.content_type = "text/event-stream";
    response.body = buf_init(0);
    buf_put_text(&response.body, "begin ");
    http_server_answer(story.server, id, &response);
    httpd_request_free(r);
    return id;
}

static void expect_closed(uint64_t id)
{
    struct httpd_request *closed = story_take(&story);
    assert_true(closed->is_closed);
    assert_int_equal(closed->id, id);
    httpd_request_free(closed);
}

static void test_a_stream_grows_until_it_ends(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){0});
    int fd = story_connect(&story);
    uint64_t id = begin_stream(fd, "GET");
    http_server_stream_put(story.server, id, "one ", 4); /* right behind the answer */
    story_hear(fd, "one ");
    http_server_stream_put(story.server, id, "two ", 4);
    story_hear(fd, "two ");
    http_server_stream_put(story.server, id, "three", 5);
    http_server_stream_end(story.server, id);
    story_hear(fd, "three");
    expect_closed(id);
    http_server_stream_put(story.server, id, "late", 4); /* nobody hears it, nothing breaks */
    /* The connection goes on. */
    id = begin_stream(fd, "HEAD");
    story_hear(fd, "text/event-stream");
    expect_closed(id);
    close(fd);
    story_close(&story);
}

static void test_a_reader_that_hangs_up_is_told_of(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){.patience_ms = 200});
    int fd = story_connect(&story);
    uint64_t id = begin_stream(fd, "GET");
    story_hear(fd, "begin ");
    close(fd);
    expect_closed(id);
    story_close(&story);
}

static void test_a_slow_reader_is_cut_off(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){0});
    int slow = story_connect(&story), quick = story_connect(&story);
    uint64_t slow_id = begin_stream(slow, "GET"), quick_id = begin_stream(quick, "GET");
    static char block[256 << 10];
    for (int i = 0; i < 100; i++) /* sockets' own buffers hold some MiB */
        http_server_stream_put(story.server, slow_id, block, sizeof block);
    expect_closed(slow_id);
    http_server_stream_put(story.server, quick_id, "still here", 10);
    story_hear(quick, "still here");
    close(slow);
    close(quick);
    story_close(&story);
}

static void test_who_left_before_the_stream_began_is_told_of(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){.patience_ms = 200});
    int fd = story_connect(&story);
    story_say(fd, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    struct httpd_request *r = story_take(&story);
    close(fd);
    struct httpd_response response = {.kind = HTTPD_STREAM, .status = 200, .fd = -1};
    http_server_answer(story.server, r->id, &response);
    expect_closed(r->id);
    httpd_request_free(r);
    story_close(&story);
}

/* ---- beginning and end ---- */

static void test_more_connections_than_there_may_be_wait(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){.connections_max = 2, .patience_ms = 400});
    int first = story_connect(&story), second = story_connect(&story);
    begin_stream(first, "GET");
    begin_stream(second, "GET");
    story_hear(first, "begin ");
    int third = story_connect(&story); /* the system's backlog takes it */
    story_say(third, "GET /third HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_null(http_server_next(story.server, 0));
    close(first);
    struct httpd_request *closed = story_take(&story);
    assert_true(closed->is_closed);
    httpd_request_free(closed);
    struct httpd_request *r = story_take(&story);
    assert_string_equal(r->segments[0], "third");
    httpd_request_free(r);
    close(second);
    close(third);
    story_close(&story);
}

static void test_closing_answers_what_waits(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){0});
    int waits = story_connect(&story), streams = story_connect(&story);
    int idle = story_connect(&story);
    begin_stream(streams, "GET");
    story_hear(streams, "begin ");
    story_say(waits, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    struct httpd_request *r = story_take(&story);
    httpd_request_free(r);
    http_server_close(story.server);
    assert_memory_equal(story_hear(waits, NULL), "HTTP/1.1 503", 12);
    assert_non_null(strstr(story_hear(streams, NULL), "0\r\n\r\n")); /* the last chunk */
    assert_string_equal(story_hear(idle, NULL), "");
    close(waits);
    close(streams);
    close(idle);
    assert_int_equal(fs_remove_tree(story.folder, NULL), OK);
}

static bool refuse_some(void *context, struct httpd_request *r, struct httpd_response *refusal)
{
    (void)context;
    r->body_max = 10;
    r->lane = 1;
    if (r->segment_count && strcmp(r->segments[0], "no") == 0) {
        refusal->status = 403;
        return false;
    }
    return true;
}

static void say_refusal(void *context, const struct httpd_request *request, unsigned status,
                        const char *text, struct httpd_response *out)
{
    (void)context;
    out->status = status;
    out->body = buf_init(0);
    buf_format(&out->body, "<%s: %s>", request->target, text);
}

static void test_heads_are_refused_and_lanes_chosen(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){
                           .head = refuse_some, .refuse = say_refusal, .lane_count = 2});
    int fd = story_connect(&story);
    story_say(fd, "POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n12345678901234567890");
    story_hear(fd, "HTTP/1.1 403");
    story_say(fd, "GET /yes HTTP/1.1\r\nHost: x\r\n\r\n"); /* the same connection */
    assert_null(http_server_next(story.server, 0));
    struct httpd_request *r = NULL;
    for (int i = 0; !r && i < STORY_WAIT_MS; i++, usleep(1000))
        r = http_server_next(story.server, 1);
    assert_non_null(r);
    story_answer(&story, r->id, 200, "yes");
    story_hear(fd, "yes");
    httpd_request_free(r);
    story_say(fd, "POST /y HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n12345678901");
    story_hear(fd, "</y: the body is larger than this route takes>");
    close(fd);
    story_close(&story);
}

static void test_addresses_that_cannot_be(void **state)
{
    (void)state;
    struct err err = {0};
    story_open(&story, (struct http_server_options){0});
    static const struct {
        const char *address, *text;
        enum status status;
    } cases[] = {
        {"7001", "7001: expected ADDRESS:PORT", E_INVALID},
        {"nowhere.example:1", "\"nowhere.example\" is not an IP address", E_INVALID},
        {"127.0.0.1:70000", "its port \"70000\" is not in 0 … 65535", E_INVALID},
        {"127.0.0.1:", "its port \"\"", E_INVALID},
        {"203.0.113.9:7001", "not an address of this machine", E_INVALID},
        {NULL, "another program listens there already", E_CONFLICT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_server *second;
        struct http_server_options options = {.address = cases[i].address, .lane_count = 1};
        if (!options.address)
            options.address = http_server_address(story.server);
        assert_int_equal(http_server_open(&options, &second, &err), cases[i].status);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_null(second);
    }
    story_close(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_and_its_answer),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_bodies_up_to_their_limit),
        cmocka_unit_test(test_a_huge_body_is_refused_by_its_head),
        cmocka_unit_test(test_a_body_in_a_file_and_a_file_as_answer),
        cmocka_unit_test(test_a_stream_grows_until_it_ends),
        cmocka_unit_test(test_a_reader_that_hangs_up_is_told_of),
        cmocka_unit_test(test_a_slow_reader_is_cut_off),
        cmocka_unit_test(test_who_left_before_the_stream_began_is_told_of),
        cmocka_unit_test(test_more_connections_than_there_may_be_wait),
        cmocka_unit_test(test_closing_answers_what_waits),
        cmocka_unit_test(test_heads_are_refused_and_lanes_chosen),
        cmocka_unit_test(test_addresses_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
