// SPDX-License-Identifier: Apache-2.0
#include "common/net/http_server.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/log.h"
#include "common/net/http_server_inside.h"
#include "proto/limits.h"

enum {
    CONNECTION_MEMORY_BYTES = 64 << 10, /* a head, and what is being read or written */
    SWEEP_MS = 1000,
    LAST_WORDS_MS = 500 /* for answers that are under way when the server closes */
};

enum message_type { MESSAGE_ANSWER, MESSAGE_PUT, MESSAGE_END, MESSAGE_STOP };
struct message {
    struct mail mail;
    enum message_type type;
    uint64_t id;
    struct httpd_response response;
    struct buf data;
};

static struct message *message_new(enum message_type type, uint64_t id)
{
    struct message *message = mem_alloc(sizeof *message);
    message->type = type;
    message->id = id;
    message->response.fd = -1;
    return message;
}

static void message_free(struct message *message)
{
    httpd_response_fini(&message->response);
    buf_fini(&message->data);
    mem_free(message);
}

/* ---- the thread: what the lanes say ---- */

static void take_answer(struct http_server *server, struct message *message)
{
    struct link *link = link_find(server, message->id);
    bool is_stream = message->response.kind == HTTPD_STREAM;
    if (!link || link->phase != PHASE_PENDING || link->has_response) {
        if (is_stream) /* its client went before it began */
            link_tell_closed(server, message->id);
        return;
    }
    link->response = message->response;
    message->response = (struct httpd_response){.fd = -1};
    link->has_response = true;
    link->is_stream = is_stream;
    link_resume(link);
}

/* What was sent goes from the front, so that a reader who never quite catches up does not make the
 * queue hold all that ever was put; moved only when that is no more than what was sent. */
static void forget_sent(struct link *link)
{
    struct buf *queue = &link->queue;
    size_t left = queue->count - link->sent;
    if (link->sent < left || !link->sent)
        return;
    memmove(queue->bytes, queue->bytes + link->sent, left);
    queue->count = left;
    link->sent = 0;
}

static void take_data(struct http_server *server, const struct message *message)
{
    struct link *link = link_find(server, message->id);
    if (!link || !link->is_stream || link->is_cut)
        return;
    forget_sent(link);
    buf_put(&link->queue, message->data.bytes, message->data.count);
    link->has_ended |= message->type == MESSAGE_END;
    if (message->data.count && link->queue.count - link->sent > HTTP_QUEUE_BYTES_MAX) {
        log_event(LOG_WARN, "http.reader_too_slow", "peer=%s queued=%zu", link->peer,
                  link->queue.count - link->sent);
        link_cut(link);
    } else if (link->phase == PHASE_SENDING) {
        link_resume(link);
    }
}

static void take_messages(struct http_server *server)
{
    for (struct mail *mail = mailbox_take(server->inbox), *next; mail; mail = next) {
        struct message *message = (struct message *)mail;
        next = mail->next;
        if (message->type == MESSAGE_ANSWER)
            take_answer(server, message);
        else if (message->type == MESSAGE_STOP)
            server->is_stopping = true;
        else
            take_data(server, message);
        message_free(message);
    }
}

/* ---- the thread: time ---- */

static bool has_unread(const struct link *link)
{
    int unread = 0;
    return ioctl(link->fd, FIONREAD, &unread) != 0 || unread;
}

/* Has the peer hung up, and said nothing before that is still to be read? The library does not
 * watch a suspended connection, and may miss a hanging up that came right behind a request. */
static bool has_hung_up(const struct link *link)
{
    struct pollfd hung_up = {.fd = link->fd, .events = POLLRDHUP};
    return poll(&hung_up, 1, 0) > 0 && !has_unread(link);
}

/* Who took too long is cut off, and who has gone; but an answer that is made or under way may be
 * waited for with one half of the connection closed. */
static void sweep(struct http_server *server, ms_t now)
{
    for (uint32_t i = 0; i < server->link_count_max; i++) {
        struct link *link = server->links[i];
        if (!link || link->is_cut)
            continue;
        bool is_awaited =
            !link->is_stream && (link->phase == PHASE_PENDING || link->phase == PHASE_SENDING);
        if (now >= link->deadline_at || (!is_awaited && has_hung_up(link)))
            link_cut(link);
    }
}

static int wait_ms(struct http_server *server, ms_t until)
{
    MHD_UNSIGNED_LONG_LONG library_ms;
    ms_t left = until - clock_ms();
    if (server->wants_turn)
        left = 0;
    server->wants_turn = false;
    if (MHD_get_timeout(server->daemon, &library_ms) == MHD_YES && (ms_t)library_ms < left)
        left = (ms_t)library_ms;
    return left > 0 ? (int)left : 0;
}

/* Where there is no room for more connections: the one that could make it, since it has asked
 * nothing for longest, or nothing that is answered. NULL: none, or room is being made. */
static struct link *find_silent(const struct http_server *server)
{
    struct link *found = NULL;
    for (uint32_t i = 0; i < server->link_count_max; i++) {
        struct link *link = server->links[i];
        if (!link || link->is_cut)
            return NULL;
        bool is_silent =
            link->phase <= PHASE_HEAD || (link->phase == PHASE_BODY && link->is_refused);
        if (is_silent && (!found || link->deadline_at < found->deadline_at))
            found = link;
    }
    return found;
}

static void turn(struct http_server *server, ms_t until)
{
    int epoll_fd = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    int listen_fd = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_LISTEN_FD)->listen_fd;
    struct link *silent = server->is_stopping ? NULL : find_silent(server);
    struct pollfd fds[] = {{.fd = epoll_fd, .events = POLLIN},
                           {.fd = mailbox_fd(server->inbox), .events = POLLIN},
                           {.fd = silent ? listen_fd : -1, .events = POLLIN}};
    poll(fds, 3, wait_ms(server, until));
    if (fds[2].revents & POLLIN && !has_unread(silent)) /* somebody waits to come in */
        link_cut(silent);
    take_messages(server);
    MHD_run(server->daemon);
}

static bool is_busy(const struct http_server *server)
{
    for (uint32_t i = 0; i < server->link_count_max; i++)
        if (server->links[i] && server->links[i]->phase == PHASE_SENDING)
            return true;
    return false;
}

/* Nobody will answer any more: 503 for those who wait, an orderly end for streams. A suspended
 * connection must be resumed before the library can be stopped. */
static void say_goodbye(struct http_server *server)
{
    for (uint32_t i = 0; i < server->link_count_max; i++) {
        struct link *link = server->links[i];
        if (!link)
            continue;
        link->has_ended = true;
        if (link->phase == PHASE_PENDING && !link->has_response) {
            link->response.status = 503;
            link->has_response = link->is_last = true;
        }
        link_resume(link);
    }
    ms_t until = clock_ms() + LAST_WORDS_MS;
    server->wants_turn = true;
    do
        turn(server, until);
    while (is_busy(server) && clock_ms() < until);
    for (uint32_t i = 0; i < server->link_count_max; i++)
        if (server->links[i])
            link_cut(server->links[i]);
    MHD_run(server->daemon);
}

static void *serve(void *context)
{
    struct http_server *server = context;
    ms_t every = server->patience_ms / 4 < SWEEP_MS ? server->patience_ms / 4 : SWEEP_MS;
    for (ms_t sweep_at = clock_ms() + every; !server->is_stopping;) {
        turn(server, sweep_at);
        if (clock_ms() >= sweep_at) {
            sweep(server, clock_ms());
            sweep_at = clock_ms() + every;
        }
    }
    int listening = MHD_quiesce_daemon(server->daemon);
    if (listening >= 0)
        close(listening);
    say_goodbye(server);
    MHD_stop_daemon(server->daemon);
    return NULL;
}

/* ---- opening and closing ---- */

/* Escapes are undone in httpd_request_target: there %2F and / are told apart. */
static size_t leave_escaped(void *context, struct MHD_Connection *mhd, char *text)
{
    (void)context, (void)mhd;
    return strlen(text);
}

PRINTF(2, 0)
static void log_library(void *context, const char *format, va_list args)
{
    (void)context;
    char text[256], quoted[512];
    if (!log_is_on(LOG_DEBUG))
        return;
    vsnprintf(text, sizeof text, format, args);
    log_event(LOG_DEBUG, "http.library", "text=%s", log_quote(text, quoted, sizeof quoted));
}

static enum status start_library(struct http_server *server, int *listening_p, struct err *err)
{
    unsigned idle_s = (unsigned)(server->patience_ms / 1000);
    unsigned flags = MHD_USE_EPOLL | MHD_USE_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, exchange_handle, server, MHD_OPTION_EXTERNAL_LOGGER, log_library,
        NULL, MHD_OPTION_LISTEN_SOCKET, *listening_p, MHD_OPTION_CONNECTION_LIMIT,
        server->link_count_max, MHD_OPTION_CONNECTION_TIMEOUT, idle_s ? idle_s : 1,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, exchange_begin, server, MHD_OPTION_NOTIFY_COMPLETED,
        exchange_completed, server, MHD_OPTION_NOTIFY_CONNECTION, exchange_connection, server,
        MHD_OPTION_END);
    if (!server->daemon)
        return err_set(err, E_IO, "%s: the web server does not start", server->address);
    *listening_p = -1;
    return OK;
}

static enum status start(struct http_server *server, struct err *err)
{
    struct http_address address;
    TRY(http_address_parse(server->options.address, &address, err));
    AUTO(fs_close_fd) int listening = -1;
    TRY(http_listen(&address, &listening, err));
    getsockname(listening, (struct sockaddr *)&address.socket, &address.bytes);
    http_address_print(&address, server->address);
    TRY(mailbox_new(&server->inbox, err));
    for (uint32_t i = 0; i < server->options.lane_count; i++)
        TRY(mailbox_new(&server->lanes[i], err));
    TRY(start_library(server, &listening, err));
    int error = pthread_create(&server->thread, NULL, serve, server);
    if (error) {
        MHD_stop_daemon(server->daemon);
        return err_set(err, E_NOMEM, "%s: no thread to be had: %s", server->address,
                       strerror(error));
    }
    return OK;
}

static void server_free(struct http_server *server)
{
    if (server->inbox) { /* first: it may put something into lanes */
        take_messages(server);
        mailbox_free(server->inbox);
    }
    for (uint32_t lane = 0; lane < HTTP_LANES_MAX && server->lanes[lane]; lane++) {
        for (struct httpd_request *r; (r = http_server_next(server, lane));)
            httpd_request_free(r);
        mailbox_free(server->lanes[lane]);
    }
    mem_free(server->links);
    mem_free(server->spool);
    mem_free(server);
}

enum status http_server_open(const struct http_server_options *options, struct http_server **out,
                             struct err *err)
{
    *out = NULL;
    ASSERT(options->lane_count >= 1 && options->lane_count <= HTTP_LANES_MAX);
    struct http_server *server = mem_alloc(sizeof *server);
    server->options = *options;
    server->patience_ms = options->patience_ms ? options->patience_ms : HTTP_PATIENCE_MS;
    server->link_count_max =
        options->connections_max ? options->connections_max : HTTP_CONNECTIONS_MAX;
    server->links = mem_alloc(server->link_count_max * sizeof(struct link *));
    if (options->spool)
        server->spool = mem_copy_text(options->spool, strlen(options->spool));
    enum status status = start(server, err);
    if (status != OK) {
        server_free(server);
        return status;
    }
    *out = server;
    return OK;
}

void http_server_close(struct http_server *server)
{
    mailbox_put(server->inbox, &message_new(MESSAGE_STOP, 0)->mail);
    pthread_join(server->thread, NULL);
    server_free(server);
}

const char *http_server_address(const struct http_server *server)
{
    return server->address;
}

/* ---- the lanes ---- */

int http_server_fd(const struct http_server *server, uint32_t lane)
{
    return mailbox_fd(server->lanes[lane]);
}

struct httpd_request *http_server_next(struct http_server *server, uint32_t lane)
{
    struct httpd_request **taken = &server->taken[lane];
    if (!*taken)
        *taken = (struct httpd_request *)mailbox_take(server->lanes[lane]);
    struct httpd_request *next = *taken;
    if (next)
        *taken = (struct httpd_request *)next->mail.next;
    return next;
}

void http_server_answer(struct http_server *server, uint64_t id, struct httpd_response *response)
{
    struct message *message = message_new(MESSAGE_ANSWER, id);
    message->response = *response;
    *response = (struct httpd_response){.fd = -1};
    mailbox_put(server->inbox, &message->mail);
}

void http_server_stream_put(struct http_server *server, uint64_t id, const void *data, size_t bytes)
{
    struct message *message = message_new(MESSAGE_PUT, id);
    message->data = buf_init(0);
    buf_put(&message->data, data, bytes);
    mailbox_put(server->inbox, &message->mail);
}

void http_server_stream_end(struct http_server *server, uint64_t id)
{
    mailbox_put(server->inbox, &message_new(MESSAGE_END, id)->mail);
}
