/* Stealing: a worker that has a free slot and nothing for it gets what others hold and have not
 * begun. They are asked to give it back (REVOKE); what they give back is ready again, and the free
 * slot takes it before it could go back where it came from. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* If the worker starves: asks one of the crowd. Looks at a bounded number of them; those after it
 * are looked at the next time. */
void steal_for(struct sched *sched, uint32_t worker);
/* For those that something was asked back for which came, or will not come. */
void steal_for_hungry(struct sched *sched);
