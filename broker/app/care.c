/* gc and fsck in the broker that leads. What takes long (walking over records, listing the store)
 * is done by a process of its own that only reads the state; the broker's loop goes on meanwhile
 * and alone writes: it removes what that process chose, a thousand records a commit, and spares
 * what runs have come to need since it began.
 *
 *   idle ─▶ looking ─▶ removing ─▶ sweeping ─▶ over
 *             │           └──────── fsck ───────▲
 *             └─ nothing is to be removed ──────┘
 *
 * broker/care/collect.h says why it is safe. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/care.h"

#include <string.h>

#include "broker/app/care_process.h"
#include "broker/app/run.h"
#include "broker/care/audit.h"
#include "common/base/doc.h"
#include "common/base/id_set.h"
#include "common/base/mem.h"

enum { REMOVALS_AT_ONCE = 1000 };

enum care_stage { CARE_IDLE, CARE_LOOKING, CARE_REMOVING, CARE_SWEEPING, CARE_OVER };

struct care {
    enum care_stage stage;
    bool is_fsck, removes;
    struct care_process *process;
    struct arena arena;
    struct value answer; /* of the first process, then completed */
    struct care_choice choice;
    uint32_t next_run, next_task; /* of the choice */
    uint32_t runs_removed, tasks_removed;
    uint32_t marked;          /* of the spared runs: so many are committed with the mark put last */
    struct id_set spared;     /* tasks of runs that began since */
    struct value spared_runs; /* their ids */
    struct id_set removing;   /* on their way out of the state */
    enum status status;
    struct err err;
};

static void reset(struct care *care)
{
    if (care->process)
        care_process_stop(TAKE(care->process));
    care_choice_fini(&care->choice);
    id_set_fini(&care->spared);
    id_set_fini(&care->removing);
    arena_fini(&care->arena);
    *care = (struct care){.spared_runs = doc_list()};
    id_set_init(&care->spared);
    id_set_init(&care->removing);
}

void care_fini(struct local *app)
{
    if (!app->care)
        return;
    reset(app->care);
    mem_free(TAKE(app->care));
}

/* ---- what runs need ---- */

static bool is_choosing(const struct local *app)
{
    const struct care *care = app->care;
    return care && !care->is_fsck && care->removes &&
           (care->stage == CARE_LOOKING || care->stage == CARE_REMOVING);
}

void care_spare(struct local *app, const char *run, const struct graph *graph)
{
    struct care *care = app->care;
    if (!is_choosing(app))
        return;
    doc_add(&care->arena, &care->spared_runs, doc_text(&care->arena, run, strlen(run)));
    for (uint32_t i = 0; i < graph->task_count && care->status == OK; i++)
        care->status = id_set_add(&care->spared, &graph->tasks[i].id, &care->err);
}

bool care_is_removing(const struct local *app, const struct id *task)
{
    return app->care && app->care->removing.count && id_set_has(&app->care->removing, task);
}

static bool is_spared_run(const struct local *app, const char *run)
{
    const struct value *spared = &app->care->spared_runs;
    for (uint32_t i = 0; i < spared->count; i++)
        if (strcmp(spared->items[i].text, run) == 0)
            return true;
    return runs_get(app, run) != NULL;
}

/* ---- removing ---- */

static void remove_runs(struct local *app)
{
    struct care *care = app->care;
    uint32_t last = care->choice.run_count - care->next_run < REMOVALS_AT_ONCE
                        ? care->choice.run_count
                        : care->next_run + REMOVALS_AT_ONCE;
    for (; care->next_run < last; care->next_run++) {
        const char *run = care->choice.runs[care->next_run].run;
        if (is_spared_run(app, run))
            continue;
        loop_put_run(app->loop, run, (const uint8_t *)"", 0);
        care->runs_removed++;
    }
    loop_remove_records(app->loop, NULL, 0, false);
}

static void remove_records(struct local *app)
{
    struct care *care = app->care;
    id_set_fini(&care->removing);
    for (; care->next_task < care->choice.task_count && care->removing.count < REMOVALS_AT_ONCE &&
           care->status == OK;
         care->next_task++) {
        const struct id *task = &care->choice.tasks[care->next_task];
        if (!care->is_fsck && (id_set_has(&care->spared, task) ||
                               sched_task_find(loop_sched(app->loop), task) != UINT32_MAX))
            continue;
        care->status = id_set_add(&care->removing, task, &care->err);
    }
    loop_remove_records(app->loop, care->removing.ids, care->removing.count, care->is_fsck);
    care->tasks_removed += care->removing.count;
}

static void put_sum(struct care *care, const char *key, uint32_t count)
{
    struct value *there = (struct value *)value_get(&care->answer, key);
    if (there)
        *there = value_int(count);
}

static void begin_sweep(struct local *app)
{
    struct care *care = app->care;
    const struct care_request request = {.part = APP_GC_SWEEP,
                                         .gc = {.removes = true, .epoch = state_epoch(app->state)}};
    /* No power loss brings a record back whose bytes are gone. */
    if (!loop_has_removed(app->loop))
        return;
    put_sum(care, "runs_removed", care->runs_removed);
    put_sum(care, "records", care->tasks_removed);
    care->status = care_process_start(app, &request, &care->process, &care->err);
    care->stage = CARE_SWEEPING;
}

static void end_repair(struct local *app)
{
    struct care *care = app->care;
    struct value *repair = (struct value *)value_get(&care->answer, "repair");
    if (repair && repair->type == VALUE_MAP)
        doc_put(&care->arena, repair, "removed", value_int(care->tasks_removed));
    care_repair_runs(app, &care->choice, &care->arena, repair);
    care->stage = CARE_OVER;
}

/* A run may have begun from the document of one that is gone now: its own has to be there before
 * anybody looks what is named. */
static void put_mark(struct local *app)
{
    app->care->marked = app->care->spared_runs.count + 1;
    loop_remove_records(app->loop, NULL, 0, false);
}

static void go_on_removing(struct local *app)
{
    struct care *care = app->care;
    if (loop_is_removing(app->loop))
        return;
    id_set_fini(&care->removing);
    if (!care->is_fsck && care->next_run < care->choice.run_count)
        remove_runs(app);
    else if (care->next_task < care->choice.task_count)
        remove_records(app);
    else if (care->is_fsck)
        end_repair(app);
    else if (care->marked != care->spared_runs.count + 1)
        put_mark(app);
    else
        begin_sweep(app);
}

/* ---- the process ---- */

static void take_sums(struct care *care, const struct value *swept)
{
    for (uint32_t i = 0; i < swept->count; i++)
        doc_put(&care->arena, &care->answer, swept->items[2 * i].text, swept->items[2 * i + 1]);
}

static void hear_process(struct local *app)
{
    struct care *care = app->care;
    struct value answer;
    bool is_over = false;
    enum status status = care_process_poll(care->process, &care->arena, &answer, &care->choice,
                                           &is_over, &care->err);
    if (!is_over)
        return;
    care_process_stop(TAKE(care->process));
    care->status = status;
    if (status != OK)
        return;
    if (care->stage == CARE_SWEEPING) {
        take_sums(care, &answer);
        care->stage = CARE_OVER;
        return;
    }
    care->answer = doc_copy(&care->arena, &answer); /* one that more can be put into */
    care->stage = care->removes ? CARE_REMOVING : CARE_OVER;
}

void care_turn(struct local *app)
{
    struct care *care = app->care;
    if (!care || care->stage == CARE_IDLE || care->stage == CARE_OVER)
        return;
    if (care->process)
        hear_process(app);
    else if (care->stage == CARE_REMOVING)
        go_on_removing(app);
    if (care->status != OK)
        care->stage = CARE_OVER;
}

/* ---- asked ---- */

static enum status begin(struct local *app, const struct care_request *request, bool removes,
                         struct err *err)
{
    if (app->care && app->care->stage != CARE_IDLE && app->care->stage != CARE_OVER)
        return err_set(err, E_CONFLICT, "%s goes on still; try again when it is over",
                       app->care->is_fsck ? "fsck" : "gc");
    TRY(local_begin(app, err));
    if (!app->care) {
        app->care = mem_alloc(sizeof *app->care);
        id_set_init(&app->care->spared);
        id_set_init(&app->care->removing);
    }
    reset(app->care);
    app->care->is_fsck = request->part == APP_FSCK;
    app->care->removes = removes;
    TRY(care_process_start(app, request, &app->care->process, err));
    app->care->stage = CARE_LOOKING;
    return OK;
}

/* Where nothing is removed and nobody serves here, no lock is needed: this process looks. */
static enum status look_here(struct local *app, const struct care_request *request, struct err *err)
{
    if (!app->care)
        app->care = mem_alloc(sizeof *app->care);
    reset(app->care);
    struct care *care = app->care;
    care->is_fsck = request->part == APP_FSCK;
    TRY(local_care_part(&app->base, request->part, &request->gc, &request->fsck, -1, &care->arena,
                        &care->answer, err));
    care->stage = CARE_OVER;
    return OK;
}

enum status local_gc(struct app *base, const struct app_gc *options, struct err *err)
{
    struct local *app = local_of(base);
    const struct care_request request = {.part = APP_GC_PLAN, .gc = *options};
    return options->removes || app->loop ? begin(app, &request, options->removes, err)
                                         : look_here(app, &request, err);
}

enum status local_fsck(struct app *base, const struct app_fsck *options, struct err *err)
{
    struct local *app = local_of(base);
    const struct care_request request = {.part = APP_FSCK, .fsck = *options};
    return options->repairs || app->loop ? begin(app, &request, options->repairs, err)
                                         : look_here(app, &request, err);
}

enum status local_care_result(struct app *base, struct arena *arena, struct value *out,
                              bool *is_done, struct err *err)
{
    const struct care *care = local_of(base)->care;
    *out = value_nil();
    if (!care || care->stage == CARE_IDLE)
        return err_set(err, E_NOTFOUND, "neither gc nor fsck was begun here");
    *is_done = care->stage == CARE_OVER;
    if (!*is_done)
        return OK;
    if (care->status != OK)
        return err_set(err, care->status, "%s", care->err.text);
    *out = doc_copy(arena, &care->answer);
    return OK;
}
