/* How a submission becomes tasks: ids looked up, edges turned round, need and path lengths worked
 * out. Linear in nodes and edges; no recursion. Producers come before their consumers in a
 * submission. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

struct submission;

/* Keeps records until the SUBMIT that follows. */
void submit_restore(struct sched *sched, const struct sched_event *event);
void submit_run(struct sched *sched, const struct sched_event *event);
/* As far as this step may (todo.h); true: all of it is in, and the submission is gone. */
bool submit_go_on(struct sched *sched, struct submission *submission);
void submit_free(struct submission *submission);
