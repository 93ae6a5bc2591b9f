/* Who leads? Of the brokers that serve one state in Redis one has the lease. The others stand by:
 * their work socket and HTTP are open, workers and clients are sent on to the leader, and the lease
 * is looked at several times a second. One that finds it over takes it, reads the open runs anew,
 * and goes on as after a restart.
 *
 *             the lease is free                     another has it, or it could not be renewed
 *   stands by ────────────────▶ leads (loop, runs) ────────────────▶ stands by
 *
 * A leader that loses the lease forgets all that was not committed; workers say it again to the
 * next one. Its local worker goes on as long as nobody else leads. A state in a folder has a lock
 * instead: a second broker there is an error. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/state.h"
#include "common/base/ms.h"
#include "proto/err.h"

struct local;

/* In struct local. */
struct leadership {
    char advertised[STATE_HOLDER_BYTES / 2]; /* endpoints, with spaces between */
    char holder[STATE_HOLDER_BYTES];         /* ours; "": nothing that others could be sent to */
    bool stands_by, is_away;  /* is_away: the state does not answer, which was told */
    struct state_lead leader; /* while standing by */
    char work[STATE_HOLDER_BYTES], http[STATE_HOLDER_BYTES]; /* where that is; "": not known */
    uint64_t epoch_led, epoch_seen;                          /* our last one; ours will be higher */
    ms_t look_at, suspected_at; /* when it is looked at next; when it should be over */
    ms_t cut_off_at;            /* leading: since when it could not be renewed; or MS_NEVER */
};

/* `advertised`: texts of endpoints with commas or spaces between. Errors: E_INVALID what is no
 * endpoint; E_LIMIT. */
MUST_USE enum status lead_prepare(struct local *app, const char *const *advertised, size_t count,
                                  struct err *err);
/* A turn of one that stands by. */
MUST_USE enum status lead_wait(struct local *app, ms_t max_ms, struct err *err);
/* After a turn of one that leads, which ended with `status` and `err`: stands by if it must. */
MUST_USE enum status lead_judge(struct local *app, enum status status, struct err *err);
