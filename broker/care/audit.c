/* What is named, and is it there? Who names what is damaged: audit_blame.c. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/care/audit_inside.h"

#include <string.h>

#include "broker/care/reach.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/store/tree.h"
#include "proto/record.h"

enum { HAS_BATCH = 4096 };

void audit_init(struct audit *audit)
{
    *audit = (struct audit){.unreadable = buf_init(0), .lost_sources = doc_list()};
    id_set_init(&audit->ids);
    id_set_init(&audit->tasks);
}

void audit_fini(struct audit *audit)
{
    id_set_fini(&audit->ids);
    id_set_fini(&audit->tasks);
    mem_free(audit->items);
    mem_free(audit->task_infos);
    buf_fini(&audit->unreadable);
    arena_fini(&audit->arena);
}

const char *audit_fault_name(enum audit_fault fault)
{
    static const char *const names[] = {"sound", "missing", "corrupt"};
    return names[fault];
}

bool audit_is_clean(const struct audit *audit)
{
    return !audit->damaged_count && !audit->unreadable.count;
}

/* ---- what is named ---- */

static enum status name_item(struct audit *audit, const struct artifact *artifact,
                             enum audit_role role, struct err *err)
{
    uint32_t before = audit->ids.count;
    TRY(id_set_add(&audit->ids, &artifact->id, err));
    uint32_t index = id_set_find(&audit->ids, &artifact->id);
    if (audit->capacity < audit->ids.capacity) {
        void *memory = audit->items;
        TRY(mem_try_resize(&memory, audit->ids.capacity, sizeof *audit->items, "the audit", err));
        audit->items = memory;
        audit->capacity = audit->ids.capacity;
    }
    struct audit_item *item = &audit->items[index];
    if (before != audit->ids.count)
        *item = (struct audit_item){.is_tree = artifact->is_tree, .role = (uint8_t)role};
    if (role != AUDIT_INPUT) /* an input names no size */
        item->bytes = artifact->bytes;
    if (role > item->role)
        item->role = (uint8_t)role;
    return OK;
}

bool audit_read_source(const struct value *source, struct artifact *out)
{
    const struct value *id = value_get(source, "id"), *bytes = value_get(source, "bytes"),
                       *is_tree = value_get(source, "is_tree");
    if (!id || id->type != VALUE_STRING || !bytes || !is_tree ||
        id_parse(id->text, id->count, &out->id, NULL) != OK)
        return false;
    out->bytes = (uint64_t)bytes->integer;
    out->is_tree = is_tree->boolean;
    return true;
}

static enum status name_sources(void *context, const char *id, const uint8_t *bytes, size_t count,
                                struct err *err)
{
    struct audit *audit = context;
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    struct artifact artifact;
    audit->run_count++;
    TRY(reach_decode(id, bytes, count, &arena, &document, err));
    const char *list = value_get_text(&document, "task_list");
    if (list && id_parse(list, strlen(list), &artifact.id, NULL) == OK) {
        artifact.is_tree = false;
        TRY(name_item(audit, &artifact, AUDIT_INPUT, err)); /* gc copes without it */
    }
    const struct value *sources = value_get(&document, "sources");
    for (uint32_t i = 0; sources && sources->type == VALUE_ARRAY && i < sources->count; i++)
        if (audit_read_source(&sources->items[i], &artifact))
            TRY(name_item(audit, &artifact, AUDIT_SOURCE, err));
    return OK;
}

static enum status name_inputs(struct audit *audit, const struct record *record, struct err *err)
{
    struct task_spec action;
    struct task_ref_cursor cursor = {0};
    struct task_ref ref;
    TRY(task_spec_parse(record->action, record->action_bytes, &action, err));
    while (task_spec_next_ref(&action, &cursor, &ref))
        if (!ref.is_task)
            TRY(name_item(audit, &ref.artifact, AUDIT_INPUT, err));
    return OK;
}

static enum status name_of_record(void *context, const struct id *task, const uint8_t *bytes,
                                  size_t count, struct err *err)
{
    struct audit *audit = context;
    struct record record;
    struct record_output output;
    audit->record_count++;
    if (!bytes || record_parse(bytes, count, &record, NULL) != OK) {
        buf_put(&audit->unreadable, task, sizeof *task);
        return OK;
    }
    for (size_t cursor = 0; record_next_output(&record, &cursor, &output);)
        TRY(name_item(audit, &output.artifact, AUDIT_OUTPUT, err));
    if (record.has_log)
        TRY(name_item(audit, &record.log, AUDIT_LOG, err));
    return name_inputs(audit, &record, err);
}

/* ---- trees ---- */

static enum status name_files(struct audit *audit, struct store *store, uint32_t index,
                              struct err *err)
{
    AUTO(tree_free) struct tree *tree = NULL;
    struct id id = audit->ids.ids[index];
    enum audit_role role = audit->items[index].role == AUDIT_INPUT ? AUDIT_INPUT : AUDIT_FILE;
    enum status status = tree_peek(store, &id, &tree, err);
    if (status == E_NOTFOUND || status == E_CORRUPT) {
        audit->items[index].fault = status == E_NOTFOUND ? AUDIT_MISSING : AUDIT_CORRUPT;
        return OK;
    }
    if (status != OK)
        return status;
    audit->items[index].is_there = true;
    for (size_t i = 0; i < tree_count(tree); i++) {
        struct tree_entry entry = tree_entry(tree, i);
        const struct artifact file = {.id = entry.blob, .bytes = entry.bytes};
        TRY(name_item(audit, &file, role, err));
    }
    return OK;
}

static enum status look_into_trees(struct audit *audit, struct store *store, struct err *err)
{
    for (uint32_t i = 0; i < audit->ids.count; i++)
        if (audit->items[i].is_tree)
            TRY(name_files(audit, store, i, err));
    return OK;
}

/* ---- what is there ---- */

static enum status see_item(void *context, const struct store_item *seen, struct err *err)
{
    (void)err;
    struct audit *audit = context;
    uint32_t index = id_set_find(&audit->ids, &seen->id);
    if (index == ID_MAP_NONE || audit->items[index].is_tree != seen->is_manifest) {
        audit->unnamed_count++;
        audit->unnamed_bytes += seen->bytes;
        return OK;
    }
    struct audit_item *item = &audit->items[index];
    item->is_there = true;
    if (!item->is_tree && item->role != AUDIT_INPUT && item->bytes != seen->bytes)
        item->fault = AUDIT_CORRUPT; /* by its size; it will be read */
    return OK;
}

static enum status check_bytes(struct audit *audit, struct store *store, uint32_t index,
                               struct err *err)
{
    struct audit_item *item = &audit->items[index];
    enum status status = store_check(store, &audit->ids.ids[index], false, err);
    if (status != OK && status != E_NOTFOUND && status != E_CORRUPT)
        return status;
    item->fault = status == OK ? AUDIT_SOUND : status == E_NOTFOUND ? AUDIT_MISSING : AUDIT_CORRUPT;
    return OK;
}

/* What was not listed. */
struct asking {
    uint32_t indices[HAS_BATCH];
    struct id ids[HAS_BATCH];
    bool has[HAS_BATCH];
    size_t count;
};

/* It may have come, or been made new, meanwhile. */
static enum status ask(struct audit *audit, struct store *store, struct asking *asking,
                       struct err *err)
{
    TRY(store_has(store, asking->ids, asking->count, asking->has, err));
    for (size_t i = 0; i < asking->count; i++) {
        struct audit_item *item = &audit->items[asking->indices[i]];
        item->is_there = asking->has[i];
        item->fault = asking->has[i] ? AUDIT_SOUND : AUDIT_MISSING;
    }
    asking->count = 0;
    return OK;
}

static enum status find_missing(struct audit *audit, struct store *store, struct err *err)
{
    AUTO(mem_free) struct asking *asking = mem_alloc(sizeof *asking);
    for (uint32_t i = 0; i < audit->ids.count; i++) {
        const struct audit_item *item = &audit->items[i];
        if (item->is_there || item->is_tree || item->role == AUDIT_INPUT)
            continue;
        asking->indices[asking->count] = i;
        asking->ids[asking->count++] = audit->ids.ids[i];
        if (asking->count == HAS_BATCH)
            TRY(ask(audit, store, asking, err));
    }
    return ask(audit, store, asking, err);
}

static enum status look_at_bytes(struct audit *audit, struct store *store, bool reads_all,
                                 struct err *err)
{
    for (uint32_t i = 0; i < audit->ids.count; i++) {
        const struct audit_item *item = &audit->items[i];
        if (!item->is_tree && item->is_there && (reads_all || item->fault == AUDIT_CORRUPT))
            TRY(check_bytes(audit, store, i, err));
    }
    return OK;
}

static void count_items(struct audit *audit)
{
    for (uint32_t i = 0; i < audit->ids.count; i++) {
        const struct audit_item *item = &audit->items[i];
        audit->damaged_count += item->fault != AUDIT_SOUND && item->role != AUDIT_INPUT;
        audit->sound_count += item->is_there && item->fault == AUDIT_SOUND;
        audit->sound_bytes +=
            item->is_there && item->fault == AUDIT_SOUND && !item->is_tree ? item->bytes : 0;
    }
}

enum status audit_run(struct audit *audit, struct state *state, struct store *store,
                      bool reads_bytes, struct err *err)
{
    TRY(state_each_run(state, 0, name_sources, audit, err));
    TRY(state_audit_records(state, name_of_record, audit, err));
    TRY(buf_check(&audit->unreadable, "damaged records", err));
    TRY(look_into_trees(audit, store, err));
    TRY(store_list(store, see_item, audit, err));
    TRY(find_missing(audit, store, err));
    TRY(look_at_bytes(audit, store, reads_bytes, err));
    TRY(audit_blame(audit, state, store, err));
    count_items(audit);
    return OK;
}

enum status audit_put_aside(const struct audit *audit, struct store *store, uint64_t *count,
                            struct err *err)
{
    *count = 0;
    for (uint32_t i = 0; i < audit->ids.count; i++) {
        const struct audit_item *item = &audit->items[i];
        const struct id *id = &audit->ids.ids[i];
        /* A tree may be called corrupt for the sake of a file. */
        bool is_bad = item->fault == AUDIT_CORRUPT &&
                      store_check(store, id, item->is_tree, NULL) == E_CORRUPT;
        if (!is_bad)
            continue;
        TRY(item->is_tree ? store_quarantine_manifest(store, id, err)
                          : store_quarantine(store, id, err));
        ++*count;
    }
    return OK;
}
