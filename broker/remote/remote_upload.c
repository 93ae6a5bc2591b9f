/* Bytes on their way to the broker's store: what it lacks is asked in batches, then put several at
 * a time. They come from the store on this side, verified, so what goes up is what was hashed. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/remote/remote.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "common/store/tree.h"
#include "proto/limits.h"

enum { AT_ONCE = 8, TRIES = 4, SLOW_SECONDS = 60 };

/* ---- what there is ---- */

struct wanted {
    struct remote *remote;
    struct arena arena;
    struct value list; /* of the next question */
};

/* One PUT. */
struct transfer {
    struct remote *remote;
    const char *url;
    const struct value *headers;
    struct id id;
    bool is_tree;
    int fd; /* of a blob; −1: the manifest is in memory */
    struct buf manifest;
    uint64_t bytes;
    int tries;
    struct http_call *call;
};

static void add(struct wanted *w, const struct id *id, uint64_t bytes, bool is_tree)
{
    struct value *entry = doc_add(&w->arena, &w->list, doc_map());
    doc_put(&w->arena, entry, "id", doc_id(&w->arena, id));
    doc_put(&w->arena, entry, "bytes", value_int((int64_t)bytes));
    doc_put(&w->arena, entry, "is_tree", value_bool(is_tree));
}

/* ---- one of them ---- */

static enum status read_piece(void *context, uint64_t offset, void *into, size_t bytes,
                              struct err *err)
{
    struct transfer *t = context;
    if (t->fd < 0) {
        memcpy(into, t->manifest.bytes + offset, bytes);
        return OK;
    }
    for (size_t got = 0; got < bytes;) {
        ssize_t n = pread(t->fd, (char *)into + got, bytes - got, (off_t)(offset + got));
        if (n <= 0)
            return fs_error(err, n ? errno : EIO, "upload", "cannot read it");
        got += (size_t)n;
    }
    return OK;
}

/* A verified copy without a name. */
static enum status open_blob(struct transfer *t, struct err *err)
{
    char path[PATH_MAX];
    AUTO(buf_fini) struct buf prefix = buf_init(0);
    struct stat about;
    buf_format(&prefix, "%s/up", t->remote->home);
    TRY(fs_temp_name(buf_text(&prefix), path, sizeof path, err));
    TRY(store_get_file(t->remote->store, &t->id, path, err));
    t->fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = errno;
    unlink(path);
    if (t->fd < 0 || fstat(t->fd, &about) != 0)
        return fs_error(err, error, path, "cannot open it");
    t->bytes = (uint64_t)about.st_size;
    return OK;
}

static enum status open_bytes(struct transfer *t, struct err *err)
{
    if (!t->is_tree)
        return open_blob(t, err);
    t->manifest = buf_init(MANIFEST_BYTES_MAX);
    TRY(store_get_manifest(t->remote->store, &t->id, &t->manifest, err));
    t->bytes = t->manifest.count;
    return OK;
}

static void transfer_fini(struct transfer *t)
{
    if (t->call)
        http_end(t->call);
    if (t->fd >= 0)
        close(t->fd);
    buf_fini(&t->manifest);
    *t = (struct transfer){.fd = -1};
}

/* A URL without a host is the broker's own, and takes the token; any other is a store's, which the
 * URL itself lets in. */
static void start(struct transfer *t)
{
    enum { HEADERS_MAX = 16 };
    struct remote *remote = t->remote;
    AUTO(buf_fini) struct buf url = buf_init(0);
    struct http_header headers[HEADERS_MAX + REMOTE_HEADERS_MAX];
    bool is_own = t->url[0] == '/';
    size_t count = remote_headers(remote, is_own, headers);
    buf_format(&url, "%s%s", is_own ? remote->servers[remote->server] : "", t->url);
    headers[count++] = (struct http_header){"Content-Type", "application/octet-stream"};
    for (uint32_t i = 0;
         t->headers && t->headers->type == VALUE_MAP && i < t->headers->count && i < HEADERS_MAX;
         i++)
        headers[count++] =
            (struct http_header){t->headers->items[2 * i].text, t->headers->items[2 * i + 1].text};
    struct http_request request = {.method = "PUT",
                                   .url = buf_text(&url),
                                   .headers = headers,
                                   .header_count = count,
                                   .read = read_piece,
                                   .body_bytes = t->bytes,
                                   .context = t,
                                   .slow_bytes = 1,
                                   .slow_seconds = SLOW_SECONDS};
    http_start(remote->http, &request, t, &t->call);
}

/* E_CANCELLED: once more. */
static enum status finish(struct transfer *t, struct err *err)
{
    enum status status = http_result(t->call, err);
    int http = http_status(t->call);
    if (status == OK && http / 100 == 2)
        return OK;
    bool is_passing = status == E_UNREACHABLE || http == 429 || http / 100 == 5;
    if (is_passing && ++t->tries < TRIES)
        return E_CANCELLED;
    if (status != OK)
        return status;
    if (t->url[0] == '/')
        return remote_error(t->remote, t->call, err);
    return err_set(err, E_UNREACHABLE, "%s: the store answered %d to an upload",
                   http_place(t->call), http);
}

/* ---- all of them ---- */

static enum status begin(struct remote *remote, const struct value *upload, struct transfer *t,
                         struct err *err)
{
    const struct value *id = value_get(upload, "id"), *url = value_get(upload, "url"),
                       *tree = value_get(upload, "is_tree");
    *t = (struct transfer){.remote = remote, .fd = -1};
    bool is_good = id && id->type == VALUE_STRING && url && url->type == VALUE_STRING &&
                   (url->text[0] == '/' || strncmp(url->text, "http", 4) == 0);
    if (!is_good || id_parse(id->text, id->count, &t->id, NULL) != OK)
        return err_set(err, E_PROTOCOL, "/v1/uploads: the answer names no place to PUT to");
    t->url = url->text;
    t->headers = value_get(upload, "headers");
    t->is_tree = tree && tree->type == VALUE_BOOL && tree->boolean;
    TRY(open_bytes(t, err));
    start(t);
    return OK;
}

static enum status put_all(struct remote *remote, const struct value *uploads, struct err *err)
{
    struct transfer transfers[AT_ONCE];
    size_t running = 0;
    uint32_t begun = 0;
    enum status status = OK;
    for (size_t i = 0; i < AT_ONCE; i++)
        transfers[i] = (struct transfer){.fd = -1};
    while (status == OK && (begun < uploads->count || running)) {
        for (size_t i = 0; i < AT_ONCE && begun < uploads->count && status == OK; i++) {
            if (transfers[i].call)
                continue;
            status = begin(remote, &uploads->items[begun++], &transfers[i], err);
            running += status == OK;
        }
        struct http_call *call = status == OK ? http_next(remote->http, 1000) : NULL;
        struct transfer *t = call ? http_owner(call) : NULL;
        if (!t)
            continue;
        status = finish(t, err);
        if (status == E_CANCELLED) {
            http_end(TAKE(t->call));
            start(t);
            status = OK;
        } else {
            transfer_fini(t);
            running--;
        }
    }
    for (size_t i = 0; i < AT_ONCE; i++)
        transfer_fini(&transfers[i]);
    return status;
}

static enum status send_batch(struct wanted *w, struct err *err)
{
    struct value body = doc_map(), answer;
    if (!w->list.count)
        return OK;
    doc_put(&w->arena, &body, "artifacts", w->list);
    struct remote_ask ask = {
        .method = "POST", .path = "/v1/uploads", .body = &body, .is_repeatable = true};
    TRY(remote_ask(w->remote, &ask, &w->arena, &answer, err));
    const struct value *uploads = answer.type == VALUE_MAP ? value_get(&answer, "uploads") : NULL;
    if (!uploads || uploads->type != VALUE_ARRAY)
        return err_set(err, E_PROTOCOL, "/v1/uploads: the answer has no list");
    TRY(put_all(w->remote, uploads, err));
    w->list = doc_list();
    return OK;
}

static enum status add_tree(struct wanted *w, const struct artifact *artifact, struct err *err)
{
    AUTO(tree_free) struct tree *tree = NULL;
    TRY(tree_open(w->remote->store, &artifact->id, &tree, err));
    for (size_t i = 0; i < tree_count(tree); i++) {
        struct tree_entry entry = tree_entry(tree, i);
        add(w, &entry.blob, entry.bytes, false);
        if (w->list.count == API_UPLOADS_MAX)
            TRY(send_batch(w, err));
    }
    add(w, &artifact->id, artifact->bytes, true);
    return OK;
}

static enum status upload(struct wanted *w, const struct artifact *artifacts, size_t count,
                          struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        if (artifacts[i].is_tree)
            TRY(add_tree(w, &artifacts[i], err));
        else
            add(w, &artifacts[i].id, artifacts[i].bytes, false);
        if (w->list.count >= API_UPLOADS_MAX - 1)
            TRY(send_batch(w, err));
    }
    return send_batch(w, err);
}

enum status remote_upload(struct remote *remote, const struct artifact *artifacts, size_t count,
                          struct err *err)
{
    struct wanted w = {.remote = remote, .list = doc_list()};
    enum status status = upload(&w, artifacts, count, err);
    arena_fini(&w.arena);
    return status;
}
