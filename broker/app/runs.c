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

struct run *runs_get(const struct local *app, const char *id)
{
    for (uint32_t i = 0; i < app->run_count; i++)
        if (app->runs[i] && !app->runs[i]->is_leaving && strcmp(app->runs[i]->id, id) == 0)
            return app->runs[i];
    return NULL;
}

/* Runs that are over count, too: the latest may be one, and a prefix be that of two. */
struct run *runs_find(const struct local *app, const char *ref)
{
    AUTO(buf_fini) struct buf document = buf_init(0);
    char id[STATE_RUN_ID_BYTES];
    struct run *run = runs_get(app, ref);
    if (run || !app->run_count ||
        state_get_run(app->state, ref, id, sizeof id, &document, NULL) != OK)
        return run;
    return runs_get(app, id);
}

bool runs_have_ended(const struct local *app)
{
    for (uint32_t i = 0; i < app->run_count; i++)
        if (app->runs[i] && !app->runs[i]->is_ended)
            return false;
    return true;
}
