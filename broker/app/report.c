/* The result of a run as the document of design §11: states from the scheduler, outputs, worker and
 * seconds from the records. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/run.h"

#include <string.h>

#include "broker/app/comparison.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "proto/limits.h"

enum { FAILURES_MAX = LOST_TOLD_MAX, CHECKED_AT_ONCE = 4096 };

/* A million hits are looked up when a run begins; asked for once more at once, they would take half
 * as long again. */
enum { HITS_FRESH_US = 10000000 };

static struct value artifact_value(const struct artifact *artifact, struct arena *arena)
{
    struct value map = doc_map();
    doc_put(arena, &map, "id", doc_id(arena, &artifact->id));
    doc_put(arena, &map, "bytes", value_int((int64_t)artifact->bytes));
    if (artifact->is_tree)
        doc_put(arena, &map, "tree", value_bool(true));
    return map;
}

/* The numbers of a JSON output, so that a table of runs needs no read. */
static struct value numbers_of(const struct value *values, struct arena *arena)
{
    struct value numbers = doc_map();
    for (uint32_t i = 0; values->type == VALUE_MAP && i < values->count; i++) {
        const struct value *key = &values->items[2 * i], *value = &values->items[2 * i + 1];
        if (value->type == VALUE_INT || value->type == VALUE_REAL || value->type == VALUE_NIL)
            doc_put(arena, &numbers, key->text, *value);
    }
    return numbers;
}

static bool is_kind(const struct record *record, const char *kind)
{
    struct task_spec action;
    return task_spec_parse(record->action, record->action_bytes, &action, NULL) == OK &&
           action.kind_bytes == strlen(kind) && memcmp(action.kind, kind, action.kind_bytes) == 0;
}

void report_record(const struct record *record, struct arena *arena, struct value *entry)
{
    doc_put(arena, entry, "seconds", value_real((double)record->took_us / 1e6));
    doc_put(arena, entry, "worker", doc_text(arena, record->worker, record->worker_bytes));
    struct value outputs = doc_map();
    struct record_output output;
    for (size_t cursor = 0; record_next_output(record, &cursor, &output);)
        doc_put(arena, &outputs, arena_text(arena, output.name, output.name_bytes),
                artifact_value(&output.artifact, arena));
    doc_put(arena, entry, "outputs", outputs);
    struct value metrics = doc_map(), values;
    if (record->values && is_kind(record, "metrics") &&
        value_decode(record->values, record->values_bytes, arena_memory(arena), &values, NULL) ==
            OK) {
        const struct value *scores = value_get(&values, "metrics");
        if (scores)
            metrics = numbers_of(scores, arena);
    }
    doc_put(arena, entry, "metrics", metrics);
    if (record->has_log)
        doc_put(arena, entry, "log", doc_id(arena, &record->log.id));
}

/* ---- tasks ---- */

/* Tasks that others have too may go on when the run has ended: then what was seen last counts. */
static void node_info(const struct local *app, const struct run *run, uint32_t node,
                      struct sched_task_info *out)
{
    sched_node_info(loop_sched(app->loop), run->number, node, out);
    if (run->is_ended)
        out->state = progress_state(run, node, &out->is_hit);
    if (run->done && run->done[node]) { /* it ran before the broker was started again */
        out->is_hit = out->is_cutoff = false;
        out->attempts = out->attempts ? out->attempts : 1;
    }
}

struct listing {
    struct local *app;
    struct run *run;
    struct arena *arena;
    struct value *entries; /* per task; type NIL where the task is not listed */
};

static struct value task_entry(struct local *app, struct run *run, uint32_t task,
                               struct arena *arena)
{
    const struct graph *graph = run->submission->graph;
    struct sched_task_info info;
    node_info(app, run, task, &info);
    struct value entry = doc_map();
    doc_put(arena, &entry, "step", value_string(graph->steps[graph_task_step(graph, task)].name));
    doc_put(arena, &entry, "axes", submission_axes(run->submission, task, arena));
    doc_put(arena, &entry, "task", doc_id(arena, &info.id));
    doc_put(arena, &entry, "state", value_string(task_state_name(info.state)));
    doc_put(arena, &entry, "hit", value_bool(info.is_hit || info.is_cutoff));
    doc_put(arena, &entry, "cutoff", value_bool(info.is_cutoff));
    doc_put(arena, &entry, "attempts", value_int(info.attempts));
    if (info.state == TASK_FAILED) {
        struct value *error = doc_put(arena, &entry, "error", doc_map());
        doc_put(arena, error, "code", value_string(status_name(info.code)));
        doc_put(arena, error, "text", doc_text(arena, info.text, strlen(info.text)));
        if (info.has_log)
            doc_put(arena, &entry, "log", doc_id(arena, &info.log.id));
    }
    return entry;
}

/* Every entry has the same keys, whatever became of its task. */
static void complete_entry(struct value *entry, struct arena *arena)
{
    if (value_get(entry, "outputs"))
        return;
    doc_put(arena, entry, "seconds", value_real(0));
    doc_put(arena, entry, "worker", value_nil());
    doc_put(arena, entry, "outputs", doc_map());
    doc_put(arena, entry, "metrics", doc_map());
}

/* A success without its record is none: nobody can say what it made. */
static void tell_lost(struct value *entry, struct arena *arena)
{
    *(struct value *)(uintptr_t)value_get(entry, "state") =
        value_string(task_state_name(TASK_FAILED));
    struct value *error = doc_put(arena, entry, "error", doc_map());
    doc_put(arena, error, "code", value_string(status_name(E_LOST)));
    doc_put(arena, error, "text",
            value_string("it succeeded, but the state has lost its record; broker retry, or the "
                         "same run again, makes it anew"));
}

static void add_record(void *context, uint32_t task, const struct record *record)
{
    struct listing *listing = context;
    if (value_is_text(value_get(&listing->entries[task], "state"), task_state_name(TASK_SUCCEEDED)))
        report_record(record, listing->arena, &listing->entries[task]);
}

/* The graph's tasks are there, or forgotten. */
static struct id id_of(const struct local *app, const struct run *run, uint32_t task)
{
    const struct sched *sched = loop_sched(app->loop);
    const struct graph *graph = run->submission->graph;
    return graph->tasks ? graph->tasks[task].id
                        : *sched_work(sched, sched_task_index(sched, run->number, task)).id;
}

static struct id listed_id(void *context, uint32_t task)
{
    struct listing *listing = context;
    return id_of(listing->app, listing->run, task);
}

static enum status list_tasks(struct local *app, struct run *run, struct arena *arena,
                              struct value *steps, struct err *err)
{
    uint32_t count = run->submission->graph->task_count;
    AUTO(mem_free) struct value *entries = mem_alloc((count + 1) * sizeof *entries);
    for (uint32_t task = 0; task < count; task++)
        entries[task] = task_entry(app, run, task, arena);
    struct listing listing = {app, run, arena, entries};
    TRY(submission_look_up(run->submission, app->state,
                           &(struct submission_finder){listed_id, add_record, &listing}, err));
    run->lost_count = 0;
    for (uint32_t task = 0; task < count; task++) {
        bool is_lost =
            run->is_ended && !value_get(&entries[task], "outputs") &&
            value_is_text(value_get(&entries[task], "state"), task_state_name(TASK_SUCCEEDED));
        run->lost_count += is_lost;
        if (is_lost)
            tell_lost(&entries[task], arena);
        complete_entry(&entries[task], arena);
        doc_add(arena, steps, entries[task]);
    }
    return OK;
}

/* A large run: one entry per step. */
static void list_steps(const struct run *run, struct arena *arena, struct value *steps)
{
    for (uint32_t i = 0; i < run->submission->graph->step_count; i++) {
        struct value entry = doc_map();
        doc_put(arena, &entry, "step", value_string(run->submission->graph->steps[i].name));
        struct value *tasks = doc_put(arena, &entry, "tasks", doc_map());
        doc_put(arena, tasks, "total", value_int(run->submission->graph->steps[i].task_count));
        doc_put(arena, tasks, "hit", value_int(run->steps[i].hit));
        for (unsigned state = 0; state < TASK_STATE_COUNT; state++)
            if (run->steps[i].by_state[state])
                doc_put(arena, tasks, task_state_name((enum task_state)state),
                        value_int(run->steps[i].by_state[state]));
        doc_add(arena, steps, entry);
    }
}

/* ---- a large run ---- */

static bool is_large(const struct run *run)
{
    return run->submission->graph->task_count > LISTED_TASKS_MAX;
}

void report_tasks(const struct local *app, const struct run *run, struct buf *out)
{
    for (uint32_t task = 0; is_large(run) && task < run->submission->graph->task_count; task++) {
        struct id id = id_of(app, run, task);
        buf_put(out, &id, sizeof id);
    }
}

/* Successes of which a record must be there. */
struct checking {
    struct id ids[CHECKED_AT_ONCE];
    uint32_t tasks[CHECKED_AT_ONCE];
    bool is_found[CHECKED_AT_ONCE];
};

static void note_found(void *context, uint32_t index, const uint8_t *record, size_t bytes)
{
    (void)record, (void)bytes;
    ((struct checking *)context)->is_found[index] = true;
}

enum status report_check(struct local *app, struct run *run, bool *is_done, struct err *err)
{
    AUTO(mem_free) struct checking *checking = mem_alloc(sizeof *checking);
    bool may_lack = is_large(run) && state_may_forget(app->state);
    uint32_t total = may_lack ? run->submission->graph->task_count : 0;
    uint32_t task = run->checked, count = 0;
    bool is_hit, spares_hits = run->ended_us - run->begun_us < HITS_FRESH_US;
    for (; task < total && count < CHECKED_AT_ONCE; task++) {
        if (progress_state(run, task, &is_hit) != TASK_SUCCEEDED || (is_hit && spares_hits))
            continue;
        checking->tasks[count] = task;
        checking->ids[count++] = id_of(app, run, task);
    }
    bool has_all;
    TRY(state_has_all(app->state, checking->ids, count, &has_all, err));
    if (!has_all)
        TRY(state_find_tasks(app->state, checking->ids, count, note_found, checking, err));
    if (!run->checked && total)
        run->lost_count = 0;
    for (uint32_t i = 0; i < count && !has_all; i++)
        if (!checking->is_found[i] && run->lost_count++ < FAILURES_MAX)
            run->lost[run->lost_count - 1] = checking->tasks[i];
    *is_done = task >= total;
    run->checked = *is_done ? 0 : task;
    return OK;
}

/* A large run lists no tasks, but whoever looks at it wants to know what failed. */
static void list_failures(struct local *app, struct run *run, struct arena *arena,
                          struct value *failures)
{
    for (uint32_t task = 0;
         task < run->submission->graph->task_count && failures->count < FAILURES_MAX; task++) {
        struct sched_task_info info;
        node_info(app, run, task, &info);
        if (info.state == TASK_FAILED)
            complete_entry(doc_add(arena, failures, task_entry(app, run, task, arena)), arena);
    }
    for (uint32_t i = 0; i < run->lost_count && failures->count < FAILURES_MAX; i++) {
        struct value *entry = doc_add(arena, failures, task_entry(app, run, run->lost[i], arena));
        tell_lost(entry, arena);
        complete_entry(entry, arena);
    }
}

static const char *run_state(const struct run *run, const struct sched_run_info *info)
{
    if (!run->is_ended)
        return "running";
    if (info->is_cancelled)
        return "cancelled";
    return info->counts[TASK_FAILED] || info->counts[TASK_UPSTREAM_FAILED] || run->lost_count
               ? "failed"
               : "succeeded";
}

static struct value task_counts(const struct run *run, const struct sched_run_info *info,
                                struct arena *arena)
{
    struct value tasks = doc_map();
    uint32_t succeeded = info->counts[TASK_SUCCEEDED] - run->lost_count;
    doc_put(arena, &tasks, "total", value_int(run->submission->graph->task_count));
    uint32_t executed = info->executed + run->done_count;
    executed = executed < succeeded ? executed : succeeded; /* what was lost ran once more */
    doc_put(arena, &tasks, "executed", value_int(executed));
    doc_put(arena, &tasks, "hit", value_int((int64_t)succeeded - executed));
    static const enum task_state shown[] = {TASK_FAILED, TASK_UPSTREAM_FAILED, TASK_SKIPPED,
                                            TASK_UNNEEDED, TASK_CANCELLED};
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        doc_put(arena, &tasks, task_state_name(shown[i]),
                value_int((int64_t)info->counts[shown[i]] +
                          (shown[i] == TASK_FAILED ? run->lost_count : 0)));
    return tasks;
}

void report_head(const struct local *app, const struct run *run, struct arena *arena,
                 struct value *out)
{
    struct sched_run_info info;
    sched_run_info(loop_sched(app->loop), run->number, &info);
    int64_t ended_us = run->ended_us ? run->ended_us : clock_epoch_us();
    *out = doc_map();
    doc_put(arena, out, "run", value_string(run->id));
    doc_put(arena, out, "pipeline", value_string(pipeline_name(run->submission->pipeline)));
    doc_put(arena, out, "state", value_string(run_state(run, &info)));
    doc_put(arena, out, "seconds", value_real((double)(ended_us - run->begun_us) / 1e6));
    doc_put(arena, out, "tasks", task_counts(run, &info, arena));
}

enum status report_result(struct local *app, struct run *run, bool full, struct arena *arena,
                          struct value *out, struct err *err)
{
    struct value steps = doc_list();
    bool lists_tasks = full || !is_large(run);
    uint32_t lost_count = run->lost_count;
    if (lists_tasks)
        TRY(list_tasks(app, run, arena, &steps, err));
    report_head(app, run, arena, out); /* it counts what is lost */
    if (is_large(run))                 /* report_check counts, and names them */
        run->lost_count = lost_count;
    if (lists_tasks) {
        doc_put(arena, out, "steps", steps);
        comparison_add(app, run, arena, out);
        return OK;
    }
    list_steps(run, arena, &steps);
    doc_put(arena, out, "steps", steps);
    struct value failures = doc_list();
    list_failures(app, run, arena, &failures);
    doc_put(arena, out, "failures", failures);
    return OK;
}

enum status local_result(struct app *base, const char *ref, bool full, struct arena *arena,
                         struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    struct run *run = runs_find(app, ref);
    struct value document;
    if (run)
        return report_result(app, run, full, arena, out, err);
    TRY(local_open_reader(app, err));
    TRY(run_document_get(app, ref, arena, &document, err));
    const struct value *result = value_get(&document, "result");
    if (!result)
        return err_set(err, E_NOTFOUND,
                       "run %s has no result: it goes on elsewhere, or was interrupted",
                       value_get_text(&document, "id"));
    *out = *result;
    return OK;
}
