/* Edges, both ways round. inputs[] has for each task a count and its producers' edges; fans[] for
 * each producer its consumers, closed by FAN_END or by a link to the list it had before. One call
 * is one node of a submission; edges are those of its new tasks (marked LISTED, `place` their first
 * node). Each returns how many edges it walked through. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/submission.h"

uint32_t fan_count(struct sched *sched, struct submission *submission, uint32_t node);
/* Between counting and laying: makes room. */
void fan_reserve(struct sched *sched, const struct submission *submission);
uint32_t fan_lay(struct sched *sched, struct submission *submission, uint32_t node);
uint32_t fan_fill(struct sched *sched, struct submission *submission, uint32_t node);
/* One more edge, between tasks that are there. Not between counting and filling. */
void fan_add(struct sched *sched, uint32_t producer, uint32_t consumer);
