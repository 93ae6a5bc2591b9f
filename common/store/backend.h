/* What a store back end implements; seen by common/store/ alone. Each back end is one file that
 * exports one `const struct store_backend`, listed in store.c's table.
 *
 * A back end moves bytes and does not judge them: store.c hashes what comes back, asks a second
 * time (`is_second`: past every cache), quarantines, and checks the keys of objects. So all of
 * them, and the faults injected into them, are verified by the same code. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/store/store.h"

/* Blobs by their id, manifests of trees by their tree id. */
enum store_space { STORE_BLOBS, STORE_TREES };

typedef enum status store_visit_item(void *context, const struct store_item *item, struct err *err);
typedef enum status store_visit_object(void *context, const struct store_object *object,
                                       struct err *err);

struct store_backend {
    const char *scheme; /* what the URL begins with: "mem:" */
    bool is_remote;
    enum status (*open)(const char *url, struct store **out, struct err *err);
    void (*close)(struct store *store);
    const char *(*advice)(const struct store *store);       /* NULL: there is none */
    void (*set_patience)(struct store *store, uint32_t ms); /* NULL: nothing to wait for */
    /* Hashes the file while it copies it. */
    enum status (*put_file)(struct store *store, const char *path, struct id *id, uint64_t *bytes,
                            struct err *err);
    /* `id` is that of the bytes. */
    enum status (*put)(struct store *store, enum store_space space, const struct id *id,
                       const void *data, size_t bytes, struct err *err);
    /* Makes the new file `path` and tells the id of the bytes it got; `path` NULL: tells the id
     * alone. What a failure leaves there, store.c removes. */
    enum status (*get_file)(struct store *store, const struct id *id, bool is_second,
                            const char *path, struct id *seen, struct err *err);
    enum status (*get)(struct store *store, enum store_space space, const struct id *id,
                       bool is_second, struct buf *out, struct err *err);
    enum status (*has)(struct store *store, const struct id *ids, size_t count, bool *has,
                       struct err *err);
    enum status (*list)(struct store *store, store_visit_item *visit, void *context,
                        struct err *err);
    enum status (*remove)(struct store *store, enum store_space space, const struct id *id,
                          struct err *err);
    enum status (*renew)(struct store *store, enum store_space space, const struct id *ids,
                         size_t count, bool *has, struct err *err);
    enum status (*remove_old)(struct store *store, enum store_space space, const struct id *id,
                              int64_t before_s, bool *is_removed, struct err *err);
    enum status (*quarantine)(struct store *store, enum store_space space, const struct id *id,
                              struct err *err);
    enum status (*sweep)(struct store *store, int64_t before_s, bool removes,
                         struct store_leavings *out,
                         struct err *err); /* NULL: nothing lies about */
    enum status (*flush)(struct store *store, struct err *err);
    enum status (*put_object)(struct store *store, const char *key, const void *data, size_t bytes,
                              struct err *err);
    enum status (*get_object)(struct store *store, const char *key, struct buf *out,
                              struct err *err);
    /* `prefix` begins with a whole first part: "journal/…". */
    enum status (*list_objects)(struct store *store, const struct store_range *range,
                                store_visit_object *visit, void *context, struct err *err);
    enum status (*remove_object)(struct store *store, const char *key, struct err *err);
    enum status (*presign)(struct store *store, const struct store_presign *presign,
                           struct buf *url, struct err *err); /* NULL: E_UNSUPPORTED */
};

/* Every back end's struct begins with this; store.c fills it after `open` and frees the url. */
struct store {
    const struct store_backend *backend;
    char *url;
};

extern const struct store_backend store_dir, store_s3, store_mem, store_null, store_fault;

/* "blob 0123… is not in URL". */
enum status store_absent(const struct store *store, enum store_space space, const struct id *id,
                         struct err *err);
/* "KEY is not in the store URL". */
enum status store_absent_object(const struct store *store, const char *key, struct err *err);
