/* What workers and the state report of attempts: results, commits, look-ups. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

void result_done(struct sched *sched, const struct sched_event *event);
void result_failed(struct sched *sched, const struct sched_event *event);
void result_resolved(struct sched *sched, const struct sched_event *event);
/* Everything that is being committed is durable: succeed, acknowledge, release. */
void result_committed(struct sched *sched);
