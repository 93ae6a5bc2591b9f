/* A blob out of S3 into a file. The first request asks for the first range; its answer says how
 * much there is. The rest comes in ranges, several at a time, each written at its place. What lies
 * in the file without a gap from its beginning is hashed by a thread while more is on its way
 * (hash_behind.h). A range that broke off goes on where it was. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "common/store/hash_behind.h"
#include "common/store/s3.h"
#include "common/store/source_file.h"

enum { RANGE_BYTES = 8 << 20 };

struct range {
    struct s3_op op;
    struct download *download;
    uint64_t offset, end, at; /* of the blob; `at`: what comes next */
    bool is_busy, is_checked;
    char text[64];
};

struct download {
    struct s3 *s3;
    const char *path;
    int fd;
    bool is_second, is_whole; /* is_whole: the server sent all at once */
    uint64_t total, begun;    /* bytes; what is asked for already */
    struct hash_behind *behind;
    struct range ranges[S3_PARALLEL_LARGE];
};

static enum status write_at(const struct download *download, uint64_t offset, const void *data,
                            size_t bytes, struct err *err)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t put = pwrite(download->fd, (const uint8_t *)data + done, bytes - done,
                             (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fs_error(err, errno, download->path, "cannot write");
        done += (size_t)put;
    }
    return OK;
}

/* ---- one range ---- */

/* "bytes 0-8388607/20000000": does it begin where we asked, and of how much is it? */
static bool parse_content_range(const char *text, uint64_t offset, uint64_t *total)
{
    char *end;
    if (!text || strncmp(text, "bytes ", 6) != 0)
        return false;
    errno = 0;
    if (strtoull(text + 6, &end, 10) != offset || *end != '-')
        return false;
    const char *slash = strchr(end, '/');
    if (!slash || slash[1] < '0' || slash[1] > '9')
        return false;
    *total = strtoull(slash + 1, &end, 10);
    return !errno && !*end && *total <= INT64_MAX;
}

/* At the first bytes of an answer. */
static enum status check_answer(struct range *range, struct err *err)
{
    struct download *download = range->download;
    const struct http_call *call = range->op.call;
    bool is_first = range->offset == 0 && range->at == 0;
    uint64_t total = 0;
    range->is_checked = true;
    if (http_status(call) == 200 && is_first && !download->total) {
        download->is_whole = true; /* a server that does no ranges */
        range->end = UINT64_MAX;
        return OK;
    }
    if (http_status(call) != 206 ||
        !parse_content_range(http_header(call, "content-range"), range->at, &total) ||
        (download->total && total != download->total))
        return err_set(err, E_PROTOCOL, "store %s: another range came than was asked for",
                       download->s3->base.url);
    download->total = total;
    if (range->end > total)
        range->end = total;
    return OK;
}

static enum status take_piece(void *context, const void *piece, size_t bytes, struct err *err)
{
    struct range *range = context;
    if (!range->is_checked)
        TRY(check_answer(range, err));
    if (bytes > range->end - range->at)
        return err_set(err, E_PROTOCOL, "store %s: more came than was asked for",
                       range->download->s3->base.url);
    TRY(write_at(range->download, range->at, piece, bytes, err));
    range->at += bytes;
    return OK;
}

/* Another try asks for what is missing still; of a whole answer everything. */
static void prepare_range(struct s3_op *op)
{
    struct range *range = op->context;
    if (range->download->is_whole) {
        range->at = 0;
        range->download->is_whole = false;
        range->end = RANGE_BYTES;
    }
    range->is_checked = false;
    snprintf(range->text, sizeof range->text, "bytes=%" PRIu64 "-%" PRIu64, range->at,
             range->end - 1);
    op->header_count = 0;
    s3_header(op, "Range", range->text);
    if (range->download->is_second)
        s3_header(op, "Cache-Control", "no-cache");
}

static struct s3_op *begin_range(struct download *download, const char *key)
{
    struct range *range = download->ranges;
    while (range->is_busy)
        range++;
    uint64_t offset = download->begun, end = offset + RANGE_BYTES;
    if (download->total && end > download->total)
        end = download->total;
    *range = (struct range){
        .download = download, .offset = offset, .at = offset, .end = end, .is_busy = true};
    range->op = (struct s3_op){.method = "GET",
                               .write = take_piece,
                               .context = range,
                               .prepare = prepare_range,
                               .may_be_absent = true,
                               .may_be_empty = offset == 0};
    snprintf(range->op.key, sizeof range->op.key, "%s", key);
    download->begun = end;
    return &range->op;
}

/* Up to where there is no gap. */
static uint64_t contiguous(const struct download *download)
{
    uint64_t up_to = download->begun;
    for (size_t i = 0; i < S3_PARALLEL_LARGE; i++)
        if (download->ranges[i].is_busy && download->ranges[i].at < up_to)
            up_to = download->ranges[i].at;
    return up_to;
}

/* ---- all of it ---- */

struct rest {
    struct download *download;
    const char *key;
};

static struct s3_op *next_range(void *context)
{
    const struct rest *rest = context;
    if (rest->download->begun >= rest->download->total)
        return NULL;
    return begin_range(rest->download, rest->key);
}

static enum status range_done(void *context, struct s3_op *op, struct err *err)
{
    const struct rest *rest = context;
    struct range *range = op->context;
    range->is_busy = false;
    if (op->is_absent || range->at != range->end)
        return err_set(err, E_UNREACHABLE, "store %s: changed while it was read",
                       rest->download->s3->base.url);
    return OK;
}

static enum status hash_meanwhile(void *context, struct err *err)
{
    (void)err;
    struct download *download = ((struct rest *)context)->download;
    hash_behind_reach(download->behind, contiguous(download));
    return OK;
}

static enum status get_rest(struct download *download, const char *key, struct err *err)
{
    struct rest rest = {download, key};
    const struct s3_batch batch = {.parallel = s3_parallel_large(),
                                   .next = next_range,
                                   .done = range_done,
                                   .meanwhile = hash_meanwhile,
                                   .context = &rest};
    return s3_run(download->s3, &batch, err);
}

/* The first range, or all. `*is_absent`: there is no such blob. */
static enum status get_first(struct download *download, const char *key, bool *is_absent,
                             struct err *err)
{
    struct s3_op *op = begin_range(download, key);
    struct range *range = op->context;
    TRY(s3_do(download->s3, op, err));
    *is_absent = op->is_absent;
    range->is_busy = false;
    if (range->is_checked && !download->is_whole && range->at != range->end)
        return err_set(err, E_UNREACHABLE, "store %s: less came than was asked for",
                       download->s3->base.url);
    if (download->is_whole)
        download->begun = download->total = range->at;
    else if (download->begun > download->total)
        download->begun = download->total;
    return OK;
}

static enum status download_blob(struct download *download, const char *key, bool *is_absent,
                                 struct id *seen, struct err *err)
{
    TRY(get_first(download, key, is_absent, err));
    if (*is_absent)
        return OK;
    if (download->total <= RANGE_BYTES) {
        uint64_t bytes;
        if (lseek(download->fd, 0, SEEK_SET) != 0)
            return fs_error(err, errno, download->path, "cannot read back");
        return source_file_hash(download->fd, -1, download->path, download->s3->piece, seen, &bytes,
                                err);
    }
    AUTO(hash_behind_drop)
    struct hash_behind *behind = hash_behind_begin(download->fd, download->path);
    download->behind = behind;
    hash_behind_reach(behind, download->begun);
    TRY(get_rest(download, key, err));
    hash_behind_reach(behind, download->total);
    return hash_behind_end(TAKE(behind), seen, err);
}

/* ---- looking only ---- */

static enum status hash_piece(void *context, const void *piece, size_t bytes, struct err *err)
{
    (void)err;
    hash_update(context, piece, bytes);
    return OK;
}

static void hash_anew(struct s3_op *op)
{
    hash_init(op->context, NULL);
}

/* The id of what comes, which is kept nowhere. */
static enum status look_at(struct s3 *s3, const struct id *id, bool is_second, struct id *seen,
                           struct err *err)
{
    struct hasher hasher;
    struct s3_op op = {.method = "GET",
                       .write = hash_piece,
                       .context = &hasher,
                       .prepare = hash_anew,
                       .may_be_absent = true};
    s3_key(s3, STORE_BLOBS, id, op.key);
    if (is_second)
        s3_header(&op, "Cache-Control", "no-cache");
    TRY(s3_do(s3, &op, err));
    if (op.is_absent)
        return store_absent(&s3->base, STORE_BLOBS, id, err);
    hash_final(&hasher, seen);
    return OK;
}

enum status s3_get_file(struct store *store, const struct id *id, bool is_second, const char *path,
                        struct id *seen, struct err *err)
{
    struct s3 *s3 = s3_of(store);
    if (!path)
        return look_at(s3, id, is_second, seen, err);
    AUTO(mem_free) struct download *download = mem_alloc(sizeof *download);
    AUTO(fs_close_fd) int fd = -1;
    char key[S3_KEY_BYTES];
    bool is_absent;
    if (!s3->piece)
        s3->piece = mem_alloc(SOURCE_PIECE_BYTES);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot create");
    download->s3 = s3;
    download->path = path;
    download->fd = fd;
    download->is_second = is_second;
    s3_key(s3, STORE_BLOBS, id, key);
    TRY(download_blob(download, key, &is_absent, seen, err));
    return is_absent ? store_absent(store, STORE_BLOBS, id, err) : OK;
}
