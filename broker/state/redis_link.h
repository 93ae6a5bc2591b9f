/* One connection to a Redis server: commands out, replies in, in order. hiredis takes the replies
 * apart (its own connections have neither a time-out that lasts nor TLS); the bytes go over
 * common/net/stream.h. Connecting, authenticating and choosing a database wait REDIS_CONNECT_MS at
 * most; a command is given up when nothing has moved for REDIS_COMMAND_MS. A link that failed once
 * is of no more use: close it.
 *
 * Thread: a link belongs to one thread at a time. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/state/redis_url.h"
#include "common/base/buf.h"
#include "proto/err.h"

enum {
    /* A server that is there answers within milliseconds; the loop waits no longer for one that is
     * not. */
    REDIS_CONNECT_MS = 1000,
    /* With appendfsync everysec a busy disk holds a server up for two seconds. */
    REDIS_COMMAND_MS = 3000
};

enum redis_type { REDIS_NIL, REDIS_TEXT, REDIS_NUMBER, REDIS_LIST, REDIS_FAILURE };

struct redis_reply {
    enum redis_type type;
    const char *text; /* of a TEXT or FAILURE, NUL-terminated */
    size_t bytes;
    int64_t number;
    struct redis_reply **items; /* of a LIST */
    size_t count;
};

struct redis_link;

/* Connects to the server, or to the one that a Sentinel names as the master. Errors: E_UNREACHABLE;
 * E_DENIED a wrong password, no password, a certificate; see redis_failure. */
MUST_USE enum status redis_link_open(const struct redis_url *url, struct redis_link **out,
                                     struct err *err);
void redis_link_close(struct redis_link *link);

/* Queues a command of so many words, then each of them. */
void redis_link_command(struct redis_link *link, size_t words);
void redis_link_word(struct redis_link *link, const void *bytes, size_t count);
void redis_link_text(struct redis_link *link, const char *text);
void redis_link_number(struct redis_link *link, uint64_t number);
/* Room for one word of `count` bytes, to be filled at once. */
uint8_t *redis_link_room(struct redis_link *link, size_t count);

/* Sends what the socket takes. Errors: E_UNREACHABLE. */
MUST_USE enum status redis_link_push(struct redis_link *link, struct err *err);
/* The next reply that has come, valid until the next call that reads; NULL: none yet, or none is
 * owed. Errors: E_UNREACHABLE the connection is gone, or nothing has moved for too long. */
MUST_USE enum status redis_link_poll(struct redis_link *link, struct redis_reply **out,
                                     struct err *err);
/* Waits for the next reply. */
MUST_USE enum status redis_link_wait(struct redis_link *link, struct redis_reply **out,
                                     struct err *err);
/* Replies that are still to come. */
size_t redis_link_owed(const struct redis_link *link);
/* One command of words, NULL-terminated, and its reply; a FAILURE becomes an error. */
MUST_USE enum status redis_link_ask(struct redis_link *link, const char *const *words,
                                    struct redis_reply **out, struct err *err);
int redis_link_fd(const struct redis_link *link);
bool redis_link_wants_room(const struct redis_link *link);

/* What a FAILURE means, as a status that says whether waiting helps, and one line that names the
 * setting and the mend: E_FULL -OOM; E_UNREACHABLE -LOADING, -READONLY, -MASTERDOWN, -NOREPLICAS,
 * -BUSY; E_IO -MISCONF; E_DENIED -NOAUTH, -WRONGPASS, -NOPERM; E_UNSUPPORTED a cluster, a command
 * that is not there; E_INVALID a database that is not there; all else E_PROTOCOL. */
enum status redis_failure(const struct redis_url *url, const char *text, struct err *err);
bool redis_reply_is(const struct redis_reply *reply, const char *text);

DEFINE_AUTO(struct redis_link *, redis_link_close)
