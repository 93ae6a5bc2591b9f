/* Who names what is damaged: records, and the tasks of runs by their names. Damage is rare, so this
 * walks again rather than remember a million records. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/submission.h"
#include "broker/care/audit_inside.h"
#include "broker/care/reach.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/store/tree.h"
#include "proto/limits.h"
#include "proto/record.h"

static bool is_damaged(const struct audit *audit, const struct id *id)
{
    uint32_t index = id_set_find(&audit->ids, id);
    return index != ID_MAP_NONE && audit->items[index].fault != AUDIT_SOUND;
}

static bool has_damage(const struct audit *audit)
{
    for (uint32_t i = 0; i < audit->ids.count; i++)
        if (audit->items[i].fault != AUDIT_SOUND)
            return true;
    return false;
}

/* ---- trees ---- */

static enum status blame_tree(struct audit *audit, struct store *store, uint32_t index,
                              struct err *err)
{
    AUTO(tree_free) struct tree *tree = NULL;
    TRY(tree_peek(store, &audit->ids.ids[index], &tree, err));
    for (size_t i = 0; i < tree_count(tree); i++) {
        struct tree_entry entry = tree_entry(tree, i);
        uint32_t file = id_set_find(&audit->ids, &entry.blob);
        if (file != ID_MAP_NONE && audit->items[file].fault > audit->items[index].fault)
            audit->items[index].fault = audit->items[file].fault;
    }
    return OK;
}

static enum status blame_trees(struct audit *audit, struct store *store, struct err *err)
{
    for (uint32_t i = 0; i < audit->ids.count; i++)
        if (audit->items[i].is_tree && audit->items[i].is_there &&
            audit->items[i].fault == AUDIT_SOUND)
            TRY(blame_tree(audit, store, i, err));
    return OK;
}

/* ---- records ---- */

struct blame {
    struct audit *audit;
    bool *is_named;    /* per item: by a record or run that is there still */
    uint32_t unnamed;  /* of audit->task_infos: without a name so far */
    uint32_t capacity; /* of task_infos */
};

static enum status add_task(struct blame *blame, const struct id *task,
                            const struct audit_task *info, struct err *err)
{
    struct audit *audit = blame->audit;
    if (id_set_has(&audit->tasks, task))
        return OK;
    if (audit->tasks.count == blame->capacity) {
        blame->capacity = blame->capacity ? 2 * blame->capacity : 64;
        audit->task_infos =
            mem_resize(audit->task_infos, blame->capacity * sizeof *audit->task_infos);
    }
    audit->task_infos[audit->tasks.count] = *info;
    blame->unnamed++;
    return id_set_add(&audit->tasks, task, err);
}

static enum status blame_artifact(struct blame *blame, const struct id *task, const struct id *made,
                                  const char *output, size_t output_bytes, struct err *err)
{
    struct audit *audit = blame->audit;
    if (!is_damaged(audit, made))
        return OK;
    blame->is_named[id_set_find(&audit->ids, made)] = true;
    struct audit_task info = {.made = *made};
    if (output && audit->tasks.count < FINDINGS_TOLD_MAX)
        info.output = arena_text(&audit->arena, output, output_bytes);
    return add_task(blame, task, &info, err);
}

static enum status blame_record(void *context, const struct id *task, const uint8_t *bytes,
                                size_t count, struct err *err)
{
    struct blame *blame = context;
    struct record record;
    struct record_output output;
    if (!bytes || record_parse(bytes, count, &record, NULL) != OK)
        return OK;
    for (size_t cursor = 0; record_next_output(&record, &cursor, &output);)
        TRY(blame_artifact(blame, task, &output.artifact.id, output.name, output.name_bytes, err));
    return record.has_log ? blame_artifact(blame, task, &record.log.id, NULL, 0, err) : OK;
}

/* ---- runs ---- */

static enum status name_tasks(struct blame *blame, const char *run, const struct value *document,
                              struct err *err)
{
    struct audit *audit = blame->audit;
    AUTO(submission_free) struct submission *submission = NULL;
    AUTO(buf_fini) struct buf name = buf_init(0);
    struct diagnostics diagnostics = {.file = "", .text = buf_init(0)};
    enum status status = submission_restore(document, &diagnostics, &submission, err);
    diagnostics_fini(&diagnostics);
    if (status != OK) /* of a run that can't be expanded any more no task has a name */
        return status == E_INVALID || status == E_CORRUPT ? OK : status;
    for (uint32_t i = 0; i < submission->graph->task_count; i++) {
        uint32_t index = id_set_find(&audit->tasks, &submission->graph->tasks[i].id);
        if (index == ID_MAP_NONE || audit->task_infos[index].name)
            continue;
        buf_clear(&name);
        graph_task_name(submission->graph, i, &name);
        audit->task_infos[index].name = arena_text(&audit->arena, buf_text(&name), name.count);
        audit->task_infos[index].run = arena_text(&audit->arena, run, strlen(run));
        blame->unnamed--;
    }
    return OK;
}

static void blame_sources(struct blame *blame, const char *run, const struct value *document)
{
    struct audit *audit = blame->audit;
    struct arena *arena = &audit->arena;
    const struct value *sources = value_get(document, "sources");
    struct artifact artifact;
    for (uint32_t i = 0; sources && sources->type == VALUE_ARRAY && i < sources->count; i++) {
        const struct value *source = &sources->items[i];
        if (!audit_read_source(source, &artifact) || !is_damaged(audit, &artifact.id))
            continue;
        uint32_t index = id_set_find(&audit->ids, &artifact.id);
        bool is_told = blame->is_named[index] && audit->items[index].role == AUDIT_SOURCE;
        blame->is_named[index] = true;
        if (is_told || audit->lost_sources.count >= FINDINGS_TOLD_MAX)
            continue;
        struct value *lost = doc_add(arena, &audit->lost_sources, doc_map());
        doc_put(arena, lost, "id", doc_id(arena, &artifact.id));
        doc_put(arena, lost, "fault",
                value_string(audit_fault_name((enum audit_fault)audit->items[index].fault)));
        static const char *const shown[] = {"name", "location"};
        for (size_t j = 0; j < sizeof shown / sizeof *shown; j++) {
            const struct value *field = value_get(source, shown[j]);
            doc_put(arena, lost, shown[j], field ? doc_copy(arena, field) : value_nil());
        }
        doc_put(arena, lost, "run", doc_text(arena, run, strlen(run)));
    }
}

static enum status blame_run(void *context, const char *id, const uint8_t *bytes, size_t count,
                             struct err *err)
{
    struct blame *blame = context;
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    TRY(reach_decode(id, bytes, count, &arena, &document, err));
    blame_sources(blame, id, &document);
    return blame->unnamed ? name_tasks(blame, id, &document, err) : OK;
}

/* ---- all of it ---- */

/* A record or run that was removed meanwhile has taken its bytes along: no damage. A file is
 * damaged as long as a tree of it is. */
static void forget_unnamed(struct blame *blame)
{
    struct audit *audit = blame->audit;
    bool has_trees = false;
    for (uint32_t i = 0; i < audit->ids.count; i++) {
        struct audit_item *item = &audit->items[i];
        if (item->fault != AUDIT_SOUND && item->role >= AUDIT_LOG && !blame->is_named[i])
            item->fault = AUDIT_SOUND;
        has_trees = has_trees || (item->is_tree && item->fault != AUDIT_SOUND);
    }
    for (uint32_t i = 0; i < audit->ids.count && !has_trees; i++)
        if (audit->items[i].role == AUDIT_FILE)
            audit->items[i].fault = AUDIT_SOUND;
}

enum status audit_blame(struct audit *audit, struct state *state, struct store *store,
                        struct err *err)
{
    if (!has_damage(audit))
        return OK;
    TRY(blame_trees(audit, store, err));
    AUTO(mem_free) bool *is_named = mem_alloc(audit->ids.count + 1);
    struct blame blame = {.audit = audit, .is_named = is_named};
    TRY(state_audit_records(state, blame_record, &blame, err));
    TRY(state_each_run(state, 0, blame_run, &blame, err));
    forget_unnamed(&blame);
    return OK;
}
