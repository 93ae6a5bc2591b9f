// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/net/http_server_inside.h"
#include "proto/limits.h"

enum {
    STREAM_BLOCK_BYTES = 16 << 10,
    /* A refused body this short is read to its end, so that its sender hears why. */
    SWALLOW_BYTES_MAX = 1 << 20
};

/* ---- connections ---- */

enum { ID_SLOT_SHIFT = 8, ID_COUNT_SHIFT = 32 };

struct link *link_find(const struct http_server *server, uint64_t id)
{
    uint32_t slot = (uint32_t)(id >> ID_SLOT_SHIFT) & 0xffffff;
    struct link *link = slot < server->link_count_max ? server->links[slot] : NULL;
    return link && link->id == id ? link : NULL;
}

static void patience_from_now(struct link *link, uint64_t bytes)
{
    link->deadline_at =
        clock_ms() + link->server->patience_ms + (ms_t)(bytes * 1000 / HTTP_RATE_BYTES_MIN);
}

void link_resume(struct link *link)
{
    if (link->is_suspended)
        MHD_resume_connection(link->mhd);
    link->is_suspended = false;
}

static void suspend(struct link *link)
{
    MHD_suspend_connection(link->mhd);
    link->is_suspended = true;
}

void link_cut(struct link *link)
{
    link->is_cut = true;
    shutdown(link->fd, SHUT_RDWR);
    link_resume(link);
}

static void link_open(struct http_server *server, struct MHD_Connection *mhd, void **context)
{
    struct link *link = mem_alloc(sizeof *link);
    link->server = server;
    link->mhd = mhd;
    link->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    link->response.fd = -1;
    link->queue = buf_init(0);
    while (server->links[link->slot])
        link->slot++; /* one is free: the library counts connections too */
    ASSERT(link->slot < server->link_count_max);
    server->links[link->slot] = link;
    struct http_address peer = {.bytes = sizeof peer.socket};
    getpeername(link->fd, (struct sockaddr *)&peer.socket, &peer.bytes);
    http_address_print(&peer, link->peer);
    /* A peer whose machine lost its power acknowledges nothing. */
    setsockopt(link->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &(unsigned){HTTP_UNACKNOWLEDGED_MS},
               sizeof(unsigned));
    patience_from_now(link, 0);
    *context = link;
}

void exchange_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                         enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        link_open(server, mhd, socket_context);
        return;
    }
    struct link *link = *socket_context;
    server->links[link->slot] = NULL;
    server->wants_turn = true; /* there is room for the next one */
    buf_fini(&link->queue);
    mem_free(link);
}

void link_tell_closed(struct http_server *server, uint64_t id)
{
    struct httpd_request *closed = httpd_request_new();
    closed->id = id;
    closed->is_closed = true;
    mailbox_put(server->lanes[id & 0xff], &closed->mail);
}

/* The exchange is over, however it ended. */
void exchange_completed(void *context, struct MHD_Connection *mhd, void **exchange,
                        enum MHD_RequestTerminationCode code)
{
    (void)context, (void)mhd, (void)code;
    struct link *link = *exchange;
    if (!link)
        return;
    if (link->is_stream)
        link_tell_closed(link->server, link->id);
    if (link->request)
        httpd_request_free(link->request);
    httpd_response_fini(&link->response);
    buf_fini(&link->queue);
    link->request = NULL;
    link->queue = buf_init(0);
    link->sent = 0;
    link->id = 0;
    link->has_ended = link->is_stream = link->is_refused = link->has_response = false;
    link->phase = PHASE_IDLE;
    patience_from_now(link, 0);
}

/* ---- answers ---- */

static ssize_t read_stream(void *context, uint64_t at, char *out, size_t max)
{
    (void)at;
    struct link *link = context;
    size_t left = link->queue.count - link->sent;
    if (link->is_cut)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (left) {
        size_t bytes = left < max ? left : max;
        memcpy(out, link->queue.bytes + link->sent, bytes);
        link->sent += bytes;
        if (link->sent == link->queue.count) {
            buf_clear(&link->queue);
            link->sent = 0;
        }
        return (ssize_t)bytes;
    }
    if (link->has_ended)
        return MHD_CONTENT_READER_END_OF_STREAM;
    suspend(link);
    return 0;
}

static struct MHD_Response *make_response(struct link *link, uint64_t *bytes)
{
    struct httpd_response *r = &link->response;
    *bytes = 0;
    if (r->kind == HTTPD_STREAM)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, read_stream,
                                                 link, NULL);
    if (r->kind == HTTPD_FILE) {
        *bytes = r->file_bytes;
        struct MHD_Response *made = MHD_create_response_from_fd64(r->file_bytes, r->fd);
        if (made)
            r->fd = -1; /* it closes the file */
        return made;
    }
    *bytes = r->body.count;
    uint8_t *body = r->body.bytes;
    r->body.bytes = NULL;
    r->body.count = r->body.capacity = 0;
    return MHD_create_response_from_buffer_with_free_callback((size_t)*bytes, body, mem_free);
}

static enum MHD_Result send_response(struct link *link)
{
    struct httpd_response *r = &link->response;
    uint64_t bytes;
    if (r->kind == HTTPD_STREAM) {
        /* What was put before the answer's turn came stands behind its beginning. */
        r->body.max = link->queue.max;
        buf_put(&r->body, link->queue.bytes, link->queue.count);
        struct buf queue = r->body;
        r->body = link->queue;
        link->queue = queue;
    }
    struct MHD_Response *response = make_response(link, &bytes);
    if (!response)
        return MHD_NO;
    if (r->content_type)
        MHD_add_response_header(response, "Content-Type", r->content_type);
    for (size_t i = 0; i < r->header_count; i++)
        MHD_add_response_header(response, r->headers[i].name, r->headers[i].value);
    if (link->is_last)
        MHD_add_response_header(response, "Connection", "close");
    link->phase = PHASE_SENDING;
    if (r->kind == HTTPD_STREAM)
        link->deadline_at = MS_NEVER; /* the queue's maximum is what ends it */
    else
        patience_from_now(link, bytes);
    enum MHD_Result result = MHD_queue_response(link->mhd, r->status, response);
    MHD_destroy_response(response);
    return result;
}

static void refuse(struct link *link, unsigned status, const char *text)
{
    const struct http_server_options *options = &link->server->options;
    struct httpd_response *r = &link->response;
    httpd_response_fini(r);
    if (options->refuse) {
        options->refuse(options->context, link->request, status, text, r);
    } else {
        *r = (struct httpd_response){.kind = HTTPD_BYTES, .status = status, .fd = -1};
        r->content_type = "text/plain; charset=utf-8";
        r->body = buf_init(0);
        buf_format(&r->body, "%s\n", text);
    }
    link->is_refused = link->has_response = true;
}

/* ---- requests ---- */

/* RFC 9110: a name is a token, a value has no control characters; the library takes more. */
static bool is_field(const char *name, size_t name_bytes, const char *value, size_t value_bytes)
{
    static const char marks[] = "!#$%&'*+-.^_`|~0123456789";
    bool is_good = name_bytes > 0;
    for (size_t i = 0; i < name_bytes; i++) {
        char c = (char)(name[i] | 0x20); /* a letter is a small one */
        is_good &= (c >= 'a' && c <= 'z') || (name[i] && strchr(marks, name[i]));
    }
    for (size_t i = 0; i < value_bytes; i++)
        is_good &= ((unsigned char)value[i] >= ' ' && value[i] != 0x7f) || value[i] == '\t';
    return is_good;
}

struct head {
    struct httpd_request *request;
    bool is_bad;
};

static enum MHD_Result add_header(void *context, enum MHD_ValueKind kind, const char *name,
                                  size_t name_bytes, const char *value, size_t value_bytes)
{
    (void)kind;
    struct head *head = context;
    struct httpd_request *r = head->request;
    head->is_bad |= !is_field(name, name_bytes, value, value_bytes);
    if (r->header_count < HTTPD_HEADERS_MAX)
        r->headers[r->header_count++] =
            (struct httpd_pair){arena_text(&r->arena, name, name_bytes),
                                arena_text(&r->arena, value ? value : "", value_bytes)};
    return MHD_YES;
}

/* The bytes that the head announces; of a body in chunks: any number. */
static uint64_t announced_bytes(const struct httpd_request *request)
{
    const char *length = httpd_request_header(request, "Content-Length");
    if (httpd_request_header(request, "Transfer-Encoding"))
        return UINT64_MAX;
    return length ? strtoull(length, NULL, 10) : 0;
}

static void open_spool(struct link *link)
{
    struct httpd_request *r = link->request;
    r->body_fd = open(link->server->spool ? link->server->spool : "/nonexistent",
                      O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (r->body_fd < 0)
        refuse(link, 507, "there is no room for this body here");
}

/* What RFC 9112 leaves open is refused: two servers in a row must not read one request as two. */
static const char *ambiguity(const struct httpd_request *request)
{
    const char *coding = httpd_request_header(request, "Transfer-Encoding");
    if (coding && httpd_request_header(request, "Content-Length"))
        return "both Content-Length and Transfer-Encoding";
    if (httpd_request_header_count(request, "Content-Length") > 1)
        return "more than one Content-Length";
    if (coding && (strcasecmp(coding, "chunked") != 0 ||
                   httpd_request_header_count(request, "Transfer-Encoding") > 1))
        return "a Transfer-Encoding other than chunked";
    return httpd_request_header_count(request, "Host") > 1 ? "more than one Host" : NULL;
}

static void look_at_head(struct link *link, const char *method)
{
    struct http_server *server = link->server;
    struct httpd_request *r = link->request;
    struct err err = {0};
    snprintf(r->method, sizeof r->method, "%s", strlen(method) < sizeof r->method ? method : "?");
    snprintf(r->peer, sizeof r->peer, "%s", link->peer);
    r->begun_us = clock_us();
    struct head head = {.request = r};
    MHD_get_connection_values_n(link->mhd, MHD_HEADER_KIND, add_header, &head);
    const char *target = r->target,
               *problem = head.is_bad
                              ? "a header's name is no token, or its value has control characters"
                              : ambiguity(r);
    bool is_chunked = httpd_request_header(r, "Transfer-Encoding"),
         has_too_many = r->header_count == HTTPD_HEADERS_MAX; /* the others were not looked at */
    if (has_too_many)
        refuse(link, 431, "too many headers");
    else if (problem)
        refuse(link, 400, problem);
    else if (httpd_request_target(r, target, &err) != OK)
        refuse(link, 400, err.text);
    else if (!server->options.head(server->options.context, r, &link->response))
        link->is_refused = link->has_response = true;
    else if (!is_chunked && announced_bytes(r) > r->body_max)
        refuse(link, 413,
               r->body_max ? "the body is larger than this route takes"
                           : "this route takes no body");
    else if (r->wants_file)
        open_spool(link);
    link->is_last =
        problem || has_too_many || (link->is_refused && announced_bytes(r) > SWALLOW_BYTES_MAX);
    r->body = buf_init((size_t)(r->body_max ? r->body_max : 1));
    link->lane = r->lane;
    link->id = r->id =
        ++server->exchanges << ID_COUNT_SHIFT | (uint64_t)link->slot << ID_SLOT_SHIFT | r->lane;
    link->phase = PHASE_BODY;
    patience_from_now(link, 0);
}

static void take_body(struct link *link, const char *data, size_t bytes)
{
    struct httpd_request *r = link->request;
    struct err err = {0};
    r->body_bytes += bytes;
    link->deadline_at = r->begun_us / 1000 + link->server->patience_ms +
                        (ms_t)(r->body_bytes * 1000 / HTTP_RATE_BYTES_MIN);
    if (link->is_refused)
        return; /* read over */
    if (r->body_bytes > r->body_max) {
        refuse(link, 413, "the body is larger than this route takes");
    } else if (r->body_fd < 0) {
        buf_put(&r->body, data, bytes);
    } else if (fs_write_all(r->body_fd, data, bytes, "body", &err) != OK) {
        log_event(LOG_ERROR, "http.spool_failed", "error=\"%s\"", err.text);
        refuse(link, 507, "there is no room for this body here");
    }
}

static void hand_over(struct link *link)
{
    struct httpd_request *request = TAKE(link->request);
    link->phase = PHASE_PENDING;
    link->deadline_at = MS_NEVER;
    suspend(link);
    mailbox_put(link->server->lanes[link->lane], &request->mail);
}

/* The library calls this with the head, with each piece of the body, and when all is there; again
 * when the connection is resumed for its answer. */
enum MHD_Result exchange_handle(void *context, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *bytes, void **exchange)
{
    (void)context, (void)mhd, (void)url, (void)version;
    struct link *link = *exchange;
    if (link->phase == PHASE_HEAD) {
        look_at_head(link, method);
        return link->is_last ? send_response(link) : MHD_YES;
    }
    if (link->phase == PHASE_BODY && *bytes) {
        take_body(link, data, *bytes);
        *bytes = 0;
        return link->request->body_bytes > link->request->body_max + SWALLOW_BYTES_MAX ? MHD_NO
                                                                                       : MHD_YES;
    }
    if (link->phase == PHASE_BODY && link->is_refused)
        return send_response(link);
    if (link->phase == PHASE_BODY) {
        hand_over(link);
        return MHD_YES;
    }
    return link->phase == PHASE_PENDING && link->has_response ? send_response(link) : MHD_NO;
}

/* The request line, as it was sent. */
void *exchange_begin(void *context, const char *target, struct MHD_Connection *mhd)
{
    (void)context;
    struct link *link =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    link->request = httpd_request_new();
    link->request->target = arena_text(&link->request->arena, target, strlen(target));
    link->phase = PHASE_HEAD;
    return link;
}
