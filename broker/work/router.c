/* Opening, closing, and the sending half. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/work/router_state.h"

#include <czmq.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/crypto/sign.h"

/* Frames in either direction that may wait for a peer or for us. Credit bounds what is really under
 * way. */
enum {
    HIGH_WATER_FRAMES = 4096,
    BACKLOG_PEERS = 4096,
    HANDSHAKE_MS = 10000,
    LINGER_MS = 500 /* what the last frames may take to leave a program that ends */
};

/* ---- opening ---- */

static void set_options(zsock_t *sock)
{
    zsock_set_router_mandatory(sock, 1); /* a send to nobody is an error, not silence */
    zsock_set_router_handover(sock, 0);  /* nobody takes another's routing id */
    zsock_set_maxmsgsize(sock, FRAME_BYTES_MAX);
    zsock_set_rcvhwm(sock, HIGH_WATER_FRAMES);
    zsock_set_sndhwm(sock, HIGH_WATER_FRAMES);
    zsock_set_backlog(sock, BACKLOG_PEERS);
    zsock_set_handshake_ivl(sock, HANDSHAKE_MS);
    zsock_set_linger(sock, 0);
}

#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93 /* named in the header of a libzmq with drafts alone */
#endif

/* For what is bound from now on. Without all three of handler, domain and enforcement libzmq lets
 * in any key. Its copy of the secret lies in memory of its own. */
static bool ask_for_keys(zsock_t *sock, const struct router_keys *keys)
{
    int yes = 1;
    uint8_t public_key[WIRE_KEY_BYTES], secret_key[WIRE_KEY_BYTES];
    void *socket = zsock_resolve(sock);
    signer_copy_wire(keys->identity, public_key, secret_key);
    bool is_set = zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof yes) == 0 &&
                  zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret_key, sizeof secret_key) == 0 &&
                  zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, AUTH_DOMAIN, strlen(AUTH_DOMAIN)) == 0 &&
                  zmq_setsockopt(socket, ZMQ_ZAP_ENFORCE_DOMAIN, &yes, sizeof yes) == 0;
    secret_wipe(secret_key, sizeof secret_key);
    return is_set;
}

static enum status bind_one(zsock_t *sock, const char *endpoint, char **out, struct err *err)
{
    if (strstr(endpoint, "://["))
        zsock_set_ipv6(sock, 1);
    if (zsock_bind(sock, "%s", endpoint) < 0)
        return err_set(err, E_IO, "%s: cannot listen there: %s", endpoint,
                       zmq_strerror(zmq_errno()));
    *out = zsock_last_endpoint(sock);
    return OK;
}

static enum status bind_all(struct router *router, struct err *err)
{
    const struct router_options *o = &router->options;
    if (o->keys) {
        bool is_new;
        router->allow = allow_watch_of(o->keys->workers_path, signer_public(o->keys->identity));
        TRY(allow_watch_look(&router->allow, &is_new, err));
        TRY(auth_start(zsys_init(), o->keys, &router->auth, err));
        if (!ask_for_keys(router->sock, o->keys))
            return err_set(err, E_UNSUPPORTED,
                           "%s: this libzmq has no CURVE with enforced ZAP domains, so nobody "
                           "could be kept out",
                           o->endpoint);
    }
    if (o->local_endpoint)
        TRY(bind_one(router->sock, o->local_endpoint, &router->local_endpoint, err));
    return bind_one(router->sock, o->endpoint, &router->endpoint, err);
}

enum status router_open(const struct router_options *options, struct router **out, struct err *err)
{
    *out = NULL;
    zsys_handler_set(NULL); /* signals are the program's business */
    struct router *router = mem_alloc(sizeof *router);
    sessions_init(&router->sessions);
    router->outputs = buf_init(0);
    router->out = buf_init(0);
    router->options = *options;
    if (!router->options.lease_ms)
        router->options.lease_ms = LEASE_MS_DEFAULT;
    if (!router->options.credit)
        router->options.credit = WORKER_CREDIT_MAX;
    router->sock = zsock_new(ZMQ_ROUTER);
    if (!router->sock) {
        router_close(router);
        return err_set(err, E_IO, "%s: cannot make a socket", options->endpoint);
    }
    router->socket = zsock_resolve(router->sock);
    set_options(router->sock);
    enum status status = bind_all(router, err);
    router->options.keys = NULL; /* the caller's */
    if (status != OK) {
        router_close(router);
        return status;
    }
    *out = router;
    return OK;
}

/* ZeroMQ removes its socket file from another thread, which a program that ends does not wait for.
 */
static void remove_socket(const char *endpoint)
{
    static const char scheme[] = "ipc://";
    if (endpoint && !strncmp(endpoint, scheme, strlen(scheme)))
        unlink(endpoint + strlen(scheme));
}

static void drop_held(struct router *router)
{
    for (; router->held_first < router->held_end; router->held_first++) {
        struct held *held = router->held[router->held_first & (router->held_capacity - 1)];
        if (!held->is_free)
            zmq_msg_close(&held->message);
        mem_free(held);
    }
}

void router_close(struct router *router)
{
    drop_held(router);
    remove_socket(router->endpoint);
    remove_socket(router->local_endpoint);
    zstr_free(&router->endpoint);
    zstr_free(&router->local_endpoint);
    mem_free(router->leader);
    if (router->sock)
        zsock_destroy(&router->sock);
    if (router->auth)
        auth_stop(router->auth);
    allow_list_fini(&router->allow.list);
    sessions_fini(&router->sessions);
    arena_fini(&router->arena);
    buf_fini(&router->outputs);
    buf_fini(&router->out);
    mem_free(router->held);
    mem_free(router->entries);
    mem_free(router->dirty);
    mem_free(router);
}

const char *router_endpoint(const struct router *router)
{
    return router->endpoint;
}

const char *router_local_endpoint(const struct router *router)
{
    return router->local_endpoint ? router->local_endpoint : router->endpoint;
}

int router_fd(const struct router *router)
{
    int fd = -1;
    size_t bytes = sizeof fd;
    zmq_getsockopt(router->socket, ZMQ_FD, &fd, &bytes);
    return fd;
}

bool router_is_ready(const struct router *router)
{
    int events = 0;
    size_t bytes = sizeof events;
    zmq_getsockopt(router->socket, ZMQ_EVENTS, &events, &bytes);
    return events & ZMQ_POLLIN;
}

const char *router_worker_name(const struct router *router, uint32_t worker)
{
    const struct session *session = sessions_get(&router->sessions, worker);
    return session ? session->name : "";
}

uint32_t router_worker_find(const struct router *router, const char *name)
{
    for (uint32_t i = 0; i < router->sessions.count; i++) {
        const struct session *session = sessions_get(&router->sessions, i);
        if (session && session->is_known && strcmp(session->name, name) == 0)
            return i;
    }
    return UINT32_MAX;
}

/* ---- held frames ---- */

static void grow_held(struct router *router)
{
    uint32_t capacity = router->held_capacity ? 2 * router->held_capacity : 64;
    struct held **held = mem_alloc(capacity * sizeof *held);
    for (uint64_t handle = router->held_first; handle < router->held_end; handle++)
        held[handle & (capacity - 1)] = router->held[handle & (router->held_capacity - 1)];
    mem_free(router->held);
    router->held = held;
    router->held_capacity = capacity;
}

struct held *router_hold(struct router *router, zmq_msg_t *message, uint32_t worker,
                         uint64_t *handle)
{
    if (router->held_end - router->held_first == router->held_capacity)
        grow_held(router);
    struct held *held = mem_alloc(sizeof *held);
    zmq_msg_init(&held->message);
    zmq_msg_move(&held->message, message);
    /* A small message lies inside zmq_msg_t itself: its bytes are asked for only where it stays. */
    const struct session *session = sessions_get(&router->sessions, worker);
    memcpy(held->public_key, session->public_key, PUBLIC_KEY_BYTES);
    memcpy(held->instance, session->instance, INSTANCE_BYTES);
    held->frame = (struct router_frame){.bytes = zmq_msg_data(&held->message),
                                        .count = zmq_msg_size(&held->message),
                                        .worker = worker,
                                        .public_key = held->public_key};
    router->held[router->held_end & (router->held_capacity - 1)] = held;
    *handle = router->held_end++;
    return held;
}

static struct held *find_held(const struct router *router, uint64_t handle)
{
    if (handle < router->held_first || handle >= router->held_end)
        return NULL;
    struct held *held = router->held[handle & (router->held_capacity - 1)];
    return held->is_free ? NULL : held;
}

const struct router_frame *router_frame(const struct router *router, uint64_t handle)
{
    const struct held *held = find_held(router, handle);
    return held ? &held->frame : NULL;
}

bool router_settle(struct router *router, uint64_t handle)
{
    struct held *held = find_held(router, handle);
    return held && held->open_results && --held->open_results == 0;
}

static void release(struct router *router, struct held *held)
{
    zmq_msg_close(&held->message);
    held->is_free = true;
    while (router->held_first < router->held_end) {
        struct held *first = router->held[router->held_first & (router->held_capacity - 1)];
        if (!first->is_free)
            break;
        mem_free(first);
        router->held_first++;
    }
}

/* ---- sending ---- */

/* False: the peer's queue is full, try again later. A peer that is not there is marked; the next
 * receive tells it. */
static bool send_to(struct router *router, struct session *session, const void *bytes, size_t count)
{
    if (session->is_lost)
        return true;
    if (zmq_send(router->socket, session->routing_id.bytes, session_routing_bytes(session),
                 ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        if (zmq_errno() == EAGAIN)
            return false;
        session->is_lost = router->has_lost = true;
        return true;
    }
    if (zmq_send(router->socket, bytes, count, ZMQ_DONTWAIT) < 0)
        session->is_lost = router->has_lost = true;
    return true;
}

void router_send_frame(struct router *router, uint32_t worker, const void *bytes, size_t count)
{
    struct session *session = sessions_get(&router->sessions, worker);
    if (session && !send_to(router, session, bytes, count))
        session->is_lost = router->has_lost = true;
}

static const enum msg_type batch_types[BATCH_KINDS] = {MSG_TASKS, MSG_ACK, MSG_REVOKE, MSG_KILL};

static bool send_batch(struct router *router, struct session *session, enum batch_kind kind)
{
    enum { HEAD_BYTES = 16 };
    struct batch *batch = &session->batches[kind];
    if (!batch->count)
        return true;
    buf_clear(&router->out);
    uint8_t *room = buf_reserve(&router->out, HEAD_BYTES + batch->entries.count);
    struct mp_writer writer = mp_writer(room, HEAD_BYTES + batch->entries.count);
    msg_write_batch_head(&writer, batch_types[kind], batch->count);
    mp_write_raw(&writer, batch->entries.bytes, batch->entries.count);
    if (!send_to(router, session, room, writer.need))
        return false;
    buf_clear(&batch->entries);
    batch->count = 0;
    return true;
}

/* In this order: what is taken back or ended was given out before. False: something could not be
 * sent, and what comes behind it waits. */
static bool send_batches(struct router *router, struct session *session, enum batch_kind last)
{
    for (int kind = 0; kind <= (int)last; kind++)
        if (!send_batch(router, session, (enum batch_kind)kind))
            return false;
    return true;
}

static struct mp_writer add_entry(struct router *router, uint32_t worker, enum batch_kind kind,
                                  size_t bytes_max)
{
    struct session *session = sessions_get(&router->sessions, worker);
    if (!session)
        return mp_writer(NULL, 0);
    if (!session->is_dirty) {
        if (router->dirty_count == router->dirty_capacity) {
            router->dirty_capacity = router->dirty_capacity ? 2 * router->dirty_capacity : 16;
            router->dirty =
                mem_resize(router->dirty, router->dirty_capacity * sizeof *router->dirty);
        }
        router->dirty[router->dirty_count++] = worker;
        session->is_dirty = true;
    }
    struct batch *batch = &session->batches[kind];
    /* A frame that is as large as it should be leaves at once; if it can't, it grows: credit bounds
     * it. */
    if (batch->count >= FRAME_TASKS_MAX || batch->entries.count + bytes_max > FRAME_BYTES_MAX / 2)
        send_batches(router, session, kind);
    batch->count++;
    return mp_writer(buf_reserve(&batch->entries, bytes_max), bytes_max);
}

static void end_entry(struct router *router, uint32_t worker, enum batch_kind kind,
                      const struct mp_writer *writer)
{
    if (writer->out)
        sessions_get(&router->sessions, worker)->batches[kind].entries.count += writer->need;
}

void router_assign(struct router *router, uint32_t worker, const struct task_msg *task)
{
    enum { FIXED_BYTES = 96 };
    size_t most = FIXED_BYTES + task->spec_bytes + task->inputs_bytes + task->resources.count;
    struct mp_writer writer = add_entry(router, worker, BATCH_TASKS, most);
    if (writer.out)
        msg_write_task(&writer, task);
    end_entry(router, worker, BATCH_TASKS, &writer);
}

static void add_attempt(struct router *router, uint32_t worker, enum batch_kind kind,
                        const struct attempt *attempt)
{
    enum { ATTEMPT_BYTES = 48 };
    struct mp_writer writer = add_entry(router, worker, kind, ATTEMPT_BYTES);
    if (writer.out)
        msg_write_attempt(&writer, attempt);
    end_entry(router, worker, kind, &writer);
}

void router_revoke(struct router *router, uint32_t worker, const struct attempt *attempt)
{
    add_attempt(router, worker, BATCH_REVOKE, attempt);
}

void router_kill(struct router *router, uint32_t worker, const struct attempt *attempt)
{
    add_attempt(router, worker, BATCH_KILL, attempt);
}

/* The number that the frame's sender has by now; it may have left, or come back under another. */
static uint32_t sender_of(const struct router *router, const struct held *held)
{
    const struct session *session = sessions_get(&router->sessions, held->frame.worker);
    if (session && memcmp(session->instance, held->instance, INSTANCE_BYTES) == 0)
        return held->frame.worker;
    return sessions_find_instance(&router->sessions, held->instance);
}

void router_ack(struct router *router, uint64_t handle)
{
    enum { SEQUENCE_BYTES = 9 };
    struct held *held = find_held(router, handle);
    if (!held)
        return;
    uint32_t worker = sender_of(router, held);
    struct mp_writer writer = add_entry(router, worker, BATCH_ACK, SEQUENCE_BYTES);
    if (writer.out)
        mp_write_uint(&writer, held->frame.sequence);
    end_entry(router, worker, BATCH_ACK, &writer);
    release(router, held);
}

enum status router_flush(struct router *router, struct err *err)
{
    (void)err;
    uint32_t left = 0;
    for (uint32_t i = 0; i < router->dirty_count; i++) {
        struct session *session = sessions_get(&router->sessions, router->dirty[i]);
        if (!session)
            continue;
        session->is_dirty = !send_batches(router, session, BATCH_KINDS - 1);
        if (session->is_dirty)
            router->dirty[left++] = router->dirty[i];
    }
    router->dirty_count = left;
    return OK;
}

bool router_is_idle(const struct router *router)
{
    return router->dirty_count == 0;
}

void router_forget(struct router *router, uint32_t worker)
{
    if (sessions_get(&router->sessions, worker))
        sessions_remove(&router->sessions, worker);
}

void router_say_not_leader(struct router *router, uint32_t worker)
{
    uint8_t frame[ENDPOINT_BYTES_MAX + 32];
    struct mp_writer writer = mp_writer(frame, sizeof frame);
    uint64_t seen = router->epoch_seen;
    struct not_leader message = {seen > router->options.epoch ? seen : router->options.epoch,
                                 router->leader, (uint32_t)strlen(router->leader)};
    msg_write_not_leader(&writer, &message);
    router_send_frame(router, worker, frame, writer.need);
}

void router_stand_by(struct router *router, const char *endpoint)
{
    size_t bytes = strlen(endpoint);
    mem_free(router->leader);
    router->leader = mem_copy_text(endpoint, bytes <= ENDPOINT_BYTES_MAX ? bytes : 0);
    for (uint32_t i = 0; i < router->sessions.count; i++)
        if (sessions_get(&router->sessions, i)) {
            router_say_not_leader(router, i);
            sessions_remove(&router->sessions, i);
        }
    router->dirty_count = 0;
    drop_held(router);
}

void router_lead(struct router *router, uint64_t epoch)
{
    mem_free(router->leader);
    router->leader = NULL;
    router->options.epoch = epoch;
}

uint64_t router_epoch_seen(const struct router *router)
{
    return router->epoch_seen;
}

void router_dismiss(struct router *router)
{
    uint8_t frame[16];
    struct mp_writer writer = mp_writer(frame, sizeof frame);
    msg_write_batch_head(&writer, MSG_GOODBYE, 0);
    zsock_set_linger(router->sock, LINGER_MS);
    for (uint32_t i = 0; i < router->sessions.count; i++)
        router_send_frame(router, i, frame, writer.need);
}
