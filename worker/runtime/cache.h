/* Artifacts on this machine: a content-addressed folder of bounded size and number, the longest
 * unused go first.
 *
 *   FOLDER/lock            held while a worker uses the folder
 *   FOLDER/private-N/      what another worker takes meanwhile: laid out like FOLDER, emptied
 *                          when that worker ends
 *   FOLDER/blobs/<64 hex>  a file (0444), or a folder for a tree
 *   FOLDER/work/           work folders of jobs; emptied at start
 *
 * What this process put there it has verified while copying, or while it was stored (what its own
 * jobs made), and trusts while size, inode and change time stay the same; what an earlier process
 * left is verified once more before its first use. An entry that a job uses is pinned and stays.
 * The cache knows no store, and shares no file with one: mover.c fills it with copies,
 * cache_adopt() with what is nobody else's.
 * Thread: the loop's. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"
#include "proto/task_spec.h"
#include "worker/runtime/seal.h"

struct cache;

enum { CACHE_PATH_BYTES = 4096 };

/* Errors: E_IO, E_DENIED, E_FULL; E_LIMIT too many workers share the folder. */
MUST_USE enum status cache_open(const char *folder, uint64_t max_bytes, struct cache **out,
                                struct err *err);
/* Removes the work folder, and what a private folder holds. */
void cache_close(struct cache *cache);
/* Is the artifact here, and still what it was? Then it is pinned. */
bool cache_pin(struct cache *cache, const struct id *id);
void cache_unpin(struct cache *cache, const struct id *id);
/* Where the artifact lies, or has to be put. */
void cache_path(const struct cache *cache, const struct id *id, char out[CACHE_PATH_BYTES]);
/* It lies there now, verified: pinned once. Makes room by removing what is unpinned. */
void cache_add(struct cache *cache, const struct artifact *artifact);
/* An artifact that a job left at `from`, in a work folder, and that was hashed since it was sealed:
 * it is moved here, not pinned, if it fits. Where that fails nothing is lost: it is fetched when it
 * is needed. Nobody may be fetching it. */
void cache_adopt(struct cache *cache, const struct artifact *artifact, const char *from,
                 const struct seal *seal);
/* The folder for work folders, absolute. */
const char *cache_work_folder(const struct cache *cache);
uint64_t cache_bytes(const struct cache *cache);

static inline void cache_close_auto(struct cache **cache)
{
    if (*cache)
        cache_close(*cache);
}
