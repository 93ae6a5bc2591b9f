// SPDX-License-Identifier: Apache-2.0
#include "common/net/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/limits.h"
#include "tests/unit/common/net/fake_server.h"

static struct err err;

static struct http *client(void)
{
    struct http *http;
    assert_int_equal(http_open(&(struct http_options){.connect_ms = 2000}, &http, &err), OK);
    return http;
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Length: "

static void one_connection_serves_many_requests(void **state)
{
    (void)state;
    static const char *const answers[] = {OK_HEAD
                                          "3\r\nETag: \"x\"\r\nX-Two: 1\r\nx-two: 2 \r\n\r\nabc",
                                          OK_HEAD "0\r\n\r\n", OK_HEAD "0\r\n\r\n", NULL};
    struct fake_server *server = fake_start(answers);
    struct http *http = client();
    AUTO(buf_fini) struct buf out = buf_init(0);
    const struct http_header headers[] = {{"X-Mine", "yes"}, {"X-Empty", ""}};
    struct http_request request = {.method = "GET",
                                   .url = fake_url(server, "/a/../b?q=1"),
                                   .headers = headers,
                                   .header_count = 2,
                                   .out = &out};
    struct http_call *call = http_do(http, &request);
    assert_int_equal(http_result(call, &err), OK);
    assert_int_equal(http_status(call), 200);
    assert_string_equal(buf_text(&out), "abc");
    assert_string_equal(http_header(call, "etag"), "\"x\"");
    assert_string_equal(http_header(call, "x-two"), "2");
    assert_null(http_header(call, "x-tw"));
    assert_string_equal(http_place(call), fake_url(server, "/a/../b"));
    http_end(call);
    request = (struct http_request){
        .method = "PUT", .url = fake_url(server, "/put"), .body = "hello", .body_bytes = 5};
    call = http_do(http, &request);
    assert_int_equal(http_status(call), 200);
    http_end(call);
    request = (struct http_request){.method = "POST", .url = fake_url(server, "/post")};
    call = http_do(http, &request);
    assert_int_equal(http_status(call), 200);
    http_end(call);
    const char *seen = fake_requests(server);
    assert_non_null(strstr(seen, "GET /a/../b?q=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(seen, "X-Mine: yes\r\n"));
    assert_non_null(strstr(seen, "X-Empty:\r\n"));
    assert_null(strstr(seen, "Expect"));
    assert_non_null(strstr(seen, "PUT /put HTTP/1.1\r\n"));
    assert_non_null(strstr(seen, "Content-Length: 5\r\n"));
    assert_non_null(strstr(seen, "\r\n\r\nhelloPOST /post HTTP/1.1\r\n"));
    assert_non_null(strstr(seen, "Content-Length: 0\r\n"));
    assert_int_equal(fake_connections(server), 1);
    http_close(http);
    fake_stop(server);
}

static void an_answer_that_says_no_is_kept_apart(void **state)
{
    (void)state;
    static const char *const answers[] = {"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone",
                                          "HTTP/1.1 302 Found\r\nLocation: /there\r\n"
                                          "Content-Length: 0\r\n\r\n",
                                          "HTTP/1.1 302 Found\r\nLocation: /there\r\n"
                                          "Content-Length: 4\r\n\r\nmove",
                                          OK_HEAD "4\r\n\r\nhere", NULL};
    struct fake_server *server = fake_start(answers);
    struct http *http = client();
    AUTO(buf_fini) struct buf out = buf_init(0);
    struct http_request request = {.method = "GET", .url = fake_url(server, "/"), .out = &out};
    struct http_call *call = http_do(http, &request);
    assert_int_equal(http_result(call, &err), OK);
    assert_int_equal(http_status(call), 404);
    assert_int_equal(out.count, 0);
    assert_string_equal(buf_text(http_error_body(call)), "gone");
    http_end(call);
    call = http_do(http, &request); /* not followed unless asked */
    assert_int_equal(http_status(call), 302);
    assert_string_equal(http_header(call, "location"), "/there");
    http_end(call);
    request.follows_redirects = true;
    call = http_do(http, &request);
    assert_int_equal(http_status(call), 200);
    assert_string_equal(buf_text(&out), "here");
    assert_null(http_header(call, "location")); /* of the last answer alone */
    http_end(call);
    http_close(http);
    fake_stop(server);
}

static void expect_fault(const char *url, enum http_fault fault, enum status status,
                         const char *text)
{
    struct http *http = client();
    AUTO(buf_fini) struct buf out = buf_init(0);
    const struct http_request request = {.method = "GET", .url = url, .out = &out, .whole_ms = 300};
    struct http_call *call = http_do(http, &request);
    assert_int_equal(http_result(call, &err), status);
    assert_int_equal(http_fault(call), fault);
    if (!strstr(err.text, text))
        fail_msg("%s", err.text);
    assert_null(strstr(err.text, "secret"));
    http_end(call);
    http_close(http);
}

static void faults_are_told_apart(void **state)
{
    (void)state;
    static const char *const none[] = {NULL};
    static const char *const answers[] = {"!" OK_HEAD "10\r\n\r\nshort", "!", "~", "!no http",
                                          NULL};
    char closed[64];
    struct fake_server *gone = fake_start(none);
    snprintf(closed, sizeof closed, "%s", fake_url(gone, "/x?secret"));
    fake_stop(gone);
    expect_fault(closed, HTTP_NO_CONNECTION, E_UNREACHABLE, "/x: Failed to connect");
    struct fake_server *server = fake_start(answers);
    const char *url = fake_url(server, "/x?secret");
    expect_fault(url, HTTP_BROKEN, E_UNREACHABLE, "/x: transfer closed with 5 bytes remaining");
    expect_fault(url, HTTP_BROKEN, E_UNREACHABLE, "/x: Empty reply from server");
    expect_fault(url, HTTP_TOO_SLOW, E_UNREACHABLE, "/x: Operation timed out");
    expect_fault(url, HTTP_BROKEN, E_UNREACHABLE, "HTTP/0.9");
    fake_stop(server);
    expect_fault("ftp://x/", HTTP_BAD_URL, E_INVALID, "ftp");
    expect_fault("http://no-such-host.invalid/?secret", HTTP_NO_HOST, E_UNREACHABLE,
                 "Could not resolve host");
}

struct sink {
    uint64_t bytes, stop_at;
};

static enum status swallow(void *context, const void *piece, size_t bytes, struct err *out)
{
    struct sink *sink = context;
    (void)piece;
    sink->bytes += bytes;
    return sink->bytes >= sink->stop_at ? err_set(out, E_FULL, "the sink is full") : OK;
}

static enum status draw(void *context, uint64_t offset, void *into, size_t bytes, struct err *out)
{
    struct sink *sink = context;
    if (offset + bytes > sink->stop_at)
        return err_set(out, E_CONFLICT, "the source changed");
    for (size_t i = 0; i < bytes; i++)
        ((char *)into)[i] = (char)('a' + (offset + i) % 26);
    sink->bytes += bytes;
    return OK;
}

static void bodies_stream_and_may_stop(void **state)
{
    (void)state;
    static const char *const answers[] = {OK_HEAD "0\r\n\r\n", OK_HEAD "5\r\n\r\n12345", "", NULL};
    struct fake_server *server = fake_start(answers);
    struct http *http = client();
    struct sink sink = {.stop_at = 1000000};
    struct http_request request = {.method = "PUT",
                                   .url = fake_url(server, "/"),
                                   .read = draw,
                                   .body_bytes = 100000,
                                   .context = &sink};
    struct http_call *call = http_do(http, &request);
    assert_int_equal(http_status(call), 200);
    assert_int_equal(sink.bytes, 100000);
    http_end(call);
    assert_non_null(strstr(fake_requests(server), "\r\n\r\nabcdefghijklmnopqrstuvwxyzabc"));
    sink = (struct sink){.stop_at = 5};
    request = (struct http_request){
        .method = "GET", .url = fake_url(server, "/"), .write = swallow, .context = &sink};
    call = http_do(http, &request);
    assert_int_equal(http_fault(call), HTTP_STOPPED);
    assert_int_equal(http_result(call, &err), E_FULL);
    assert_string_equal(err.text, "the sink is full");
    http_end(call);
    sink.stop_at = 10;
    request = (struct http_request){.method = "PUT",
                                    .url = fake_url(server, "/"),
                                    .read = draw,
                                    .body_bytes = 100000,
                                    .context = &sink};
    call = http_do(http, &request);
    assert_int_equal(http_result(call, &err), E_CONFLICT);
    http_end(call);
    http_close(http);
    fake_stop(server);
}

/* A connection that died while nobody used it is no fault: libcurl asks again on a new one, and the
 * body is read from its beginning. */
static void a_dead_connection_is_made_anew(void **state)
{
    (void)state;
    static const char *const answers[] = {"!" OK_HEAD "0\r\n\r\n", OK_HEAD "0\r\n\r\n", NULL};
    struct fake_server *server = fake_start(answers);
    struct http *http = client();
    const struct http_request request = {
        .method = "PUT", .url = fake_url(server, "/"), .body = "again", .body_bytes = 5};
    for (int i = 0; i < 2; i++) {
        struct http_call *call = http_do(http, &request);
        assert_int_equal(http_result(call, &err), OK);
        assert_int_equal(http_status(call), 200);
        http_end(call);
    }
    assert_int_equal(fake_connections(server), 2);
    http_close(http);
    fake_stop(server);
}

static void many_run_at_once(void **state)
{
    (void)state;
    static const char *const answers[] = {OK_HEAD "1\r\n\r\n1", OK_HEAD "1\r\n\r\n2",
                                          OK_HEAD "1\r\n\r\n3", OK_HEAD "1\r\n\r\n4", NULL};
    struct fake_server *server = fake_start(answers);
    struct http *http;
    assert_int_equal(http_open(&(struct http_options){.same_host_max = 1}, &http, &err), OK);
    struct http_call *call;
    const struct http_request request = {.method = "GET", .url = fake_url(server, "/")};
    int owners[3];
    for (int i = 0; i < 3; i++)
        http_start(http, &request, &owners[i], &call);
    struct http_call *mine = http_do(http, &request); /* the others move on meanwhile */
    assert_int_equal(http_status(mine), 200);
    http_end(mine);
    bool is_seen[3] = {0};
    for (int i = 0; i < 3; i++) {
        call = http_next(http, 10000);
        assert_non_null(call);
        is_seen[(int *)http_owner(call) - owners] = true;
        http_end(call);
    }
    assert_true(is_seen[0] && is_seen[1] && is_seen[2]);
    assert_int_equal(http_running(http), 0);
    assert_null(http_next(http, 0));
    http_close(http);
    fake_stop(server);
}

static void what_runs_may_be_given_up(void **state)
{
    (void)state;
    static const char *const answers[] = {"~", NULL};
    struct fake_server *server = fake_start(answers);
    struct http *http = client();
    struct http_call *call, *other;
    const struct http_request request = {.method = "GET", .url = fake_url(server, "/")};
    http_start(http, &request, NULL, &call);
    http_start(http, &request, NULL, &other);
    assert_null(http_next(http, 50));
    assert_int_equal(http_running(http), 2);
    http_end(call);
    assert_int_equal(http_running(http), 1);
    http_close(http); /* takes the other with it */
    fake_stop(server);
}

static void long_answers_are_bounded(void **state)
{
    (void)state;
    AUTO(buf_fini) struct buf text = buf_init(0);
    buf_format(&text, "HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n", 2 * HTTP_ERROR_BYTES_MAX);
    for (int i = 0; i < 2 * HTTP_ERROR_BYTES_MAX; i++)
        buf_put_char(&text, 'x');
    const char *answers[] = {buf_text(&text), OK_HEAD "4\r\n\r\n1234", NULL};
    struct fake_server *server = fake_start(answers);
    struct http *http = client();
    AUTO(buf_fini) struct buf small = buf_init(3);
    const struct http_request request = {
        .method = "GET", .url = fake_url(server, "/"), .out = &small};
    struct http_call *call = http_do(http, &request);
    assert_int_equal(http_status(call), 500);
    assert_int_equal(http_error_body(call)->count, HTTP_ERROR_BYTES_MAX);
    http_end(call);
    call = http_do(http, &request);
    assert_int_equal(http_result(call, &err), E_LIMIT);
    http_end(call);
    http_close(http);
    fake_stop(server);
}

/* Takes one connection, hears something, and closes. */
static void *hang_up(void *context)
{
    const int *listener = context;
    char heard[64];
    int fd = accept(*listener, NULL, NULL);
    (void)!recv(fd, heard, sizeof heard, 0);
    close(fd);
    return NULL;
}

/* So does a server that is just going: tried again, while a certificate that is wrong is not. */
static void a_handshake_that_is_cut_off_is_no_distrust(void **state)
{
    (void)state;
    pthread_t thread;
    char url[64];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    assert_int_equal(pthread_create(&thread, NULL, hang_up, &listener), 0);
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", ntohs(address.sin_port));
    struct http *http = client();
    const struct http_request request = {.method = "GET", .url = url};
    struct http_call *call = http_do(http, &request);
    assert_int_equal(http_result(call, &err), E_UNREACHABLE);
    assert_int_equal(http_fault(call), HTTP_BROKEN);
    http_end(call);
    http_close(http);
    pthread_join(thread, NULL);
    close(listener);
}

static void a_connection_that_is_gone_raises_no_signal(void **state)
{
    (void)state;
    struct sigaction action;
    struct http *http = client();
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_IGN);
    http_close(http);
}

static void what_would_be_another_header_is_refused(void **state)
{
    (void)state;
    struct http *http = client();
    static const struct http_header headers[] = {
        {"X-A", "b\r\nX-C: d"}, {"X-A", "b\n"}, {"X-A\r\nX-C", "d"}, {"X-A", "\rb"}};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        const struct http_request request = {.method = "GET",
                                             .url = "http://127.0.0.1:1/",
                                             .headers = &headers[i],
                                             .header_count = 1};
        struct http_call *call = http_do(http, &request);
        assert_int_equal(http_result(call, &err), E_INVALID);
        assert_non_null(strstr(err.text, "a line's end in a header"));
        assert_null(strstr(err.text, "X-C"));
        http_end(call);
    }
    assert_int_equal(http_running(http), 0);
    http_close(http);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_connection_serves_many_requests),
        cmocka_unit_test(an_answer_that_says_no_is_kept_apart),
        cmocka_unit_test(faults_are_told_apart),
        cmocka_unit_test(bodies_stream_and_may_stop),
        cmocka_unit_test(a_dead_connection_is_made_anew),
        cmocka_unit_test(many_run_at_once),
        cmocka_unit_test(what_runs_may_be_given_up),
        cmocka_unit_test(long_answers_are_bounded),
        cmocka_unit_test(a_handshake_that_is_cut_off_is_no_distrust),
        cmocka_unit_test(a_connection_that_is_gone_raises_no_signal),
        cmocka_unit_test(what_would_be_another_header_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
