/* One worker as the router knows it: who it is, where its frames go, and what is being gathered for
 * it. Seen by broker/work/ alone. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "common/base/id_map.h"
#include "proto/msg.h"

enum { ROUTING_ID_BYTES_MAX = ID_BYTES - 1, PEER_NAME_BYTES = NAME_BYTES_MAX + 1 };

/* Entries of one batch message, encoded as they come; the head is written when it is sent. */
struct batch {
    struct buf entries;
    uint32_t count;
};

enum batch_kind { BATCH_TASKS, BATCH_ACK, BATCH_REVOKE, BATCH_KILL, BATCH_KINDS };

struct session {
    struct id routing_id; /* its bytes, zero-padded; the last byte is their number */
    uint8_t instance[INSTANCE_BYTES];
    struct id instance_id; /* the same, zero-padded */
    uint8_t public_key[PUBLIC_KEY_BYTES];
    char name[PEER_NAME_BYTES];
    char user[ID_HEX_BYTES]; /* the key that its connection proved, in text; "": none was asked */
    bool is_known;           /* it said HELLO and was welcomed */
    bool is_lost;            /* a send found nobody there: GONE is to be said */
    bool was_heard;          /* since the last probe */
    bool is_dirty;           /* it is in the list of those with something to send */
    struct batch batches[BATCH_KINDS];
};

struct sessions {
    struct session **items; /* by worker number; NULL: free */
    uint32_t count, capacity;
    struct id_map by_routing_id, by_instance;
    struct buf free; /* uint32_t each: numbers below `count` that nobody has, the last one first */
};

void sessions_init(struct sessions *sessions);
void sessions_fini(struct sessions *sessions);
/* The number of the peer with this routing id, or UINT32_MAX. */
uint32_t sessions_find(const struct sessions *sessions, const uint8_t *routing_id, size_t bytes);
/* A peer that came back under another routing id: the number its instance has, or UINT32_MAX. */
uint32_t sessions_find_instance(const struct sessions *sessions,
                                const uint8_t instance[INSTANCE_BYTES]);
/* It said HELLO: who it is. Nobody else is that. */
void sessions_name(struct sessions *sessions, uint32_t number,
                   const uint8_t instance[INSTANCE_BYTES]);
/* A new peer gets a free number; a number that is given moves to the new routing id.
 * Errors: E_LIMIT WORKERS_MAX. */
MUST_USE enum status sessions_put(struct sessions *sessions, const uint8_t *routing_id,
                                  size_t bytes, uint32_t *number_p, struct err *err);
void sessions_remove(struct sessions *sessions, uint32_t number);
struct session *sessions_get(const struct sessions *sessions, uint32_t number); /* or NULL */
size_t session_routing_bytes(const struct session *session);
