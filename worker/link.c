// SPDX-License-Identifier: Apache-2.0
#include "worker/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/sign.h"
#include "common/log.h"
#include "proto/limits.h"

enum {
    ROUTING_ID_BYTES = 8,
    RECONNECT_MS = 100,
    RECONNECT_MS_MAX = 5000,
    /* Of several brokers the one that leads is found soon, and one that is cut off is not waited
       for. */
    SEVERAL_MS_MAX = 500,
    CONNECT_MS = 2000,
    SILENT_MS = 5000,
    /* A broker that does not answer pings within the timeout is gone. */
    PING_MS = 3000,
    PING_TIMEOUT_MS = 10000,
    HANDSHAKE_MS = 10000,
    /* With several, a leader that froze is noticed sooner. */
    SEVERAL_PING_MS = 1000,
    SEVERAL_PING_TIMEOUT_MS = 4000,
    /* Connections in a row that were closed while they were made: a broker that is just dying does
       that once. */
    SHUT_OUT_MAX = 4,
    /* Frames queued in one direction; more means that nobody reads. */
    QUEUE_FRAMES_MAX = 20000,
    LINGER_MS = 200
};

struct link {
    void *context, *socket, *monitor;
    char **brokers;
    uint32_t broker_count, next_broker;
    char *follow, *led;   /* where another broker leads: to go there, there */
    const char *endpoint; /* of this connection */
    const struct signer *identity;
    struct id broker_key;
    bool has_keys;
    zmq_msg_t message;
    bool is_up, is_broken;
    /* ZeroMQ may have something that its descriptors don't show: frames; what the monitor tells. */
    bool is_stirred, is_rung;
    bool is_ended;   /* the connection is over; what came before that is handed over first */
    ms_t open_at;    /* when a new socket is to be made; MS_NEVER: there is one */
    ms_t give_up_at; /* when it is time for the next broker */
    ms_t connected_at;
    uint32_t pause_ms;
    uint32_t failures; /* handshakes that came to nothing, in a row */
    uint64_t sockets;  /* made so far: names the monitors */
    struct err shut_out;
};

static void set_int(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

static bool has_several(const struct link *link)
{
    return link->broker_count > 1 || link->led;
}

static void close_socket(struct link *link, int linger_ms)
{
    /* First, while somebody listens: ZeroMQ's thread would wait for good for a listener that is
       gone, with a lock that closing needs. */
    if (link->socket)
        zmq_socket_monitor(link->socket, NULL, 0);
    if (link->monitor) {
        set_int(link->monitor, ZMQ_LINGER, 0);
        zmq_close(link->monitor);
    }
    if (link->socket) {
        set_int(link->socket, ZMQ_LINGER, linger_ms);
        zmq_close(link->socket);
    }
    link->socket = link->monitor = NULL;
}

/* ---- connecting ---- */

/* libzmq's copy of the secret lies in memory of its own. */
static enum status set_keys(struct link *link, struct err *err)
{
    uint8_t public_key[WIRE_KEY_BYTES], secret_key[WIRE_KEY_BYTES], broker[WIRE_KEY_BYTES];
    if (!wire_public(link->broker_key.bytes, broker))
        return err_set(err, E_INVALID, "the broker's key is no Ed25519 public key");
    signer_copy_wire(link->identity, public_key, secret_key);
    bool is_set =
        zmq_setsockopt(link->socket, ZMQ_CURVE_SERVERKEY, broker, sizeof broker) == 0 &&
        zmq_setsockopt(link->socket, ZMQ_CURVE_PUBLICKEY, public_key, sizeof public_key) == 0 &&
        zmq_setsockopt(link->socket, ZMQ_CURVE_SECRETKEY, secret_key, sizeof secret_key) == 0;
    secret_wipe(secret_key, sizeof secret_key);
    return is_set ? OK : err_set(err, E_UNSUPPORTED, "this libzmq has no CURVE");
}

static void set_options(struct link *link)
{
    uint8_t routing_id[ROUTING_ID_BYTES];
    random_bytes(routing_id, sizeof routing_id);
    routing_id[0] |= 1; /* a leading 0 is ZeroMQ's own */
    bool several = has_several(link);
    zmq_setsockopt(link->socket, ZMQ_ROUTING_ID, routing_id, sizeof routing_id);
    const int64_t frame_bytes_max = FRAME_BYTES_MAX;
    zmq_setsockopt(link->socket, ZMQ_MAXMSGSIZE, &frame_bytes_max, sizeof frame_bytes_max);
    set_int(link->socket, ZMQ_IPV6, 1);
    set_int(link->socket, ZMQ_LINGER, 0);
    set_int(link->socket, ZMQ_SNDHWM, QUEUE_FRAMES_MAX);
    set_int(link->socket, ZMQ_RCVHWM, QUEUE_FRAMES_MAX);
    set_int(link->socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    set_int(link->socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MS_MAX);
    set_int(link->socket, ZMQ_HEARTBEAT_IVL, several ? SEVERAL_PING_MS : PING_MS);
    set_int(link->socket, ZMQ_HEARTBEAT_TIMEOUT,
            several ? SEVERAL_PING_TIMEOUT_MS : PING_TIMEOUT_MS);
    set_int(link->socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
}

static enum status watch_socket(struct link *link, struct err *err)
{
    enum {
        EVENTS = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_CONNECT_RETRIED
    };
    char monitor[48];
    snprintf(monitor, sizeof monitor, "inproc://link-%llu", (unsigned long long)link->sockets++);
    if (zmq_socket_monitor(link->socket, monitor, EVENTS) || zmq_connect(link->monitor, monitor))
        return err_set(err, E_IO, "zmq_socket_monitor: %s", zmq_strerror(zmq_errno()));
    return OK;
}

/* The leader, if we were told of one, else the next on the list. */
static void choose_broker(struct link *link)
{
    mem_free(link->led);
    link->led = TAKE(link->follow);
    link->endpoint = link->led ? link->led : link->brokers[link->next_broker];
    if (!link->led)
        link->next_broker = (link->next_broker + 1) % link->broker_count;
}

static enum status open_socket(struct link *link, ms_t now, struct err *err)
{
    choose_broker(link);
    link->socket = zmq_socket(link->context, ZMQ_DEALER);
    link->monitor = zmq_socket(link->context, ZMQ_PAIR);
    if (!link->socket || !link->monitor)
        return err_set(err, E_IO, "zmq_socket: %s", zmq_strerror(zmq_errno()));
    set_options(link);
    if (link->has_keys)
        TRY(set_keys(link, err));
    TRY(watch_socket(link, err));
    if (zmq_connect(link->socket, link->endpoint))
        return err_set(err, E_INVALID, "broker \"%s\": %s; expected tcp://HOST:PORT or ipc://PATH",
                       link->endpoint, zmq_strerror(zmq_errno()));
    link->open_at = MS_NEVER;
    link->give_up_at = has_several(link) ? now + CONNECT_MS : MS_NEVER;
    link->connected_at = now;
    link->is_stirred = link->is_rung = true;
    return OK;
}

enum status link_open(const struct link_options *options, struct link **out, struct err *err)
{
    *out = NULL;
    AUTO(link_close) struct link *link = mem_alloc(sizeof *link);
    link->broker_count = options->broker_count;
    link->brokers = mem_alloc(options->broker_count * sizeof *link->brokers);
    for (uint32_t i = 0; i < options->broker_count; i++)
        link->brokers[i] = mem_copy_text(options->brokers[i], strlen(options->brokers[i]));
    link->identity = options->identity;
    link->has_keys = options->broker_key != NULL;
    if (link->has_keys)
        link->broker_key = *options->broker_key;
    link->pause_ms = RECONNECT_MS;
    zmq_msg_init(&link->message);
    link->context = zmq_ctx_new();
    if (!link->context)
        return err_set(err, E_IO, "zmq_ctx_new: %s", zmq_strerror(zmq_errno()));
    TRY(open_socket(link, clock_ms(), err));
    *out = TAKE(link);
    return OK;
}

void link_close(struct link *link)
{
    close_socket(link, LINGER_MS);
    zmq_msg_close(&link->message);
    if (link->context)
        zmq_ctx_term(link->context);
    for (uint32_t i = 0; i < link->broker_count; i++)
        mem_free(link->brokers[i]);
    mem_free(link->brokers);
    mem_free(link->follow);
    mem_free(link->led);
    mem_free(link);
}

void link_reconnect(struct link *link)
{
    link->is_broken = true;
}

void link_follow(struct link *link, const char *endpoint)
{
    mem_free(link->follow);
    link->follow = mem_copy_text(endpoint, strlen(endpoint));
    link->is_broken = true;
}

void link_settle(struct link *link)
{
    link->pause_ms = RECONNECT_MS;
    link->give_up_at = MS_NEVER;
}

const char *link_endpoint(const struct link *link)
{
    return link->endpoint;
}

/* Takes the socket down and says when the next one is due. */
static void fall(struct link *link, ms_t now)
{
    uint32_t jitter, most = has_several(link) ? SEVERAL_MS_MAX : RECONNECT_MS_MAX;
    random_bytes(&jitter, sizeof jitter);
    close_socket(link, 0);
    link->is_broken = link->is_ended = link->is_up = link->is_rung = false;
    link->open_at = now + link->pause_ms / 2 + jitter % link->pause_ms;
    link->give_up_at = MS_NEVER;
    link->pause_ms = link->pause_ms < most / 2 ? 2 * link->pause_ms : most;
}

/* ---- being shut out ---- */

struct monitored {
    uint16_t event; /* 0: none */
    uint32_t value;
};

/* How often it has to happen until it is no accident; 0: it may be one, however often. */
static uint32_t patience(const struct link *link, const struct monitored *what, ms_t now)
{
    uint32_t at_once = link->broker_count; /* another broker may see it otherwise */
    if (what->event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return what->value == 400 ? at_once : 0;
    if (what->event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        return what->value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH ||
                       what->value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC
                   ? at_once
                   : SHUT_OUT_MAX * at_once;
    bool is_closed = what->value == EPIPE || what->value == ECONNRESET;
    bool is_soon = now - link->connected_at < HANDSHAKE_MS / 2; /* else nobody was there in time */
    return is_closed && is_soon ? SHUT_OUT_MAX * at_once : 0;
}

static void explain_auth(struct link *link)
{
    struct id key;
    char hex[ID_HEX_BYTES];
    memcpy(key.bytes, signer_public(link->identity), sizeof key.bytes);
    id_hex(&key, hex);
    err_set(
        &link->shut_out, E_DENIED,
        "the broker at %s does not have this worker's key (--key, PENSTOCK_KEY) on its list; on "
        "its machine: broker keys add NAME --public-key %s",
        link->endpoint, hex);
}

static void explain(struct link *link, const struct monitored *what)
{
    char hex[ID_HEX_BYTES];
    bool is_mismatch = what->value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH;
    if (what->event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH && link->has_keys)
        explain_auth(link);
    else if (what->event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL && link->has_keys && is_mismatch)
        err_set(&link->shut_out, E_DENIED,
                "the broker at %s asks for no keys: leave --broker-key (PENSTOCK_BROKER_KEY) away, "
                "or let it listen with --curve",
                link->endpoint);
    else if (link->has_keys) /* it hung up; why, it does not always say before */
        err_set(&link->shut_out, E_DENIED,
                "what listens at %s does not have the key %s of --broker-key (PENSTOCK_BROKER_KEY) "
                "(broker keys list shows its own), or asks for no keys: leave --broker-key away",
                link->endpoint, id_hex(&link->broker_key, hex));
    else
        err_set(&link->shut_out, E_DENIED,
                "what listens at %s closes the connection: it asks for keys, or is no broker; give "
                "its public key with --broker-key (PENSTOCK_BROKER_KEY) and this worker's identity "
                "with --key (PENSTOCK_KEY)",
                link->endpoint);
}

static bool is_shut_out(struct link *link, const struct monitored *what, ms_t now)
{
    uint32_t most = patience(link, what, now);
    if (!most || ++link->failures < most)
        return false;
    explain(link, what);
    return true;
}

/* ---- what happens ---- */

static struct monitored monitor_next(struct link *link)
{
    zmq_msg_t part;
    struct monitored out = {0};
    zmq_msg_init(&part);
    int got = zmq_msg_recv(&part, link->monitor, ZMQ_DONTWAIT);
    if (got >= (int)(sizeof out.event + sizeof out.value)) {
        memcpy(&out.event, zmq_msg_data(&part), sizeof out.event);
        memcpy(&out.value, (const char *)zmq_msg_data(&part) + sizeof out.event, sizeof out.value);
    }
    while (zmq_msg_more(&part) && zmq_msg_recv(&part, link->monitor, ZMQ_DONTWAIT) >= 0)
        ;
    zmq_msg_close(&part);
    return out;
}

/* True: *out tells of it. */
static bool look_at_monitor(struct link *link, ms_t now, struct link_event *out)
{
    for (struct monitored what = monitor_next(link); what.event; what = monitor_next(link)) {
        switch (what.event) {
        case ZMQ_EVENT_CONNECTED: link->connected_at = now; break;
        case ZMQ_EVENT_CONNECT_RETRIED: /* nobody is there: of several the next one may be */
            if (has_several(link) && !link->is_up)
                link->give_up_at = now;
            break;
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
            link->is_up = true;
            link->failures = 0;
            link->give_up_at = has_several(link) ? now + SILENT_MS : MS_NEVER;
            out->type = LINK_CONNECTED;
            return true;
        case ZMQ_EVENT_DISCONNECTED:
            link->is_ended = true;
            link->is_up = false;
            return false;
        default:
            if (!is_shut_out(link, &what, now))
                break;
            out->type = LINK_SHUT_OUT;
            out->reason = link->shut_out.text;
            return true;
        }
    }
    return false;
}

/* A socket, if it is time for one. */
static bool has_socket(struct link *link, ms_t now)
{
    struct err err = {0};
    if (link->socket || now < link->open_at)
        return link->socket;
    if (open_socket(link, now, &err) == OK)
        return true;
    log_event(LOG_WARN, "link.failed", "error=\"%s\"", err.text);
    fall(link, now);
    return false;
}

bool link_next(struct link *link, ms_t now, struct link_event *out)
{
    *out = (struct link_event){.type = LINK_DISCONNECTED};
    if (link->is_broken || (link->socket && now >= link->give_up_at)) {
        fall(link, now);
        return true;
    }
    if (!has_socket(link, now))
        return false;
    if (link->is_rung && !link->is_ended && look_at_monitor(link, now, out))
        return true;
    link->is_rung = false;
    if (!link->is_stirred && !link->is_ended)
        return false;
    if (zmq_msg_recv(&link->message, link->socket, ZMQ_DONTWAIT) < 0) {
        link->is_stirred = false; /* until a descriptor is readable */
        if (!link->is_ended)
            return false;
        fall(link, now);
        return true;
    }
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

void link_stir(struct link *link, const bool is_readable[2])
{
    link->is_stirred |= is_readable[0];
    link->is_rung |= is_readable[1];
}

bool link_is_ready(struct link *link)
{
    if (link->is_stirred)
        link->is_stirred = has_input(link->socket);
    return link->is_broken || link->is_ended || link->is_stirred || link->is_rung;
}

ms_t link_wake_at(const struct link *link)
{
    return link->open_at < link->give_up_at ? link->open_at : link->give_up_at;
}
