/* What would run and why, from ids and records alone: nothing is scheduled, nothing is written.
 * Shared by plan.c and explain.c. The comparison is with the newest run of the same pipeline,
 * expanded again from its document. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app/local.h"

enum plan_action { PLAN_HIT, PLAN_RUN, PLAN_MAYBE, PLAN_UNNEEDED, PLAN_ACTION_COUNT };

struct plan {
    struct arena *arena;
    struct submission *now;
    struct submission *before; /* the newest run of the same pipeline, or NULL */
    struct value before_document;
    uint8_t *is_known, *is_needed, *action; /* per task */
};

/* plan.c */
MUST_USE enum status plan_open(struct local *app, const struct app_request *request,
                               struct arena *arena, struct plan *plan, struct err *err);
void plan_close(struct plan *plan);
/* {"name", "step", "axes", "task", "action", "why"} */
struct value plan_entry(const struct plan *plan, uint32_t task, const struct value *changes);

/* reason.c: how a task differs from the one of the same name in the run before, as a list of
 * {"field", "old", "new", "text"}; `text` is the change as one sentence. */
struct value plan_changes(const struct plan *plan, uint32_t task);
/* Why the task has its action, in one sentence. */
const char *plan_why(const struct plan *plan, uint32_t task, const struct value *changes);
const char *plan_task_name(const struct plan *plan, uint32_t task);
/* The task of the same name in the run before, or UINT32_MAX. */
uint32_t plan_task_before(const struct plan *plan, uint32_t task);
/* The first task this one waits for that is not known, or UINT32_MAX. */
uint32_t plan_open_producer(const struct plan *plan, uint32_t task);
/* The run before has no result of the task of this name: it or something above it failed. */
bool plan_failed_before(const struct plan *plan, uint32_t task);
/* What the run before says of the task of this name (which may have another id now), or NULL. */
const struct value *plan_entry_before(const struct plan *plan, uint32_t task);
