// SPDX-License-Identifier: Apache-2.0
#include "common/store/tree.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "proto/codec.h"
#include "proto/limits.h"

enum { ENTRY_FIELDS = 4, HAS_BATCH = 4096 };

struct tree {
    struct buf manifest; /* entries are views into it, or into `names` while a tree is made */
    struct arena names;
    struct tree_entry *entries;
    size_t count, capacity;
};

void tree_free(struct tree *tree)
{
    buf_fini(&tree->manifest);
    arena_fini(&tree->names);
    mem_free(tree->entries);
    mem_free(tree);
}

static struct tree *tree_new(void)
{
    struct tree *tree = mem_alloc(sizeof *tree);
    tree->manifest = buf_init(MANIFEST_BYTES_MAX);
    return tree;
}

size_t tree_count(const struct tree *tree)
{
    return tree->count;
}

struct tree_entry tree_entry(const struct tree *tree, size_t index)
{
    return tree->entries[index];
}

static enum status add_entry(struct tree *tree, const struct tree_entry *entry, struct err *err)
{
    if (tree->count == tree->capacity) {
        size_t capacity = tree->capacity ? tree->capacity * 2 : 64;
        void *memory = tree->entries;
        TRY(mem_try_resize(&memory, capacity, sizeof *tree->entries, "the files of a tree", err));
        tree->entries = memory;
        tree->capacity = capacity;
    }
    tree->entries[tree->count++] = *entry;
    return OK;
}

/* ---- what a path may be ---- */

/* One name between slashes: not empty, not "." or "..". */
static bool is_part(const char *part, size_t bytes)
{
    return bytes && !(part[0] == '.' && (bytes == 1 || (bytes == 2 && part[1] == '.')));
}

static bool is_path(const char *path, size_t bytes)
{
    if (bytes == 0 || bytes > TREE_PATH_BYTES_MAX || memchr(path, 0, bytes) ||
        !mp_is_utf8(path, bytes))
        return false;
    for (size_t start = 0; start <= bytes;) {
        const char *slash = start < bytes ? memchr(path + start, '/', bytes - start) : NULL;
        size_t end = slash ? (size_t)(slash - path) : bytes;
        if (!is_part(path + start, end - start))
            return false;
        start = end + 1;
    }
    return true;
}

static int compare_paths(const struct tree_entry *a, const struct tree_entry *b)
{
    return mp_compare(a->path, a->path_bytes, b->path, b->path_bytes);
}

static int compare_entries(const void *a, const void *b)
{
    return compare_paths(a, b);
}

/* Is a folder that `entry` lies in a file of the same tree? */
static bool lies_in_file(const struct tree *tree, const struct tree_entry *entry)
{
    for (uint32_t i = 1; i < entry->path_bytes; i++) {
        const struct tree_entry folder = {.path = entry->path, .path_bytes = i};
        if (entry->path[i] == '/' &&
            bsearch(&folder, tree->entries, tree->count, sizeof *tree->entries, compare_entries))
            return true;
    }
    return false;
}

/* ---- the manifest ---- */

static void write_entries(const struct tree *tree, struct mp_writer *w)
{
    mp_write_array(w, (uint32_t)tree->count);
    for (size_t i = 0; i < tree->count; i++) {
        const struct tree_entry *entry = &tree->entries[i];
        mp_write_array(w, ENTRY_FIELDS);
        mp_write_str(w, entry->path, entry->path_bytes);
        mp_write_bool(w, entry->is_executable);
        mp_write_uint(w, entry->bytes);
        mp_write_id(w, &entry->blob);
    }
}

static size_t measure(const struct tree *tree)
{
    struct mp_writer w = mp_writer(NULL, 0);
    write_entries(tree, &w);
    return w.need;
}

static enum status read_entries(struct tree *tree, struct err *err)
{
    struct mp_reader r = mp_reader(tree->manifest.bytes, tree->manifest.count);
    uint32_t count = mp_read_array(&r);
    if (count > TREE_ENTRIES_MAX)
        return err_set(err, E_CORRUPT, "%u files, at most %d", count, TREE_ENTRIES_MAX);
    for (uint32_t i = 0; i < count && !r.is_bad; i++) {
        struct tree_entry entry = {0};
        if (mp_read_array(&r) != ENTRY_FIELDS)
            return err_set(err, E_CORRUPT, "file %u does not have 4 fields", i);
        entry.path = mp_read_str(&r, &entry.path_bytes);
        entry.is_executable = mp_read_bool(&r);
        entry.bytes = mp_read_uint(&r);
        mp_read_id(&r, &entry.blob);
        if (r.is_bad)
            break;
        if (!is_path(entry.path, entry.path_bytes))
            return err_set(err, E_CORRUPT, "file %u has a forbidden path", i);
        if (i && compare_paths(&tree->entries[i - 1], &entry) >= 0)
            return err_set(err, E_CORRUPT, "file %u is not in order", i);
        TRY(add_entry(tree, &entry, err));
    }
    if (mp_reader_finish(&r, "manifest", err) != OK)
        return err_set(err, E_CORRUPT, "malformed at byte %zu",
                       (size_t)(r.at - tree->manifest.bytes));
    if (measure(tree) != tree->manifest.count)
        return err_set(err, E_CORRUPT, "not in canonical form");
    for (size_t i = 0; i < tree->count; i++)
        if (lies_in_file(tree, &tree->entries[i]))
            return err_set(err, E_CORRUPT, "file %zu lies in a file", i);
    return OK;
}

typedef enum status get_manifest(struct store *store, const struct id *id, struct buf *out,
                                 struct err *err);

static enum status open_with(get_manifest *get, struct store *store, const struct id *id,
                             struct tree **out, struct err *err)
{
    *out = NULL;
    AUTO(tree_free) struct tree *tree = tree_new();
    TRY(get(store, id, &tree->manifest, err));
    enum status status = read_entries(tree, err);
    if (status != OK) {
        char hex[ID_HEX_BYTES];
        err_prefix(err, "manifest of tree %s", id_hex(id, hex));
        return status;
    }
    *out = TAKE(tree);
    return OK;
}

enum status tree_open(struct store *store, const struct id *id, struct tree **out, struct err *err)
{
    return open_with(store_get_manifest, store, id, out, err);
}

enum status tree_peek(struct store *store, const struct id *id, struct tree **out, struct err *err)
{
    return open_with(store_peek_manifest, store, id, out, err);
}

/* ---- putting ---- */

struct putting {
    struct store *store;
    const char *folder;
    struct tree *tree;
    uint64_t bytes;
};

static enum status put_entry(void *context, const char *path, bool is_executable, uint64_t bytes,
                             struct err *err)
{
    struct putting *putting = context;
    size_t path_bytes = strlen(path);
    if (!is_path(path, path_bytes))
        return err_set(err, E_INVALID, "%s/%s: not valid UTF-8, so it can't be part of an artifact",
                       putting->folder, path);
    struct tree_entry entry = {.path = arena_text(&putting->tree->names, path, path_bytes),
                               .path_bytes = (uint32_t)path_bytes,
                               .is_executable = is_executable,
                               .bytes = bytes};
    char full[PATH_MAX];
    int full_bytes = snprintf(full, sizeof full, "%s/%s", putting->folder, path);
    if (full_bytes < 0 || (size_t)full_bytes >= sizeof full)
        return err_set(err, E_LIMIT, "%.200s…: the path is too long", putting->folder);
    TRY(store_put_file(putting->store, full, &entry.blob, &entry.bytes, err));
    putting->bytes += entry.bytes;
    return add_entry(putting->tree, &entry, err);
}

static enum status put_manifest(struct store *store, struct tree *tree, struct id *id,
                                struct err *err)
{
    size_t bytes = measure(tree);
    TRY(buf_try_reserve(&tree->manifest, bytes, "manifest", err));
    struct mp_writer w = mp_writer(tree->manifest.bytes, bytes);
    write_entries(tree, &w);
    return store_put_manifest(store, tree->manifest.bytes, bytes, id, err);
}

enum status tree_put(struct store *store, const char *folder, struct artifact *out, struct err *err)
{
    *out = (struct artifact){.is_tree = true};
    AUTO(tree_free) struct tree *tree = tree_new();
    struct putting putting = {.store = store, .folder = folder, .tree = tree};
    TRY(fs_walk(folder, put_entry, &putting, err));
    out->bytes = putting.bytes;
    return put_manifest(store, tree, &out->id, err);
}

enum status tree_put_entries(struct store *store, struct tree_entry *entries, size_t count,
                             struct artifact *out, struct err *err)
{
    *out = (struct artifact){.is_tree = true};
    AUTO(tree_free) struct tree *tree = tree_new();
    if (count)
        qsort(entries, count, sizeof *entries, compare_entries);
    for (size_t i = 0; i < count; i++) {
        int shown = (int)entries[i].path_bytes;
        if (!is_path(entries[i].path, entries[i].path_bytes))
            return err_set(err, E_INVALID, "%.*s: not a path that an artifact can hold", shown,
                           entries[i].path);
        if (i && compare_paths(&entries[i - 1], &entries[i]) == 0)
            return err_set(err, E_INVALID, "%.*s: there twice", shown, entries[i].path);
        TRY(add_entry(tree, &entries[i], err));
        out->bytes += entries[i].bytes;
    }
    for (size_t i = 0; i < count; i++)
        if (lies_in_file(tree, &entries[i]))
            return err_set(err, E_INVALID, "%.*s: lies in a file", (int)entries[i].path_bytes,
                           entries[i].path);
    return put_manifest(store, tree, &out->id, err);
}

/* ---- getting ---- */

/* Makes the folders that `path` lies in, unless they are those of the file before. */
static enum status make_parent(const char *path, char made[PATH_MAX], struct err *err)
{
    size_t bytes = (size_t)(strrchr(path, '/') - path);
    if (strncmp(path, made, bytes) == 0 && !made[bytes])
        return OK;
    memcpy(made, path, bytes);
    made[bytes] = 0;
    return fs_make_dirs(made, err);
}

static enum status make_executable(const char *path, struct err *err)
{
    struct stat info;
    if (stat(path, &info) != 0 ||
        chmod(path, (info.st_mode | (info.st_mode & 0444) >> 2) & 07777) != 0)
        return fs_error(err, errno, path, "cannot make executable");
    return OK;
}

static enum status get_entries(struct store *store, const struct tree *tree, const char *folder,
                               struct err *err)
{
    char path[PATH_MAX], made[PATH_MAX] = "";
    for (size_t i = 0; i < tree->count; i++) {
        const struct tree_entry *entry = &tree->entries[i];
        int bytes =
            snprintf(path, sizeof path, "%s/%.*s", folder, (int)entry->path_bytes, entry->path);
        if (bytes < 0 || (size_t)bytes >= sizeof path)
            return err_set(err, E_LIMIT, "%.200s…: the path is too long", path);
        TRY(make_parent(path, made, err));
        TRY(store_get_file(store, &entry->blob, path, err));
        if (entry->is_executable)
            TRY(make_executable(path, err));
    }
    return OK;
}

enum status tree_get(struct store *store, const struct id *id, const char *path, struct err *err)
{
    AUTO(tree_free) struct tree *tree = NULL;
    TRY(tree_open(store, id, &tree, err));
    if (mkdir(path, 0777) != 0)
        return fs_error(err, errno, path, "cannot create folder");
    enum status status = get_entries(store, tree, path, err);
    if (status != OK && fs_remove_tree(path, NULL) != OK)
        err_prefix(err, "%s is incomplete and could not be removed", path);
    return status;
}

/* ---- checking ---- */

static enum status check_blobs(struct store *store, const struct tree *tree, struct buf *missing,
                               struct err *err)
{
    AUTO(mem_free) struct id *ids = mem_alloc(HAS_BATCH * sizeof *ids);
    AUTO(mem_free) bool *has = mem_alloc(HAS_BATCH * sizeof *has);
    for (size_t first = 0; first < tree->count; first += HAS_BATCH) {
        size_t count = tree->count - first < HAS_BATCH ? tree->count - first : HAS_BATCH;
        for (size_t i = 0; i < count; i++)
            ids[i] = tree->entries[first + i].blob;
        TRY(store_has(store, ids, count, has, err));
        for (size_t i = 0; i < count; i++)
            if (!has[i])
                buf_put(missing, &ids[i], sizeof ids[i]);
    }
    return buf_check(missing, "missing blobs", err);
}

enum status tree_check(struct store *store, const struct id *id, struct buf *missing,
                       struct err *err)
{
    AUTO(tree_free) struct tree *tree = NULL;
    enum status status = tree_open(store, id, &tree, err);
    if (status == E_NOTFOUND || status == E_CORRUPT) {
        buf_put(missing, id, sizeof *id);
        return buf_check(missing, "missing blobs", err);
    }
    if (status != OK)
        return status;
    return check_blobs(store, tree, missing, err);
}

static enum status renew_blobs(struct store *store, const struct tree *tree, bool *has,
                               struct err *err)
{
    AUTO(mem_free) struct id *ids = mem_alloc(HAS_BATCH * sizeof *ids);
    AUTO(mem_free) bool *are_there = mem_alloc(HAS_BATCH * sizeof *are_there);
    for (size_t first = 0; first < tree->count && *has; first += HAS_BATCH) {
        size_t count = tree->count - first < HAS_BATCH ? tree->count - first : HAS_BATCH;
        for (size_t i = 0; i < count; i++)
            ids[i] = tree->entries[first + i].blob;
        TRY(store_renew(store, ids, count, false, are_there, err));
        for (size_t i = 0; i < count; i++)
            *has = *has && are_there[i];
    }
    return OK;
}

/* Files first: a manifest that is new has files that are. */
enum status tree_renew(struct store *store, const struct id *id, bool *has, struct err *err)
{
    AUTO(tree_free) struct tree *tree = NULL;
    enum status status = tree_open(store, id, &tree, err);
    *has = status == OK;
    if (status == E_NOTFOUND || status == E_CORRUPT)
        return OK;
    if (status != OK)
        return status;
    TRY(renew_blobs(store, tree, has, err));
    return *has ? store_renew(store, id, 1, true, has, err) : OK;
}
