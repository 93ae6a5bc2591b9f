// SPDX-License-Identifier: Apache-2.0
#include "worker/link.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "common/base/mem.h"
#include "common/crypto/sign.h"
#include "common/log.h"
#include "proto/limits.h"

enum {
    ROUTING_ID_BYTES = 8,
    RECONNECT_MS = 100,
    RECONNECT_MS_MAX = 5000,
    /* A broker that does not answer pings within the timeout is gone. */
    PING_MS = 3000,
    PING_TIMEOUT_MS = 10000,
    HANDSHAKE_MS = 10000,
    /* Frames queued in one direction; more means that nobody reads. */
    QUEUE_FRAMES_MAX = 20000,
    LINGER_MS = 200
};

struct link {
    void *context, *socket, *monitor;
    char *endpoint;
    zmq_msg_t message;
    bool is_up, is_broken;
    bool is_stirred; /* ZeroMQ may have something that its descriptors don't show */
    bool is_ended;   /* the connection is over; what came before that is handed over first */
    ms_t open_at;    /* when a new socket is to be made; MS_NEVER: there is one */
    uint32_t pause_ms;
    uint64_t sockets; /* made so far: names the monitors */
};

static void set_int(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

static void close_socket(struct link *link, int linger_ms)
{
    if (link->monitor) {
        set_int(link->monitor, ZMQ_LINGER, 0);
        zmq_close(link->monitor);
    }
    if (link->socket) {
        zmq_socket_monitor(link->socket, NULL, 0);
        set_int(link->socket, ZMQ_LINGER, linger_ms);
        zmq_close(link->socket);
    }
    link->socket = link->monitor = NULL;
}

static enum status open_socket(struct link *link, struct err *err)
{
    uint8_t routing_id[ROUTING_ID_BYTES];
    char monitor[48];
    random_bytes(routing_id, sizeof routing_id);
    routing_id[0] |= 1; /* a leading 0 is ZeroMQ's own */
    link->socket = zmq_socket(link->context, ZMQ_DEALER);
    link->monitor = zmq_socket(link->context, ZMQ_PAIR);
    if (!link->socket || !link->monitor)
        return err_set(err, E_IO, "zmq_socket: %s", zmq_strerror(zmq_errno()));
    zmq_setsockopt(link->socket, ZMQ_ROUTING_ID, routing_id, sizeof routing_id);
    const int64_t frame_bytes_max = FRAME_BYTES_MAX;
    zmq_setsockopt(link->socket, ZMQ_MAXMSGSIZE, &frame_bytes_max, sizeof frame_bytes_max);
    set_int(link->socket, ZMQ_LINGER, 0);
    set_int(link->socket, ZMQ_SNDHWM, QUEUE_FRAMES_MAX);
    set_int(link->socket, ZMQ_RCVHWM, QUEUE_FRAMES_MAX);
    set_int(link->socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set_int(link->socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MS_MAX);
    set_int(link->socket, ZMQ_HEARTBEAT_IVL, PING_MS);
    set_int(link->socket, ZMQ_HEARTBEAT_TIMEOUT, PING_TIMEOUT_MS);
    set_int(link->socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    snprintf(monitor, sizeof monitor, "inproc://link-%llu", (unsigned long long)link->sockets++);
    if (zmq_socket_monitor(link->socket, monitor,
                           ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) ||
        zmq_connect(link->monitor, monitor))
        return err_set(err, E_IO, "zmq_socket_monitor: %s", zmq_strerror(zmq_errno()));
    if (zmq_connect(link->socket, link->endpoint))
        return err_set(err, E_INVALID, "broker \"%s\": %s; expected tcp://HOST:PORT or ipc://PATH",
                       link->endpoint, zmq_strerror(zmq_errno()));
    link->open_at = MS_NEVER;
    link->is_stirred = true;
    return OK;
}

enum status link_open(const char *endpoint, struct link **out, struct err *err)
{
    *out = NULL;
    AUTO(link_close) struct link *link = mem_alloc(sizeof *link);
    link->endpoint = mem_copy_text(endpoint, strlen(endpoint));
    link->pause_ms = RECONNECT_MS;
    zmq_msg_init(&link->message);
    link->context = zmq_ctx_new();
    if (!link->context)
        return err_set(err, E_IO, "zmq_ctx_new: %s", zmq_strerror(zmq_errno()));
    TRY(open_socket(link, err));
    *out = TAKE(link);
    return OK;
}

void link_close(struct link *link)
{
    close_socket(link, LINGER_MS);
    zmq_msg_close(&link->message);
    if (link->context)
        zmq_ctx_term(link->context);
    mem_free(link->endpoint);
    mem_free(link);
}

void link_reconnect(struct link *link)
{
    link->is_broken = true;
}

/* Takes the socket down and says when the next one is due. */
static void fall(struct link *link, ms_t now)
{
    uint32_t jitter;
    random_bytes(&jitter, sizeof jitter);
    close_socket(link, 0);
    link->is_broken = link->is_ended = link->is_up = false;
    link->open_at = now + link->pause_ms / 2 + jitter % link->pause_ms;
    link->pause_ms = link->pause_ms < RECONNECT_MS_MAX / 2 ? 2 * link->pause_ms : RECONNECT_MS_MAX;
}

/* The next event of the monitor that matters; 0: none. */
static int monitor_event(struct link *link)
{
    zmq_msg_t part;
    uint16_t event = 0;
    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, link->monitor, ZMQ_DONTWAIT) >= (int)sizeof event)
        memcpy(&event, zmq_msg_data(&part), sizeof event);
    while (zmq_msg_more(&part) && zmq_msg_recv(&part, link->monitor, ZMQ_DONTWAIT) >= 0)
        ;
    zmq_msg_close(&part);
    return event;
}

bool link_next(struct link *link, ms_t now, struct link_event *out)
{
    struct err err = {0};
    *out = (struct link_event){.type = LINK_DISCONNECTED};
    if (link->is_broken) {
        fall(link, now);
        return true;
    }
    if (!link->socket && now < link->open_at)
        return false;
    if (!link->socket && open_socket(link, &err) != OK) {
        log_event(LOG_WARN, "link.failed", "error=\"%s\"", err.text);
        fall(link, now);
        return false;
    }
    if (!link->is_stirred && !link->is_ended)
        return false;
    int event = link->is_ended ? 0 : monitor_event(link);
    if (event == ZMQ_EVENT_DISCONNECTED) {
        link->is_ended = true;
        link->is_up = false;
    }
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
        link->is_up = true;
        out->type = LINK_CONNECTED;
        return true;
    }
    if (zmq_msg_recv(&link->message, link->socket, ZMQ_DONTWAIT) < 0) {
        link->is_stirred = false; /* until a descriptor is readable */
        if (!link->is_ended)
            return false;
        fall(link, now);
        return true;
    }
    link->pause_ms = RECONNECT_MS; /* it talks: the next loss is a new one */
    out->type = LINK_FRAME;
    out->bytes = zmq_msg_data(&link->message);
    out->count = zmq_msg_size(&link->message);
    return true;
}

void link_send(struct link *link, const void *bytes, size_t count)
{
    if (link->socket && link->is_up && zmq_send(link->socket, bytes, count, ZMQ_DONTWAIT) < 0)
        link->is_broken = true;
    link->is_stirred = true; /* a send takes in what the descriptors told */
}

void link_fds(const struct link *link, int out[2])
{
    size_t bytes = sizeof(int);
    out[0] = out[1] = -1;
    if (!link->socket)
        return;
    zmq_getsockopt(link->socket, ZMQ_FD, &out[0], &bytes);
    zmq_getsockopt(link->monitor, ZMQ_FD, &out[1], &bytes);
}

static bool has_input(void *socket)
{
    int events = 0;
    size_t bytes = sizeof events;
    return socket && zmq_getsockopt(socket, ZMQ_EVENTS, &events, &bytes) == 0 &&
           (events & ZMQ_POLLIN);
}

void link_stir(struct link *link)
{
    link->is_stirred = true;
}

bool link_is_ready(struct link *link)
{
    if (link->is_stirred)
        link->is_stirred = has_input(link->socket) || has_input(link->monitor);
    return link->is_broken || link->is_ended || link->is_stirred;
}

ms_t link_wake_at(const struct link *link)
{
    return link->open_at;
}
