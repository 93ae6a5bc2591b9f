// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/common/net/fake_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"

struct fake_server {
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    struct buf requests;
    int connections;
    int listener, stop[2], port;
    const char *const *answers;
    struct arena names;
};

static bool is_readable(struct fake_server *server, int fd)
{
    struct pollfd waits[] = {{.fd = fd, .events = POLLIN},
                             {.fd = server->stop[0], .events = POLLIN}};
    return poll(waits, 2, 20000) > 0 && !waits[1].revents;
}

static size_t length_of(const char *head)
{
    const char *line = strcasestr(head, "\r\ncontent-length:");
    return line ? strtoul(line + 17, NULL, 10) : 0;
}

/* One whole request, or false: nobody asks any more. */
static bool take_request(struct fake_server *server, int fd)
{
    AUTO(buf_fini) struct buf request = buf_init(0);
    for (;;) {
        const char *end = strstr(buf_text(&request), "\r\n\r\n");
        if (end && request.count >= (size_t)(end + 4 - (const char *)request.bytes) +
                                        length_of(buf_text(&request)))
            break;
        uint8_t *room = buf_reserve(&request, 65536);
        ssize_t bytes = is_readable(server, fd) ? recv(fd, room, 65536, 0) : 0;
        if (bytes <= 0)
            return false;
        request.count += (size_t)bytes;
    }
    pthread_mutex_lock(&server->lock);
    buf_put(&server->requests, request.bytes, request.count);
    pthread_mutex_unlock(&server->lock);
    return true;
}

/* False: the connection is over. */
static bool answer(struct fake_server *server, int fd)
{
    const char *text = *server->answers++;
    bool is_last = !*text || *text == '!';
    if (*text == '~') {
        (void)is_readable(server, fd);
        return false;
    }
    text += *text == '!';
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        return false;
    return !is_last;
}

static void *serve(void *context)
{
    struct fake_server *server = context;
    while (*server->answers && is_readable(server, server->listener)) {
        int fd = accept(server->listener, NULL, NULL);
        pthread_mutex_lock(&server->lock);
        server->connections++;
        pthread_mutex_unlock(&server->lock);
        while (*server->answers && take_request(server, fd) && answer(server, fd)) {
        }
        close(fd);
    }
    return NULL;
}

const char *fake_answer(struct arena *names, const char *status, const char *body)
{
    return arena_format(names, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body),
                        body);
}

struct fake_server *fake_start(const char *const *answers)
{
    struct fake_server *server = mem_alloc(sizeof *server);
    *server = (struct fake_server){.answers = answers, .requests = buf_init(0)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(server->listener, 16), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &bytes), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(pipe(server->stop), 0);
    pthread_mutex_init(&server->lock, NULL);
    assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
    return server;
}

void fake_stop(struct fake_server *server)
{
    close(server->stop[1]);
    pthread_join(server->thread, NULL);
    close(server->stop[0]);
    close(server->listener);
    pthread_mutex_destroy(&server->lock);
    buf_fini(&server->requests);
    arena_fini(&server->names);
    mem_free(server);
}

int fake_port(const struct fake_server *server)
{
    return server->port;
}

const char *fake_url(struct fake_server *server, const char *path)
{
    return arena_format(&server->names, "http://127.0.0.1:%d%s", server->port, path);
}

const char *fake_requests(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    const char *text = buf_text(&server->requests);
    char *copy = arena_text(&server->names, text, strlen(text));
    pthread_mutex_unlock(&server->lock);
    return copy;
}

int fake_connections(struct fake_server *server)
{
    pthread_mutex_lock(&server->lock);
    int count = server->connections;
    pthread_mutex_unlock(&server->lock);
    return count;
}
