/* Workers: joining, leases, leaving. A lease is the worker's: whatever it says renews it, and when
 * it runs out, all its attempts are lost at once. The worker may come back: a success of a lost
 * attempt still counts, and HELLO's list of what it still runs is adopted where nobody else has
 * begun it.
 *
 * What a worker was given it names in its heartbeats until it is done with it. An attempt that
 * UNNAMED_LISTS of them in a row leave out never came there, or got lost there: it is taken back.
 * One list would prove nothing: the attempt may be on its way, or its result may be; but in three
 * thirds of a lease either has come (an assignment is acknowledged or expires, design §8). A list
 * of many attempts comes in several frames, so a new one is one that comes half a heartbeat after
 * the last began. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

void peers_hello(struct sched *sched, const struct sched_event *event);
void peers_gone(struct sched *sched, const struct sched_event *event);
/* The worker said something. False: there is no such worker. */
bool peers_hear(struct sched *sched, uint32_t worker);
enum { UNNAMED_LISTS = 3 };
void peers_heartbeat(struct sched *sched, const struct sched_event *event);
/* STARTED PROGRESS REVOKED */
void peers_started(struct sched *sched, const struct sched_event *event);
void peers_progress(struct sched *sched, const struct sched_event *event);
void peers_revoked(struct sched *sched, const struct sched_event *event);
/* Leases that ran out. */
void peers_tick(struct sched *sched);
