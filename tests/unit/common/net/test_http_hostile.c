/* Clients that mean harm, or don't know better: what they say comes to nobody's ears, and costs the
 * others nothing. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/limits.h"
#include "tests/unit/common/net/http_story.h"

static struct http_story story;

/* Whatever is said: no request comes of it, and the next client is served. */
static void expect_refused(const char *text, const char *status)
{
    int fd = story_connect(&story);
    story_say(fd, text);
    shutdown(fd, SHUT_WR);
    const char *heard = story_hear(fd, NULL);
    if (strncmp(heard, status, strlen(status)) != 0)
        fail_msg("\"%.60s\": expected \"%s\", heard \"%.200s\"", text, status, heard);
    close(fd);
    assert_true(story_is_silent(&story));
}

static void test_what_is_no_request_is_refused(void **state)
{
    (void)state;
#define HOST "Host: x\r\n"
    static const char *const cases[][2] = {
        {"\x16\x03\x01\x02\x00\x01\x00\x01", ""}, /* TLS */
        {"GET\r\n\r\n", ""},
        {"GET /x HTTP/1.1\r\n\r\n", "HTTP/1.1 400"},
        {"GET /%2e%2e/x HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400"},
        {"GET /../x HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400"},
        {"GET /a%00b HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400"},
        {"GET /a%0d%0ab HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400"},
        {"GET /%ff HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400"},
        {"GET /%4 HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400"},
        {"GET /a?%zz=1 HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400"},
        {"GET http://x/a HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400"},
        {"GET /1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400"},
        {"POST /x HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n",
         "HTTP/1.1 400"},
        {"POST /x HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
         "HTTP/1.1 400"},
        {"POST /x HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\n", "HTTP/1.1 400"},
        {"POST /x HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999999\r\n\r\n",
         "HTTP/1.1 4"},
        {"POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", ""},
        {"GET /x HTTP/1.1\r\n" HOST "Host: y\r\n\r\n", "HTTP/1.1 400"},
        {"POST /x HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551615\r\n\r\n",
         "HTTP/1.1 413"},
        {"POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 400"},
        {"POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 400"},
        {"POST /x HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
         "HTTP/1.1 400"},
        {"GET /x HTTP/1.1\r\n" HOST " Host: y\r\n\r\n", "HTTP/1.1 400"},
        {"GET /x HTTP/1.1\r\n" HOST "X: y\rz\r\n\r\n", "HTTP/1.1 400"},
    };
    story_open(&story, (struct http_server_options){.patience_ms = 400});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_refused(cases[i][0], cases[i][1]);
    story_close(&story);
}

/* Where one request ends and the next begins is not known: what follows is not read as one. */
static void test_behind_what_is_ambiguous_nothing_is_read(void **state)
{
    (void)state;
    static const char *const heads[] = {"Content-Length: 0\r\nContent-Length: 4\r\n",
                                        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                                        "Transfer-Encoding : chunked\r\n",
                                        "Transfer-Encoding: xchunked\r\n"};
    story_open(&story, (struct http_server_options){0});
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        AUTO(buf_fini) struct buf text = buf_init(0);
        int fd = story_connect(&story);
        buf_format(&text, "POST /x HTTP/1.1\r\n" HOST "%s\r\nGET /second HTTP/1.1\r\n" HOST "\r\n",
                   heads[i]);
        story_say(fd, buf_text(&text));
        const char *heard = story_hear(fd, NULL);
        assert_memory_equal(heard, "HTTP/1.1 400", 12);
        if (strstr(heard + 1, "HTTP/1.1"))
            fail_msg("%s: a second answer: %s", heads[i], heard);
        close(fd);
    }
    assert_true(story_is_silent(&story));
    story_close(&story);
}

static void test_heads_beyond_the_limit_are_refused(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf text = buf_init(0);
    story_open(&story, (struct http_server_options){.patience_ms = 400});
    buf_put_text(&text, "GET /x HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < HTTPD_HEADERS_MAX; i++)
        buf_format(&text, "X-%d: y\r\n", i);
    buf_put_text(&text, "\r\n");
    expect_refused(buf_text(&text), "HTTP/1.1 431");
    buf_clear(&text);
    buf_put_text(&text, "GET /x HTTP/1.1\r\nHost: x\r\nX-Long: ");
    for (int i = 0; i < 100000; i++)
        buf_put_char(&text, 'a');
    buf_put_text(&text, "\r\n\r\n");
    expect_refused(buf_text(&text), "HTTP/1.1 4");
    story_close(&story);
}

/* A head that trickles in holds its connection for as long as the server's patience, and no request
 * comes of it; nobody else waits for it. */
static void test_a_head_that_trickles_is_cut_off(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){.patience_ms = 300});
    int fd = story_connect(&story);
    story_say(fd, "GET /x HTTP/1.1\r\nHost: x\r\nX-Slow: ");
    char byte = 'a';
    int said = 0;
    while (send(fd, &byte, 1, MSG_NOSIGNAL) == 1 && said < 1000) {
        said++;
        usleep(20000);
    }
    assert_in_range(said, 1, 999);
    assert_true(story_is_silent(&story));
    close(fd);
    story_close(&story);
}

/* Connections that ask nothing keep nobody out: the one that has been silent for longest goes. */
static void test_who_asks_nothing_makes_room(void **state)
{
    (void)state;
    story_open(&story, (struct http_server_options){.connections_max = 2});
    int silent = story_connect(&story);
    story_say(silent, "GET /first HTTP/1.1\r\nHost: x\r\n\r\n");
    struct httpd_request *r = story_take(&story);
    story_answer(&story, r->id, 200, "answered");
    story_hear(silent, "answered");
    httpd_request_free(r);
    int half = story_connect(&story);
    story_say(half, "GET /half HTTP/1.1\r\nHo");
    int third = story_connect(&story);
    story_say(third, "GET /third HTTP/1.1\r\nHost: x\r\n\r\n");
    r = story_take(&story);
    assert_string_equal(r->segments[0], "third");
    httpd_request_free(r);
    assert_string_equal(story_hear(silent, NULL), "");
    story_say(half, "st: x\r\n\r\n");
    r = story_take(&story);
    assert_string_equal(r->segments[0], "half");
    httpd_request_free(r);
    close(silent);
    close(half);
    close(third);
    story_close(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_request_is_refused),
        cmocka_unit_test(test_behind_what_is_ambiguous_nothing_is_read),
        cmocka_unit_test(test_heads_beyond_the_limit_are_refused),
        cmocka_unit_test(test_a_head_that_trickles_is_cut_off),
        cmocka_unit_test(test_who_asks_nothing_makes_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
