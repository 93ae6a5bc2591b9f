/* The worker's end of the work plane: one DEALER socket. It knows frames and connections, not what
 * is in a frame: it tells when a broker is there, when it is gone, and hands over what came. A
 * lost connection is replaced by a new socket with a new random routing id (so nothing queued for
 * the old one overtakes our HELLO, and a broker that has not noticed yet does not mistake us),
 * after a pause that doubles up to some seconds, with jitter. Of several brokers the next one is
 * tried each time, and one that is silent is not waited for. With keys (CURVE) the broker is one
 * that has the key we expect, or it is not talked to. The door to ZeroMQ in the worker. Thread: the
 * loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/ms.h"
#include "proto/err.h"
#include "proto/id.h"

struct link;
struct signer;

struct link_options {
    const char *const *brokers; /* endpoints: those of one broker and its standbys */
    uint32_t broker_count;
    const struct id *broker_key;   /* the public key of all of them; NULL: no keys are used */
    const struct signer *identity; /* ours, with a broker_key; borrowed */
};

enum link_event_type {
    LINK_CONNECTED,
    LINK_DISCONNECTED,
    LINK_FRAME,
    LINK_SHUT_OUT /* trying again would not help: `reason` names the setting, and how to mend it */
};

struct link_event {
    enum link_event_type type;
    const uint8_t *bytes; /* FRAME: a view until the next call of link_next */
    size_t count;
    const char *reason; /* SHUT_OUT: lives as long as the link */
};

/* Begins to connect; a broker that is not there yet is waited for. Errors: E_INVALID an endpoint is
 * malformed. */
MUST_USE enum status link_open(const struct link_options *options, struct link **out,
                               struct err *err);
/* Gives queued frames a moment to leave. */
void link_close(struct link *link);
/* What happened next; false: nothing is waiting. */
bool link_next(struct link *link, ms_t now, struct link_event *out);
/* Queues the frame; a full queue counts as a lost connection. */
void link_send(struct link *link, const void *bytes, size_t count);
/* Drops this connection and makes another one after a pause; link_next tells LINK_DISCONNECTED. */
void link_reconnect(struct link *link);
/* The same, to where another broker leads. */
void link_follow(struct link *link, const char *endpoint);
/* This broker is the right one: it is not given up for being silent, and the next loss is a new
 * one. */
void link_settle(struct link *link);
/* Where it is connected, or tries to be. */
const char *link_endpoint(const struct link *link);
/* Descriptors to poll for reading; they are edge-triggered: when one is readable tell link_stir
 * which, then link_next until it says false, and ask link_is_ready before sleeping. They change
 * when the connection does. */
void link_fds(const struct link *link, int out[2]);
void link_stir(struct link *link, const bool is_readable[2]);
bool link_is_ready(struct link *link);
/* When link_next must be called though nothing is readable; MS_NEVER: not at all. */
ms_t link_wake_at(const struct link *link);

static inline void link_close_auto(struct link **link)
{
    if (*link)
        link_close(*link);
}
