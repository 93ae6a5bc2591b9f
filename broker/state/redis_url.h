/* Where a Redis is, as REDIS_URL or --state says it:
 *
 *   redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]          rediss://… the same over TLS
 *   redis+unix://[[USER]:PASSWORD@]/PATH
 *   redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT],…/MASTER[/DB]
 *
 * followed by ?NAME=VALUE&…: `ns` what all keys begin with (penstock), `db`, `ca` a file of
 * authorities for TLS (else REDIS_CA of the environment, else the system's), `tls` 1 for Sentinel
 * and its masters. User, password, path and values are percent-decoded. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "proto/err.h"

enum {
    REDIS_HOSTS_MAX = 8, /* Sentinels of one URL; three are usual */
    REDIS_NAMESPACE_BYTES_MAX = 64,
    REDIS_PORT = 6379,
    REDIS_SENTINEL_PORT = 26379
};

struct redis_host {
    const char *name;
    uint16_t port;
};

struct redis_url {
    struct arena arena;
    const char *shown; /* without the password, for messages */
    const char *path;  /* of a unix socket, or NULL */
    struct redis_host hosts[REDIS_HOSTS_MAX];
    uint32_t host_count;
    const char *master;          /* its name at the Sentinels; NULL: the host is Redis itself */
    const char *user, *password; /* NULL: none */
    const char *ca;
    const char *ns;
    bool is_tls;
    uint32_t db;
};

/* Errors: E_INVALID naming the part; the password is in no message. */
MUST_USE enum status redis_url_parse(const char *text, struct redis_url *out, struct err *err);
void redis_url_fini(struct redis_url *url);

DEFINE_AUTO_VALUE(struct redis_url, redis_url_fini)
