/* What a web server is asked and what it answers, as plain data: no library's types, no sockets.
 * Source: RFC 9110 (semantics), RFC 3986 (URIs). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/net/mailbox.h"
#include "proto/err.h"

struct httpd_pair {
    const char *name, *value;
};

enum {
    HTTPD_SEGMENTS_MAX = 16,
    HTTPD_QUERY_MAX = 128,
    HTTPD_HEADERS_MAX = 64,
    HTTPD_PEER_BYTES = 64
};

/* One request; its texts live in its arena. */
struct httpd_request {
    struct mail mail;
    struct arena arena;
    uint64_t id; /* for http_server_answer */
    char method[12];
    const char *target; /* as sent: "/v1/runs?limit=2" */
    /* The path's parts, percent-decoded: "/v1/artifacts/a%2Fb" has three. Valid UTF-8 without
     * control characters; none is ".", "..", and a "/" in one came as %2F. */
    const char *segments[HTTPD_SEGMENTS_MAX];
    size_t segment_count;
    struct httpd_pair query[HTTPD_QUERY_MAX]; /* decoded, in order */
    size_t query_count;
    struct httpd_pair headers[HTTPD_HEADERS_MAX];
    size_t header_count;
    char peer[HTTPD_PEER_BYTES]; /* "127.0.0.1:40312" */
    int64_t begun_us;            /* clock_us() when its head had come */

    /* The body: in memory, or if that was asked for in an unnamed file. */
    struct buf body;
    int body_fd; /* −1: in memory */
    uint64_t body_bytes;

    /* Set by whoever looks at the head (see http_server.h); the rest is theirs. */
    uint64_t body_max;
    bool wants_file;
    uint8_t lane;
    bool is_closed; /* not a request: the exchange `id`, which streamed, has come to its end */
    uint8_t role;
    const void *route;
};

struct httpd_request *httpd_request_new(void);
void httpd_request_free(struct httpd_request *request);
/* Fills target, segments and query from the request line. Errors: E_INVALID a bad escape, bytes
 * that are no text, "." or ".." as a part; E_LIMIT too many parts. */
MUST_USE enum status httpd_request_target(struct httpd_request *request, const char *target,
                                          struct err *err);
/* The header's value, or NULL; names in any case. */
const char *httpd_request_header(const struct httpd_request *request, const char *name);
/* How often it was sent. */
size_t httpd_request_header_count(const struct httpd_request *request, const char *name);
/* Is its Content-Type this one ("application/json"), whatever its parameters are? */
bool httpd_request_is_type(const struct httpd_request *request, const char *type);
/* The query's value of that name, the last one if there are several, or NULL. */
const char *httpd_request_query(const struct httpd_request *request, const char *name);

/* How it is answered. */
enum httpd_kind {
    HTTPD_BYTES,
    HTTPD_FILE,  /* the open file's bytes; its owner is the response */
    HTTPD_STREAM /* `body`, then what http_server_stream_put adds, until http_server_stream_end */
};
enum { HTTPD_ANSWER_HEADERS_MAX = 8 };
struct httpd_response {
    enum httpd_kind kind;
    unsigned status;
    const char *content_type;                            /* a literal */
    struct httpd_pair headers[HTTPD_ANSWER_HEADERS_MAX]; /* values: mem_free'd with the response */
    size_t header_count;
    struct buf body;
    int fd;
    uint64_t file_bytes;
};

/* `name` is a literal; the value is copied. */
void httpd_response_header(struct httpd_response *response, const char *name, const char *value);
void httpd_response_number(struct httpd_response *response, const char *name, uint64_t number);
void httpd_response_fini(struct httpd_response *response);

DEFINE_AUTO(struct httpd_request *, httpd_request_free)
DEFINE_AUTO_VALUE(struct httpd_response, httpd_response_fini)
