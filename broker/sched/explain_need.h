/* What a ready task needs of a worker, and why it has none yet: the one lack that rules out the
 * most, with the numbers. Part of sched_explain(). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* The name of a task in sentences. */
void explain_put_task(const struct sched *sched, uint32_t task, struct buf *out);
/* "needs label zone=a; no worker has it; 3 are connected": none of them could ever run it. */
void explain_lack(const struct sched *sched, const struct rule *rule, struct buf *out);
/* "needs 1 gpu; both workers that have it are busy with …": what is free nowhere now. False, and
 * nothing is put: it isn't that. */
bool explain_taken(const struct sched *sched, uint32_t rule, struct buf *out);
