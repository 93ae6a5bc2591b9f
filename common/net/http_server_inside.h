/* Inside the web server: what its two files share. http_server.c is the thread and its mailboxes,
 * http_server_exchange.c what the library calls. All of it belongs to the server's thread but for
 * what says otherwise. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <microhttpd.h>
#include <pthread.h>

#include "common/base/ms.h"
#include "common/net/http_listen.h"
#include "common/net/http_server.h"

enum phase { PHASE_IDLE, PHASE_HEAD, PHASE_BODY, PHASE_PENDING, PHASE_SENDING };

/* A connection, and the one exchange it is in. */
struct link {
    struct http_server *server;
    struct MHD_Connection *mhd;
    int fd;
    uint32_t slot;
    char peer[HTTPD_PEER_BYTES];
    enum phase phase;
    ms_t deadline_at;
    uint64_t id; /* of the exchange; 0: none */
    uint8_t lane;
    bool is_suspended, is_cut;
    struct httpd_request *request; /* until it is handed over */
    bool is_refused, has_response, is_last;
    struct httpd_response response;
    /* A stream's bytes that wait, from `sent` on. */
    struct buf queue;
    size_t sent;
    bool has_ended, is_stream;
};

struct http_server {
    struct http_server_options options;
    char *spool;
    char address[HTTP_ADDRESS_BYTES];
    ms_t patience_ms;
    struct MHD_Daemon *daemon;
    struct mailbox *inbox, *lanes[HTTP_LANES_MAX];
    struct httpd_request
        *taken[HTTP_LANES_MAX]; /* by the lane's thread: those it hasn't asked for */
    pthread_t thread;
    /* The thread's own. */
    struct link **links;
    uint32_t link_count_max;
    uint64_t exchanges;
    bool is_stopping;
    bool wants_turn; /* at once: the library has something to do that no descriptor tells of */
};

/* The link whose exchange that is, or NULL: it is over. */
struct link *link_find(const struct http_server *server, uint64_t id);
void link_resume(struct link *link);
/* Closes the connection; the library notices by itself. */
void link_cut(struct link *link);
/* Tells the lane that the stream `id` is over. */
void link_tell_closed(struct http_server *server, uint64_t id);

/* What the library calls. */
void exchange_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                         enum MHD_ConnectionNotificationCode code);
void *exchange_begin(void *context, const char *target, struct MHD_Connection *mhd);
enum MHD_Result exchange_handle(void *context, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *bytes, void **exchange);
void exchange_completed(void *context, struct MHD_Connection *mhd, void **exchange,
                        enum MHD_RequestTerminationCode code);
