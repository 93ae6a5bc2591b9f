// SPDX-License-Identifier: Apache-2.0
#include "common/net/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { CONNECT_MS = 2000, MANY = 4 << 20 };

static struct err err;

/* A socket that listens on a free port; nobody accepts but the test. */
static int listen_tcp(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static struct stream *open_stream(const struct stream_options *options)
{
    struct stream *stream;
    if (stream_open(options, &stream, &err) != OK)
        fail_msg("%s", err.text);
    return stream;
}

/* What the other side sent, at most once round the clock. */
static size_t receive_some(struct stream *stream, char *out, size_t bytes)
{
    size_t got = 0;
    assert_int_equal(stream_receive(stream, out, bytes, &got, &err), OK);
    if (!got && stream_wait(stream, false, CONNECT_MS))
        assert_int_equal(stream_receive(stream, out, bytes, &got, &err), OK);
    return got;
}

static void talk(struct stream *stream, int peer)
{
    char text[16] = "";
    size_t count;
    assert_int_equal(stream_receive(stream, text, sizeof text, &count, &err), OK);
    assert_int_equal(count, 0); /* nothing yet, and nobody waited */
    assert_int_equal(stream_send(stream, "ping", 4, &count, &err), OK);
    assert_int_equal(count, 4);
    assert_int_equal(read(peer, text, sizeof text), 4);
    assert_memory_equal(text, "ping", 4);
    assert_int_equal(write(peer, "pong", 4), 4);
    assert_int_equal(receive_some(stream, text, sizeof text), 4);
    assert_memory_equal(text, "pong", 4);
}

static void bytes_go_both_ways_over_tcp(void **context)
{
    (void)context;
    uint16_t port;
    int server = listen_tcp(&port);
    struct stream *stream = open_stream(
        &(struct stream_options){.host = "localhost", .port = port, .connect_ms = CONNECT_MS});
    int peer = accept(server, NULL, NULL);
    talk(stream, peer);
    stream_close(stream);
    char byte;
    assert_int_equal(read(peer, &byte, 1), 0);
    close(peer);
    close(server);
}

static void bytes_go_both_ways_over_a_unix_socket(void **context)
{
    (void)context;
    char folder[] = "/tmp/penstock-stream-XXXXXX";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_non_null(mkdtemp(folder));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/sock", folder);
    int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server, 4), 0);
    struct stream *stream =
        open_stream(&(struct stream_options){.path = address.sun_path, .connect_ms = CONNECT_MS});
    int peer = accept(server, NULL, NULL);
    talk(stream, peer);
    stream_close(stream);
    close(peer);
    close(server);
    unlink(address.sun_path);
    rmdir(folder);
}

/* A full pipe takes nothing more, and says so by wait. */
static void sending_never_waits(void **context)
{
    (void)context;
    uint16_t port;
    int server = listen_tcp(&port);
    struct stream *stream = open_stream(
        &(struct stream_options){.host = "127.0.0.1", .port = port, .connect_ms = CONNECT_MS});
    int peer = accept(server, NULL, NULL);
    char *data = calloc(1, MANY);
    size_t total = 0, sent = 1;
    while (sent) {
        assert_int_equal(stream_send(stream, data, MANY, &sent, &err), OK);
        total += sent;
    }
    assert_false(stream_wait(stream, true, 1));
    for (ssize_t n; total && (n = read(peer, data, MANY)) > 0;)
        total -= (size_t)n;
    assert_true(stream_wait(stream, true, CONNECT_MS));
    free(data);
    stream_close(stream);
    close(peer);
    close(server);
}

static void a_closed_connection_is_unreachable(void **context)
{
    (void)context;
    uint16_t port;
    int server = listen_tcp(&port);
    struct stream *stream = open_stream(
        &(struct stream_options){.host = "127.0.0.1", .port = port, .connect_ms = CONNECT_MS});
    close(accept(server, NULL, NULL));
    char text[8];
    size_t got;
    assert_true(stream_wait(stream, false, CONNECT_MS));
    assert_int_equal(stream_receive(stream, text, sizeof text, &got, &err), E_UNREACHABLE);
    assert_non_null(strstr(err.text, "closed"));
    stream_close(stream);
    close(server);
}

static void who_does_not_listen_is_named(void **context)
{
    (void)context;
    uint16_t port;
    struct stream *stream;
    close(listen_tcp(&port));
    struct stream_options options = {.host = "127.0.0.1", .port = port, .connect_ms = CONNECT_MS};
    assert_int_equal(stream_open(&options, &stream, &err), E_UNREACHABLE);
    assert_null(stream);
    assert_non_null(strstr(err.text, "127.0.0.1:"));
    options = (struct stream_options){.path = "/nonexistent/sock", .connect_ms = CONNECT_MS};
    assert_int_equal(stream_open(&options, &stream, &err), E_UNREACHABLE);
    assert_non_null(strstr(err.text, "/nonexistent/sock"));
}

/* It listens, and never says a word of TLS. */
static void a_handshake_has_an_end(void **context)
{
    (void)context;
    uint16_t port;
    struct stream *stream;
    int server = listen_tcp(&port);
    struct stream_options options = {
        .host = "127.0.0.1", .port = port, .is_tls = true, .connect_ms = 100};
    assert_int_equal(stream_open(&options, &stream, &err), E_UNREACHABLE);
    options.ca_file = "/nonexistent/ca.pem";
    assert_int_equal(stream_open(&options, &stream, &err), E_DENIED);
    assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
    close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_over_tcp),
        cmocka_unit_test(bytes_go_both_ways_over_a_unix_socket),
        cmocka_unit_test(sending_never_waits),
        cmocka_unit_test(a_closed_connection_is_unreachable),
        cmocka_unit_test(who_does_not_listen_is_named),
        cmocka_unit_test(a_handshake_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
