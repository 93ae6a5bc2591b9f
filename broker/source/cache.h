/* The memory of source.c; see source.h for when an entry is trusted. A text file, one line an
 * entry: `blob-id bytes mtime_ns ctime_ns inode path`. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <sys/stat.h>

#include "broker/source/source.h"

/* Fills `*id` if the file at the absolute `path`, which looks like `now`, was hashed before. */
bool source_cache_get(struct source_cache *cache, const char *path, const struct stat *now,
                      struct id *id);
/* `hashed_at_us`: the time before its first byte was read. */
void source_cache_put(struct source_cache *cache, const char *path, const struct stat *now,
                      int64_t hashed_at_us, const struct id *id);
