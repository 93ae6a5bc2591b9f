/* Workers: joining, leases, leaving. A lease is the worker's: whatever it says renews it, and when
 * it runs out, all its attempts are lost at once. The worker may come back: a success of a lost
 * attempt still counts, and HELLO's list of what it still runs is adopted where nobody else has
 * begun it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

void peers_hello(struct sched *sched, const struct sched_event *event);
void peers_gone(struct sched *sched, const struct sched_event *event);
/* The worker said something. False: there is no such worker. */
bool peers_hear(struct sched *sched, uint32_t worker);
/* STARTED PROGRESS REVOKED */
void peers_started(struct sched *sched, const struct sched_event *event);
void peers_progress(struct sched *sched, const struct sched_event *event);
void peers_revoked(struct sched *sched, const struct sched_event *event);
/* Leases that ran out. */
void peers_tick(struct sched *sched);
