// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_lead.h"

#include <inttypes.h>

#include "common/log.h"

static enum status raise_epoch(struct loop_lead *lead, struct state *state, uint64_t seen,
                               struct err *err)
{
    char quoted[2 * ERR_TEXT_BYTES];
    struct err why = {0};
    uint64_t old = state_epoch(state);
    enum status status = state_raise_epoch(state, seen, &why);
    if (status == OK)
        log_event(LOG_WARN, "epoch.raised", "old=%" PRIu64 " seen=%" PRIu64 " new=%" PRIu64, old,
                  seen, state_epoch(state));
    else if (lead->tried != seen)
        log_event(LOG_WARN, "epoch.kept", "epoch=%" PRIu64 " seen=%" PRIu64 " reason=%s", old, seen,
                  log_quote(why.text, quoted, sizeof quoted));
    lead->tried = seen;
    if (status == E_FENCED || status == E_DENIED)
        return err_set(err, status, "%s", why.text);
    return OK;
}

enum status loop_lead(struct loop_lead *lead, struct state *state, struct router *router,
                      struct err *err)
{
    TRY(state_renew(state, err));
    if (!router)
        return OK;
    if (router_epoch_seen(router) > state_epoch(state))
        TRY(raise_epoch(lead, state, router_epoch_seen(router), err));
    if (lead->told != state_epoch(state)) {
        lead->told = state_epoch(state);
        router_lead(router, lead->told);
    }
    return OK;
}
