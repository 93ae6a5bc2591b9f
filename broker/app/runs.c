/* The runs that go on here, by the scheduler's numbers. A number is used again when its run has
 * been forgotten. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/run.h"
#include "common/base/mem.h"
#include "proto/limits.h"

enum status runs_add(struct local *app, struct run **out, struct err *err)
{
    uint32_t number = 0;
    *out = NULL;
    while (number < app->run_count && app->runs[number])
        number++;
    if (number == OPEN_RUNS_MAX)
        return err_set(err, E_LIMIT, "%d runs go on already; wait until one has ended",
                       OPEN_RUNS_MAX);
    if (number == app->run_capacity) {
        app->run_capacity = app->run_capacity ? 2 * app->run_capacity : 16;
        app->runs = mem_resize(app->runs, app->run_capacity * sizeof(struct run *));
    }
    if (number == app->run_count)
        app->run_count++;
    struct run *run = mem_alloc(sizeof *run);
    run->number = number;
    app->runs[number] = run;
    *out = run;
    return OK;
}

void runs_remove(struct local *app, struct run *run)
{
    app->runs[run->number] = NULL;
    while (app->run_count && !app->runs[app->run_count - 1])
        app->run_count--;
    progress_close(run);
    if (run->submission)
        submission_free(run->submission);
    mem_free(run);
}

void runs_fini(struct local *app)
{
    while (app->run_count)
        runs_remove(app, app->runs[app->run_count - 1]);
    mem_free(TAKE(app->runs));
    app->run_capacity = 0;
}

struct run *runs_find(const struct local *app, const char *ref)
{
    struct run *found = NULL;
    bool is_latest = strcmp(ref, "latest") == 0;
    uint32_t matches = 0;
    for (uint32_t i = 0; i < app->run_count; i++) {
        struct run *run = app->runs[i];
        if (!run || run->is_leaving)
            continue;
        if (strcmp(run->id, ref) == 0)
            return run;
        if (is_latest ? found && strcmp(run->id, found->id) < 0
                      : strncmp(run->id, ref, strlen(ref)) != 0)
            continue;
        found = run;
        matches++;
    }
    return is_latest || matches == 1 ? found : NULL;
}

bool runs_have_ended(const struct local *app)
{
    for (uint32_t i = 0; i < app->run_count; i++)
        if (app->runs[i] && !app->runs[i]->is_ended)
            return false;
    return true;
}
