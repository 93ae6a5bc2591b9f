/* Who may connect: the answering end of ZAP, which libzmq asks for each connection whose peer has
 * proved its key. A key of the list is let in, and its Ed25519 key becomes the user id of all that
 * comes over the connection (64 hex digits); so is the broker's own, for its local worker; anything
 * else is refused. One for a context of libzmq, which has one place to ask
 * (inproc://zeromq.zap.01). It follows the list's file by itself, so
 * that a worker that was added a moment ago gets in. Source: ZeroMQ RFC 27 (ZAP), 25 (CURVE).
 * Thread: one of its own, so that connections are made while the loop waits for a state. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"

/* Sockets that ask must name this domain; libzmq lets in everybody where none is named. */
#define AUTH_DOMAIN "penstock"

struct auth;
struct router_keys;

/* `context` is libzmq's, of the sockets that ask; before any of them is bound. `keys` is copied.
 * Errors: E_CONFLICT somebody else answers there; E_IO. */
MUST_USE enum status auth_start(void *context, const struct router_keys *keys, struct auth **out,
                                struct err *err);
void auth_stop(struct auth *auth);

DEFINE_AUTO(struct auth *, auth_stop)
