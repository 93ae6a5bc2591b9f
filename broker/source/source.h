/* What a pipeline takes from outside: a path, a folder or a glob, relative to the pipeline file,
 * hashed while it is copied into the store. A file is a blob; a folder, or the matches of a glob,
 * is a tree (a glob's paths begin behind its last folder without a wildcard: `data/2*.csv` holds
 * `2023.csv`).
 *
 * The cache remembers what a file hashed to, so that an unchanged one isn't read again: by path,
 * size, mtime, ctime and inode. A file that was changed within 2 s of the time it was hashed is not
 * remembered, since a later change could leave all of these as they are (git's "racily clean"
 * rule). The store is asked, too: what it lacks is put again. One thread. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/store/store.h"
#include "proto/source_need.h"
#include "proto/task_spec.h"

struct source_cache;

/* Reads the cache file `path`; a missing or damaged one is an empty cache. Never NULL. */
struct source_cache *source_cache_open(const char *path);
/* Writes it back if anything was learnt. Errors: E_IO …; nothing is lost but time. */
MUST_USE enum status source_cache_save(struct source_cache *cache, struct err *err);
void source_cache_free(struct source_cache *cache);
DEFINE_AUTO(struct source_cache *, source_cache_free)

/* `base_dir` is the pipeline file's folder; `cache` may be NULL. Errors, all naming source, place
 * and path: E_NOTFOUND a missing file, a glob without a match; E_INVALID a symlink or device in a
 * folder; E_UNSUPPORTED a URL; E_IO, E_FULL, E_DENIED. */
MUST_USE enum status source_resolve(const struct source_need *need, const char *base_dir,
                                    struct store *store, struct source_cache *cache,
                                    struct artifact *out, struct err *err);
