/* What lies about in the bucket: what was put aside, and uploads in parts that nobody goes on
 * with. */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/net/times.h"
#include "common/store/s3.h"

enum { ANSWER_BYTES_MAX = 16 << 20, TEXT_BYTES = 1024 };

struct sweep {
    struct s3 *s3;
    int64_t before_s;
    struct store_leavings *out;
    struct buf old; /* what is to go: key and upload id ("" a whole object), NUL-terminated each */
    /* Of the upload that is being read. */
    char key[TEXT_BYTES], upload[TEXT_BYTES], next_key[TEXT_BYTES], next_upload[TEXT_BYTES];
    int64_t begun_s;
    bool is_truncated;
};

static void add(struct sweep *sweep, const char *key, const char *upload)
{
    buf_put(&sweep->old, key, strlen(key) + 1);
    buf_put(&sweep->old, upload, strlen(upload) + 1);
    sweep->out->count++;
}

static enum status take_object(void *context, const struct store_object *object, struct err *err)
{
    struct sweep *sweep = context;
    (void)err;
    if (object->modified_s >= sweep->before_s)
        return OK;
    AUTO(buf_fini) struct buf key = buf_init(0);
    buf_format(&key, "%s%s", sweep->s3->config.prefix, object->key);
    add(sweep, buf_text(&key), "");
    sweep->out->bytes += object->bytes;
    return OK;
}

/* ---- uploads ---- */

static void copy(char out[TEXT_BYTES], const char *text)
{
    snprintf(out, TEXT_BYTES, "%s", text);
}

static enum status take_upload(void *context, const char *path, const char *text, struct err *err)
{
    struct sweep *sweep = context;
    static const char root[] = "ListMultipartUploadsResult/";
    (void)err;
    if (strncmp(path, root, sizeof root - 1) != 0)
        return OK;
    path += sizeof root - 1;
    if (strcmp(path, "Upload") == 0) {
        if (sweep->begun_s < sweep->before_s)
            add(sweep, sweep->key, sweep->upload);
        sweep->begun_s = INT64_MAX; /* the next one's, should it not tell */
    }
    if (!text)
        return OK;
    if (strcmp(path, "Upload/Key") == 0)
        copy(sweep->key, text);
    if (strcmp(path, "Upload/UploadId") == 0)
        copy(sweep->upload, text);
    if (strcmp(path, "Upload/Initiated") == 0 && !times_parse_iso(text, &sweep->begun_s))
        sweep->begun_s = INT64_MAX;
    if (strcmp(path, "NextKeyMarker") == 0)
        copy(sweep->next_key, text);
    if (strcmp(path, "NextUploadIdMarker") == 0)
        copy(sweep->next_upload, text);
    if (strcmp(path, "IsTruncated") == 0)
        sweep->is_truncated = strcmp(text, "true") == 0;
    return OK;
}

static enum status list_uploads(struct sweep *sweep, struct err *err)
{
    char key[TEXT_BYTES] = "", upload[TEXT_BYTES] = "", prefix[S3_KEY_BYTES];
    snprintf(prefix, sizeof prefix, "%sblobs/", sweep->s3->config.prefix);
    do {
        AUTO(buf_fini) struct buf answer = buf_init(ANSWER_BYTES_MAX);
        struct s3_op op = {.method = "GET", .out = &answer};
        s3_query(&op, "uploads", "");
        s3_query(&op, "prefix", prefix);
        if (key[0]) {
            s3_query(&op, "key-marker", key);
            s3_query(&op, "upload-id-marker", upload);
        }
        sweep->is_truncated = false;
        TRY(s3_do(sweep->s3, &op, err));
        TRY(s3_read_xml(sweep->s3, &answer, take_upload, sweep, err));
        if (sweep->is_truncated && strcmp(key, sweep->next_key) == 0 &&
            strcmp(upload, sweep->next_upload) == 0)
            return err_set(err, E_PROTOCOL, "store %s: a listing goes on, but nowhere",
                           sweep->s3->base.url);
        copy(key, sweep->next_key);
        copy(upload, sweep->next_upload);
    } while (sweep->is_truncated && key[0]);
    return OK;
}

static enum status remove_old(struct sweep *sweep, struct err *err)
{
    const char *at = buf_text(&sweep->old), *end = at + sweep->old.count;
    while (at < end) {
        const char *upload = at + strlen(at) + 1;
        struct s3_op op = {.method = "DELETE", .may_be_absent = true};
        copy(op.key, at);
        if (*upload)
            s3_query(&op, "uploadId", upload);
        TRY(s3_do(sweep->s3, &op, err));
        at = upload + strlen(upload) + 1;
    }
    return OK;
}

enum status s3_sweep(struct store *store, int64_t before_s, bool removes,
                     struct store_leavings *out, struct err *err)
{
    AUTO(mem_free) struct sweep *sweep = mem_alloc(sizeof *sweep);
    *sweep = (struct sweep){.s3 = s3_of(store),
                            .before_s = before_s,
                            .out = out,
                            .old = buf_init(0),
                            .begun_s = INT64_MAX};
    enum status status =
        s3_list_objects(store, &(struct store_range){"quarantine/", NULL}, take_object, sweep, err);
    if (status == OK)
        status = list_uploads(sweep, err);
    if (status == OK && removes)
        status = remove_old(sweep, err);
    buf_fini(&sweep->old);
    return status;
}
