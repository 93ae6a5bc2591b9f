// SPDX-License-Identifier: Apache-2.0
#include "common/store/store.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/store/backend.h"
#include "proto/limits.h"
#include "proto/task_spec.h"

static const struct store_backend *const backends[] = {&store_dir, &store_s3, &store_mem,
                                                       &store_null, &store_fault};

/* "abc:" at the start of `url`: its length with the colon, or 0. A folder with a colon in its name
 * is "./a:b". */
static size_t scheme_bytes(const char *url)
{
    size_t bytes = strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
    return bytes && url[bytes] == ':' ? bytes + 1 : 0;
}

static const struct store_backend *find_backend(const char *url)
{
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strncmp(url, backends[i]->scheme, strlen(backends[i]->scheme)) == 0)
            return backends[i];
    return scheme_bytes(url) ? NULL : &store_dir;
}

enum status store_open(const char *url, struct store **out, struct err *err)
{
    *out = NULL;
    const struct store_backend *backend = find_backend(url);
    if (!backend)
        return err_set(
            err, E_INVALID,
            "%s: no store is called \"%.*s\"; give a folder (\"./%s\" for a folder of this "
            "name), file://…, s3://bucket/prefix or mem:",
            url, (int)scheme_bytes(url), url, url);
    TRY(backend->open(url, out, err));
    (*out)->backend = backend;
    (*out)->url = mem_copy_text(url, strlen(url));
    return OK;
}

void store_close(struct store *store)
{
    mem_free(store->url);
    store->backend->close(store);
}

bool store_is_remote(const struct store *store)
{
    return store->backend->is_remote;
}

void store_set_patience(struct store *store, uint32_t ms)
{
    if (store->backend->set_patience)
        store->backend->set_patience(store, ms);
}

const char *store_advice(const struct store *store)
{
    return store->backend->advice ? store->backend->advice(store) : "";
}

const char *store_url(const struct store *store)
{
    return store->url;
}

static const char *word(enum store_space space)
{
    return space == STORE_BLOBS ? "blob" : "tree";
}

enum status store_absent(const struct store *store, enum store_space space, const struct id *id,
                         struct err *err)
{
    char hex[ID_HEX_BYTES];
    return err_set(err, E_NOTFOUND, "%s %s is not in the store %s", word(space), id_hex(id, hex),
                   store->url);
}

enum status store_absent_object(const struct store *store, const char *key, struct err *err)
{
    return err_set(err, E_NOTFOUND, "%s is not in the store %s", key, store->url);
}

static void id_of(enum store_space space, const void *data, size_t bytes, struct id *out)
{
    hash_bytes(space == STORE_BLOBS ? NULL : PERSON_TREE, data, bytes, out);
}

static enum status put(struct store *store, enum store_space space, const void *data, size_t bytes,
                       struct id *id, struct err *err)
{
    id_of(space, data, bytes, id);
    return store->backend->put(store, space, id, data, bytes, err);
}

enum status store_put_file(struct store *store, const char *path, struct id *id, uint64_t *bytes,
                           struct err *err)
{
    return store->backend->put_file(store, path, id, bytes, err);
}

enum status store_put(struct store *store, const void *data, size_t bytes, struct id *id,
                      struct err *err)
{
    return put(store, STORE_BLOBS, data, bytes, id, err);
}

enum status store_put_manifest(struct store *store, const void *data, size_t bytes, struct id *id,
                               struct err *err)
{
    return put(store, STORE_TREES, data, bytes, id, err);
}

/* The bytes were wrong twice. Should moving them fail as well, the first finding is the one to
 * tell. */
static enum status report_corrupt(struct store *store, enum store_space space, const struct id *id,
                                  struct err *err)
{
    char hex[ID_HEX_BYTES];
    struct err why = {.text = ""};
    bool moved = store->backend->quarantine(store, space, id, &why) == OK;
    return err_set(
        err, E_CORRUPT, "%s %s in the store %s does not match its id; %s%s", word(space),
        id_hex(id, hex), store->url,
        moved ? "it was moved to quarantine/" : "moving it to quarantine/ failed: ", why.text);
}

static enum status get_once(struct store *store, enum store_space space, const struct id *id,
                            bool is_second, struct buf *out, bool *is_good, struct err *err)
{
    size_t before = out->count;
    enum status status = store->backend->get(store, space, id, is_second, out, err);
    *is_good = false;
    if (status == OK) {
        struct id seen;
        id_of(space, out->bytes + before, out->count - before, &seen);
        *is_good = id_equal(&seen, id);
    }
    if (!*is_good)
        out->count = before;
    return status;
}

static enum status corrupt(const struct store *store, enum store_space space, const struct id *id,
                           struct err *err)
{
    char hex[ID_HEX_BYTES];
    return err_set(err, E_CORRUPT, "%s %s in the store %s does not match its id", word(space),
                   id_hex(id, hex), store->url);
}

static enum status peek(struct store *store, enum store_space space, const struct id *id,
                        struct buf *out, struct err *err)
{
    TRY(buf_try_reserve(out, 1, "blob", err)); /* so that an empty blob has an address too */
    bool is_good;
    TRY(get_once(store, space, id, false, out, &is_good, err));
    if (!is_good)
        TRY(get_once(store, space, id, true, out, &is_good, err));
    return is_good ? OK : corrupt(store, space, id, err);
}

static enum status get(struct store *store, enum store_space space, const struct id *id,
                       struct buf *out, struct err *err)
{
    enum status status = peek(store, space, id, out, err);
    return status == E_CORRUPT ? report_corrupt(store, space, id, err) : status;
}

enum status store_get(struct store *store, const struct id *id, struct buf *out, struct err *err)
{
    return get(store, STORE_BLOBS, id, out, err);
}

enum status store_get_manifest(struct store *store, const struct id *id, struct buf *out,
                               struct err *err)
{
    return get(store, STORE_TREES, id, out, err);
}

enum status store_peek_manifest(struct store *store, const struct id *id, struct buf *out,
                                struct err *err)
{
    return peek(store, STORE_TREES, id, out, err);
}

/* Leaves a verified file at `temp`, or nothing. `temp` NULL: only looks. */
static enum status fetch(struct store *store, const struct id *id, const char *temp,
                         struct err *err)
{
    for (int is_second = 0; is_second < 2; is_second++) {
        struct id seen;
        enum status status = store->backend->get_file(store, id, is_second, temp, &seen, err);
        if (status == OK && id_equal(&seen, id))
            return OK;
        if (temp)
            unlink(temp);
        if (status != OK)
            return status;
    }
    return corrupt(store, STORE_BLOBS, id, err);
}

enum status store_get_file(struct store *store, const struct id *id, const char *path,
                           struct err *err)
{
    char temp[PATH_MAX];
    TRY(fs_temp_name(path, temp, sizeof temp, err));
    enum status status = fetch(store, id, temp, err);
    if (status == E_CORRUPT)
        return report_corrupt(store, STORE_BLOBS, id, err);
    if (status != OK)
        return status;
    status = fs_rename_new(temp, path, err);
    if (status != OK)
        unlink(temp);
    return status;
}

enum status store_check(struct store *store, const struct id *id, bool is_manifest, struct err *err)
{
    if (!is_manifest)
        return fetch(store, id, NULL, err);
    AUTO(buf_fini) struct buf manifest = buf_init(0);
    return peek(store, STORE_TREES, id, &manifest, err);
}

enum status store_has(struct store *store, const struct id *ids, size_t count, bool *has,
                      struct err *err)
{
    return store->backend->has(store, ids, count, has, err);
}

enum status store_list(struct store *store, store_visit_item *visit, void *context, struct err *err)
{
    return store->backend->list(store, visit, context, err);
}

enum status store_remove(struct store *store, const struct id *id, struct err *err)
{
    return store->backend->remove(store, STORE_BLOBS, id, err);
}

enum status store_remove_manifest(struct store *store, const struct id *id, struct err *err)
{
    return store->backend->remove(store, STORE_TREES, id, err);
}

static enum store_space space_of(bool is_manifest)
{
    return is_manifest ? STORE_TREES : STORE_BLOBS;
}

enum status store_renew(struct store *store, const struct id *ids, size_t count, bool is_manifest,
                        bool *has, struct err *err)
{
    return store->backend->renew(store, space_of(is_manifest), ids, count, has, err);
}

enum status store_remove_old(struct store *store, const struct id *id, bool is_manifest,
                             int64_t before_s, bool *is_removed, struct err *err)
{
    *is_removed = false;
    return store->backend->remove_old(store, space_of(is_manifest), id, before_s, is_removed, err);
}

enum status store_quarantine(struct store *store, const struct id *id, struct err *err)
{
    return store->backend->quarantine(store, STORE_BLOBS, id, err);
}

enum status store_quarantine_manifest(struct store *store, const struct id *id, struct err *err)
{
    return store->backend->quarantine(store, STORE_TREES, id, err);
}

enum status store_sweep(struct store *store, int64_t before_s, bool removes,
                        struct store_leavings *out, struct err *err)
{
    *out = (struct store_leavings){0};
    return store->backend->sweep ? store->backend->sweep(store, before_s, removes, out, err) : OK;
}

enum status store_flush(struct store *store, struct err *err)
{
    return store->backend->flush(store, err);
}

/* ---- named objects ---- */

static bool is_own_part(const char *part, size_t bytes)
{
    static const char *const own[] = {"blobs", "trees", "quarantine", "tmp"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strlen(own[i]) == bytes && memcmp(own[i], part, bytes) == 0)
            return true;
    return false;
}

static bool is_dots(const char *part, size_t bytes)
{
    return (bytes == 1 && part[0] == '.') || (bytes == 2 && part[0] == '.' && part[1] == '.');
}

/* Of a prefix the last part may be cut off anywhere. */
static enum status check_key(const char *key, bool is_prefix, struct err *err)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t parts = 0;
    bool is_good = strlen(key) <= OBJECT_KEY_BYTES_MAX;
    for (const char *at = key; is_good; parts++) {
        size_t bytes = strspn(at, letters);
        bool is_last = at[bytes] != '/';
        is_good = is_last && is_prefix ? !at[bytes]
                                       : bytes && !is_dots(at, bytes) && (!is_last || !at[bytes]);
        if (is_good && !parts)
            is_good = !is_last && !is_own_part(at, bytes);
        if (is_last)
            break;
        at += bytes + 1;
    }
    if (is_good)
        return OK;
    return err_set(err, E_INVALID,
                   "\"%.100s\" can't be the %s of an object in a store: it takes parts of letters, "
                   "digits, '.', '_', '-' with '/' between (\"journal/7\"), the first none of the "
                   "store's own, %d bytes at most",
                   key, is_prefix ? "prefix" : "key", OBJECT_KEY_BYTES_MAX);
}

enum status store_put_object(struct store *store, const char *key, const void *data, size_t bytes,
                             struct err *err)
{
    TRY(check_key(key, false, err));
    return store->backend->put_object(store, key, data, bytes, err);
}

enum status store_get_object(struct store *store, const char *key, struct buf *out, struct err *err)
{
    TRY(check_key(key, false, err));
    TRY(buf_try_reserve(out, 1, key, err)); /* so that an empty object has an address too */
    size_t before = out->count;
    enum status status = store->backend->get_object(store, key, out, err);
    if (status != OK)
        out->count = before;
    return status;
}

enum status store_list_objects(struct store *store, const char *prefix, store_visit_object *visit,
                               void *context, struct err *err)
{
    return store_list_range(store, &(struct store_range){prefix, NULL}, visit, context, err);
}

enum status store_list_range(struct store *store, const struct store_range *range,
                             store_visit_object *visit, void *context, struct err *err)
{
    TRY(check_key(range->prefix, true, err));
    return store->backend->list_objects(store, range, visit, context, err);
}

enum status store_remove_object(struct store *store, const char *key, struct err *err)
{
    TRY(check_key(key, false, err));
    return store->backend->remove_object(store, key, err);
}

/* ---- presigned URLs ---- */

enum status store_presign(struct store *store, const struct store_presign *presign, struct buf *url,
                          struct err *err)
{
    if (!presign->seconds || presign->seconds > PRESIGN_SECONDS_MAX)
        return err_set(err, E_INVALID, "a URL can work for 1 to %d seconds, not %u",
                       PRESIGN_SECONDS_MAX, (unsigned)presign->seconds);
    if (!store->backend->presign)
        return err_set(err, E_UNSUPPORTED, "the store %s has no URLs; a store in S3 has",
                       store->url);
    return store->backend->presign(store, presign, url, err);
}

/* ---- looking beforehand ---- */

static enum status find_probe(void *context, const struct store_object *object, struct err *err)
{
    (void)err, (void)object;
    *(bool *)context = true;
    return OK;
}

static enum status check_probe(struct store *store, const char *key, struct err *err)
{
    AUTO(buf_fini) struct buf seen = buf_init(0);
    bool is_listed = false;
    TRY(store_get_object(store, key, &seen, err));
    if (seen.count != strlen(key) || memcmp(seen.bytes, key, seen.count) != 0)
        return err_set(err, E_CORRUPT, "store %s: what was put is not what came back", store->url);
    TRY(store_list_objects(store, key, find_probe, &is_listed, err));
    return is_listed ? OK : err_set(err, E_IO, "store %s: what was put is not listed", store->url);
}

enum status store_probe(struct store *store, struct err *err)
{
    uint64_t draw;
    char key[64];
    random_bytes(&draw, sizeof draw);
    snprintf(key, sizeof key, "doctor/%016llx", (unsigned long long)draw);
    TRY(store_put_object(store, key, key, strlen(key), err));
    enum status status = check_probe(store, key, err);
    enum status removed = store_remove_object(store, key, status == OK ? err : NULL);
    return status == OK ? removed : status;
}
