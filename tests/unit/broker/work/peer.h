/* A worker by hand: a DEALER that says what a test wants, right or wrong. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/crypto/sign.h"
#include "proto/msg.h"

struct peer {
    void *context, *socket;
    struct signer *signer;
    const uint8_t *broker_key; /* NULL: no keys */
    uint8_t instance[INSTANCE_BYTES];
    uint8_t frame[1 << 16]; /* the last one received */
    size_t frame_bytes;
};

/* Connects under the routing id `routing_id`. */
void peer_connect(struct peer *peer, const char *endpoint, const char *routing_id);
/* With keys: `signer` is the worker's identity (NULL: a new one) and taken over; the broker is
 * expected to have this key. */
void peer_connect_keyed(struct peer *peer, const char *endpoint, const char *routing_id,
                        struct signer *signer, const uint8_t *broker_key);
/* The same program over a new connection. */
void peer_reconnect(struct peer *peer, const char *endpoint, const char *routing_id);
/* The connection ends; the program lives on. */
void peer_hang_up(struct peer *peer);
void peer_close(struct peer *peer);
void peer_send(struct peer *peer, const void *bytes, size_t count);
/* HELLO with one kind, a label, gpu: 2, and `running_count` attempts still held. */
void peer_hello(struct peer *peer, uint32_t protocol, uint64_t epoch, const char *name,
                const struct attempt *running, uint32_t running_count);
/* Encodes and signs a frame; returns its bytes. `results` point at their records. */
size_t peer_results(struct peer *peer, uint64_t sequence, const struct result_msg *results,
                    uint32_t count, uint8_t *out, size_t out_bytes);
/* A frame of attempts: STARTED, REVOKED, HEARTBEAT, GOODBYE. */
void peer_attempts(struct peer *peer, enum msg_type type, const struct attempt *attempts,
                   uint32_t count);
/* Waits up to a second for a frame of this type, past any HEARTBEAT; false: another, or none. */
bool peer_receive(struct peer *peer, enum msg_type type);
/* A record of this action with one output "out". */
size_t peer_record(const uint8_t *action, size_t action_bytes, const struct artifact *output,
                   uint8_t *out, size_t out_bytes);
/* Attempt n at the task n n n …, and its success: a record with an output of n bytes. */
struct attempt peer_attempt(uint8_t n);
struct result_msg peer_success(uint8_t n, uint8_t record[256]);
/* REFUSED comes, with this code and this word in its reason. */
void peer_expect_refused(struct peer *peer, enum status code, const char *word);
