/* Rules and lanes: a run's policies, copied, and its priorities. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* Copies the submission's policies and tells every offer. */
void rule_add_run(struct sched *sched, uint32_t run, const struct sched_event *event);
/* Their queues are empty, and no task has them any more. */
void rule_drop_run(struct sched *sched, uint32_t run);
