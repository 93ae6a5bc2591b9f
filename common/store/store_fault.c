/* A store that fails on demand, around any other:
 *
 *   fault+URL?on=put,get&fail=3&times=2&status=disk_full
 *       the 3rd and 4th put or get fail with E_FULL
 *   fault+URL?on=get&corrupt=1
 *       the first bytes read have one bit turned
 *   fault+URL?on=put&corrupt=1
 *       the first blob written is stored with one bit turned
 *
 * `on`: put, get, has, list, remove, quarantine, flush, presign, or any (the default); operations
 * are counted from 1 among those, of blobs, manifests and named objects alike. `times`: how many in
 * a row (default 1; 0: all from there on). `status`: a word of proto/err.h (default io). A failing
 * operation has no effect. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "common/store/backend.h"

enum operation { PUT, GET, HAS, LIST, REMOVE, QUARANTINE, FLUSH, PRESIGN, OPERATION_COUNT };
static const char *const operation_names[] = {"put",    "get",        "has",   "list",
                                              "remove", "quarantine", "flush", "presign"};

struct fault {
    struct store base, *inner;
    unsigned operations; /* a bit for each that counts */
    uint64_t count, fail, corrupt, times;
    enum status status;
};

static struct fault *fault_of(struct store *store)
{
    return (struct fault *)store;
}

/* ---- the URL ---- */

static enum status parse_operations(const char *text, unsigned *out, struct err *err)
{
    *out = 0;
    while (*text) {
        size_t bytes = strcspn(text, ",");
        unsigned bit = bytes == 3 && memcmp(text, "any", 3) == 0 ? ~0u : 0;
        for (unsigned i = 0; i < OPERATION_COUNT; i++)
            if (strlen(operation_names[i]) == bytes && memcmp(text, operation_names[i], bytes) == 0)
                bit = 1u << i;
        if (!bit)
            return err_set(err, E_INVALID, "fault store: on=%s: no operation \"%.*s\"", text,
                           (int)bytes, text);
        *out |= bit;
        text += bytes + (text[bytes] == ',');
    }
    return OK;
}

static enum status parse_number(const char *key, const char *text, uint64_t *out, struct err *err)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    if (errno || *end || text[0] < '0' || text[0] > '9')
        return err_set(err, E_INVALID, "fault store: %s=%s: not a number", key, text);
    return OK;
}

static enum status parse_pair(struct fault *fault, const char *key, const char *text,
                              struct err *err)
{
    if (strcmp(key, "on") == 0)
        return parse_operations(text, &fault->operations, err);
    if (strcmp(key, "fail") == 0)
        return parse_number(key, text, &fault->fail, err);
    if (strcmp(key, "corrupt") == 0)
        return parse_number(key, text, &fault->corrupt, err);
    if (strcmp(key, "times") == 0)
        return parse_number(key, text, &fault->times, err);
    if (strcmp(key, "status") != 0)
        return err_set(err, E_INVALID, "fault store: %s: one of on, fail, corrupt, times, status",
                       key);
    fault->status = status_parse(text);
    if (fault->status == OK || fault->status == STATUS_COUNT)
        return err_set(err, E_INVALID, "fault store: status=%s: not the word of an error", text);
    return OK;
}

/* `query` is cut up in place. */
static enum status parse_query(struct fault *fault, char *query, struct err *err)
{
    while (query) {
        char *next = strchr(query, '&'), *text = strchr(query, '=');
        if (next)
            *next++ = 0;
        if (!text || (next && text >= next))
            return err_set(err, E_INVALID, "fault store: %s: write key=value", query);
        *text++ = 0;
        TRY(parse_pair(fault, query, text, err));
        query = next;
    }
    return OK;
}

static void fault_close(struct store *store)
{
    struct fault *fault = fault_of(store);
    if (fault->inner)
        store_close(fault->inner);
    mem_free(fault);
}

static enum status fault_open(const char *url, struct store **out, struct err *err)
{
    const char *inner_url = url + strlen(store_fault.scheme);
    AUTO(mem_free) char *copy = mem_copy_text(inner_url, strlen(inner_url));
    struct fault *fault = mem_alloc(sizeof *fault);
    *fault = (struct fault){.operations = ~0u, .times = 1, .status = E_IO};
    char *query = strchr(copy, '?');
    if (query)
        *query++ = 0;
    enum status status = parse_query(fault, query, err);
    if (status == OK)
        status = store_open(copy, &fault->inner, err);
    if (status != OK) {
        fault_close(&fault->base);
        return status;
    }
    *out = &fault->base;
    return OK;
}

static void fault_set_patience(struct store *store, uint32_t ms)
{
    store_set_patience(fault_of(store)->inner, ms);
}

/* ---- the operations ---- */

static bool is_due(const struct fault *fault, uint64_t first)
{
    return first && fault->count >= first && (!fault->times || fault->count - first < fault->times);
}

/* Counts the operation; fails it, or says that its bytes are to be damaged. */
static enum status begin(struct fault *fault, enum operation operation, bool *is_corrupt,
                         struct err *err)
{
    *is_corrupt = false;
    if (!(fault->operations & 1u << operation))
        return OK;
    fault->count++;
    *is_corrupt = is_due(fault, fault->corrupt);
    if (!is_due(fault, fault->fail))
        return OK;
    return err_set(err, fault->status, "%s: injected fault: %s number %llu", fault->base.url,
                   operation_names[operation], (unsigned long long)fault->count);
}

static void damage(uint8_t *bytes, size_t count)
{
    if (count)
        bytes[count / 2] ^= 1;
}

static enum status put_damaged(struct fault *fault, enum store_space space, const struct id *id,
                               const void *data, size_t bytes, struct err *err)
{
    AUTO(buf_fini) struct buf copy = buf_init(0);
    buf_put(&copy, data, bytes);
    damage(copy.bytes, copy.count);
    return fault->inner->backend->put(fault->inner, space, id, copy.bytes, copy.count, err);
}

static enum status fault_put(struct store *store, enum store_space space, const struct id *id,
                             const void *data, size_t bytes, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, PUT, &is_corrupt, err));
    if (is_corrupt)
        return put_damaged(fault, space, id, data, bytes, err);
    return fault->inner->backend->put(fault->inner, space, id, data, bytes, err);
}

static enum status fault_put_file(struct store *store, const char *path, struct id *id,
                                  uint64_t *bytes, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, PUT, &is_corrupt, err));
    if (!is_corrupt)
        return store_put_file(fault->inner, path, id, bytes, err);
    AUTO(buf_fini) struct buf content = buf_init(0);
    TRY(fs_read(path, &content, err));
    hash_bytes(NULL, content.bytes, content.count, id);
    *bytes = content.count;
    return put_damaged(fault, STORE_BLOBS, id, content.bytes, content.count, err);
}

static enum status fault_get(struct store *store, enum store_space space, const struct id *id,
                             bool is_second, struct buf *out, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    size_t before = out->count;
    TRY(begin(fault, GET, &is_corrupt, err));
    TRY(fault->inner->backend->get(fault->inner, space, id, is_second, out, err));
    if (is_corrupt)
        damage(out->bytes + before, out->count - before);
    return OK;
}

static enum status fault_get_file(struct store *store, const struct id *id, bool is_second,
                                  const char *path, struct id *seen, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, GET, &is_corrupt, err));
    TRY(fault->inner->backend->get_file(fault->inner, id, is_second, path, seen, err));
    if (!is_corrupt)
        return OK;
    if (!path) {
        seen->bytes[0] ^= 1;
        return OK;
    }
    AUTO(buf_fini) struct buf content = buf_init(0);
    TRY(fs_read(path, &content, err));
    damage(content.bytes, content.count);
    hash_bytes(NULL, content.bytes, content.count, seen);
    return fs_write(path, content.bytes, content.count, err);
}

static enum status fault_has(struct store *store, const struct id *ids, size_t count, bool *has,
                             struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, HAS, &is_corrupt, err));
    return store_has(fault->inner, ids, count, has, err);
}

static enum status fault_renew(struct store *store, enum store_space space, const struct id *ids,
                               size_t count, bool *has, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, HAS, &is_corrupt, err));
    return store_renew(fault->inner, ids, count, space == STORE_TREES, has, err);
}

static enum status fault_list(struct store *store, store_visit_item *visit, void *context,
                              struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, LIST, &is_corrupt, err));
    return store_list(fault->inner, visit, context, err);
}

static enum status fault_remove(struct store *store, enum store_space space, const struct id *id,
                                struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, REMOVE, &is_corrupt, err));
    return fault->inner->backend->remove(fault->inner, space, id, err);
}

static enum status fault_remove_old(struct store *store, enum store_space space,
                                    const struct id *id, int64_t before_s, bool *is_removed,
                                    struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, REMOVE, &is_corrupt, err));
    return store_remove_old(fault->inner, id, space == STORE_TREES, before_s, is_removed, err);
}

static enum status fault_sweep(struct store *store, int64_t before_s, bool removes,
                               struct store_leavings *out, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, removes ? REMOVE : LIST, &is_corrupt, err));
    return store_sweep(fault->inner, before_s, removes, out, err);
}

static enum status fault_quarantine(struct store *store, enum store_space space,
                                    const struct id *id, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, QUARANTINE, &is_corrupt, err));
    return fault->inner->backend->quarantine(fault->inner, space, id, err);
}

static enum status fault_flush(struct store *store, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, FLUSH, &is_corrupt, err));
    return store_flush(fault->inner, err);
}

/* ---- named objects, presigned URLs ---- */

static enum status fault_put_object(struct store *store, const char *key, const void *data,
                                    size_t bytes, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, PUT, &is_corrupt, err));
    AUTO(buf_fini) struct buf copy = buf_init(0);
    buf_put(&copy, data, bytes);
    if (is_corrupt)
        damage(copy.bytes, copy.count);
    return store_put_object(fault->inner, key, copy.bytes, copy.count, err);
}

static enum status fault_get_object(struct store *store, const char *key, struct buf *out,
                                    struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    size_t before = out->count;
    TRY(begin(fault, GET, &is_corrupt, err));
    TRY(store_get_object(fault->inner, key, out, err));
    if (is_corrupt)
        damage(out->bytes + before, out->count - before);
    return OK;
}

static enum status fault_list_objects(struct store *store, const struct store_range *range,
                                      store_visit_object *visit, void *context, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, LIST, &is_corrupt, err));
    return store_list_range(fault->inner, range, visit, context, err);
}

static enum status fault_remove_object(struct store *store, const char *key, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, REMOVE, &is_corrupt, err));
    return store_remove_object(fault->inner, key, err);
}

static enum status fault_presign(struct store *store, const struct store_presign *presign,
                                 struct buf *url, struct err *err)
{
    struct fault *fault = fault_of(store);
    bool is_corrupt;
    TRY(begin(fault, PRESIGN, &is_corrupt, err));
    return store_presign(fault->inner, presign, url, err);
}

const struct store_backend store_fault = {
    .scheme = "fault+",
    .open = fault_open,
    .close = fault_close,
    .set_patience = fault_set_patience,
    .put_file = fault_put_file,
    .put = fault_put,
    .get_file = fault_get_file,
    .get = fault_get,
    .has = fault_has,
    .list = fault_list,
    .renew = fault_renew,
    .remove = fault_remove,
    .remove_old = fault_remove_old,
    .quarantine = fault_quarantine,
    .sweep = fault_sweep,
    .flush = fault_flush,
    .put_object = fault_put_object,
    .get_object = fault_get_object,
    .list_objects = fault_list_objects,
    .remove_object = fault_remove_object,
    .presign = fault_presign,
};
