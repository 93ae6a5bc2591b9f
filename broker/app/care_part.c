/* What takes long, done by a reader: which runs and records go, what in the store nothing names,
 * what is damaged; and how it is told. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/app/care.h"
#include "broker/app/proof.h"
#include "broker/care/audit.h"
#include "broker/care/collect.h"
#include "common/base/doc.h"
#include "common/clock.h"
#include "common/fs.h"

/* ---- the choice ---- */

static enum status write_all(int fd, const void *data, size_t bytes, struct err *err)
{
    return fs_write_all(fd, data, bytes, "the choice of what to remove", err);
}

enum status care_choice_write(int fd, const struct care_run *runs, uint32_t run_count,
                              const struct id_set *tasks, struct err *err)
{
    const uint32_t counts[2] = {run_count, tasks->count};
    if (fd < 0)
        return OK;
    TRY(write_all(fd, counts, sizeof counts, err));
    if (run_count)
        TRY(write_all(fd, runs, run_count * sizeof *runs, err));
    return tasks->count ? write_all(fd, tasks->ids, tasks->count * sizeof *tasks->ids, err) : OK;
}

enum status care_choice_read(int fd, struct care_choice *out, struct err *err)
{
    uint32_t counts[2] = {0};
    care_choice_fini(out);
    out->bytes = buf_init(0);
    if (lseek(fd, 0, SEEK_SET) != 0)
        return fs_error(err, errno, "choice", "cannot read");
    TRY(fs_read_fd(fd, "choice", &out->bytes, err));
    if (!out->bytes.count) /* of a part that chooses nothing */
        return OK;
    if (out->bytes.count >= sizeof counts)
        memcpy(counts, out->bytes.bytes, sizeof counts);
    size_t runs_bytes = (size_t)counts[0] * sizeof *out->runs;
    if (out->bytes.count != sizeof counts + runs_bytes + (size_t)counts[1] * ID_BYTES)
        return err_set(err, E_CORRUPT, "the choice of what to remove is cut short");
    out->run_count = counts[0];
    out->task_count = counts[1];
    out->runs = (const struct care_run *)(const void *)(out->bytes.bytes + sizeof counts);
    out->tasks = (const struct id *)(const void *)(out->runs + out->run_count);
    for (uint32_t i = 0; i < out->run_count; i++)
        if (out->runs[i].run[sizeof out->runs->run - 1] ||
            out->runs[i].step[sizeof out->runs->step - 1])
            return err_set(err, E_CORRUPT, "the choice of what to remove is damaged");
    return OK;
}

static void name_run(struct care_run *out, const char *run, const char *step, size_t step_bytes)
{
    snprintf(out->run, sizeof out->run, "%s", run);
    snprintf(out->step, sizeof out->step, "%.*s", (int)step_bytes, step);
}

/* ---- gc ---- */

static void put_sum(struct arena *arena, struct value *out, const char *key,
                    const struct collect_sum *sum)
{
    struct value *entry = doc_put(arena, out, key, doc_map());
    doc_put(arena, entry, "count", value_int((int64_t)sum->count));
    doc_put(arena, entry, "bytes", value_int((int64_t)sum->bytes));
}

static void put_swept(struct arena *arena, struct value *out, const struct collect_swept *swept)
{
    put_sum(arena, out, "removed", &swept->removed);
    put_sum(arena, out, "kept", &swept->kept);
    put_sum(arena, out, "young", &swept->young);
    put_sum(arena, out, "quarantine", &swept->aside);
    put_sum(arena, out, "objects", &swept->objects);
}

static enum status sweep(struct local *app, const struct collect_plan *plan,
                         const struct app_gc *gc, struct arena *arena, struct value *out,
                         struct err *err)
{
    struct collect_swept swept;
    const struct collect_sweep options = {.plan = plan,
                                          .now_s = clock_epoch_us() / 1000000,
                                          .removes = gc && gc->removes,
                                          .epoch = gc ? gc->epoch : 0};
    struct state_merged merged;
    TRY(collect_sweep(app->state, app->store, &options, &swept, err));
    put_swept(arena, out, &swept);
    TRY(state_merge_journal(app->state, options.removes, &merged, err));
    struct value *journal = doc_put(arena, out, "journal", doc_map());
    doc_put(arena, journal, "segments", value_int((int64_t)merged.segments));
    doc_put(arena, journal, "merged", value_int((int64_t)merged.removed));
    return OK;
}

/* With nothing to be removed it also counts what would be. */
static enum status plan(struct local *app, const struct app_gc *gc, int plan_fd,
                        struct arena *arena, struct value *out, struct err *err)
{
    AUTO(collect_plan_fini) struct collect_plan plan = {0};
    collect_plan_init(&plan);
    const struct collect_options options = {.has_keep = gc->has_keep,
                                            .keep = gc->keep,
                                            .has_age = gc->has_age,
                                            .age_us = gc->age_us,
                                            .labels = gc->labels,
                                            .label_count = gc->label_count,
                                            .now_us = clock_epoch_us()};
    TRY(collect_make_plan(app->state, app->store, &options, &plan, err));
    doc_put(arena, out, "removes", value_bool(gc->removes));
    struct value *runs = doc_put(arena, out, "runs", doc_list());
    for (uint32_t i = 0; i < plan.run_count && i < FINDINGS_TOLD_MAX; i++)
        doc_add(arena, runs, doc_text(arena, plan.runs[i], strlen(plan.runs[i])));
    doc_put(arena, out, "runs_removed", value_int(plan.run_count));
    doc_put(arena, out, "runs_kept", value_int(plan.runs_kept));
    doc_put(arena, out, "runs_untold", value_int(plan.runs_untold));
    doc_put(arena, out, "untold",
            plan.untold ? doc_text(arena, plan.untold, strlen(plan.untold)) : value_nil());
    doc_put(arena, out, "records", value_int(plan.records.count));
    doc_put(arena, out, "records_kept", value_int((int64_t)plan.records_kept));
    struct care_run *chosen = arena_alloc(arena, (plan.run_count + 1) * sizeof *chosen);
    for (uint32_t i = 0; i < plan.run_count; i++)
        name_run(&chosen[i], plan.runs[i], "", 0);
    if (gc->removes)
        return care_choice_write(plan_fd, chosen, plan.run_count, &plan.records, err);
    return sweep(app, &plan, NULL, arena, out, err);
}

/* ---- fsck ---- */

static void put_pair(struct arena *arena, struct value *out, const char *key, uint64_t count,
                     uint64_t bytes)
{
    put_sum(arena, out, key, &(struct collect_sum){count, bytes});
}

static void put_task(struct arena *arena, struct value *list, const struct audit *audit,
                     uint32_t index)
{
    const struct audit_task *task = &audit->task_infos[index];
    const struct audit_item *item = &audit->items[id_set_find(&audit->ids, &task->made)];
    struct value *entry = doc_add(arena, list, doc_map());
    doc_put(arena, entry, "task", doc_id(arena, &audit->tasks.ids[index]));
    doc_put(arena, entry, "name",
            task->name ? doc_text(arena, task->name, strlen(task->name)) : value_nil());
    doc_put(arena, entry, "run",
            task->run ? doc_text(arena, task->run, strlen(task->run)) : value_nil());
    doc_put(arena, entry, "output",
            task->output ? doc_text(arena, task->output, strlen(task->output)) : value_nil());
    doc_put(arena, entry, "id", doc_id(arena, &task->made));
    doc_put(arena, entry, "fault", value_string(audit_fault_name((enum audit_fault)item->fault)));
}

static void put_record(struct arena *arena, struct value *list, const struct id *task,
                       const char *found)
{
    if (list->count >= FINDINGS_TOLD_MAX)
        return;
    struct value *entry = doc_add(arena, list, doc_map());
    doc_put(arena, entry, "task", doc_id(arena, task));
    doc_put(arena, entry, "found", doc_text(arena, found, strlen(found)));
}

static enum status collect_task(void *context, const struct id *task, const uint8_t *record,
                                size_t bytes, struct err *err)
{
    (void)bytes;
    return record ? id_set_add(context, task, err) : OK;
}

/* One by one, since a frame is read and its signature worked out for each: some 100 µs. */
static enum status check_signatures(struct local *app, struct arena *arena, struct value *list,
                                    uint32_t *bad_count, struct err *err)
{
    AUTO(id_set_fini) struct id_set tasks = {0};
    id_set_init(&tasks);
    TRY(state_audit_records(app->state, collect_task, &tasks, err));
    for (uint32_t i = 0; i < tasks.count; i++) {
        AUTO(proof_fini) struct proof proof = {0};
        struct err why = {0};
        enum status status = proof_open(app, &tasks.ids[i], &proof, &why);
        if (status != OK && status != E_CORRUPT && status != E_NOTFOUND)
            return err_set(err, status, "%s", why.text);
        *bad_count += status != OK;
        if (status != OK)
            put_record(arena, list, &tasks.ids[i], why.text);
    }
    return OK;
}

/* Steps of runs that have to be made again, each once. */
static uint32_t list_runs(const struct audit *audit, struct arena *arena, struct care_run **out)
{
    struct care_run *runs = arena_alloc(arena, (FINDINGS_TOLD_MAX + 1) * sizeof *runs);
    uint32_t count = 0;
    for (uint32_t i = 0; i < audit->tasks.count && count < FINDINGS_TOLD_MAX; i++) {
        const struct audit_task *task = &audit->task_infos[i];
        bool is_new = task->run != NULL;
        if (is_new)
            name_run(&runs[count], task->run, task->name, strcspn(task->name, "["));
        for (uint32_t j = 0; j < count && is_new; j++)
            is_new = strcmp(runs[j].run, runs[count].run) != 0 ||
                     strcmp(runs[j].step, runs[count].step) != 0;
        count += is_new;
    }
    *out = runs;
    return count;
}

static void put_findings(const struct audit *audit, struct arena *arena, struct value *out)
{
    doc_put(arena, out, "runs", value_int((int64_t)audit->run_count));
    doc_put(arena, out, "records", value_int((int64_t)audit->record_count));
    put_pair(arena, out, "sound", audit->sound_count, audit->sound_bytes);
    put_pair(arena, out, "unnamed", audit->unnamed_count, audit->unnamed_bytes);
    doc_put(arena, out, "damaged", value_int(audit->damaged_count));
    doc_put(arena, out, "tasks_damaged", value_int(audit->tasks.count));
    struct value *tasks = doc_put(arena, out, "tasks", doc_list());
    for (uint32_t i = 0; i < audit->tasks.count && i < FINDINGS_TOLD_MAX; i++)
        put_task(arena, tasks, audit, i);
    doc_put(arena, out, "sources", doc_copy(arena, &audit->lost_sources));
}

static enum status put_repair(struct local *app, const struct audit *audit, int plan_fd,
                              struct arena *arena, struct value *out, struct err *err)
{
    uint64_t aside;
    struct care_run *runs;
    uint32_t run_count = list_runs(audit, arena, &runs);
    TRY(audit_put_aside(audit, app->store, &aside, err));
    struct value *repair = doc_put(arena, out, "repair", doc_map());
    doc_put(arena, repair, "put_aside", value_int((int64_t)aside));
    return care_choice_write(plan_fd, runs, run_count, &audit->tasks, err);
}

static enum status fsck(struct local *app, const struct app_fsck *options, int plan_fd,
                        struct arena *arena, struct value *out, struct err *err)
{
    AUTO(audit_fini) struct audit audit = {0};
    audit_init(&audit);
    TRY(audit_run(&audit, app->state, app->store, options->reads_bytes, err));
    uint32_t bad_records = (uint32_t)(audit.unreadable.count / sizeof(struct id));
    const struct id *unreadable = (const struct id *)(const void *)audit.unreadable.bytes;
    struct value records = doc_list();
    for (uint32_t i = 0; i < bad_records; i++)
        put_record(arena, &records, &unreadable[i], "the record can't be read");
    if (options->signatures)
        TRY(check_signatures(app, arena, &records, &bad_records, err));
    doc_put(arena, out, "clean", value_bool(audit_is_clean(&audit) && !bad_records));
    doc_put(arena, out, "bytes_read", value_bool(options->reads_bytes));
    put_findings(&audit, arena, out);
    doc_put(arena, out, "records_damaged_count", value_int(bad_records));
    doc_put(arena, out, "records_damaged", records);
    if (options->repairs)
        return put_repair(app, &audit, plan_fd, arena, out, err);
    doc_put(arena, out, "repair", value_nil());
    return OK;
}

enum status local_care_part(struct app *base, enum app_care_part part, const struct app_gc *gc,
                            const struct app_fsck *options, int plan_fd, struct arena *arena,
                            struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    *out = doc_map();
    TRY(local_open_reader(app, err));
    switch (part) {
    case APP_GC_PLAN: return plan(app, gc, plan_fd, arena, out, err);
    case APP_GC_SWEEP: return sweep(app, NULL, gc, arena, out, err);
    default: return fsck(app, options, plan_fd, arena, out, err);
    }
}
