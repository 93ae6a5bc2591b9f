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
/* An attempt at that instance which is to be remembered; to be filled in at once. */
struct past *note_add_past(struct sched *sched, uint32_t index, uint32_t attempt,
                           uint32_t instance);
/* Was this attempt given to that instance, and lost sight of? */
struct past *note_find_past(const struct sched *sched, const struct task *task, uint32_t index,
                            uint32_t attempt, uint32_t instance);
/* Distinct workers that it may have ended, and slots. */
uint32_t note_kills(const struct sched *sched, const struct note *note);
/* "attempt 1: its slot at gpu-7 died (…); attempt 2: gpu-8 went away (…)": those that count. */
void note_put_kills(const struct sched *sched, const struct note *note, struct buf *out);
/* Forgets the instance if it is neither connected nor remembered. */
void note_release_instance(struct sched *sched, uint32_t instance);
void note_drop(struct sched *sched, uint32_t index);
