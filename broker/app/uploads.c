/* uploads: which bytes the store lacks that somebody is about to name as a run's sources, and where
 * to put them: straight into a store that gives URLs out, else through the broker's own. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/app/local.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/store/tree.h"
#include "proto/limits.h"

enum { UPLOAD_SECONDS = 3600 }; /* how long such a URL works: a slow line, a large file */

static enum status read_wanted(const struct value *wanted, struct artifact *out, struct err *err)
{
    const struct value *id = wanted->type == VALUE_MAP ? value_get(wanted, "id") : NULL;
    const struct value *is_tree = id ? value_get(wanted, "is_tree") : NULL;
    if (!id || id->type != VALUE_STRING)
        return err_set(err, E_INVALID, "uploads: expected [{\"id\", \"bytes\", \"is_tree\"}]");
    out->is_tree = is_tree && is_tree->type == VALUE_BOOL && is_tree->boolean;
    return id_parse(id->text, id->count, &out->id, err);
}

static enum status find_url(struct local *app, const struct artifact *artifact, struct arena *arena,
                            struct value *entry, struct err *err)
{
    char hex[ID_HEX_BYTES];
    AUTO(buf_fini) struct buf url = buf_init(0);
    struct store_presign presign = {.is_put = true,
                                    .id = artifact->id,
                                    .is_manifest = artifact->is_tree,
                                    .seconds = UPLOAD_SECONDS};
    enum status status = store_presign(app->store, &presign, &url, err);
    if (status == E_UNSUPPORTED) {
        buf_format(&url, "/v1/blobs/%s%s", id_hex(&artifact->id, hex),
                   artifact->is_tree ? "?tree=true" : "");
        status = OK;
    }
    if (status == OK)
        doc_put(arena, entry, "url", doc_text(arena, buf_text(&url), url.count));
    return status;
}

/* `has` is what the store says of blobs; a manifest is looked for by itself. */
static enum status add_missing(struct local *app, const struct artifact *artifact, bool has,
                               struct arena *arena, struct value *out, struct err *err)
{
    AUTO(buf_fini) struct buf inside = buf_init(0);
    if (artifact->is_tree) {
        enum status status = tree_check(app->store, &artifact->id, &inside, err);
        if (status != OK && status != E_NOTFOUND)
            return status;
        has = status == OK && !inside.count; /* the manifest may be what is missing */
    }
    if (has)
        return OK;
    struct value entry = doc_map();
    doc_put(arena, &entry, "id", doc_id(arena, &artifact->id));
    doc_put(arena, &entry, "is_tree", value_bool(artifact->is_tree));
    doc_put(arena, &entry, "headers", doc_map());
    TRY(find_url(app, artifact, arena, &entry, err));
    doc_add(arena, out, entry);
    return OK;
}

enum status local_uploads(struct app *base, const struct value *wanted, struct arena *arena,
                          struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    *out = doc_list();
    if (wanted->type != VALUE_ARRAY || wanted->count > API_UPLOADS_MAX)
        return err_set(err, E_INVALID, "uploads: expected a list of at most %d", API_UPLOADS_MAX);
    TRY(local_begin(app, err));
    AUTO(mem_free) struct artifact *artifacts = mem_alloc((wanted->count + 1) * sizeof *artifacts);
    AUTO(mem_free) struct id *ids = mem_alloc((wanted->count + 1) * sizeof *ids);
    AUTO(mem_free) bool *has = mem_alloc((wanted->count + 1) * sizeof *has);
    for (uint32_t i = 0; i < wanted->count; i++) {
        TRY(read_wanted(&wanted->items[i], &artifacts[i], err));
        ids[i] = artifacts[i].id;
    }
    if (wanted->count)
        TRY(store_has(app->store, ids, wanted->count, has, err));
    for (uint32_t i = 0; i < wanted->count; i++)
        TRY(add_missing(app, &artifacts[i], has[i], arena, out, err));
    return OK;
}
