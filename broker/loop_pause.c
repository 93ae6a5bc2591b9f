// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_pause.h"

#include "common/clock.h"
#include "common/log.h"

enum { RETRY_MS = 200 };

ms_t loop_pause_now(const struct loop_pause *pause)
{
    return (loop_pause_is_on(pause) ? pause->since : clock_ms()) - pause->stalled_ms;
}

void loop_pause_begin_commit(struct loop_pause *pause)
{
    if (!pause->is_waiting)
        pause->since = clock_ms();
    pause->is_committing = true;
}

bool loop_may_pass(enum status status)
{
    return status == E_FULL || status == E_IO || status == E_UNREACHABLE || status == E_NOMEM;
}

enum status loop_pause_fail(struct loop_pause *pause, enum status status, struct err *err)
{
    char quoted[2 * ERR_TEXT_BYTES];
    if (pause->gives_up || !loop_may_pass(status))
        return status;
    if (!pause->is_waiting) {
        log_event(LOG_WARN, "state.waiting", "reason=%s",
                  log_quote(err->text, quoted, sizeof quoted));
        if (!pause->is_committing)
            pause->since = clock_ms();
    }
    pause->is_waiting = true;
    pause->is_committing = false;
    pause->retry_at = clock_ms() + RETRY_MS;
    return OK;
}

void loop_pause_end(struct loop_pause *pause)
{
    if (!loop_pause_is_on(pause))
        return;
    ms_t took = clock_ms() - pause->since;
    pause->stalled_ms += took;
    if (pause->is_waiting)
        log_event(LOG_WARN, "state.back", "after_ms=%lld", (long long)took);
    pause->is_waiting = pause->is_committing = false;
}
