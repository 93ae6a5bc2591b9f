/* The broker's identity and the list of workers that it admits. */
// SPDX-License-Identifier: Apache-2.0
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/app/local.h"
#include "broker/work/allow_list.h"
#include "common/base/doc.h"
#include "common/crypto/identity.h"
#include "common/fs.h"

static struct value public_text(struct arena *arena, const struct signer *signer)
{
    struct id key;
    memcpy(key.bytes, signer_public(signer), sizeof key.bytes);
    return doc_id(arena, &key);
}

enum status keys_read(const struct local *app, struct signer **out, struct err *err)
{
    enum status status = identity_read(app->key_path, out, err);
    if (status == E_NOTFOUND)
        return err_set(err, E_DENIED,
                       "%s: the broker has no identity; make one with: broker keys init, or name "
                       "its file with --key or PENSTOCK_KEY",
                       app->key_path);
    return status;
}

const char *keys_hex(const struct local *app, char out[ID_HEX_BYTES])
{
    struct id key;
    out[0] = 0;
    if (!app->identity)
        return out;
    memcpy(key.bytes, signer_public(app->identity), sizeof key.bytes);
    return id_hex(&key, out);
}

/* ---- init ---- */

static enum status make_folder(const char *file, mode_t mode, struct err *err)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", file);
    const char *folder = dirname(copy);
    if (fs_exists(folder))
        return OK;
    TRY(fs_make_dirs(folder, err));
    return chmod(folder, mode) == 0 ? OK : err_set(err, E_IO, "%s: cannot close it", folder);
}

/* Two at a time: the second finds what the first has made. */
static enum status make_identity(struct local *app, struct signer **out, bool *is_new,
                                 struct err *err)
{
    *is_new = false;
    if (!fs_exists(app->key_path)) {
        AUTO(signer_free) struct signer *signer = signer_new();
        TRY(make_folder(app->key_path, 0700, err));
        enum status status = identity_create(app->key_path, signer, err);
        if (status != OK && status != E_CONFLICT)
            return status;
        *is_new = status == OK;
    }
    return identity_read(app->key_path, out, err);
}

enum status local_keys_init(struct app *base, struct arena *arena, struct value *out,
                            struct err *err)
{
    struct local *app = local_of(base);
    AUTO(signer_free) struct signer *signer = NULL;
    bool is_new;
    TRY(make_identity(app, &signer, &is_new, err));
    TRY(make_folder(app->workers_path, 0700, err));
    TRY(allow_list_create(app->workers_path, err));
    *out = doc_map();
    doc_put(arena, out, "public_key", public_text(arena, signer));
    doc_put(arena, out, "key", doc_format(arena, "%s", app->key_path));
    doc_put(arena, out, "workers", doc_format(arena, "%s", app->workers_path));
    doc_put(arena, out, "is_new", value_bool(is_new));
    return OK;
}

/* ---- the list ---- */

static enum status no_list(const struct local *app, enum status status, struct err *err)
{
    if (status != E_NOTFOUND)
        return status;
    return err_set(err, E_DENIED,
                   "%s: no list of workers; make one with: broker keys init, or name it with "
                   "--workers-file or PENSTOCK_WORKERS_FILE",
                   app->workers_path);
}

enum status keys_check_list(const struct local *app, struct err *err)
{
    AUTO(allow_list_fini) struct allow_list list = {0};
    return no_list(app, allow_list_read(app->workers_path, &list, err), err);
}

static enum status check_name(const char *name, struct err *err)
{
    size_t bytes = strlen(name);
    if (!bytes || bytes > NAME_BYTES_MAX || name[0] == ' ' || name[bytes - 1] == ' ' ||
        strpbrk(name, "\n\r\t"))
        return err_set(err, E_INVALID,
                       "a worker's name has 1 to %d bytes in one line and no space at its ends",
                       NAME_BYTES_MAX);
    return OK;
}

/* Nobody is on the list whose secret got lost, and no file is left of one that is not on it. */
static enum status make_worker(struct local *app, const struct app_new_key *new, struct id *key,
                               struct err *err)
{
    AUTO(signer_free) struct signer *signer = signer_new();
    memcpy(key->bytes, signer_public(signer), sizeof key->bytes);
    if (new->path)
        TRY(identity_create(new->path, signer, err));
    enum status status = allow_list_add(app->workers_path, key, new->name, err);
    if (status != OK && new->path)
        unlink(new->path);
    TRY(no_list(app, status, err));
    if (new->path)
        return OK;
    status = identity_put(signer, new->fd, "stdout", err);
    if (status != OK && allow_list_remove(app->workers_path, new->name, NULL) != OK)
        err_prefix(err, "%s stays on the list; revoke it", new->name);
    return status;
}

enum status local_keys_add(struct app *base, const struct app_new_key *new, struct arena *arena,
                           struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    struct id key;
    AUTO(signer_free) struct signer *broker = NULL;
    TRY(check_name(new->name, err));
    TRY(keys_read(app, &broker, err));
    if (new->public_key) {
        TRY(public_key_parse("--public-key", new->public_key, &key, err));
        TRY(no_list(app, allow_list_add(app->workers_path, &key, new->name, err), err));
    } else {
        TRY(make_worker(app, new, &key, err));
    }
    *out = doc_map();
    doc_put(arena, out, "name", doc_format(arena, "%s", new->name));
    doc_put(arena, out, "public_key", doc_id(arena, &key));
    doc_put(arena, out, "key", new->path ? doc_format(arena, "%s", new->path) : value_nil());
    doc_put(arena, out, "broker_key", public_text(arena, broker));
    return OK;
}

enum status local_keys_list(struct app *base, struct arena *arena, struct value *out,
                            struct err *err)
{
    struct local *app = local_of(base);
    AUTO(allow_list_fini) struct allow_list list = {0};
    AUTO(signer_free) struct signer *broker = NULL;
    TRY(keys_read(app, &broker, err));
    TRY(no_list(app, allow_list_read(app->workers_path, &list, err), err));
    *out = doc_map();
    doc_put(arena, out, "public_key", public_text(arena, broker));
    struct value *workers = doc_put(arena, out, "workers", doc_list());
    for (uint32_t i = 0; i < list.count; i++) {
        struct value *entry = doc_add(arena, workers, doc_map());
        doc_put(arena, entry, "name", doc_format(arena, "%s", list.items[i].name));
        doc_put(arena, entry, "public_key", doc_id(arena, &list.items[i].key));
    }
    return OK;
}

enum status local_keys_revoke(struct app *base, const char *name_or_key, struct arena *arena,
                              struct value *out, struct err *err)
{
    struct local *app = local_of(base);
    enum status status = allow_list_remove(app->workers_path, name_or_key, err);
    if (status == E_NOTFOUND && fs_exists(app->workers_path))
        return status;
    TRY(no_list(app, status, err));
    *out = doc_map();
    doc_put(arena, out, "revoked", doc_format(arena, "%s", name_or_key));
    return OK;
}
