// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/id_map.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "proto/limits.h"

/* One artifact. Those that nobody uses form a list, the last used first; the free ones another. */
struct entry {
    struct id id;
    uint64_t bytes;
    uint32_t pins, newer, older;
    bool is_verified;
    struct file_state seen; /* of a blob or a tree's folder, when it was put there */
};

#define NO_ENTRY UINT32_MAX

enum {
    /* Workers that may share one cache folder besides the one that has it. */
    PRIVATE_MAX = 256
};

struct cache {
    char folder[CACHE_PATH_BYTES - 160], work[CACHE_PATH_BYTES - 128];
    bool is_private;
    int lock_fd;
    uint64_t bytes, max_bytes;
    struct entry *entries;
    uint32_t entry_count, capacity, newest, oldest, first_free;
    uint32_t count; /* of artifacts */
    struct id_map map;
};

static const struct id *id_at(const void *context, uint32_t index)
{
    return &((const struct cache *)context)->entries[index].id;
}

void cache_path(const struct cache *cache, const struct id *id, char out[CACHE_PATH_BYTES])
{
    char hex[ID_HEX_BYTES];
    id_hex(id, hex);
    snprintf(out, CACHE_PATH_BYTES, "%s/blobs/%s", cache->folder, hex);
}

/* Out of the list of what nobody uses. */
static void unlink_entry(struct cache *cache, uint32_t index)
{
    const struct entry *entry = &cache->entries[index];
    *(entry->newer == NO_ENTRY ? &cache->newest : &cache->entries[entry->newer].older) =
        entry->older;
    *(entry->older == NO_ENTRY ? &cache->oldest : &cache->entries[entry->older].newer) =
        entry->newer;
}

static void link_newest(struct cache *cache, uint32_t index)
{
    struct entry *entry = &cache->entries[index];
    entry->newer = NO_ENTRY;
    entry->older = cache->newest;
    *(cache->newest == NO_ENTRY ? &cache->oldest : &cache->entries[cache->newest].newer) = index;
    cache->newest = index;
}

static uint32_t new_entry(struct cache *cache, const struct id *id)
{
    uint32_t index = cache->first_free;
    if (index != NO_ENTRY) {
        cache->first_free = cache->entries[index].older;
    } else {
        if (cache->entry_count == cache->capacity) {
            cache->capacity = cache->capacity ? 2 * cache->capacity : 64;
            cache->entries = mem_resize(cache->entries, cache->capacity * sizeof *cache->entries);
        }
        index = cache->entry_count++;
    }
    cache->entries[index] = (struct entry){.id = *id};
    link_newest(cache, index);
    id_map_put(&cache->map, id, index);
    cache->count++;
    return index;
}

/* Nobody uses it. */
static void forget(struct cache *cache, uint32_t index)
{
    struct entry *entry = &cache->entries[index];
    ASSERT(!entry->pins);
    id_map_remove(&cache->map, &entry->id);
    unlink_entry(cache, index);
    cache->count--;
    cache->bytes -= entry->bytes;
    entry->older = cache->first_free;
    cache->first_free = index;
}

/* A file that can't be removed is overwritten when it is fetched again. */
static void drop(struct cache *cache, uint32_t index)
{
    char path[CACHE_PATH_BYTES];
    cache_path(cache, &cache->entries[index].id, path);
    if (unlink(path) && (errno == EISDIR || errno == EPERM))
        (void)!fs_remove_tree(path, NULL);
    forget(cache, index);
}

static void make_room(struct cache *cache)
{
    while (cache->oldest != NO_ENTRY &&
           (cache->bytes > cache->max_bytes || cache->count > CACHE_ENTRIES_MAX))
        drop(cache, cache->oldest);
}

/* What an earlier process left. Trees go: to verify them needs their manifests, which the store
 * has. */
static enum status scan(struct cache *cache, struct err *err)
{
    char path[CACHE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/blobs", cache->folder);
    DIR *folder = opendir(path);
    if (!folder)
        return fs_error(err, errno, path, "opendir");
    for (const struct dirent *item; (item = readdir(folder));) {
        struct id id;
        struct stat seen;
        if (!strcmp(item->d_name, ".") || !strcmp(item->d_name, ".."))
            continue;
        int bytes = snprintf(path, sizeof path, "%s/blobs/%s", cache->folder, item->d_name);
        if (bytes < 0 || (size_t)bytes >= sizeof path)
            continue;
        bool is_ours = id_parse(item->d_name, strlen(item->d_name), &id, NULL) == OK;
        if (!is_ours || lstat(path, &seen) || !S_ISREG(seen.st_mode)) {
            (void)!fs_remove_tree(path, NULL);
            continue;
        }
        uint32_t index = new_entry(cache, &id); /* may move the entries */
        struct entry *entry = &cache->entries[index];
        entry->bytes = (uint64_t)seen.st_size;
        cache->bytes += entry->bytes;
    }
    closedir(folder);
    make_room(cache);
    return OK;
}

/* Makes the folder and takes it for this process; `lock_fd` < 0 where another one has it. */
static enum status take(struct cache *cache, struct err *err)
{
    char path[CACHE_PATH_BYTES];
    TRY(fs_make_dirs(cache->folder, err));
    snprintf(path, sizeof path, "%s/lock", cache->folder);
    cache->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (cache->lock_fd < 0)
        return fs_error(err, errno, path, "open");
    if (flock(cache->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return OK;
    close(cache->lock_fd);
    cache->lock_fd = -1;
    return OK;
}

/* The folder itself, or the first private one inside that nobody has: what a killed worker left
 * there is the next one's to clear. */
static enum status take_folder(struct cache *cache, const char *folder, struct err *err)
{
    const size_t room = sizeof cache->folder - 64;
    TRY(fs_make_dirs(folder, err));
    char *real = realpath(folder, NULL);
    if (!real)
        return fs_error(err, errno, folder, "realpath");
    int bytes = snprintf(cache->folder, room, "%s", real);
    free(real); /* realpath's own */
    if (bytes < 0 || (size_t)bytes >= room)
        return err_set(err, E_LIMIT, "%s: the path is too long for a cache folder", folder);
    TRY(take(cache, err));
    for (int i = 1; cache->lock_fd < 0; i++) {
        if (i > PRIVATE_MAX)
            return err_set(err, E_LIMIT,
                           "%s: more than %d workers share it; expected --cache FOLDER", folder,
                           PRIVATE_MAX);
        snprintf(cache->folder + bytes, sizeof cache->folder - (size_t)bytes, "/private-%d", i);
        cache->is_private = true;
        TRY(take(cache, err));
    }
    return OK;
}

enum status cache_open(const char *folder, uint64_t max_bytes, struct cache **out, struct err *err)
{
    char path[CACHE_PATH_BYTES];
    *out = NULL;
    AUTO(cache_close) struct cache *cache = mem_alloc(sizeof *cache);
    cache->lock_fd = -1;
    cache->max_bytes = max_bytes;
    cache->newest = cache->oldest = cache->first_free = NO_ENTRY;
    cache->map = id_map_init(id_at, cache);
    TRY(take_folder(cache, folder, err));
    snprintf(path, sizeof path, "%s/blobs", cache->folder);
    TRY(fs_make_dirs(path, err));
    snprintf(cache->work, sizeof cache->work, "%s/work", cache->folder);
    TRY(fs_remove_tree(cache->work, err));
    TRY(fs_make_dirs(cache->work, err));
    TRY(scan(cache, err));
    *out = TAKE(cache);
    return OK;
}

void cache_close(struct cache *cache)
{
    char path[CACHE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/blobs", cache->folder);
    if (cache->is_private && cache->lock_fd >= 0)
        (void)!fs_remove_tree(path, NULL);
    if (*cache->work)
        (void)!fs_remove_tree(cache->work, NULL);
    if (cache->lock_fd >= 0)
        close(cache->lock_fd);
    id_map_fini(&cache->map);
    mem_free(cache->entries);
    mem_free(cache);
}

static void add_pins(struct cache *cache, uint32_t index, uint32_t pins)
{
    if (!cache->entries[index].pins && pins)
        unlink_entry(cache, index);
    cache->entries[index].pins += pins;
}

bool cache_pin(struct cache *cache, const struct id *id)
{
    char path[CACHE_PATH_BYTES];
    struct file_state now;
    uint32_t index = id_map_get(&cache->map, id);
    if (index == ID_MAP_NONE)
        return false;
    struct entry *entry = &cache->entries[index];
    if (!entry->is_verified) { /* whoever verifies it now must not find it evicted meanwhile */
        if (!entry->pins)
            forget(cache, index);
        return false;
    }
    cache_path(cache, id, path);
    if (!file_state_read(path, &now) || !file_state_is_same(&now, &entry->seen)) {
        if (!entry->pins) /* whoever uses it has the changed file; the next one gets a fresh copy */
            drop(cache, index);
        return false;
    }
    add_pins(cache, index, 1);
    return true;
}

void cache_unpin(struct cache *cache, const struct id *id)
{
    uint32_t index = id_map_get(&cache->map, id);
    if (index != ID_MAP_NONE && cache->entries[index].pins && !--cache->entries[index].pins)
        link_newest(cache, index);
    make_room(cache);
}

static void add(struct cache *cache, const struct artifact *artifact, uint32_t pins)
{
    char path[CACHE_PATH_BYTES];
    uint32_t index = id_map_get(&cache->map, &artifact->id);
    if (index == ID_MAP_NONE)
        index = new_entry(cache, &artifact->id);
    struct entry *entry = &cache->entries[index];
    cache_path(cache, &artifact->id, path);
    cache->bytes -= entry->bytes;
    entry->is_verified = file_state_read(path, &entry->seen);
    entry->bytes = artifact->is_tree ? artifact->bytes : (uint64_t)entry->seen.bytes;
    add_pins(cache, index, pins);
    cache->bytes += entry->bytes;
    make_room(cache);
}

void cache_add(struct cache *cache, const struct artifact *artifact)
{
    add(cache, artifact, 1);
}

/* Another process's leftover may lie there, not verified yet: the rename replaces it. */
void cache_adopt(struct cache *cache, const struct artifact *artifact, const char *from,
                 const struct seal *seal)
{
    char path[CACHE_PATH_BYTES];
    struct file_state now;
    uint32_t index = id_map_get(&cache->map, &artifact->id);
    bool is_known = index != ID_MAP_NONE && cache->entries[index].is_verified;
    if (is_known || !seal->is_sealed || artifact->bytes > cache->max_bytes)
        return;
    cache_path(cache, &artifact->id, path);
    if (!file_state_read(from, &now) || !file_state_is_same(&now, &seal->seen) ||
        rename(from, path))
        return;
    add(cache, artifact, 0);
}

const char *cache_work_folder(const struct cache *cache)
{
    return cache->work;
}

uint64_t cache_bytes(const struct cache *cache)
{
    return cache->bytes;
}
