/* Where things come from, and getting them out: lineage, get, export. A record holds its action
 * with the ids of the bytes it read, so walking from output to action to inputs needs records
 * alone. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/library.h"
#include "broker/app/run.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "common/store/tree.h"
#include "common/text/json.h"

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

/* Bytes that no task made came from outside: which file was it? */
static void describe_source(struct library *library, const struct id *id, struct value *entry)
{
    char hex[ID_HEX_BYTES];
    id_hex(id, hex);
    doc_put(library->arena, entry, "source", value_bool(true));
    for (uint32_t i = 0; i < library->sources.count; i++) {
        const struct value *source = &library->sources.items[i], *known = value_get(source, "id");
        const struct value *name = value_get(source, "name"),
                           *location = value_get(source, "location");
        if (!known || !value_is_text(known, hex) || !name || !location)
            continue;
        doc_put(library->arena, entry, "name", *name);
        doc_put(library->arena, entry, "location", *location);
        return;
    }
}

/* Bounded by the depth limit; what is shared is told once, so that diamonds don't multiply. */
static struct value describe_artifact(struct library *library, const struct id *id, int depth)
{
    struct value entry = doc_map();
    doc_put(library->arena, &entry, "id", doc_id(library->arena, id));
    struct made *made = library_find(library, id);
    /* What its only maker reads, and that maker is told already: a source that was copied. */
    if (!made || (made->is_passed_on && made->is_shown)) {
        describe_source(library, id, &entry);
        return entry;
    }
    struct record record;
    if (made->is_shown || depth >= VALUE_DEPTH_MAX / 4 ||
        record_parse(made->record, made->record_bytes, &record, NULL) != OK) {
        doc_put(library->arena, &entry, "made_by",
                value_string(made->is_shown ? "told above" : "too deep to show"));
        return entry;
    }
    made->is_shown = true;
    struct value made_by = describe_action(library, &record, depth);
    doc_put(library->arena, &made_by, "task", doc_id(library->arena, &made->task));
    doc_put(library->arena, &entry, "made_by", made_by);
    return entry;
}

struct getting {
    struct arena *arena;
    struct value *out;
    struct library *library; /* NULL: the record itself */
    bool is_found;
};

static void get_action(void *context, uint32_t index, const uint8_t *bytes, size_t count)
{
    (void)index;
    struct getting *getting = context;
    struct record record;
    if (record_parse(bytes, count, &record, NULL) != OK)
        return;
    getting->is_found = true;
    *getting->out = describe_action(getting->library, &record, 0);
}

enum status local_lineage(struct app *base, const char *text, struct arena *arena,
                          struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    TRY(local_open_reader(app, err));
    struct ref ref;
    TRY(ref_resolve(app, text, arena, &ref, err));
    struct library library;
    struct value made_by;
    struct getting getting = {arena, &made_by, &library, false};
    enum status status = library_open(app, arena, &library, err);
    if (status == OK && ref.has_task) /* named by its task: told from there */
        status = state_find_tasks(app->state, &ref.task, 1, get_action, &getting, err);
    if (status == OK) {
        *out = doc_map();
        struct value artifact =
            getting.is_found ? doc_map() : describe_artifact(&library, &ref.artifact.id, 0);
        if (getting.is_found) {
            doc_put(arena, &artifact, "id", doc_id(arena, &ref.artifact.id));
            doc_put(arena, &made_by, "task", doc_id(arena, &ref.task));
            doc_put(arena, &artifact, "made_by", made_by);
        }
        doc_put(arena, out, "artifact", artifact);
    }
    library_close(&library);
    return status;
}

/* ---- get ---- */

static void get_record(void *context, uint32_t index, const uint8_t *bytes, size_t count)
{
    (void)index;
    struct getting *getting = context;
    struct record record;
    if (record_parse(bytes, count, &record, NULL) != OK)
        return;
    getting->is_found = true;
    report_record(&record, getting->arena, getting->out);
    doc_put(getting->arena, getting->out, "attempt", value_int(record.attempt));
    doc_put(getting->arena, getting->out, "begun_us", value_int(record.begun_us));
    doc_put(getting->arena, getting->out, "action",
            decoded(getting->arena, record.action, record.action_bytes));
    doc_put(getting->arena, getting->out, "values",
            decoded(getting->arena, record.values, record.values_bytes));
}

static enum status get_task(struct local *app, const char *text, bool spec, struct arena *arena,
                            struct value *out, struct err *err)
{
    struct id task;
    TRY(ref_task(app, text, arena, &task, err));
    *out = doc_map();
    doc_put(arena, out, "task", doc_id(arena, &task));
    struct library library = {0};
    enum status status = spec ? library_open(app, arena, &library, err) : OK;
    struct getting getting = {arena, out, spec ? &library : NULL, false};
    if (status == OK)
        status =
            state_find_tasks(app->state, &task, 1, spec ? get_action : get_record, &getting, err);
    if (spec)
        library_close(&library);
    if (status == OK && !getting.is_found)
        return err_set(err, E_NOTFOUND, "%s: that task has no record; it did not finish", text);
    return status;
}

/* What is known of it now, also before it is stored. */
static enum status get_live(struct local *app, struct run *run, struct arena *arena,
                            struct value *out, struct err *err)
{
    struct value result;
    if (run->is_begun)
        TRY(report_result(app, run, false, arena, &result, err));
    struct value document =
        run_document_make(run, "running", run->is_begun ? &result : NULL, arena);
    *out = doc_copy(arena, &document);
    return OK;
}

enum status local_get(struct app *base, const char *ref, bool spec, struct arena *arena,
                      struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    TRY(local_open_reader(app, err));
    struct run *run = spec ? NULL : runs_find(app, ref);
    if (run)
        return get_live(app, run, arena, out, err);
    enum status status = spec ? E_NOTFOUND : run_document_get(app, ref, arena, out, err);
    if (status == OK || status == E_INVALID) /* or a prefix of several runs */
        return status;
    return get_task(app, ref, spec, arena, out, err);
}

/* ---- export ---- */

enum status local_artifact(struct app *base, const char *text, struct arena *arena,
                           struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    struct ref ref;
    TRY(local_open_reader(app, err));
    TRY(ref_resolve(app, text, arena, &ref, err));
    *out = doc_map();
    doc_put(arena, out, "id", doc_id(arena, &ref.artifact.id));
    doc_put(arena, out, "bytes", value_int((int64_t)ref.artifact.bytes));
    doc_put(arena, out, "tree", value_bool(ref.artifact.is_tree));
    doc_put(arena, out, "task", ref.has_task ? doc_id(arena, &ref.task) : value_nil());
    doc_put(arena, out, "output", ref.output ? value_string(ref.output) : value_nil());
    return OK;
}

enum status local_export(struct app *base, const char *text, const char *path, struct buf *out,
                         struct err *err)
{
    struct local *app = local_of(base);
    AUTO(arena_fini) struct arena arena = {0};
    TRY(local_open_reader(app, err));
    struct ref ref;
    TRY(ref_resolve(app, text, &arena, &ref, err));
    if (ref.artifact.is_tree && !path)
        return err_set(err, E_INVALID, "%s is a folder: say where to put it, with -o PATH", text);
    if (ref.artifact.is_tree && fs_exists(path))
        return err_set(err, E_INVALID, "%s is there already: remove it, or name another folder",
                       path);
    if (ref.artifact.is_tree)
        return tree_get(app->store, &ref.artifact.id, path, err);
    return path ? store_get_file(app->store, &ref.artifact.id, path, err)
                : store_get(app->store, &ref.artifact.id, out, err);
}

/* ---- URLs ---- */

static enum status add_url(struct local *app, const struct store_presign *presign,
                           struct value path, uint64_t bytes, struct arena *arena,
                           struct value *urls, struct err *err)
{
    AUTO(buf_fini) struct buf url = buf_init(0);
    TRY(store_presign(app->store, presign, &url, err));
    struct value *entry = doc_add(arena, urls, doc_map());
    doc_put(arena, entry, "path", path);
    doc_put(arena, entry, "bytes", value_int((int64_t)bytes));
    doc_put(arena, entry, "url", doc_text(arena, buf_text(&url), url.count));
    return OK;
}

static enum status add_tree_urls(struct local *app, const struct id *id, uint32_t seconds,
                                 struct arena *arena, struct value *urls, struct err *err)
{
    AUTO(tree_free) struct tree *tree = NULL;
    TRY(tree_open(app->store, id, &tree, err));
    for (size_t i = 0; i < tree_count(tree); i++) {
        const struct tree_entry entry = tree_entry(tree, i);
        const struct store_presign presign = {.id = entry.blob, .seconds = seconds};
        TRY(add_url(app, &presign, doc_text(arena, entry.path, entry.path_bytes), entry.bytes,
                    arena, urls, err));
    }
    return OK;
}

enum status local_urls(struct app *base, const char *text, uint32_t seconds, struct arena *arena,
                       struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    struct ref ref;
    TRY(local_open_reader(app, err));
    TRY(ref_resolve(app, text, arena, &ref, err));
    struct value urls = doc_list();
    const struct store_presign presign = {.id = ref.artifact.id, .seconds = seconds};
    if (ref.artifact.is_tree)
        TRY(add_tree_urls(app, &ref.artifact.id, seconds, arena, &urls, err));
    else
        TRY(add_url(app, &presign, value_nil(), ref.artifact.bytes, arena, &urls, err));
    *out = doc_map();
    doc_put(arena, out, "id", doc_id(arena, &ref.artifact.id));
    doc_put(arena, out, "tree", value_bool(ref.artifact.is_tree));
    doc_put(arena, out, "expires_seconds", value_int(seconds));
    doc_put(arena, out, "urls", urls);
    return OK;
}
