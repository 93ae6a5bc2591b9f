/* Inside the receiving half: receive.c (frames), hello.c (who joins). Seen by broker/work/. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/work/router_state.h"

/* Where the events of one receive go. */
struct sink {
    struct router *router;
    ms_t now;
    const struct router_sink *to;
    uint32_t *work; /* so far: see RECEIVE_WORK_MAX */
};

/* receive.c */
void receive_emit(const struct sink *sink, struct sched_event *event);
/* Forgets the peer; GONE, if it was welcome. */
void receive_drop(const struct sink *sink, uint32_t worker, bool is_drain, enum status code);
/* Tells it why, and forgets it. */
void receive_refuse(const struct sink *sink, uint32_t worker, const struct err *reason);
/* The same, where nothing that it did is why: its tasks are not suspected. */
void receive_revoke(const struct sink *sink, uint32_t worker, const struct err *reason);

/* hello.c */
void receive_hello(const struct sink *sink, zmq_msg_t *from, zmq_msg_t *message);
/* True: we stand by, and it was told who leads. */
bool receive_turn_away(struct router *router, zmq_msg_t *from);
/* The key that the frame's connection proved, in text; "": it was not asked for one. Of a payload
 * frame: libzmq gives the others no metadata. */
const char *receive_user(zmq_msg_t *message);
/* Follows the list of keys: who is not on it any more is refused. */
void receive_cut_off(const struct sink *sink);
