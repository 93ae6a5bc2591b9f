/* What a store back end implements; seen by common/store/ alone. Each back end is one file that exports one
 * `const struct store_backend`, listed in store.c's table. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/store/store.h"

struct store_backend {
    const char *scheme; /* "file", "mem", "fault+file", … */
    enum status (*open)(const char *url, struct store **out, struct err *err);
    void (*close)(struct store *store);
    enum status (*put_file)(struct store *, const char *path, struct id *, uint64_t *bytes, struct err *);
    enum status (*put)(struct store *, const void *data, size_t bytes, struct id *, struct err *);
    enum status (*get_file)(struct store *, const struct id *, const char *path, struct err *);
    enum status (*get)(struct store *, const struct id *, struct buf *out, struct err *);
    enum status (*has)(struct store *, const struct id *ids, size_t count, bool *has, struct err *);
    enum status (*list)(struct store *, enum status (*visit)(void *, const struct id *, uint64_t, struct err *),
                        void *context, struct err *);
    enum status (*remove)(struct store *, const struct id *, struct err *);
    enum status (*quarantine)(struct store *, const struct id *, struct err *);
    enum status (*flush)(struct store *, struct err *);
};

/* Every back end's struct begins with this. */
struct store {
    const struct store_backend *backend;
    char *url;
};

extern const struct store_backend store_dir, store_mem, store_fault;
