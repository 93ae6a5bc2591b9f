// SPDX-License-Identifier: Apache-2.0
#include "broker/source/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/id_map.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/fs.h"

enum {
    RACY_US = 2000000,
    ENTRIES_MAX = 1000000, /* as many as one tree may have; more are not remembered */
    FILE_BYTES_MAX = 1 << 30,
};

struct entry {
    struct id key; /* of the path */
    struct id blob;
    uint64_t bytes, inode;
    int64_t mtime_ns, ctime_ns;
    const char *path;
};

struct source_cache {
    struct arena arena;
    char *file;
    struct entry *entries;
    uint32_t count, capacity;
    struct id_map map;
    bool is_dirty;
};

static const struct id *key_at(const void *context, uint32_t index)
{
    const struct source_cache *cache = context;
    return &cache->entries[index].key;
}

static struct entry *add(struct source_cache *cache, const char *path)
{
    struct id key;
    hash_bytes(NULL, path, strlen(path), &key);
    uint32_t index = id_map_get(&cache->map, &key);
    if (index != ID_MAP_NONE)
        return &cache->entries[index];
    if (cache->count == ENTRIES_MAX)
        return NULL;
    if (cache->count == cache->capacity) {
        cache->capacity = cache->capacity ? 2 * cache->capacity : 64;
        cache->entries = mem_resize(cache->entries, cache->capacity * sizeof *cache->entries);
    }
    struct entry *entry = &cache->entries[cache->count];
    *entry = (struct entry){.key = key, .path = arena_text(&cache->arena, path, strlen(path))};
    id_map_put(&cache->map, &key, cache->count++);
    return entry;
}

/* Damaged lines are skipped: a cache that forgets costs a read. */
static void read_line(struct source_cache *cache, const char *line)
{
    struct entry read = {0};
    int path_at = 0;
    if (strlen(line) < ID_HEX_BYTES || id_parse(line, ID_HEX_BYTES - 1, &read.blob, NULL) != OK)
        return;
    int fields =
        sscanf(line + ID_HEX_BYTES - 1, " %" SCNu64 " %" SCNd64 " %" SCNd64 " %" SCNu64 " %n",
               &read.bytes, &read.mtime_ns, &read.ctime_ns, &read.inode, &path_at);
    const char *path = line + ID_HEX_BYTES - 1 + path_at;
    struct entry *entry = fields == 4 && path_at && *path == '/' ? add(cache, path) : NULL;
    if (!entry)
        return;
    read.key = entry->key;
    read.path = entry->path;
    *entry = read;
}

struct source_cache *source_cache_open(const char *path)
{
    struct source_cache *cache = mem_alloc(sizeof *cache);
    cache->file = mem_copy_text(path, strlen(path));
    cache->map = id_map_init(key_at, cache);
    AUTO(buf_fini) struct buf text = buf_init(FILE_BYTES_MAX);
    struct err err;
    if (fs_read(path, &text, &err) != OK || !text.count)
        return cache;
    buf_put_char(&text, 0);
    for (char *line = (char *)text.bytes, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        read_line(cache, line);
    }
    return cache;
}

void source_cache_free(struct source_cache *cache)
{
    id_map_fini(&cache->map);
    mem_free(cache->entries);
    mem_free(cache->file);
    arena_fini(&cache->arena);
    mem_free(cache);
}

enum status source_cache_save(struct source_cache *cache, struct err *err)
{
    if (!cache->is_dirty)
        return OK;
    AUTO(buf_fini) struct buf text = buf_init(FILE_BYTES_MAX);
    for (uint32_t i = 0; i < cache->count; i++) {
        const struct entry *entry = &cache->entries[i];
        char hex[ID_HEX_BYTES];
        buf_format(&text, "%s %" PRIu64 " %" PRId64 " %" PRId64 " %" PRIu64 " %s\n",
                   id_hex(&entry->blob, hex), entry->bytes, entry->mtime_ns, entry->ctime_ns,
                   entry->inode, entry->path);
    }
    TRY(buf_check(&text, "the source cache", err));
    TRY(fs_write(cache->file, text.bytes, text.count, err));
    cache->is_dirty = false;
    return OK;
}

static int64_t nanoseconds(struct timespec at)
{
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

bool source_cache_get(struct source_cache *cache, const char *path, const struct stat *now,
                      struct id *id)
{
    struct id key;
    hash_bytes(NULL, path, strlen(path), &key);
    uint32_t index = id_map_get(&cache->map, &key);
    if (index == ID_MAP_NONE)
        return false;
    const struct entry *entry = &cache->entries[index];
    *id = entry->blob;
    return entry->bytes == (uint64_t)now->st_size && entry->inode == (uint64_t)now->st_ino &&
           entry->mtime_ns == nanoseconds(now->st_mtim) &&
           entry->ctime_ns == nanoseconds(now->st_ctim);
}

void source_cache_put(struct source_cache *cache, const char *path, const struct stat *now,
                      int64_t hashed_at_us, const struct id *id)
{
    int64_t mtime_ns = nanoseconds(now->st_mtim), ctime_ns = nanoseconds(now->st_ctim);
    int64_t newest_us = (mtime_ns > ctime_ns ? mtime_ns : ctime_ns) / 1000;
    if (newest_us + RACY_US > hashed_at_us || strchr(path, '\n'))
        return;
    struct entry *entry = add(cache, path);
    if (!entry)
        return;
    *entry = (struct entry){.key = entry->key,
                            .blob = *id,
                            .bytes = (uint64_t)now->st_size,
                            .inode = (uint64_t)now->st_ino,
                            .mtime_ns = mtime_ns,
                            .ctime_ns = ctime_ns,
                            .path = entry->path};
    cache->is_dirty = true;
}
