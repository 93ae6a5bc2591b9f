/* An artifact verified against the state and the store here. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/app/library.h"
#include "broker/app/reexecute.h"
#include "broker/app/verifying.h"
#include "common/store/tree.h"

struct here {
    struct local *app;
    struct arena *arena;
    struct library library;
    bool has_library;
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

enum status local_verify(struct app *base, const char *text, const struct app_verify *options,
                         struct arena *arena, struct value *out, struct err *err)
{
    struct here here = {.app = local_of(base), .arena = arena};
    const struct verify_source source = {get_proof, check_bytes, find_maker, run_again, &here};
    struct ref ref;
    TRY(local_open_reader(here.app, err));
    TRY(ref_resolve(here.app, text, arena, &ref, err));
    const struct verify_subject subject = {text, ref.artifact, ref.has_task, ref.task};
    enum status status = verify_subject(&source, &subject, options, arena, out, err);
    library_close(&here.library);
    return status;
}
