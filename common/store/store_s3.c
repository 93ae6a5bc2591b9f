/* A bucket of any S3-compatible service as a store:
 *
 *   PREFIX/blobs/ab/cdef…   the bytes of blob abcdef…
 *   PREFIX/trees/ab/cdef…   manifests of trees
 *   PREFIX/quarantine/…     what did not match its id, by its full id
 *   PREFIX/journal/…        named objects
 *
 * Nothing is asked of the server but put, get, head, list, copy, remove and uploads in parts; no
 * put is conditional, since some servers ignore the condition. A put of up to S3_SIGNED_BYTES is
 * sent without asking whether it is there: that would cost as much.
 *
 * An upload in parts that a killed program left takes room until it is swept away (s3_sweep), or by
 * the bucket's own rule (lifecycle: abort incomplete multipart uploads). */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/sign.h"
#include "common/log.h"
#include "common/store/s3.h"
#include "proto/limits.h"

static void s3_close(struct store *store)
{
    struct s3 *s3 = s3_of(store);
    if (s3->http)
        http_close(s3->http);
    if (s3->credentials)
        aws_credentials_free(s3->credentials);
    s3_config_close(&s3->config);
    mem_free(s3->piece);
    mem_free(s3);
}

/* Settings are read and checked; nothing is sent yet. */
static enum status s3_open(const char *url, struct store **out, struct err *err)
{
    struct s3 *s3 = mem_alloc(sizeof *s3);
    s3->patience_ms = STORE_PATIENCE_MS;
    enum status status = s3_config_load(url, &s3->config, err);
    if (status == OK)
        status = http_open(
            &(struct http_options){.ca_file = s3->config.ca_file, .same_host_max = S3_PARALLEL},
            &s3->http, err);
    if (status != OK) {
        s3_close(&s3->base);
        return status;
    }
    uint64_t seed;
    random_bytes(&seed, sizeof seed);
    s3->rng = rng_seed(seed);
    s3->credentials = aws_credentials_new(s3->config.profile, s3->config.region);
    *out = &s3->base;
    return OK;
}

static void s3_set_patience(struct store *store, uint32_t ms)
{
    s3_of(store)->patience_ms = ms;
}

static const char *s3_advice(const struct store *store)
{
    return ((const struct s3 *)store)->advice;
}

void s3_key(const struct s3 *s3, enum store_space space, const struct id *id,
            char key[S3_KEY_BYTES])
{
    char hex[ID_HEX_BYTES];
    id_hex(id, hex);
    snprintf(key, S3_KEY_BYTES, "%s%s/%.2s/%s", s3->config.prefix,
             space == STORE_BLOBS ? "blobs" : "trees", hex, hex + 2);
}

static void object_key(const struct s3 *s3, const char *name, char key[S3_KEY_BYTES])
{
    snprintf(key, S3_KEY_BYTES, "%s%s", s3->config.prefix, name);
}

/* ---- putting and getting ---- */

bool s3_is_new(const struct s3_op *answer)
{
    return answer->modified_s > clock_epoch_us() / 1000000 - STORE_FRESH_SECONDS;
}

static enum status take_copy(void *context, const char *path, const char *text, struct err *err)
{
    bool *is_copied = context;
    (void)text, (void)err;
    if (strcmp(path, "CopyObjectResult") == 0)
        *is_copied = true;
    return OK;
}

enum status s3_copy(struct s3 *s3, const char *from, const char *to, struct err *err)
{
    AUTO(buf_fini) struct buf source = buf_init(0), plain = buf_init(0);
    AUTO(buf_fini) struct buf answer = buf_init(S3_ANSWER_BYTES_MAX);
    bool is_copied = false;
    struct s3_op op = {.method = "PUT",
                       .out = &answer,
                       .may_be_absent = true,
                       .takes_its_time = true,
                       .tells_late = true};
    snprintf(op.key, sizeof op.key, "%s", to);
    buf_format(&plain, "/%s/%s", s3->config.bucket, from);
    sigv4_path(buf_text(&plain), &source);
    s3_header(&op, "X-Amz-Copy-Source", buf_text(&source));
    if (strcmp(from, to) == 0) /* else it would say that nothing changes */
        s3_header(&op, "X-Amz-Metadata-Directive", "REPLACE");
    TRY(s3_do(s3, &op, err));
    if (op.is_absent)
        return err_set(err, E_NOTFOUND, "store %s: %s is not there", s3->base.url, from);
    TRY(s3_read_xml(s3, &answer, take_copy, &is_copied, err));
    return is_copied
               ? OK
               : err_set(err, E_PROTOCOL, "store %s: a copy with an odd answer", s3->base.url);
}

/* What the server can't copy at once can't be made new either: it is put again. */
enum status s3_make_new(struct s3 *s3, const char *key, bool *is_made, struct err *err)
{
    struct err why;
    enum status status = s3_copy(s3, key, key, &why);
    *is_made = status == OK;
    bool is_no = status == E_NOTFOUND || status == E_IO || status == E_LIMIT;
    return status == OK || is_no ? OK : err_set(err, status, "%s", why.text);
}

enum status s3_is_fresh(struct s3 *s3, const char *key, uint64_t bytes, bool *is_fresh,
                        struct err *err)
{
    struct s3_op op = {.method = "HEAD", .may_be_absent = true};
    snprintf(op.key, sizeof op.key, "%s", key);
    TRY(s3_do(s3, &op, err));
    *is_fresh = !op.is_absent && op.bytes == bytes;
    if (*is_fresh && !s3_is_new(&op))
        TRY(s3_make_new(s3, key, is_fresh, err));
    return OK;
}

static enum status put_bytes(struct s3 *s3, struct s3_op *op, const void *data, size_t bytes,
                             struct err *err)
{
    op->method = "PUT";
    op->body = bytes ? data : "";
    op->body_bytes = bytes;
    return s3_do(s3, op, err);
}

static enum status s3_put(struct store *store, enum store_space space, const struct id *id,
                          const void *data, size_t bytes, struct err *err)
{
    struct s3 *s3 = s3_of(store);
    struct s3_op op = {.method = "PUT"};
    s3_key(s3, space, id, op.key);
    bool is_fresh = false;
    if (bytes > S3_SIGNED_BYTES)
        TRY(s3_is_fresh(s3, op.key, bytes, &is_fresh, err));
    return is_fresh ? OK : put_bytes(s3, &op, data, bytes, err);
}

/* Into memory whole. */
static enum status get_bytes(struct s3 *s3, struct s3_op *op, bool is_second, struct buf *out,
                             struct err *err)
{
    op->method = "GET";
    op->out = out;
    op->may_be_absent = true;
    if (is_second)
        s3_header(op, "Cache-Control", "no-cache");
    return s3_do(s3, op, err);
}

static enum status s3_get(struct store *store, enum store_space space, const struct id *id,
                          bool is_second, struct buf *out, struct err *err)
{
    struct s3 *s3 = s3_of(store);
    struct s3_op op = {.method = "GET"};
    s3_key(s3, space, id, op.key);
    TRY(get_bytes(s3, &op, is_second, out, err));
    return op.is_absent ? store_absent(store, space, id, err) : OK;
}

static enum status s3_put_object(struct store *store, const char *key, const void *data,
                                 size_t bytes, struct err *err)
{
    struct s3_op op = {.method = "PUT"};
    object_key(s3_of(store), key, op.key);
    return put_bytes(s3_of(store), &op, data, bytes, err);
}

static enum status s3_get_object(struct store *store, const char *key, struct buf *out,
                                 struct err *err)
{
    struct s3_op op = {.method = "GET"};
    object_key(s3_of(store), key, op.key);
    TRY(get_bytes(s3_of(store), &op, false, out, err));
    return op.is_absent ? store_absent_object(store, key, err) : OK;
}

/* ---- removing ---- */

enum status s3_remove_key(struct s3 *s3, const char *key, struct err *err)
{
    struct s3_op op = {.method = "DELETE", .may_be_absent = true};
    snprintf(op.key, sizeof op.key, "%s", key);
    return s3_do(s3, &op, err);
}

static enum status s3_remove(struct store *store, enum store_space space, const struct id *id,
                             struct err *err)
{
    char key[S3_KEY_BYTES];
    s3_key(s3_of(store), space, id, key);
    return s3_remove_key(s3_of(store), key, err);
}

static enum status s3_remove_old(struct store *store, enum store_space space, const struct id *id,
                                 int64_t before_s, bool *is_removed, struct err *err)
{
    struct s3_op op = {.method = "HEAD", .may_be_absent = true};
    s3_key(s3_of(store), space, id, op.key);
    TRY(s3_do(s3_of(store), &op, err));
    if (op.is_absent || op.modified_s >= before_s || !op.modified_s /* unknown */)
        return OK;
    *is_removed = true;
    return s3_remove_key(s3_of(store), op.key, err);
}

static enum status s3_remove_object(struct store *store, const char *name, struct err *err)
{
    char key[S3_KEY_BYTES];
    object_key(s3_of(store), name, key);
    return s3_remove_key(s3_of(store), key, err);
}

/* A copy on the server, then the removal. What is too large to be copied at once (5 GB) is removed
 * all the same: it is of no use, and in the way of what is right. */
static enum status s3_quarantine(struct store *store, enum store_space space, const struct id *id,
                                 struct err *err)
{
    struct s3 *s3 = s3_of(store);
    char key[S3_KEY_BYTES], hex[ID_HEX_BYTES];
    char place[S3_KEY_BYTES];
    s3_key(s3, space, id, key);
    snprintf(place, sizeof place, "%squarantine/%s", s3->config.prefix, id_hex(id, hex));
    struct err why;
    enum status status = s3_copy(s3, key, place, &why);
    if (status != OK && status != E_NOTFOUND && status != E_IO && status != E_LIMIT)
        return err_set(err, status, "%s", why.text);
    return s3_remove_key(s3, key, err);
}

/* A put is answered when the server has it safe. */
static enum status s3_flush(struct store *store, struct err *err)
{
    (void)store, (void)err;
    return OK;
}

/* ---- presigned URLs ---- */

static enum status s3_presign(struct store *store, const struct store_presign *presign,
                              struct buf *url, struct err *err)
{
    struct s3 *s3 = s3_of(store);
    char key[S3_KEY_BYTES];
    AUTO(buf_fini) struct buf path = buf_init(0);
    s3_key(s3, presign->is_manifest ? STORE_TREES : STORE_BLOBS, &presign->id, key);
    s3_put_path(s3, key, &path);
    struct sigv4_request request = {.method = presign->is_put ? "PUT" : "GET",
                                    .host = s3->config.host,
                                    .path = buf_text(&path),
                                    .region = s3->config.region,
                                    .service = "s3",
                                    .time_s = clock_epoch_us() / 1000000};
    uint32_t works_s;
    enum status status =
        aws_credentials_get_for(s3->credentials, presign->seconds, &request.keys, &works_s, err);
    if (status != OK) {
        err_prefix(err, "store %s", store->url);
        return status;
    }
    if (works_s < presign->seconds / 2 && !s3->has_told_end)
        log_event(LOG_WARN, "store.url_ends", "store=%s asked_s=%u works_s=%u source=\"%s\"",
                  store->url, (unsigned)presign->seconds, (unsigned)works_s,
                  aws_credentials_source(s3->credentials));
    s3->has_told_end |= works_s < presign->seconds / 2;
    buf_put_text(url, s3->config.origin);
    sigv4_path(request.path, url);
    buf_put_char(url, '?');
    sigv4_presign(&request, works_s, url);
    return OK;
}

const struct store_backend store_s3 = {
    .scheme = "s3://",
    .is_remote = true,
    .open = s3_open,
    .close = s3_close,
    .advice = s3_advice,
    .set_patience = s3_set_patience,
    .put_file = s3_put_file,
    .put = s3_put,
    .get_file = s3_get_file,
    .get = s3_get,
    .has = s3_has,
    .list = s3_list,
    .renew = s3_renew,
    .remove = s3_remove,
    .remove_old = s3_remove_old,
    .quarantine = s3_quarantine,
    .sweep = s3_sweep,
    .flush = s3_flush,
    .put_object = s3_put_object,
    .get_object = s3_get_object,
    .list_objects = s3_list_objects,
    .remove_object = s3_remove_object,
    .presign = s3_presign,
};
