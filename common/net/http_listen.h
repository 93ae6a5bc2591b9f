/* Addresses that programs listen at: "HOST:PORT", HOST an IP address or "localhost" (which is
 * 127.0.0.1), IPv6 in brackets; port 0 is any free one. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "proto/err.h"

struct http_address {
    struct sockaddr_storage socket;
    socklen_t bytes;
};
enum { HTTP_ADDRESS_BYTES = 64 };

/* Errors: E_INVALID naming what is wrong. */
MUST_USE enum status http_address_parse(const char *text, struct http_address *out,
                                        struct err *err);
/* "127.0.0.1:7001", "[::1]:7001". */
void http_address_print(const struct http_address *address, char out[HTTP_ADDRESS_BYTES]);
/* Reachable from this machine alone? */
bool http_address_is_loopback(const struct http_address *address);
/* A listening socket, non-blocking. Errors: E_CONFLICT in use, E_DENIED, E_INVALID not an address
 * of this machine, E_IO. */
MUST_USE enum status http_listen(const struct http_address *address, int *out, struct err *err);
