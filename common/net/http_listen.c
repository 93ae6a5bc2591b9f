// SPDX-License-Identifier: Apache-2.0
#include "common/net/http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fs.h"

enum { BACKLOG = 512, PORT_MAX = 65535 };

static enum status parse_port(const char *text, const char *digits, in_port_t *out, struct err *err)
{
    char *end;
    unsigned long port = strtoul(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || *end || port > PORT_MAX)
        return err_set(err, E_INVALID, "%s: its port \"%s\" is not in 0 … %d", text, digits,
                       PORT_MAX);
    *out = htons((in_port_t)port);
    return OK;
}

enum status http_address_parse(const char *text, struct http_address *out, struct err *err)
{
    *out = (struct http_address){0};
    const char *colon = strrchr(text, ':');
    char host[HTTP_ADDRESS_BYTES];
    if (!colon || colon == text || (size_t)(colon - text) >= sizeof host)
        return err_set(err, E_INVALID, "%s: expected ADDRESS:PORT, as in 127.0.0.1:7001", text);
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    in_port_t port = 0;
    TRY(parse_port(text, colon + 1, &port, err));
    size_t last = strlen(host) - 1;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->socket;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->socket;
    if (host[0] == '[' && host[last] == ']') {
        host[last] = 0;
        if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1) {
            v6->sin6_family = AF_INET6;
            v6->sin6_port = port;
            out->bytes = sizeof *v6;
            return OK;
        }
    }
    const char *ip = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (inet_pton(AF_INET, ip, &v4->sin_addr) != 1)
        return err_set(err, E_INVALID,
                       "%s: \"%s\" is not an IP address of this machine, as in 127.0.0.1:7001 "
                       "(0.0.0.0: all of them)",
                       text, host);
    v4->sin_family = AF_INET;
    v4->sin_port = port;
    out->bytes = sizeof *v4;
    return OK;
}

void http_address_print(const struct http_address *address, char out[HTTP_ADDRESS_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->socket;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->socket;
    bool is_v6 = address->socket.ss_family == AF_INET6;
    inet_ntop(is_v6 ? AF_INET6 : AF_INET,
              is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr, host,
              sizeof host);
    snprintf(out, HTTP_ADDRESS_BYTES, is_v6 ? "[%s]:%u" : "%s:%u", host,
             ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
}

bool http_address_is_loopback(const struct http_address *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address->socket;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->socket;
    return address->socket.ss_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)
                                                 : ntohl(v4->sin_addr.s_addr) >> 24 == 127;
}

static enum status refuse(const struct http_address *address, int error, struct err *err)
{
    char text[HTTP_ADDRESS_BYTES];
    http_address_print(address, text);
    switch (error) {
    case EADDRINUSE:
        return err_set(err, E_CONFLICT, "%s: another program listens there already", text);
    case EADDRNOTAVAIL: return err_set(err, E_INVALID, "%s: not an address of this machine", text);
    case EACCES: return err_set(err, E_DENIED, "%s: only root may listen there", text);
    default: return err_set(err, E_IO, "%s: cannot listen: %s", text, strerror(error));
    }
}

enum status http_listen(const struct http_address *address, int *out, struct err *err)
{
    *out = -1;
    AUTO(fs_close_fd)
    int fd = socket(address->socket.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* A broker that was restarted gets its port back from connections that are closing. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
        bind(fd, (const struct sockaddr *)&address->socket, address->bytes) != 0 ||
        listen(fd, BACKLOG) != 0)
        return refuse(address, errno, err);
    *out = fd;
    fd = -1;
    return OK;
}
