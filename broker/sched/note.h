/* Notes: what is known of the few tasks that had trouble. Failures, how often, and which of their
 * attempts were lost sight of. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* NULL: none. */
struct note *note_find(const struct sched *sched, const struct task *task, uint32_t index);
/* The task's note, made if need be; valid until the next one is made. */
struct note *note_make(struct sched *sched, uint32_t index);
void note_set_text(struct note *note, enum status code, const char *text, size_t bytes);
/* An attempt whose worker can't be heard any more. `is_kill`: it may have been what ended it. */
void note_add_past(struct sched *sched, uint32_t index, struct past past);
/* Was this attempt given to that instance, and lost sight of? */
struct past *note_find_past(const struct sched *sched, const struct task *task, uint32_t index,
                            uint32_t attempt, uint32_t instance);
/* Distinct workers that it may have ended, and slots. */
uint32_t note_kills(const struct sched *sched, const struct note *note);
void note_drop(struct sched *sched, uint32_t index);
