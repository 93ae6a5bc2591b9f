/* Where things come from, and getting them out: lineage, get, export. A record holds its action
 * with the ids of the bytes it read, so walking from output to action to inputs needs records
 * alone. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/local.h"
#include "common/base/doc.h"
#include "common/base/id_map.h"
#include "common/base/mem.h"
#include "common/store/tree.h"
#include "common/text/json.h"
#include "proto/limits.h"

/* Every record's outputs by id: who made what. The first that made some bytes stands for them. */
struct made {
    struct id output;
    const uint8_t *record;
    size_t record_bytes;
    bool is_shown; /* told once in the answer already: later mentions only name it */
};

struct library {
    struct arena *arena;
    struct made *items;
    uint32_t count, capacity;
    struct id_map by_output;
};

static const struct id *output_at(const void *context, uint32_t index)
{
    const struct library *library = context;
    return &library->items[index].output;
}

static enum status add_record(void *context, const struct id *task, const uint8_t *bytes,
                              size_t count, struct err *err)
{
    (void)task;
    struct library *library = context;
    struct record record;
    TRY(record_parse(bytes, count, &record, err));
    const uint8_t *copy =
        record.output_count
            ? (const uint8_t *)arena_text(library->arena, (const char *)bytes, count)
            : NULL;
    struct record_output output;
    for (size_t cursor = 0; record_next_output(&record, &cursor, &output);) {
        if (id_map_get(&library->by_output, &output.artifact.id) != ID_MAP_NONE)
            continue;
        if (library->count == library->capacity) {
            library->capacity = library->capacity ? 2 * library->capacity : 64;
            library->items = mem_resize(library->items, library->capacity * sizeof *library->items);
        }
        library->items[library->count] = (struct made){output.artifact.id, copy, count, false};
        id_map_put(&library->by_output, &output.artifact.id, library->count++);
    }
    return OK;
}

static struct value decoded(struct arena *arena, const uint8_t *bytes, size_t count)
{
    struct value value = value_nil();
    if (!bytes || value_decode(bytes, count, arena_memory(arena), &value, NULL) != OK)
        return doc_map();
    return value;
}

static struct value describe_artifact(struct library *library, const struct id *id, int depth);

static struct value describe_input(struct library *library, const struct task_input *input,
                                   int depth)
{
    struct value list = doc_list();
    struct task_ref ref;
    for (size_t cursor = 0; task_input_next_ref(input, &cursor, &ref);)
        doc_add(library->arena, &list, describe_artifact(library, &ref.artifact.id, depth + 1));
    return input->is_gather || !list.count ? list : list.items[0];
}

static struct value describe_action(struct library *library, const struct record *record, int depth)
{
    struct arena *arena = library->arena;
    struct value entry = doc_map();
    struct task_spec action;
    if (task_spec_parse(record->action, record->action_bytes, &action, NULL) != OK)
        return entry;
    doc_put(arena, &entry, "kind", doc_text(arena, action.kind, action.kind_bytes));
    doc_put(arena, &entry, "version", doc_text(arena, action.version, action.version_bytes));
    doc_put(arena, &entry, "params", decoded(arena, action.params, action.params_bytes));
    struct value inputs = doc_map();
    struct task_input input;
    for (size_t cursor = 0; task_spec_next_input(&action, &cursor, &input);)
        doc_put(arena, &inputs, arena_text(arena, input.name, input.name_bytes),
                describe_input(library, &input, depth));
    doc_put(arena, &entry, "inputs", inputs);
    return entry;
}

/* Bounded by the depth limit; what is shared is told once, so that diamonds don't multiply. */
static struct value describe_artifact(struct library *library, const struct id *id, int depth)
{
    struct value entry = doc_map();
    doc_put(library->arena, &entry, "id", doc_id(library->arena, id));
    uint32_t index = id_map_get(&library->by_output, id);
    if (index == ID_MAP_NONE) {
        doc_put(library->arena, &entry, "source", value_bool(true));
        return entry;
    }
    struct made *made = &library->items[index];
    struct record record;
    if (made->is_shown || depth >= VALUE_DEPTH_MAX / 4 ||
        record_parse(made->record, made->record_bytes, &record, NULL) != OK) {
        doc_put(library->arena, &entry, "made_by",
                value_string(made->is_shown ? "told above" : "too deep to show"));
        return entry;
    }
    made->is_shown = true;
    doc_put(library->arena, &entry, "made_by", describe_action(library, &record, depth));
    return entry;
}

static enum status open_library(struct app *app, struct arena *arena, struct library *out,
                                struct err *err)
{
    *out = (struct library){.arena = arena};
    out->by_output = id_map_init(output_at, out);
    return state_each_record(app->state, add_record, out, err);
}

static void close_library(struct library *library)
{
    id_map_fini(&library->by_output);
    mem_free(library->items);
}

/* The names of sources, so that a leaf of the tree says which file it was. */
static void name_sources(struct app *app, struct arena *arena, struct value *out)
{
    struct value document;
    if (run_document_get(app, "latest", arena, &document, NULL) != OK)
        return;
    const struct value *sources = value_get(&document, "sources");
    if (sources)
        doc_put(arena, out, "sources", *sources);
}

enum status app_lineage(struct app *app, const char *text, struct arena *arena, struct value *out,
                        struct err *err)
{
    TRY(local_open_reader(app, err));
    struct ref ref;
    TRY(ref_resolve(app, text, arena, &ref, err));
    struct library library;
    enum status status = open_library(app, arena, &library, err);
    if (status == OK) {
        *out = doc_map();
        doc_put(arena, out, "artifact", describe_artifact(&library, &ref.artifact.id, 0));
        name_sources(app, arena, out);
    }
    close_library(&library);
    return status;
}

/* ---- get ---- */

struct getting {
    struct arena *arena;
    struct value *out;
    struct library *library; /* NULL: the record itself */
    bool is_found;
};

static void get_record(void *context, uint32_t index, const uint8_t *bytes, size_t count)
{
    (void)index;
    struct getting *getting = context;
    struct record record;
    if (record_parse(bytes, count, &record, NULL) != OK)
        return;
    getting->is_found = true;
    if (getting->library) {
        *getting->out = describe_action(getting->library, &record, 0);
        return;
    }
    report_record(&record, getting->arena, getting->out);
    doc_put(getting->arena, getting->out, "attempt", value_int(record.attempt));
    doc_put(getting->arena, getting->out, "begun_us", value_int(record.begun_us));
    doc_put(getting->arena, getting->out, "action",
            decoded(getting->arena, record.action, record.action_bytes));
    doc_put(getting->arena, getting->out, "values",
            decoded(getting->arena, record.values, record.values_bytes));
}

static enum status get_task(struct app *app, const char *text, bool spec, struct arena *arena,
                            struct value *out, struct err *err)
{
    struct id task;
    TRY(ref_task(app, text, arena, &task, err));
    *out = doc_map();
    doc_put(arena, out, "task", doc_id(arena, &task));
    struct library library = {0};
    enum status status = spec ? open_library(app, arena, &library, err) : OK;
    struct getting getting = {arena, out, spec ? &library : NULL, false};
    if (status == OK)
        status = state_find_tasks(app->state, &task, 1, get_record, &getting, err);
    if (spec)
        close_library(&library);
    if (status == OK && !getting.is_found)
        return err_set(err, E_NOTFOUND, "%s: that task has no record; it did not finish", text);
    return status;
}

enum status app_get(struct app *app, const char *ref, bool spec, struct arena *arena,
                    struct value *out, struct err *err)
{
    TRY(local_open_reader(app, err));
    if (!spec && run_document_get(app, ref, arena, out, err) == OK)
        return OK;
    return get_task(app, ref, spec, arena, out, err);
}

/* ---- export ---- */

enum status app_export(struct app *app, const char *text, const char *path, struct buf *out,
                       struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    TRY(local_open_reader(app, err));
    struct ref ref;
    TRY(ref_resolve(app, text, &arena, &ref, err));
    if (ref.artifact.is_tree && !path)
        return err_set(err, E_INVALID, "%s is a folder: say where to put it, with -o PATH", text);
    if (ref.artifact.is_tree)
        return tree_get(app->store, &ref.artifact.id, path, err);
    return path ? store_get_file(app->store, &ref.artifact.id, path, err)
                : store_get(app->store, &ref.artifact.id, out, err);
}
