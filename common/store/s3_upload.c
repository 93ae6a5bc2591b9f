/* A file into S3. It is read twice: its id, which is its key, is known only at its end. Up to
 * STORE_PARTS_BYTES it is one streamed put; above that, parts that go up in parallel:
 *
 *   POST ?uploads → id     PUT ?partNumber=n&uploadId=id → ETag     POST ?uploadId=id (all ETags)
 *
 * Whatever fails in between, the upload is given up, so that no parts stay. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/fs.h"
#include "common/store/s3.h"
#include "common/store/s3_put.h"
#include "common/store/source_file.h"
#include "proto/limits.h"

enum {
    PART_BYTES = 16 << 20, /* a part that is sent again costs little; 5 MiB is the least S3 takes */
    PARTS_MAX = 10000,     /* S3's own limit */
    UPLOAD_ID_BYTES = 1024,
};

static enum status read_source(const struct source_file *file, uint64_t offset, void *into,
                               size_t bytes, struct err *err)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(file->fd, (uint8_t *)into + done, bytes - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fs_error(err, errno, file->path, "cannot read");
        if (got == 0)
            return err_set(err, E_CONFLICT, "%s: changed while it was read", file->path);
        done += (size_t)got;
    }
    return OK;
}

/* ---- one put ---- */

static enum status read_whole(void *context, uint64_t offset, void *into, size_t bytes,
                              struct err *err)
{
    return read_source(context, offset, into, bytes, err);
}

static enum status put_whole(struct s3 *s3, const char *key, struct source_file *file,
                             uint64_t bytes, struct err *err)
{
    struct s3_op op = {.method = "PUT", .read = read_whole, .context = file, .body_bytes = bytes};
    snprintf(op.key, sizeof op.key, "%s", key);
    TRY(s3_do(s3, &op, err));
    enum status status = source_file_check(file, err);
    if (status != OK) /* what went up is not what was hashed */
        (void)!s3_remove_key(s3, key, NULL);
    return status;
}

/* ---- parts ---- */

struct upload {
    struct s3 *s3;
    const char *key;
    struct source_file *file;
    uint64_t bytes, part_bytes;
    char id[UPLOAD_ID_BYTES];
    uint32_t count, begun;
    char (*etags)[128];
    struct part {
        struct s3_op op;
        struct upload *upload;
        char number[16];
        bool is_busy;
    } parts[S3_PARALLEL_LARGE];
};

static enum status take_upload_id(void *context, const char *path, const char *text,
                                  struct err *err)
{
    struct upload *upload = context;
    if (!text || strcmp(path, "InitiateMultipartUploadResult/UploadId") != 0)
        return OK;
    if (!*text || strlen(text) >= sizeof upload->id)
        return err_set(err, E_PROTOCOL, "an upload id of %zu bytes", strlen(text));
    memcpy(upload->id, text, strlen(text) + 1);
    return OK;
}

static enum status begin_upload(struct upload *upload, struct err *err)
{
    AUTO(buf_fini) struct buf answer = buf_init(S3_ANSWER_BYTES_MAX);
    struct s3_op op = {.method = "POST", .out = &answer};
    snprintf(op.key, sizeof op.key, "%s", upload->key);
    s3_query(&op, "uploads", "");
    TRY(s3_do(upload->s3, &op, err));
    TRY(s3_read_xml(upload->s3, &answer, take_upload_id, upload, err));
    if (upload->id[0])
        return OK;
    return err_set(err, E_PROTOCOL, "store %s: began an upload without id", upload->s3->base.url);
}

static enum status read_part(void *context, uint64_t offset, void *into, size_t bytes,
                             struct err *err)
{
    const struct part *part = context;
    const struct upload *upload = part->upload;
    return read_source(upload->file, (part->op.number - 1) * upload->part_bytes + offset, into,
                       bytes, err);
}

static struct s3_op *next_part(void *context)
{
    struct upload *upload = context;
    if (upload->begun == upload->count)
        return NULL;
    struct part *part = upload->parts;
    while (part->is_busy)
        part++;
    uint64_t offset = upload->begun * upload->part_bytes, rest = upload->bytes - offset;
    *part = (struct part){.upload = upload, .is_busy = true};
    struct s3_op *op = &part->op;
    op->method = "PUT";
    op->read = read_part;
    op->context = part;
    op->number = ++upload->begun;
    op->body_bytes = rest < upload->part_bytes ? rest : upload->part_bytes;
    snprintf(op->key, sizeof op->key, "%s", upload->key);
    snprintf(part->number, sizeof part->number, "%u", upload->begun);
    s3_query(op, "partNumber", part->number);
    s3_query(op, "uploadId", upload->id);
    return op;
}

static enum status part_done(void *context, struct s3_op *op, struct err *err)
{
    struct upload *upload = context;
    struct part *part = op->context;
    part->is_busy = false;
    if (!op->etag[0])
        return err_set(err, E_PROTOCOL, "store %s: a part was taken without ETag",
                       upload->s3->base.url);
    memcpy(upload->etags[op->number - 1], op->etag, sizeof op->etag);
    return OK;
}

static void put_escaped(struct buf *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<': buf_put_text(out, "&lt;"); break;
        case '>': buf_put_text(out, "&gt;"); break;
        case '&': buf_put_text(out, "&amp;"); break;
        case '"': buf_put_text(out, "&quot;"); break;
        default: buf_put_char(out, *text);
        }
}

static void write_parts(const struct upload *upload, struct buf *out)
{
    buf_put_text(out, "<CompleteMultipartUpload "
                      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (uint32_t i = 0; i < upload->count; i++) {
        buf_put_text(out, "<Part><ETag>");
        put_escaped(out, upload->etags[i]);
        buf_format(out, "</ETag><PartNumber>%u</PartNumber></Part>", i + 1);
    }
    buf_put_text(out, "</CompleteMultipartUpload>");
}

static enum status take_completion(void *context, const char *path, const char *text,
                                   struct err *err)
{
    bool *is_complete = context;
    (void)text, (void)err;
    if (strcmp(path, "CompleteMultipartUploadResult") == 0)
        *is_complete = true;
    return OK;
}

static enum status complete_upload(struct upload *upload, struct err *err)
{
    AUTO(buf_fini) struct buf body = buf_init(0), answer = buf_init(S3_ANSWER_BYTES_MAX);
    write_parts(upload, &body);
    struct s3_op op = {.method = "POST",
                       .body = body.bytes,
                       .body_bytes = body.count,
                       .out = &answer,
                       .may_be_absent = true,
                       .takes_its_time = true,
                       .tells_late = true};
    snprintf(op.key, sizeof op.key, "%s", upload->key);
    s3_query(&op, "uploadId", upload->id);
    TRY(s3_do(upload->s3, &op, err));
    bool is_complete = false;
    if (op.is_absent) /* an earlier try did it, and its answer was lost */
        TRY(s3_is_fresh(upload->s3, upload->key, upload->bytes, &is_complete, err));
    else
        TRY(s3_read_xml(upload->s3, &answer, take_completion, &is_complete, err));
    if (is_complete)
        return OK;
    return err_set(err, E_UNREACHABLE, "store %s: the upload of %llu bytes was lost on the way",
                   upload->s3->base.url, (unsigned long long)upload->bytes);
}

static void abort_upload(struct upload *upload)
{
    struct s3_op op = {.method = "DELETE", .may_be_absent = true};
    snprintf(op.key, sizeof op.key, "%s", upload->key);
    s3_query(&op, "uploadId", upload->id);
    uint32_t patience_ms = upload->s3->patience_ms;
    upload->s3->patience_ms = 0; /* the failure is to be told; the bucket's rules remove the rest */
    (void)!s3_do(upload->s3, &op, NULL);
    upload->s3->patience_ms = patience_ms;
}

static enum status check_stopped(void *context, struct err *err)
{
    const struct upload *upload = context;
    if (!upload->s3->is_stopped || !upload->s3->is_stopped())
        return OK;
    return err_set(err, E_CANCELLED, "%s: interrupted; what was sent of it is removed",
                   upload->file->path);
}

static enum status send_parts(struct upload *upload, struct err *err)
{
    const struct s3_batch batch = {.parallel = s3_parallel_large(),
                                   .next = next_part,
                                   .done = part_done,
                                   .meanwhile = check_stopped,
                                   .context = upload};
    enum status status = s3_run(upload->s3, &batch, err);
    if (status == OK)
        status = source_file_check(upload->file, err);
    return status == OK ? complete_upload(upload, err) : status;
}

static enum status put_parts(struct s3 *s3, const char *key, struct source_file *file,
                             uint64_t bytes, struct err *err)
{
    AUTO(mem_free) struct upload *upload = mem_alloc(sizeof *upload);
    *upload = (struct upload){
        .s3 = s3, .key = key, .file = file, .bytes = bytes, .part_bytes = PART_BYTES};
    while (bytes > upload->part_bytes * PARTS_MAX)
        upload->part_bytes *= 2;
    upload->count = (uint32_t)((bytes + upload->part_bytes - 1) / upload->part_bytes);
    AUTO(mem_free) char(*etags)[128] = mem_alloc(upload->count * sizeof *etags);
    upload->etags = etags;
    enum status status = E_IO;
    /* Should the server have mixed up the parts (E_IO: their ETags don't fit), once more. */
    for (int i = 0; i < 2 && status == E_IO; i++) {
        upload->begun = 0;
        TRY(check_stopped(upload, err));
        TRY(begin_upload(upload, err));
        memset(upload->parts, 0, sizeof upload->parts);
        status = send_parts(upload, err);
        if (status != OK)
            abort_upload(upload);
    }
    return status;
}

/* ---- a file ---- */

static enum status send_file(struct s3 *s3, const char *key, struct source_file *file,
                             uint64_t bytes, struct err *err)
{
    return bytes > STORE_PARTS_BYTES ? put_parts(s3, key, file, bytes, err)
                                     : put_whole(s3, key, file, bytes, err);
}

enum status s3_put_file(struct store *store, const char *path, struct id *id, uint64_t *bytes,
                        struct err *err)
{
    struct s3 *s3 = s3_of(store);
    AUTO(source_file_close) struct source_file file = {.fd = -1};
    TRY(source_file_open(path, &file, err));
    if (!s3->piece)
        s3->piece = mem_alloc(SOURCE_PIECE_BYTES);
    TRY(source_file_hash(file.fd, -1, path, s3->piece, id, bytes, err));
    if (*bytes < SOURCE_PIECE_BYTES) /* all of it is in the piece still */
        return store->backend->put(store, STORE_BLOBS, id, s3->piece, (size_t)*bytes, err);
    char key[S3_KEY_BYTES];
    bool is_fresh;
    s3_key(s3, STORE_BLOBS, id, key);
    TRY(s3_is_fresh(s3, key, *bytes, &is_fresh, err));
    if (is_fresh)
        return OK;
    return send_file(s3, key, &file, *bytes, err);
}

/* ---- a file under any key ---- */

/* "s3://bucket" of "s3://bucket/key"; a key that ends with '/' gets the file's own name. */
static enum status split_url(const char *url, const char *path, struct buf *bucket,
                             char key[S3_KEY_BYTES], struct err *err)
{
    size_t scheme = strlen("s3://"), bytes = scheme + strcspn(url + scheme, "/");
    const char *name = strrchr(path, '/');
    buf_put(bucket, url, bytes);
    const char *wanted = url[bytes] ? url + bytes + 1 : "";
    bool is_folder = !*wanted || wanted[strlen(wanted) - 1] == '/';
    int count = snprintf(key, S3_KEY_BYTES, "%s%s", wanted,
                         !is_folder ? ""
                         : name     ? name + 1
                                    : path);
    if (count < 0 || count >= S3_KEY_BYTES)
        return err_set(err, E_INVALID, "%.100s…: a key has %d bytes at most", url,
                       S3_KEY_BYTES - 1);
    return OK;
}

enum status s3_put_at(const char *path, const char *url, bool (*is_stopped)(void),
                      struct s3_placed *out, struct err *err)
{
    if (strncmp(url, "s3://", 5) != 0)
        return err_set(err, E_INVALID, "%s: not a place in S3; write s3://bucket/key", url);
    AUTO(buf_fini) struct buf bucket = buf_init(0);
    AUTO(store_close) struct store *store = NULL;
    AUTO(source_file_close) struct source_file file = {.fd = -1};
    AUTO(mem_free) uint8_t *piece = mem_alloc(SOURCE_PIECE_BYTES);
    char key[S3_KEY_BYTES];
    TRY(source_file_open(path, &file, err));
    TRY(split_url(url, path, &bucket, key, err));
    TRY(store_open(buf_text(&bucket), &store, err));
    s3_of(store)->is_stopped = is_stopped;
    TRY(source_file_hash(file.fd, -1, path, piece, &out->id, &out->bytes, err));
    snprintf(out->url, sizeof out->url, "%s/%s", buf_text(&bucket), key);
    return send_file(s3_of(store), key, &file, out->bytes, err);
}
