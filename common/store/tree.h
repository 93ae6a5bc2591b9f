/* A directory as an artifact: its canonical manifest, whose hash is the tree id (design: §2).
 *
 *   manifest = canonical MessagePack [[path, executable, bytes, blob id], …] sorted by path bytes
 *   tree id  = BLAKE2b-256 of it with PERSON_TREE
 *
 * The manifest is kept under its tree id, by store_put_manifest and store_get_manifest of the back
 * end (folder `trees/ab/…`).
 *
 * Paths are relative, with '/', no empty, "." or ".." part, valid UTF-8, TREE_PATH_BYTES_MAX; a
 * hostile manifest is E_CORRUPT. Symlinks and special files are refused when a tree is made. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/store/store.h"
#include "proto/task_spec.h"

struct tree_entry {
    const char *path; /* view, not NUL-terminated */
    uint32_t path_bytes;
    bool is_executable;
    uint64_t bytes;
    struct id blob;
};

struct tree; /* a parsed manifest */

/* Puts every file below `folder`, then the manifest. */
MUST_USE enum status tree_put(struct store *store, const char *folder, struct artifact *out,
                              struct err *err);
/* Puts the manifest alone, of files whose blobs are in the store already; sorts `entries`. Errors:
 * E_INVALID a path that a manifest can't hold, or one that is there twice. */
MUST_USE enum status tree_put_entries(struct store *store, struct tree_entry *entries, size_t count,
                                      struct artifact *out, struct err *err);
/* Fetches the manifest, checks it against the tree id, fetches every blob into the new folder
 * `path`. */
MUST_USE enum status tree_get(struct store *store, const struct id *tree, const char *path,
                              struct err *err);
/* The manifest alone. */
MUST_USE enum status tree_open(struct store *store, const struct id *tree, struct tree **out,
                               struct err *err);
/* The same, but a manifest that does not match its id stays where it is. */
MUST_USE enum status tree_peek(struct store *store, const struct id *tree, struct tree **out,
                               struct err *err);
void tree_free(struct tree *tree);
size_t tree_count(const struct tree *tree);
struct tree_entry tree_entry(const struct tree *tree, size_t index);
/* Is the tree whole, manifest and blobs (presence)? Missing ids are appended to `missing` (struct
 * id each). */
MUST_USE enum status tree_check(struct store *store, const struct id *tree, struct buf *missing,
                                struct err *err);

/* As store_renew: is it whole, and new now? */
MUST_USE enum status tree_renew(struct store *store, const struct id *tree, bool *has,
                                struct err *err);

static inline void tree_free_auto(struct tree **tree)
{
    if (*tree)
        tree_free(*tree);
}
