/* A web server: the door to libmicrohttpd. One thread of its own holds every connection; who
 * answers sits in other threads and hears of requests through mailboxes ("lanes").
 *
 *   connection ─▶ server's thread: head() ─▶ body (memory, or an unnamed file) ─▶ lane's mailbox
 *              ◀─ bytes | a file's bytes | a stream that grows  ◀─ http_server_answer
 *
 * A request waits for its answer without a thread. What a client can take is bounded: connections
 * (where there are no more, the longest silent one makes room), the size of head and body, how long
 * a request may trickle in, how slowly an answer may be read, how much of a stream may queue up for
 * a slow reader (who is cut off then). HTTP/1.1 alone; TLS is a reverse proxy's business. A path is
 * only text here: no file is opened for one.
 *
 * Source: RFC 9112 (messages), libmicrohttpd's manual ("external" event loop, suspend and resume).
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/net/httpd_message.h"

enum { HTTP_LANES_MAX = 4 };

struct http_server;

struct http_server_options {
    const char *address;      /* "127.0.0.1:7001", "[::1]:7001", "0.0.0.0:0" (any free port) */
    uint32_t connections_max; /* 0: HTTP_CONNECTIONS_MAX */
    uint32_t lane_count;      /* ≥ 1 */
    const char *spool;        /* folder in which bodies that want a file lie; NULL: none do */
    uint32_t patience_ms;     /* 0: HTTP_PATIENCE_MS; for tests */
    /* On the server's thread, once a request's head is there: sets body_max, wants_file, lane,
     * role, route and returns true, or fills `refusal` and returns false; then the body isn't read
     * and nobody else hears of the request. May use what does not change alone. */
    bool (*head)(void *context, struct httpd_request *request, struct httpd_response *refusal);
    /* On the server's thread: how to say what the server refuses itself (a body over its limit, a
     * path that is no text, …); `text` says why. NULL: as plain text. */
    void (*refuse)(void *context, const struct httpd_request *request, unsigned status,
                   const char *text, struct httpd_response *out);
    void *context;
};

/* Listens and starts the thread. Errors: E_INVALID no address; E_CONFLICT the port is in use;
 * E_DENIED; E_IO. All name the address. */
MUST_USE enum status http_server_open(const struct http_server_options *options,
                                      struct http_server **out, struct err *err);
/* Answers what waits with 503, ends streams, closes all connections, ends the thread. */
void http_server_close(struct http_server *server);
/* "127.0.0.1:40123": what it listens at. */
const char *http_server_address(const struct http_server *server);

/* ---- the lanes; each is one thread's ---- */

/* Readable while requests wait. */
int http_server_fd(const struct http_server *server, uint32_t lane);
/* The next request, or one with `is_closed`; the caller owns it. NULL: none now. */
struct httpd_request *http_server_next(struct http_server *server, uint32_t lane);
/* Any thread. `response` is taken and left empty. Once per request; whose client has gone is
 * answered in vain. A HEAD is answered as its GET: the body is left out here. */
void http_server_answer(struct http_server *server, uint64_t id, struct httpd_response *response);
/* More of a stream: queued, and sent in order. No error: that a reader has gone or was too slow is
 * told by a request with `is_closed`; one comes for each stream, also after
 * http_server_stream_end. */
void http_server_stream_put(struct http_server *server, uint64_t id, const void *data,
                            size_t bytes);
void http_server_stream_end(struct http_server *server, uint64_t id);

DEFINE_AUTO(struct http_server *, http_server_close)
