/* A stream of bytes to a server: TCP, TLS over TCP, or a unix socket. Opening one waits, for a time
 * the caller bounds (names are looked up by a thread of libcurl's, so that this holds for DNS too);
 * afterwards nothing waits but stream_wait: what can't be sent or read now is tried again when the
 * descriptor says so.
 *
 * libcurl connects (CURLOPT_CONNECT_ONLY) and speaks TLS; of a plain connection it keeps the socket
 * and nothing else. Proxies of the environment are not used: they are for the web.
 *
 * Thread: a stream belongs to one thread at a time. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/err.h"

struct stream;

struct stream_options {
    const char *path; /* of a unix socket; NULL: host and port */
    const char *host; /* a name or an address; IPv6 without brackets */
    uint16_t port;
    bool is_tls;
    const char *server_name; /* that the certificate must be for; NULL: host */
    const char *ca_file;     /* PEM; NULL: the authorities that this machine trusts */
    uint32_t connect_ms;     /* at most, with the TLS handshake */
};

/* Errors: E_UNREACHABLE nobody answers, or not in time; E_DENIED a certificate that is not trusted,
 * a `ca_file` that is none, a socket that may not be opened; E_INVALID a path that is too long. */
MUST_USE enum status stream_open(const struct stream_options *options, struct stream **out,
                                 struct err *err);
void stream_close(struct stream *stream);
/* For poll and epoll. TLS may hold bytes that were read already, so read until nothing comes before
 * waiting. */
int stream_fd(const struct stream *stream);
/* As much as the socket takes now; *sent may be 0. Errors: E_UNREACHABLE the connection is gone. */
MUST_USE enum status stream_send(struct stream *stream, const void *data, size_t bytes,
                                 size_t *sent, struct err *err);
/* What is there now; *got 0: nothing yet. Errors: E_UNREACHABLE the connection is gone, or the
 * other side has closed it. */
MUST_USE enum status stream_receive(struct stream *stream, void *out, size_t bytes, size_t *got,
                                    struct err *err);
/* Waits until there is something to read, or (`for_room`) room to send. false: the time is over. */
bool stream_wait(const struct stream *stream, bool for_room, uint32_t max_ms);

DEFINE_AUTO(struct stream *, stream_close)
