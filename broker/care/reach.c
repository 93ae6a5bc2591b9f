// SPDX-License-Identifier: Apache-2.0
#include "broker/care/reach.h"

#include <string.h>

#include "broker/app/submission.h"
#include "broker/care/document.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/store/tree.h"
#include "proto/record.h"

void reach_init(struct reach *reach)
{
    id_set_init(&reach->tasks);
    id_set_init(&reach->bytes);
    id_set_init(&reach->expanded);
}

void reach_fini(struct reach *reach)
{
    id_set_fini(&reach->tasks);
    id_set_fini(&reach->bytes);
    id_set_fini(&reach->expanded);
}

enum status reach_decode(const char *run, const uint8_t *bytes, size_t count, struct arena *arena,
                         struct value *out, struct err *err)
{
    enum status status = value_decode(bytes, count, arena_memory(arena), out, err);
    if (status == OK && out->type == VALUE_MAP)
        return OK;
    return err_set(err, E_CORRUPT, "run %s: its document is damaged", run);
}

/* ---- runs ---- */

/* Of all that the task ids follow from. */
static enum status digest(const struct value *document, struct id *out, struct err *err)
{
    static const char *const keys[] = {"text", "overrides", "sources"};
    struct hasher hasher;
    hash_init(&hasher, NULL);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct value *part = value_get(document, keys[i]);
        size_t bytes = part ? value_encode(part, NULL, 0) : 0;
        if (!bytes)
            return err_set(err, E_CORRUPT, "the run's document is damaged: it has no %s", keys[i]);
        AUTO(mem_free) uint8_t *encoded = mem_alloc(bytes);
        value_encode(part, encoded, bytes);
        hash_update(&hasher, encoded, bytes);
    }
    hash_final(&hasher, out);
    return OK;
}

static enum status expand(const struct value *document, struct submission **out, struct err *err)
{
    struct diagnostics diagnostics = {.file = "", .text = buf_init(0)};
    enum status status = submission_restore(document, &diagnostics, out, err);
    diagnostics_fini(&diagnostics);
    return status;
}

static enum status add_graph(struct reach *reach, const struct value *document, struct err *err)
{
    struct id seen;
    TRY(digest(document, &seen, err));
    if (id_set_has(&reach->expanded, &seen))
        return OK;
    AUTO(submission_free) struct submission *submission = NULL;
    TRY(expand(document, &submission, err));
    for (uint32_t i = 0; i < submission->graph->task_count; i++)
        TRY(id_set_add(&reach->tasks, &submission->graph->tasks[i].id, err));
    return id_set_add(&reach->expanded, &seen, err);
}

/* Every text in it that is an id. */
static enum status add_named(struct id_set *set, const struct value *value, struct err *err)
{
    struct id id;
    if (value->type == VALUE_STRING)
        return id_parse(value->text, value->count, &id, NULL) == OK ? id_set_add(set, &id, err)
                                                                    : OK;
    uint32_t items = value->type == VALUE_ARRAY ? value->count
                     : value->type == VALUE_MAP ? 2 * value->count
                                                : 0;
    for (uint32_t i = 0; i < items; i++)
        TRY(add_named(set, &value->items[i], err));
    return OK;
}

static enum status add_named_below(struct id_set *set, const struct value *document,
                                   const char *key, struct err *err)
{
    const struct value *value = value_get(document, key);
    return value ? add_named(set, value, err) : OK;
}

/* Does its result name them all? */
static bool lists_tasks(const struct value *document)
{
    const struct value *result = value_get(document, "result");
    const struct value *steps = result ? value_get(result, "steps") : NULL,
                       *tasks = result ? value_get(result, "tasks") : NULL,
                       *total = tasks ? value_get(tasks, "total") : NULL;
    if (!steps || steps->type != VALUE_ARRAY || !total || total->integer != steps->count)
        return false;
    return !steps->count || value_get(&steps->items[0], "task");
}

/* Those that were written down when it ended. */
static enum status add_task_list(struct reach *reach, struct store *store, const char *hex,
                                 struct err *err)
{
    struct id blob;
    AUTO(buf_fini) struct buf ids = buf_init(0);
    TRY(id_parse(hex, strlen(hex), &blob, err));
    TRY(store_get(store, &blob, &ids, err));
    for (size_t at = 0; at + ID_BYTES <= ids.count; at += ID_BYTES)
        TRY(id_set_add(&reach->tasks, (const struct id *)(const void *)(ids.bytes + at), err));
    return OK;
}

enum status reach_run_tasks(struct reach *reach, struct store *store, const struct value *document,
                            bool *is_told, struct err *err)
{
    const char *list = value_get_text(document, "task_list");
    *is_told = true;
    TRY(add_named_below(&reach->tasks, document, "result", err));
    if (document_is_open(document)) /* it goes on as it is expanded now */
        return add_graph(reach, document, err);
    if (!list) {
        *is_told = lists_tasks(document);
        return OK;
    }
    enum status status = add_task_list(reach, store, list, err);
    *is_told = status == OK;
    return status == E_NOTFOUND || status == E_CORRUPT ? OK : status;
}

enum status reach_run_bytes(struct reach *reach, const struct value *document, struct err *err)
{
    TRY(add_named_below(&reach->bytes, document, "sources", err));
    TRY(add_named_below(&reach->bytes, document, "task_list", err));
    return add_named_below(&reach->bytes, document, "result", err);
}

/* ---- records, trees ---- */

static enum status add_inputs(struct reach *reach, const struct record *record, struct err *err)
{
    struct task_spec action;
    struct task_ref_cursor cursor = {0};
    struct task_ref ref;
    TRY(task_spec_parse(record->action, record->action_bytes, &action, err));
    while (task_spec_next_ref(&action, &cursor, &ref))
        if (!ref.is_task)
            TRY(id_set_add(&reach->bytes, &ref.artifact.id, err));
    return OK;
}

enum status reach_record(struct reach *reach, const uint8_t *bytes, size_t count, struct err *err)
{
    struct record record;
    struct record_output output;
    TRY(record_parse(bytes, count, &record, err));
    for (size_t cursor = 0; record_next_output(&record, &cursor, &output);)
        TRY(id_set_add(&reach->bytes, &output.artifact.id, err));
    if (record.has_log)
        TRY(id_set_add(&reach->bytes, &record.log.id, err));
    return add_inputs(reach, &record, err);
}

enum status reach_files(struct reach *reach, struct store *store, const struct id *id,
                        struct err *err)
{
    AUTO(tree_free) struct tree *tree = NULL;
    enum status status = tree_peek(store, id, &tree, err);
    if (status == E_NOTFOUND || status == E_CORRUPT)
        return OK;
    if (status != OK)
        return status;
    for (size_t i = 0; i < tree_count(tree); i++) {
        struct tree_entry entry = tree_entry(tree, i);
        TRY(id_set_add(&reach->bytes, &entry.blob, err));
    }
    return OK;
}
