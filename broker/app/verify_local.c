/* An artifact verified against the state and the store here. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/library.h"
#include "broker/app/reexecute.h"
#include "broker/app/submission.h"
#include "broker/app/verifying.h"
#include "common/clock.h"
#include "common/store/tree.h"
#include "proto/limits.h"

enum { SERVED_MS = 1000 /* below a third of a lease */ };

struct here {
    struct local *app;
    struct arena *arena;
    struct library library;
    bool has_library;
    struct submission *submission; /* whose tasks are known; NULL: none's */
    struct id_map tasks;           /* index in its graph */
};

static enum status get_proof(void *context, const struct id *task, struct proof *out,
                             struct err *err)
{
    return proof_open(((struct here *)context)->app, task, out, err);
}

static enum status check_tree(struct store *store, const struct id *id, struct err *err)
{
    AUTO(tree_free) struct tree *tree = NULL;
    TRY(tree_open(store, id, &tree, err));
    for (size_t i = 0; i < tree_count(tree); i++) {
        struct tree_entry entry = tree_entry(tree, i);
        if (store_check(store, &entry.blob, false, err) != OK)
            return err_prefix(err, "file %.*s", (int)entry.path_bytes, entry.path);
    }
    return OK;
}

static enum status check_bytes(void *context, const struct artifact *artifact, struct err *err)
{
    struct store *store = ((struct here *)context)->app->store;
    return artifact->is_tree ? check_tree(store, &artifact->id, err)
                             : store_check(store, &artifact->id, false, err);
}

static enum status find_maker(void *context, const struct id *artifact, bool *is_made,
                              struct id *task, struct err *err)
{
    struct here *here = context;
    *is_made = false;
    if (!here->has_library)
        TRY(library_open(here->app, here->arena, &here->library, err));
    here->has_library = true;
    const struct made *made = library_find(&here->library, artifact);
    *is_made = made != NULL;
    if (made)
        *task = made->task;
    return OK;
}

static enum status run_again(void *context, const struct record *record, struct arena *arena,
                             const char **difference, struct err *err)
{
    return reexecute(((struct here *)context)->app, record, arena, difference, err);
}

static const struct id *task_at(const void *context, uint32_t index)
{
    return &((const struct here *)context)->submission->graph->tasks[index].id;
}

static bool find_spec(void *context, const struct id *task, struct mp_view *out)
{
    const struct here *here = context;
    uint32_t index = here->submission ? id_map_get(&here->tasks, task) : ID_MAP_NONE;
    if (index == ID_MAP_NONE)
        return false;
    const struct task_node *node = &here->submission->graph->tasks[index];
    *out = (struct mp_view){node->spec, node->spec_bytes};
    return true;
}

static enum status open_tasks(struct here *here, const char *text, struct err *err)
{
    TRY(ref_submission(here->app, text, &here->submission, err));
    const struct graph *graph = here->submission ? here->submission->graph : NULL;
    for (uint32_t i = 0; graph && i < graph->task_count; i++)
        if (id_map_get(&here->tasks, &graph->tasks[i].id) == ID_MAP_NONE)
            id_map_put(&here->tasks, &graph->tasks[i].id, i);
    return OK;
}

static enum status verify_here(struct here *here, const struct verify_source *source,
                               const char *text, const struct app_verify *options,
                               struct value *out, struct err *err)
{
    struct ref ref;
    TRY(local_open_reader(here->app, err));
    TRY(ref_resolve(here->app, text, here->arena, &ref, err));
    TRY(open_tasks(here, text, err));
    const struct verify_subject subject = {text, ref.artifact, ref.has_task, ref.task};
    return verify_subject(source, &subject, options, here->arena, out, err);
}

static void here_fini(struct here *here)
{
    library_close(&here->library);
    id_map_fini(&here->tasks);
    if (here->submission)
        submission_free(here->submission);
}
DEFINE_AUTO_VALUE(struct here, here_fini)

enum status local_verify(struct app *base, const char *text, const struct app_verify *options,
                         struct arena *arena, struct value *out, struct err *err)
{
    AUTO(here_fini) struct here here = {.app = local_of(base), .arena = arena};
    const struct verify_source source = {.proof = get_proof,
                                         .bytes = check_bytes,
                                         .maker = find_maker,
                                         .again = run_again,
                                         .spec = find_spec,
                                         .context = &here};
    here.tasks = id_map_init(task_at, &here);
    return verify_here(&here, &source, text, options, out, err);
}

enum status verify_records(struct local *app, const char *text, bool is_deep, struct arena *arena,
                           struct err *err)
{
    AUTO(here_fini) struct here here = {.app = app, .arena = arena};
    const struct verify_source source = {.proof = get_proof,
                                         .maker = find_maker,
                                         .spec = find_spec,
                                         .context = &here,
                                         .records_max = app->is_served ? LISTED_TASKS_MAX : 0,
                                         .until = app->is_served ? clock_ms() + SERVED_MS : 0};
    struct value found;
    here.tasks = id_map_init(task_at, &here);
    TRY(verify_here(&here, &source, text, &(struct app_verify){.is_deep = is_deep}, &found, err));
    const struct value *checks = value_get(&found, "checks");
    for (uint32_t i = 0; i < checks->count; i++)
        if (!value_get(&checks->items[i], "ok")->boolean)
            return err_set(err, E_CORRUPT, "%s: %s %s: %s", text,
                           value_get_text(&checks->items[i], "check"),
                           value_get_text(&checks->items[i], "subject"),
                           value_get_text(&checks->items[i], "found"));
    return OK;
}
