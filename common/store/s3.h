/* Inside the S3 back end: requests, signed and tried again. Nobody else includes this.
 *
 *   store_s3.c     the contract for blobs, manifests and objects that fit into one request
 *   s3_upload.c    files: one streamed put, or parts in parallel
 *   s3_download.c  files: the first range, then the rest in parallel, hashed as it comes
 *   s3_list.c      listings, and who is there
 *   s3_sweep.c     what lies about
 *   s3_run.c       this: operations, many at a time, each tried until the store's patience is over
 *   s3_refusal.h   what an answer means; s3_config.h where the server is
 *
 * An operation is one request with what is needed to make it again. s3_run takes operations from
 * its caller as long as there are any, keeps `parallel` of them going, and hands back each that
 * has ended well; the first that ends otherwise ends all. Waiting between tries is exponential
 * with full jitter. Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/ms.h"
#include "common/base/rng.h"
#include "common/net/aws_credentials.h"
#include "common/net/http_client.h"
#include "common/store/backend.h"
#include "common/store/s3_config.h"

enum {
    S3_PARALLEL = 16,      /* small requests at a time: hides a round trip of a few ms */
    S3_PARALLEL_LARGE = 4, /* parts and ranges at a time, at most: enough to fill a link */
    S3_SIGNED_BYTES =
        64 << 10,        /* bodies up to this are signed, too; more costs more than it is worth */
    S3_KEY_BYTES = 1024, /* S3's own limit of a key, with the prefix */
    S3_ANSWER_BYTES_MAX = 1 << 20, /* of one that tells how something went */
};

struct s3 {
    struct store base;
    struct s3_config config;
    struct aws_credentials *credentials;
    struct http *http;
    struct rng rng;
    uint32_t patience_ms;
    bool has_answered;        /* as S3 does: the address is right, so that silence is an outage */
    bool knows_bucket;        /* it is there */
    bool is_waiting;          /* for the store to come back: said once */
    bool has_told_end;        /* of URLs that end with their keys: said once */
    bool (*is_stopped)(void); /* see s3_put_at */
    uint8_t *piece;
    char advice[ERR_TEXT_BYTES];
};

struct s3_op {
    const char *method;
    char key[S3_KEY_BYTES]; /* whole, with the prefix; "" is the bucket itself */
    struct sigv4_pair query[6];
    size_t query_count;
    struct sigv4_pair headers[3];
    size_t header_count;
    const void *body;
    uint64_t body_bytes;
    /* As in struct http_request; `out` is cut back to `out_before` before another try. */
    enum status (*read)(void *context, uint64_t offset, void *into, size_t bytes, struct err *err);
    enum status (*write)(void *context, const void *piece, size_t bytes, struct err *err);
    struct buf *out;
    void *context;
    /* Called before each try; may set headers anew. */
    void (*prepare)(struct s3_op *op);
    bool may_be_absent;  /* 404 is an answer: is_absent is set */
    bool may_be_empty;   /* 416 is an answer: an empty object has no first byte */
    bool takes_its_time; /* the server works before it answers, and says little meanwhile */
    bool tells_late;     /* it says 200 before it knows: the body in `out` may be an error */
    uint64_t number;     /* the caller's */

    /* The answer, when it has ended well. */
    bool is_absent;
    int status;
    char etag[128];
    uint64_t bytes; /* Content-Length */
    int64_t modified_s;

    /* s3_run's own. */
    struct http_call *call;
    size_t out_before;
    bool has_begun, has_moved, has_renewed, asks_why;
    const char *region; /* that it was signed for */
    unsigned tries;
    ms_t failed_at, retry_at;
};

struct s3_batch {
    size_t parallel;
    /* The next operation, or NULL: none for now. Asked again after each that has ended. */
    struct s3_op *(*next)(void *context);
    /* It has ended well. Returning other than OK ends the batch with it. NULL: nothing to do. */
    enum status (*done)(void *context, struct s3_op *op, struct err *err);
    /* After each turn: something to do while others are under way. NULL: nothing. */
    enum status (*meanwhile)(void *context, struct err *err);
    void *context;
};

/* Parts and ranges at a time here: one a core, since each costs processor time on the way, but two
 * at least. */
size_t s3_parallel_large(void);
static inline struct s3 *s3_of(struct store *store)
{
    return (struct s3 *)store;
}
/* Errors: those of s3_judge but E_NOTFOUND, of the batch's functions, and of the operations' read
 * and write. */
MUST_USE enum status s3_run(struct s3 *s3, const struct s3_batch *batch, struct err *err);
/* One operation. */
MUST_USE enum status s3_do(struct s3 *s3, struct s3_op *op, struct err *err);

/* Reads an answer's XML (xml_walk). Errors: E_PROTOCOL. */
MUST_USE enum status s3_read_xml(const struct s3 *s3, const struct buf *answer,
                                 enum status (*visit)(void *context, const char *path,
                                                      const char *text, struct err *err),
                                 void *context, struct err *err);

/* The key of a blob or manifest, with the prefix. */
void s3_key(const struct s3 *s3, enum store_space space, const struct id *id,
            char key[S3_KEY_BYTES]);
static inline void s3_query(struct s3_op *op, const char *name, const char *value)
{
    op->query[op->query_count++] = (struct sigv4_pair){name, value};
}
static inline void s3_header(struct s3_op *op, const char *name, const char *value)
{
    op->headers[op->header_count++] = (struct sigv4_pair){name, value};
}
/* What a URL has behind the server for `key`, not encoded, appended. */
void s3_put_path(const struct s3 *s3, const char *key, struct buf *out);

enum status s3_put_file(struct store *store, const char *path, struct id *id, uint64_t *bytes,
                        struct err *err);
enum status s3_get_file(struct store *store, const struct id *id, bool is_second, const char *path,
                        struct id *seen, struct err *err);
/* Is it there with `bytes`, and new, or made so? */
MUST_USE enum status s3_is_fresh(struct s3 *s3, const char *key, uint64_t bytes, bool *is_fresh,
                                 struct err *err);
bool s3_is_new(const struct s3_op *answer);
/* Copies it on the server; onto itself makes it new. What the server can't copy at once (over 5 GB)
 * is E_IO or E_LIMIT, what is not there E_NOTFOUND. */
MUST_USE enum status s3_copy(struct s3 *s3, const char *from, const char *to, struct err *err);
/* Makes it new where it lies. `*is_made` false: it is gone, or can't be copied. */
MUST_USE enum status s3_make_new(struct s3 *s3, const char *key, bool *is_made, struct err *err);
MUST_USE enum status s3_remove_key(struct s3 *s3, const char *key, struct err *err);
enum status s3_list(struct store *store, store_visit_item *visit, void *context, struct err *err);
enum status s3_list_objects(struct store *store, const struct store_range *range,
                            store_visit_object *visit, void *context, struct err *err);
enum status s3_renew(struct store *store, enum store_space space, const struct id *ids,
                     size_t count, bool *has, struct err *err);
enum status s3_sweep(struct store *store, int64_t before_s, bool removes,
                     struct store_leavings *out, struct err *err);
enum status s3_has(struct store *store, const struct id *ids, size_t count, bool *has,
                   struct err *err);
