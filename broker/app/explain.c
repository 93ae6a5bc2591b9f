/* explain: one task, why it has the action that `plan` shows, and every change since the last
 * run. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/planning.h"
#include "common/base/doc.h"

static struct value sentences(const struct plan *plan, uint32_t task, const struct value *changes)
{
    struct value list = doc_list();
    const struct value *entry = plan_entry_before(plan, task);
    const struct value *error = entry ? value_get(entry, "error") : NULL;
    /* A run's reasons are its changes, which are listed one by one, or how it failed. */
    if (plan->action[task] != PLAN_RUN || (!changes->count && !error))
        doc_add(plan->arena, &list, value_string(plan_why(plan, task, changes)));
    const struct value *cutoff = entry ? value_get(entry, "cutoff") : NULL;
    if (plan->action[task] == PLAN_HIT && cutoff && cutoff->boolean)
        doc_add(plan->arena, &list,
                value_string("in the last run its inputs turned out byte-identical to ones already "
                             "worked on, so it did not run (early cutoff)"));
    if (error && plan->action[task] != PLAN_HIT)
        doc_add(
            plan->arena, &list,
            doc_format(plan->arena, "in the last run it failed: %s; its log: broker logs \"%s/%s\"",
                       value_get_text(error, "text"), value_get_text(&plan->before_document, "id"),
                       plan_task_name(plan, task)));
    return list;
}

enum status local_explain(struct app *base, const struct app_request *request, const char *name,
                          struct arena *arena, struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    struct plan plan;
    enum status status = plan_open(app, request, arena, &plan, err);
    uint32_t task = 0;
    if (status == OK)
        status = submission_task(plan.now, name, strlen(name), &task, err);
    if (status == OK) {
        struct value changes =
            plan.action[task] == PLAN_HIT ? doc_list() : plan_changes(&plan, task);
        *out = plan_entry(&plan, task, &changes);
        *(struct value *)(uintptr_t)value_get(out, "why") = sentences(&plan, task, &changes);
        doc_put(arena, out, "changes", changes);
        const struct value *since = plan.before ? value_get(&plan.before_document, "id") : NULL;
        doc_put(arena, out, "since", since ? *since : value_nil());
        *out = doc_copy(arena, out); /* names are the pipeline's, which goes now */
    }
    plan_close(&plan);
    return status;
}
