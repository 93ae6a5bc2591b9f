/* The loop's pauses: while a commit is under way, or state and store refuse what is asked of them,
 * nothing is stepped and the scheduler's clock stands still, so a slow disk expires no lease.
 * Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>

#include "common/base/ms.h"
#include "proto/err.h"

struct loop_pause {
    bool is_committing; /* a commit is under way */
    bool is_waiting;    /* the last one failed, which was told once */
    bool gives_up;      /* it is not tried again */
    ms_t retry_at;      /* when it is */
    ms_t since;         /* when this pause began */
    ms_t stalled_ms;    /* all pauses before it */
};

static inline bool loop_pause_is_on(const struct loop_pause *pause)
{
    return pause->is_committing || pause->is_waiting;
}
/* The scheduler's time. */
ms_t loop_pause_now(const struct loop_pause *pause);
void loop_pause_begin_commit(struct loop_pause *pause);
/* Is it a failure that passes: a full disk, or a state or store that is away? */
bool loop_may_pass(enum status status);
/* What fails is tried again: a full disk, or a state or store that is away, pauses the run and
 * loses nothing. Returns what can't be waited for. */
MUST_USE enum status loop_pause_fail(struct loop_pause *pause, enum status status, struct err *err);
void loop_pause_end(struct loop_pause *pause);
