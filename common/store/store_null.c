/* A store that keeps nothing and says it has everything: what is put is only hashed. For plans,
 * which need ids and must leave no trace. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "common/store/backend.h"
#include "common/store/source_file.h"

static enum status null_open(const char *url, struct store **out, struct err *err)
{
    if (strcmp(url, "null:") != 0)
        return err_set(err, E_INVALID,
                       "%s: a store that keeps nothing has no name; write \"null:\"", url);
    *out = mem_alloc(sizeof **out);
    return OK;
}

static void null_close(struct store *store)
{
    mem_free(store);
}

static enum status null_put_file(struct store *store, const char *path, struct id *id,
                                 uint64_t *bytes, struct err *err)
{
    (void)store;
    AUTO(source_file_close) struct source_file file = {.fd = -1};
    TRY(source_file_open(path, &file, err));
    AUTO(mem_free) uint8_t *piece = mem_alloc(SOURCE_PIECE_BYTES);
    return source_file_hash(file.fd, -1, path, piece, id, bytes, err);
}

static enum status null_put(struct store *store, enum store_space space, const struct id *id,
                            const void *data, size_t bytes, struct err *err)
{
    (void)store, (void)space, (void)id, (void)data, (void)bytes, (void)err;
    return OK;
}

static enum status null_get_file(struct store *store, const struct id *id, bool is_second,
                                 const char *path, struct id *seen, struct err *err)
{
    (void)is_second, (void)path, (void)seen;
    return store_absent(store, STORE_BLOBS, id, err);
}

static enum status null_get(struct store *store, enum store_space space, const struct id *id,
                            bool is_second, struct buf *out, struct err *err)
{
    (void)is_second, (void)out;
    return store_absent(store, space, id, err);
}

static enum status null_has(struct store *store, const struct id *ids, size_t count, bool *has,
                            struct err *err)
{
    (void)store, (void)ids, (void)err;
    memset(has, true, count);
    return OK;
}

static enum status null_renew(struct store *store, enum store_space space, const struct id *ids,
                              size_t count, bool *has, struct err *err)
{
    (void)space;
    return null_has(store, ids, count, has, err);
}

static enum status null_remove_old(struct store *store, enum store_space space, const struct id *id,
                                   int64_t before_s, bool *is_removed, struct err *err)
{
    (void)store, (void)space, (void)id, (void)before_s, (void)is_removed, (void)err;
    return OK;
}

static enum status null_list(struct store *store, store_visit_item *visit, void *context,
                             struct err *err)
{
    (void)store, (void)visit, (void)context, (void)err;
    return OK;
}

static enum status null_remove(struct store *store, enum store_space space, const struct id *id,
                               struct err *err)
{
    (void)store, (void)space, (void)id, (void)err;
    return OK;
}

static enum status null_quarantine(struct store *store, enum store_space space, const struct id *id,
                                   struct err *err)
{
    (void)store, (void)space, (void)id, (void)err;
    return OK;
}

static enum status null_flush(struct store *store, struct err *err)
{
    (void)store, (void)err;
    return OK;
}

static enum status null_put_object(struct store *store, const char *key, const void *data,
                                   size_t bytes, struct err *err)
{
    (void)store, (void)key, (void)data, (void)bytes, (void)err;
    return OK;
}

static enum status null_get_object(struct store *store, const char *key, struct buf *out,
                                   struct err *err)
{
    (void)out;
    return store_absent_object(store, key, err);
}

static enum status null_list_objects(struct store *store, const struct store_range *range,
                                     store_visit_object *visit, void *context, struct err *err)
{
    (void)store, (void)range, (void)visit, (void)context, (void)err;
    return OK;
}

static enum status null_remove_object(struct store *store, const char *key, struct err *err)
{
    (void)store, (void)key, (void)err;
    return OK;
}

const struct store_backend store_null = {
    .scheme = "null:",
    .open = null_open,
    .close = null_close,
    .put_file = null_put_file,
    .put = null_put,
    .get_file = null_get_file,
    .get = null_get,
    .has = null_has,
    .list = null_list,
    .renew = null_renew,
    .remove = null_remove,
    .remove_old = null_remove_old,
    .quarantine = null_quarantine,
    .flush = null_flush,
    .put_object = null_put_object,
    .get_object = null_get_object,
    .list_objects = null_list_objects,
    .remove_object = null_remove_object,
};
