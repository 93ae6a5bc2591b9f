/* A run that is over is forgotten: sched_forget, and what that leaves over (todo.h). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* True: nothing any more. */
bool forget_go_on(struct sched *sched, struct todo *todo);
/* The task keeps a dependant that names another one instead. */
void forget_note_stray(struct sched *sched, uint32_t task);
