/* Edges, both ways round. inputs[] has for each task a count and its producers' edges; fans[] for
 * each producer its consumers, closed by FAN_END or by a link to the list it had before. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* Adds the edges of the submission's new tasks (marked LISTED, `place` their first node). Sets
 * has_dependants per node. */
void fan_add(struct sched *sched, const struct run *run, const struct sched_event *event,
             uint8_t *has_dependants);
