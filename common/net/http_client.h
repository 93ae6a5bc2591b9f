/* HTTP requests: many at a time on kept connections (HTTP/1.1), for a thread that waits for
 * them. The door to libcurl. Used for S3 and its credentials, for a served broker, for webhooks.
 *
 *   http_do        one request and its answer
 *   http_start     one of many; http_next hands out those that have ended, in the order they end
 *
 * Bodies stream in both directions. What is sent is read by offset, since a connection that died
 * in between makes it begin again. Of an answer other than 2xx the body is kept apart
 * (http_error_body), so that a sink never mistakes an error page for what it asked for. An
 * answer whose body is shorter than it said is a failure. No redirect is followed unless asked;
 * nothing but http and https is spoken; certificates are always checked. Proxies are taken from
 * the environment (https_proxy, no_proxy).
 *
 * Messages name the URL without its query, which may hold a signature.
 *
 * A client is used by one thread. Source: RFC 9110, RFC 9112. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "proto/err.h"

struct http;
struct http_call;

struct http_options {
    const char *ca_file;    /* certificates to trust (PEM), no others; NULL: the system's */
    uint32_t connect_ms;    /* to get a connection; 0: HTTP_CONNECT_MS */
    uint32_t same_host_max; /* connections to one host at a time; further requests wait. 0: 8 */
};
MUST_USE enum status http_open(const struct http_options *options, struct http **out,
                               struct err *err);
/* Calls that still run are given up. */
void http_close(struct http *http);

struct http_header {
    const char *name, *value;
};

struct http_request {
    const char *method; /* "GET", "HEAD", "PUT", "POST", "DELETE" */
    const char *url;    /* copied, like method and headers */
    const struct http_header *headers;
    size_t header_count;
    /* What is sent: `body_bytes` of `body`, or, if there is `read`, what it says; both are borrowed
     * until the call ends. `read` fills all of `bytes` from `offset`. */
    const void *body;
    uint64_t body_bytes;
    enum status (*read)(void *context, uint64_t offset, void *into, size_t bytes, struct err *err);
    /* Where the body of a 2xx answer goes: to `write`, else to `out`, else nowhere. What they
     * return other than OK ends the call with that. */
    enum status (*write)(void *context, const void *piece, size_t bytes, struct err *err);
    struct buf *out;
    void *context;     /* of read and write */
    uint32_t whole_ms; /* for all of it; 0: no limit */
    /* It is given up when fewer bytes a second than this move for so long; 0: never. */
    uint32_t slow_bytes, slow_seconds;
    bool follows_redirects;
    bool is_direct; /* past the proxies of the environment */
};

/* What became of a call, for who decides what to do next. */
enum http_fault {
    HTTP_FINE,          /* there is an answer, of whatever status */
    HTTP_NO_HOST,       /* the name is not known */
    HTTP_NO_CONNECTION, /* refused, unreachable, or not there in connect_ms */
    HTTP_TOO_SLOW,      /* whole_ms or slow_seconds */
    HTTP_BROKEN,        /* the connection ended early, or what came is no HTTP */
    HTTP_UNTRUSTED,     /* TLS: the certificate, or no TLS at all */
    HTTP_BAD_URL,       /* the URL, a header or ca_file can't be used */
    HTTP_STOPPED,       /* read or write said so */
};

/* Begins a call. It moves on in http_next. `owner` comes back by http_owner. */
void http_start(struct http *http, const struct http_request *request, void *owner,
                struct http_call **out);
/* Waits until a call ends, `timeout_ms` at most, and hands it out; NULL when none did. */
struct http_call *http_next(struct http *http, int timeout_ms);
/* How many run. */
size_t http_running(const struct http *http);
/* Gives the call back; one that still runs is given up. */
void http_end(struct http_call *call);
/* All in one: starts it and waits for its end (others move on meanwhile). The call is handed out
 * whatever became of it; NULL never. */
struct http_call *http_do(struct http *http, const struct http_request *request);

void *http_owner(const struct http_call *call);
enum http_fault http_fault(const struct http_call *call);
/* OK for every answer, also of status 404; else E_UNREACHABLE, E_DENIED (HTTP_UNTRUSTED), E_INVALID
 * (HTTP_BAD_URL) or what read or write returned, with "URL: why". */
MUST_USE enum status http_result(const struct http_call *call, struct err *err);
/* The answer's status (200, 404, …); 0: none came. */
int http_status(const struct http_call *call);
/* The answer's header of this name in lower case, its last if there are several; NULL: none. */
const char *http_header(const struct http_call *call, const char *name);
/* The body of an answer other than 2xx, up to HTTP_ERROR_BYTES_MAX. */
struct buf *http_error_body(struct http_call *call);
/* The URL without query; lives as long as the call. */
const char *http_place(const struct http_call *call);

DEFINE_AUTO(struct http *, http_close)
DEFINE_AUTO(struct http_call *, http_end)
