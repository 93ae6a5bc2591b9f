/* Bytes of artifacts, in and out, on a thread of their own with its own handle of the store: the
 * broker's thread never waits for them. A store with URLs of its own (S3) is where clients are
 * sent; from a folder everything is verified before its first byte leaves, and before it counts. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/api/call.h"
#include "common/base/doc.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "common/store/tree.h"
#include "proto/limits.h"
#include "proto/task_spec.h"

enum { PIECE_BYTES = 256 << 10, URL_SECONDS = 3600, POLL_MS = 60000 };

struct blobs {
    struct http_server *server;
    char *url, *spool;
    struct store *store; /* the thread's; NULL: not open yet */
    struct mailbox *passed;
    struct mail stop;
    pthread_t thread;
};

/* What is asked of one artifact. */
struct transfer {
    struct blobs *blobs;
    struct httpd_request *request;
    const struct api_match *match;
    struct id id;
    bool is_tree;
    struct httpd_response response;
};

/* ---- in ---- */

static enum status hash_body(int fd, struct id *out, struct err *err)
{
    AUTO(mem_free) uint8_t *piece = mem_alloc(PIECE_BYTES);
    struct hasher hasher;
    hash_init(&hasher, NULL);
    off_t at = 0;
    for (ssize_t bytes; (bytes = pread(fd, piece, PIECE_BYTES, at)) != 0; at += bytes) {
        if (bytes < 0)
            return fs_error(err, errno, "body", "cannot read it back");
        hash_update(&hasher, piece, (size_t)bytes);
    }
    hash_final(&hasher, out);
    return OK;
}

static enum status put_blob(struct transfer *t, struct err *err)
{
    char path[64];
    struct id found, put;
    uint64_t bytes;
    TRY(hash_body(t->request->body_fd, &found, err));
    if (!id_equal(&found, &t->id)) {
        char hex[ID_HEX_BYTES];
        return err_set(err, E_CORRUPT, "the body's id (b2sum -l 256) is %s, not the path's",
                       id_hex(&found, hex));
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", t->request->body_fd);
    return store_put_file(t->blobs->store, path, &put, &bytes, err);
}

static enum status put_manifest(struct transfer *t, struct err *err)
{
    AUTO(buf_fini) struct buf bytes = buf_init(MANIFEST_BYTES_MAX);
    struct id found, put;
    if (lseek(t->request->body_fd, 0, SEEK_SET) < 0)
        return fs_error(err, errno, "body", "cannot read it back");
    TRY(fs_read_fd(t->request->body_fd, "body", &bytes, err));
    hash_bytes(PERSON_TREE, bytes.bytes, bytes.count, &found);
    if (!id_equal(&found, &t->id))
        return err_set(err, E_CORRUPT, "the body is not the manifest of that tree");
    return store_put_manifest(t->blobs->store, bytes.bytes, bytes.count, &put, err);
}

static enum status put(struct transfer *t, struct err *err)
{
    struct value answer = doc_map();
    TRY(t->is_tree ? put_manifest(t, err) : put_blob(t, err));
    doc_put(&t->request->arena, &answer, "id", doc_id(&t->request->arena, &t->id));
    doc_put(&t->request->arena, &answer, "bytes", value_int((int64_t)t->request->body_bytes));
    t->response = answer_json(201, &answer);
    return OK;
}

/* ---- out ---- */

static enum status redirect(struct transfer *t, struct err *err)
{
    AUTO(buf_fini) struct buf url = buf_init(0), none = buf_init(0);
    struct store_presign presign = {.id = t->id, .seconds = URL_SECONDS};
    bool has;
    /* A URL of what isn't there would answer in another's words. */
    TRY(store_has(t->blobs->store, &t->id, 1, &has, err));
    if (!has)
        return err_set(err, E_NOTFOUND, "the store has no such blob");
    TRY(store_presign(t->blobs->store, &presign, &url, err));
    t->response = answer_bytes(307, "text/plain", &none);
    httpd_response_header(&t->response, "Location", buf_text(&url));
    return OK;
}

/* A verified copy without a name: what a client reads slowly, nobody can change meanwhile. */
static enum status send_copy(struct transfer *t, struct err *err)
{
    char path[PATH_MAX];
    AUTO(buf_fini) struct buf prefix = buf_init(0);
    buf_format(&prefix, "%s/out", t->blobs->spool);
    TRY(fs_temp_name(buf_text(&prefix), path, sizeof path, err));
    TRY(store_get_file(t->blobs->store, &t->id, path, err));
    AUTO(fs_close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error = errno;
    struct stat about;
    unlink(path);
    if (fd < 0 || fstat(fd, &about) != 0)
        return fs_error(err, error, path, "cannot open it");
    t->response = (struct httpd_response){.kind = HTTPD_FILE, .status = 200, .fd = fd};
    t->response.content_type = "application/octet-stream";
    t->response.file_bytes = (uint64_t)about.st_size;
    fd = -1;
    return OK;
}

static enum status get_blob(struct transfer *t, struct err *err)
{
    struct err unsaid;
    enum status status = redirect(t, &unsaid);
    if (status == E_UNSUPPORTED)
        return send_copy(t, err);
    return status == OK ? OK : err_set(err, status, "%s", unsaid.text);
}

/* The file of that path in a tree. */
static enum status get_entry(struct transfer *t, const struct tree *tree, const char *path,
                             struct err *err)
{
    for (size_t i = 0; i < tree_count(tree); i++) {
        struct tree_entry entry = tree_entry(tree, i);
        if (entry.path_bytes == strlen(path) && memcmp(entry.path, path, entry.path_bytes) == 0) {
            t->id = entry.blob;
            return get_blob(t, err);
        }
    }
    return err_set(err, E_NOTFOUND, "the tree has no file \"%.100s\"", path);
}

static enum status get_tree(struct transfer *t, struct err *err)
{
    AUTO(tree_free) struct tree *tree = NULL;
    AUTO(arena_fini) struct arena arena = {0};
    const char *path = httpd_request_query(t->request, "path");
    TRY(tree_open(t->blobs->store, &t->id, &tree, err));
    if (path)
        return get_entry(t, tree, path, err);
    struct value answer = doc_map();
    doc_put(&arena, &answer, "id", doc_id(&arena, &t->id));
    struct value *files = doc_put(&arena, &answer, "files", doc_list());
    for (size_t i = 0; i < tree_count(tree); i++) {
        struct tree_entry entry = tree_entry(tree, i);
        struct value *file = doc_add(&arena, files, doc_map());
        doc_put(&arena, file, "path", doc_text(&arena, entry.path, entry.path_bytes));
        doc_put(&arena, file, "is_executable", value_bool(entry.is_executable));
        doc_put(&arena, file, "bytes", value_int((int64_t)entry.bytes));
        doc_put(&arena, file, "id", doc_id(&arena, &entry.blob));
    }
    t->response = answer_json(200, &answer);
    return OK;
}

static enum status get(struct transfer *t, struct err *err)
{
    if (t->is_tree)
        return get_tree(t, err);
    if (httpd_request_query(t->request, "path"))
        return err_set(err, E_INVALID, "query: path: this artifact is a file, not a tree");
    return get_blob(t, err);
}

/* ---- the thread ---- */

static enum status transfer(struct transfer *t, struct err *err)
{
    struct blobs *blobs = t->blobs;
    const char *tree = httpd_request_query(t->request, "tree");
    t->id = t->match->artifact;
    t->is_tree = t->match->has_artifact ? t->match->is_tree : tree && strcmp(tree, "true") == 0;
    if (!t->match->has_artifact)
        TRY(id_parse(t->match->path[0], strlen(t->match->path[0]), &t->id, err));
    if (!blobs->store)
        TRY(store_open(blobs->url, &blobs->store, err));
    return t->request->body_fd >= 0 ? put(t, err) : get(t, err);
}

static void answer(struct blobs *blobs, struct httpd_request *request)
{
    struct transfer t = {.blobs = blobs, .request = request, .match = request->route};
    struct err err = {0};
    if (transfer(&t, &err) != OK) {
        unsigned status =
            request->body_fd >= 0 && err.code == E_CORRUPT ? 422 : answer_status(err.code);
        t.response = answer_error(status, &err, NULL);
    }
    answer_send(blobs->server, request, &t.response);
}

static void *work(void *context)
{
    struct blobs *blobs = context;
    struct pollfd fds[] = {{.fd = http_server_fd(blobs->server, LANE_BLOBS), .events = POLLIN},
                           {.fd = mailbox_fd(blobs->passed), .events = POLLIN}};
    for (bool goes_on = true; goes_on; poll(fds, 2, goes_on ? POLL_MS : 0)) {
        for (struct httpd_request *r; (r = http_server_next(blobs->server, LANE_BLOBS));)
            answer(blobs, r);
        for (struct mail *mail = mailbox_take(blobs->passed), *next; mail; mail = next) {
            next = mail->next;
            if (mail == &blobs->stop)
                goes_on = false;
            else
                answer(blobs, (struct httpd_request *)mail);
        }
    }
    return NULL;
}

void blobs_pass(struct blobs *blobs, struct httpd_request *request)
{
    mailbox_put(blobs->passed, &request->mail);
}

static void destroy(struct blobs *blobs)
{
    if (blobs->store)
        store_close(blobs->store);
    if (blobs->passed)
        mailbox_free(blobs->passed);
    mem_free(blobs->url);
    mem_free(blobs->spool);
    mem_free(blobs);
}

enum status blobs_new(struct http_server *server, const char *store, const char *spool,
                      struct blobs **out, struct err *err)
{
    *out = NULL;
    struct blobs *blobs = mem_alloc(sizeof *blobs);
    blobs->server = server;
    blobs->url = mem_copy_text(store, strlen(store));
    blobs->spool = mem_copy_text(spool, strlen(spool));
    enum status status = mailbox_new(&blobs->passed, err);
    int error = status == OK ? pthread_create(&blobs->thread, NULL, work, blobs) : 0;
    if (error)
        status = err_set(err, E_NOMEM, "no thread to be had: %s", strerror(error));
    if (status != OK)
        destroy(blobs);
    else
        *out = blobs;
    return status;
}

void blobs_free(struct blobs *blobs)
{
    mailbox_put(blobs->passed, &blobs->stop);
    pthread_join(blobs->thread, NULL);
    destroy(blobs);
}
