/* Inside the router: what its receiving and its sending half share. Seen by broker/work/ alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <zmq.h>

#include "broker/work/allow_list.h"
#include "broker/work/auth.h"
#include "broker/work/router.h"
#include "broker/work/session.h"
#include "common/base/arena.h"

/* A RESULTS frame that is kept until its results are committed. */
struct held {
    zmq_msg_t message;
    struct router_frame frame;
    uint8_t public_key[PUBLIC_KEY_BYTES];
    uint8_t instance[INSTANCE_BYTES]; /* whose it is: worker numbers are used again */
    uint32_t open_results;            /* not settled yet */
    bool is_free;
};

/* An entry of a RESULTS body, checked; nothing of a frame counts before all of it is. */
struct entry {
    struct result_msg result;
    struct record record;
    uint32_t first_output; /* in `outputs` */
};

struct router {
    struct _zsock_t *sock;
    void *socket; /* the same, as libzmq sees it */
    struct router_options options;
    char *endpoint, *local_endpoint;
    struct auth *auth;        /* with keys */
    struct allow_watch allow; /* who may stay */
    ms_t look_at;             /* when its file is looked at next */
    char *leader;             /* standing by: where it is, "" not known; NULL: we lead */
    uint64_t epoch_seen;
    struct sessions sessions;
    ms_t probe_at;   /* when silent peers are sent something next */
    bool has_lost;   /* a session is marked is_lost */
    uint32_t *dirty; /* workers with something to send */
    uint32_t dirty_count, dirty_capacity;
    struct held **held; /* ring by handle; a power of two */
    uint64_t held_first, held_end;
    uint32_t held_capacity;
    struct entry *entries; /* scratch of one frame */
    uint32_t entry_capacity;
    struct buf outputs; /* scratch: struct artifact each */
    struct arena arena; /* scratch of one event */
    struct buf out;     /* scratch: the frame being written */
};

/* Sends now: WELCOME, REFUSED, GOODBYE. */
void router_send_frame(struct router *router, uint32_t worker, const void *bytes, size_t count);
/* To who says HELLO while another broker leads. */
void router_say_not_leader(struct router *router, uint32_t worker);
/* Keeps the frame; its handle. `message` is moved. */
struct held *router_hold(struct router *router, zmq_msg_t *message, uint32_t worker,
                         uint64_t *handle);
