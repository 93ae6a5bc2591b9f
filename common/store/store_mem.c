/* A store in memory, for tests and dry runs. Each handle has its own. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/id_map.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/hash.h"
#include "common/fs.h"
#include "common/store/backend.h"

struct item {
    struct id id;
    enum store_space space;
    uint8_t *data;
    size_t bytes;
    int64_t modified_s;
};

struct object {
    char *key;
    struct buf data;
    int64_t modified_s;
};

struct memory {
    struct store base;
    struct item *items; /* dense: a removed one is replaced by the last */
    uint32_t count, capacity;
    struct id_map map;      /* blob and tree ids can't collide, so one map serves both */
    struct object *objects; /* sorted by key */
    size_t object_count;
};

static struct memory *memory_of(struct store *store)
{
    return (struct memory *)store;
}

static const struct id *id_at(const void *context, uint32_t index)
{
    return &((const struct memory *)context)->items[index].id;
}

static enum status mem_open(const char *url, struct store **out, struct err *err)
{
    if (strcmp(url, "mem:") != 0)
        return err_set(err, E_INVALID, "%s: a store in memory has no name; write \"mem:\"", url);
    struct memory *memory = mem_alloc(sizeof *memory);
    memory->map = id_map_init(id_at, memory);
    *out = &memory->base;
    return OK;
}

static void mem_close(struct store *store)
{
    struct memory *memory = memory_of(store);
    for (uint32_t i = 0; i < memory->count; i++)
        mem_free(memory->items[i].data);
    mem_free(memory->items);
    for (size_t i = 0; i < memory->object_count; i++) {
        mem_free(memory->objects[i].key);
        buf_fini(&memory->objects[i].data);
    }
    mem_free(memory->objects);
    id_map_fini(&memory->map);
    mem_free(memory);
}

static struct item *find(struct memory *memory, enum store_space space, const struct id *id)
{
    uint32_t index = id_map_get(&memory->map, id);
    if (index == ID_MAP_NONE || memory->items[index].space != space)
        return NULL;
    return &memory->items[index];
}

static int64_t now_s(void)
{
    return clock_epoch_us() / 1000000;
}

static enum status mem_put(struct store *store, enum store_space space, const struct id *id,
                           const void *data, size_t bytes, struct err *err)
{
    struct memory *memory = memory_of(store);
    uint32_t known = id_map_get(&memory->map, id);
    if (known != ID_MAP_NONE) {
        memory->items[known].modified_s = now_s();
        return OK;
    }
    void *copy;
    TRY(mem_try(bytes, 1, "blob", &copy, err));
    if (bytes)
        memcpy(copy, data, bytes);
    if (memory->count == memory->capacity) {
        memory->capacity = memory->capacity ? memory->capacity * 2 : 64;
        memory->items = mem_resize(memory->items, memory->capacity * sizeof *memory->items);
    }
    memory->items[memory->count] = (struct item){*id, space, copy, bytes, now_s()};
    id_map_put(&memory->map, id, memory->count++);
    return OK;
}

static enum status mem_put_file(struct store *store, const char *path, struct id *id,
                                uint64_t *bytes, struct err *err)
{
    AUTO(buf_fini) struct buf content = buf_init(0);
    TRY(fs_read(path, &content, err));
    hash_bytes(NULL, content.bytes, content.count, id);
    *bytes = content.count;
    return mem_put(store, STORE_BLOBS, id, content.bytes, content.count, err);
}

static enum status mem_get(struct store *store, enum store_space space, const struct id *id,
                           bool is_second, struct buf *out, struct err *err)
{
    (void)is_second;
    const struct item *item = find(memory_of(store), space, id);
    if (!item)
        return store_absent(store, space, id, err);
    TRY(buf_try_reserve(out, item->bytes, "blob", err));
    buf_put(out, item->data, item->bytes);
    return OK;
}

static enum status mem_get_file(struct store *store, const struct id *id, bool is_second,
                                const char *path, struct id *seen, struct err *err)
{
    (void)is_second;
    const struct item *item = find(memory_of(store), STORE_BLOBS, id);
    if (!item)
        return store_absent(store, STORE_BLOBS, id, err);
    hash_bytes(NULL, item->data, item->bytes, seen);
    return path ? fs_write(path, item->data, item->bytes, err) : OK;
}

static enum status mem_has(struct store *store, const struct id *ids, size_t count, bool *has,
                           struct err *err)
{
    (void)err;
    for (size_t i = 0; i < count; i++)
        has[i] = find(memory_of(store), STORE_BLOBS, &ids[i]) != NULL;
    return OK;
}

static enum status mem_renew(struct store *store, enum store_space space, const struct id *ids,
                             size_t count, bool *has, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < count; i++) {
        struct item *item = find(memory_of(store), space, &ids[i]);
        has[i] = item != NULL;
        if (item)
            item->modified_s = now_s();
    }
    return OK;
}

static enum status mem_list(struct store *store, store_visit_item *visit, void *context,
                            struct err *err)
{
    const struct memory *memory = memory_of(store);
    for (uint32_t i = 0; i < memory->count; i++) {
        const struct item *item = &memory->items[i];
        const struct store_item told = {.id = item->id,
                                        .is_manifest = item->space == STORE_TREES,
                                        .bytes = item->bytes,
                                        .modified_s = item->modified_s};
        TRY(visit(context, &told, err));
    }
    return OK;
}

static void drop(struct memory *memory, enum store_space space, const struct id *id)
{
    struct item *item = find(memory, space, id);
    if (!item)
        return;
    struct item *last = &memory->items[memory->count - 1];
    mem_free(item->data);
    id_map_remove(&memory->map, id);
    if (item != last) {
        struct id moved = last->id;
        id_map_remove(&memory->map, &moved);
        *item = *last;
        id_map_put(&memory->map, &moved, (uint32_t)(item - memory->items));
    }
    memory->count--;
}

static enum status mem_remove(struct store *store, enum store_space space, const struct id *id,
                              struct err *err)
{
    (void)err;
    drop(memory_of(store), space, id);
    return OK;
}

static enum status mem_remove_old(struct store *store, enum store_space space, const struct id *id,
                                  int64_t before_s, bool *is_removed, struct err *err)
{
    (void)err;
    const struct item *item = find(memory_of(store), space, id);
    *is_removed = item && item->modified_s < before_s;
    if (*is_removed)
        drop(memory_of(store), space, id);
    return OK;
}

/* Nobody can look into memory afterwards, so what is put aside is dropped. */
static enum status mem_quarantine(struct store *store, enum store_space space, const struct id *id,
                                  struct err *err)
{
    (void)err;
    drop(memory_of(store), space, id);
    return OK;
}

static enum status mem_flush(struct store *store, struct err *err)
{
    (void)store;
    (void)err;
    return OK;
}

/* ---- named objects ---- */

/* Where `key` is, or where it belongs. */
static size_t place_of(const struct memory *memory, const char *key, bool *is_there)
{
    size_t low = 0, high = memory->object_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(memory->objects[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *is_there = low < memory->object_count && strcmp(memory->objects[low].key, key) == 0;
    return low;
}

static enum status mem_put_object(struct store *store, const char *key, const void *data,
                                  size_t bytes, struct err *err)
{
    struct memory *memory = memory_of(store);
    AUTO(buf_fini) struct buf copy = buf_init(0);
    TRY(buf_try_reserve(&copy, bytes, key, err));
    buf_put(&copy, data, bytes);
    bool is_there;
    size_t at = place_of(memory, key, &is_there);
    if (!is_there) {
        size_t behind = memory->object_count - at, size = sizeof *memory->objects;
        memory->objects = mem_resize(memory->objects, (memory->object_count + 1) * size);
        memmove(memory->objects + at + 1, memory->objects + at, behind * size);
        memory->objects[at] = (struct object){.key = mem_copy_text(key, strlen(key))};
        memory->object_count++;
    }
    buf_fini(&memory->objects[at].data);
    memory->objects[at].data = copy;
    memory->objects[at].modified_s = now_s();
    copy = buf_init(0);
    return OK;
}

static enum status mem_get_object(struct store *store, const char *key, struct buf *out,
                                  struct err *err)
{
    const struct memory *memory = memory_of(store);
    bool is_there;
    size_t at = place_of(memory, key, &is_there);
    if (!is_there)
        return store_absent_object(store, key, err);
    const struct buf *data = &memory->objects[at].data;
    TRY(buf_try_reserve(out, data->count, key, err));
    buf_put(out, data->bytes, data->count);
    return OK;
}

static enum status mem_list_objects(struct store *store, const struct store_range *range,
                                    store_visit_object *visit, void *context, struct err *err)
{
    const struct memory *memory = memory_of(store);
    const char *prefix = range->prefix;
    bool is_there;
    for (size_t i = place_of(memory, prefix, &is_there); i < memory->object_count; i++) {
        const struct object *object = &memory->objects[i];
        if (strncmp(object->key, prefix, strlen(prefix)) != 0)
            break;
        if (range->after && strcmp(object->key, range->after) <= 0)
            continue;
        const struct store_object told = {object->key, object->data.count, object->modified_s};
        TRY(visit(context, &told, err));
    }
    return OK;
}

static enum status mem_remove_object(struct store *store, const char *key, struct err *err)
{
    (void)err;
    struct memory *memory = memory_of(store);
    bool is_there;
    size_t at = place_of(memory, key, &is_there);
    if (!is_there)
        return OK;
    mem_free(memory->objects[at].key);
    buf_fini(&memory->objects[at].data);
    memory->object_count--;
    memmove(memory->objects + at, memory->objects + at + 1,
            (memory->object_count - at) * sizeof *memory->objects);
    return OK;
}

const struct store_backend store_mem = {
    .scheme = "mem:",
    .open = mem_open,
    .close = mem_close,
    .put_file = mem_put_file,
    .put = mem_put,
    .get_file = mem_get_file,
    .get = mem_get,
    .has = mem_has,
    .list = mem_list,
    .renew = mem_renew,
    .remove = mem_remove,
    .remove_old = mem_remove_old,
    .quarantine = mem_quarantine,
    .flush = mem_flush,
    .put_object = mem_put_object,
    .get_object = mem_get_object,
    .list_objects = mem_list_objects,
    .remove_object = mem_remove_object,
};
