// SPDX-License-Identifier: Apache-2.0
#include "common/net/endpoint.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ipc[] = "ipc://", tcp[] = "tcp://";

static bool is_port(const char *text, enum endpoint_use use)
{
    char *end;
    if (strcmp(text, "*") == 0)
        return use == ENDPOINT_LISTEN;
    long port = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : 0;
    return port >= 1 && port <= UINT16_MAX && !*end;
}

/* [::1], [fe80::1%eth0] */
static bool read_ipv6(struct endpoint *out)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    size_t bytes = strcspn(out->host + 1, "%]");
    if (bytes >= sizeof address || out->host[strlen(out->host) - 1] != ']')
        return false;
    snprintf(address, sizeof address, "%.*s", (int)bytes, out->host + 1);
    if (inet_pton(AF_INET6, address, &parsed) != 1)
        return false;
    out->is_ipv6 = true;
    out->is_local = IN6_IS_ADDR_LOOPBACK(&parsed);
    out->is_any_host = IN6_IS_ADDR_UNSPECIFIED(&parsed);
    return true;
}

static bool read_host(struct endpoint *out, enum endpoint_use use)
{
    struct in_addr parsed;
    if (out->host[0] == '[')
        return read_ipv6(out);
    out->is_any_host = strcmp(out->host, "*") == 0 || strcmp(out->host, "0.0.0.0") == 0;
    out->is_local = inet_pton(AF_INET, out->host, &parsed) == 1 &&
                    (ntohl(parsed.s_addr) >> 24) == IN_LOOPBACKNET;
    if (strcmp(out->host, "*") == 0)
        return use == ENDPOINT_LISTEN;
    for (const char *c = out->host; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
            return false;
    return out->host[0] != 0;
}

static bool read_tcp(const char *text, enum endpoint_use use, struct endpoint *out)
{
    const char *host = text + strlen(tcp), *colon = strrchr(host, ':');
    if (!colon || (size_t)(colon - host) >= sizeof out->host || !is_port(colon + 1, use))
        return false;
    snprintf(out->host, sizeof out->host, "%.*s", (int)(colon - host), host);
    snprintf(out->port, sizeof out->port, "%s", colon + 1);
    return read_host(out, use);
}

enum status endpoint_parse(const char *setting, const char *text, enum endpoint_use use,
                           struct endpoint *out, struct err *err)
{
    const char *name = setting ? setting : "", *space = setting ? " " : "";
    *out = (struct endpoint){0};
    size_t bytes = strlen(text), ipc_bytes = strlen(ipc);
    if (bytes > ENDPOINT_BYTES_MAX)
        return err_set(err, E_INVALID, "%s%s%.60s…: an endpoint has at most %d bytes, not %zu",
                       name, space, text, ENDPOINT_BYTES_MAX, bytes);
    if (strncmp(text, ipc, ipc_bytes) == 0 && bytes > ipc_bytes) {
        out->is_ipc = out->is_local = true;
        if (bytes - ipc_bytes <= IPC_PATH_BYTES_MAX)
            return OK;
        return err_set(err, E_INVALID, "%s%s%.60s…: a socket's path has at most %d bytes, not %zu",
                       name, space, text, IPC_PATH_BYTES_MAX, bytes - ipc_bytes);
    }
    if (strncmp(text, tcp, strlen(tcp)) == 0 && read_tcp(text, use, out))
        return OK;
    return err_set(
        err, E_INVALID, "%s%s%s: expected ipc://PATH or tcp://HOST:PORT%s", name, space, text,
        use == ENDPOINT_LISTEN ? " (* as PORT: any free one; * as HOST: every address)" : "");
}
