/* Inside the folder back end: store_dir.c opens, writes and reads; store_dir_keep.c lists, removes,
 * puts aside, flushes; store_dir_objects.c has the named objects. Nobody else includes this. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/stat.h>

#include "common/store/backend.h"

enum { DIR_KEY_BYTES = 96 }; /* "blobs/ab/…", "tmp/…" */

struct dir {
    struct store base;
    int root;
    uint8_t *piece;
    uint64_t temp_prefix, temp_count;
};

static inline struct dir *dir_of(struct store *store)
{
    return (struct dir *)store;
}

static inline const char *dir_folder(enum store_space space)
{
    return space == STORE_BLOBS ? "blobs" : "trees";
}
/* The path of a blob or manifest in the store; returns `key`. */
const char *dir_key(enum store_space space, const struct id *id, char key[DIR_KEY_BYTES]);
/* An error about `key` inside the store. */
enum status dir_error(const struct dir *dir, int error, const char *key, const char *doing,
                      struct err *err);
MUST_USE enum status dir_make_folder(const struct dir *dir, const char *name, struct err *err);
/* The path of a file in tmp/ that nobody else uses. */
void dir_temp_name(struct dir *dir, char name[DIR_KEY_BYTES]);
/* A new file in tmp/ for writing; −1 and errno. */
int dir_open_temp(struct dir *dir, char name[DIR_KEY_BYTES]);
/* Into place, with the folders that it needs. */
MUST_USE enum status dir_rename(const struct dir *dir, const char *temp, const char *key,
                                struct err *err);

/* Is what stands there new, or can it be made so? */
bool dir_is_fresh(const struct dir *dir, const char *key, const struct stat *info);
/* Files of the folder from before `before_s`: counted, and removed if `removes`. */
void dir_sweep_folder(const struct dir *dir, const char *name, int64_t before_s, bool removes,
                      struct store_leavings *out);

enum status dir_renew(struct store *store, enum store_space space, const struct id *ids,
                      size_t count, bool *has, struct err *err);
enum status dir_remove_old(struct store *store, enum store_space space, const struct id *id,
                           int64_t before_s, bool *is_removed, struct err *err);
enum status dir_sweep(struct store *store, int64_t before_s, bool removes,
                      struct store_leavings *out, struct err *err);
enum status dir_list(struct store *store, store_visit_item *visit, void *context, struct err *err);
enum status dir_remove(struct store *store, enum store_space space, const struct id *id,
                       struct err *err);
enum status dir_quarantine(struct store *store, enum store_space space, const struct id *id,
                           struct err *err);
enum status dir_flush(struct store *store, struct err *err);
enum status dir_put_object(struct store *store, const char *key, const void *data, size_t bytes,
                           struct err *err);
enum status dir_get_object(struct store *store, const char *key, struct buf *out, struct err *err);
enum status dir_list_objects(struct store *store, const struct store_range *range,
                             store_visit_object *visit, void *context, struct err *err);
enum status dir_remove_object(struct store *store, const char *key, struct err *err);
