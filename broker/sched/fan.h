/* Edges, both ways round. inputs[] has for each task a count and its producers' edges; fans[] for
 * each producer its consumers, closed by FAN_END or by a link to the block it had before.
 *
 * While a run is submitted one call is one node of it; edges are those of its new tasks (marked
 * LISTED, `place` their first node). Each returns how many edges it walked through. */
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

/* ---- while a run is forgotten ---- */

/* Give back what a forgotten task has. */
void fan_drop_inputs(struct sched *sched, struct task *task);
void fan_drop(struct sched *sched, struct task *task);
/* Takes forgotten consumers (STAGE_FREE) off the task's list, block by block: begins with zeroes;
 * true: that was all of it. */
bool fan_scrub(struct sched *sched, uint32_t task, struct fan_place *place);
