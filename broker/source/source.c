// SPDX-License-Identifier: Apache-2.0
#include "broker/source/source.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/source/cache.h"
#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/fs.h"
#include "common/store/tree.h"
#include "proto/limits.h"

enum { READS_MAX = 3 }; /* of a file that changes while it is read */

struct resolver {
    struct store *store;
    struct source_cache *cache;
    struct arena arena; /* paths of entries */
    const char *folder; /* that is walked */
    const char *prefix; /* of its entries' paths: "" or ending with '/' */
    struct tree_entry *entries;
    size_t count, capacity;
};

/* ---- one file ---- */

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_ino == b->st_ino &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static enum status look(const char *path, struct stat *out, struct err *err)
{
    return stat(path, out) == 0 ? OK : fs_error(err, errno, path, "looking at it");
}

static bool is_known(struct resolver *r, const char *path, const struct stat *now, struct id *id)
{
    bool has = false;
    return r->cache && source_cache_get(r->cache, path, now, id) &&
           store_has(r->store, id, 1, &has, NULL) == OK && has;
}

static enum status put_file(struct resolver *r, const char *path, struct id *id, uint64_t *bytes,
                            struct err *err)
{
    AUTO(mem_free) char *absolute = realpath(path, NULL);
    struct stat before, after;
    TRY(look(path, &before, err));
    if (!S_ISREG(before.st_mode))
        return err_set(err, E_INVALID, "%s: not a regular file", path);
    *bytes = (uint64_t)before.st_size;
    if (absolute && is_known(r, absolute, &before, id))
        return OK;
    for (int i = 0; i < READS_MAX; i++) {
        int64_t now_us = clock_epoch_us();
        TRY(store_put_file(r->store, path, id, bytes, err));
        TRY(look(path, &after, err));
        if (is_same_file(&before, &after) && *bytes == (uint64_t)after.st_size) {
            if (r->cache && absolute)
                source_cache_put(r->cache, absolute, &after, now_us, id);
            return OK;
        }
        before = after;
    }
    return err_set(err, E_CONFLICT, "%s: it changes while it is read", path);
}

/* ---- folders and globs ---- */

static enum status add_entry(struct resolver *r, const char *file, const char *path,
                             bool is_executable, struct err *err)
{
    if (r->count == TREE_ENTRIES_MAX)
        return err_set(err, E_LIMIT, "%s: more than %d files", file, TREE_ENTRIES_MAX);
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 64;
        r->entries = mem_resize(r->entries, r->capacity * sizeof *r->entries);
    }
    struct tree_entry entry = {.is_executable = is_executable};
    TRY(put_file(r, file, &entry.blob, &entry.bytes, err));
    entry.path_bytes = (uint32_t)strlen(path);
    entry.path = arena_text(&r->arena, path, entry.path_bytes);
    r->entries[r->count++] = entry;
    return OK;
}

static enum status visit(void *context, const char *path, bool is_executable, uint64_t bytes,
                         struct err *err)
{
    (void)bytes;
    struct resolver *r = context;
    const char *file = arena_format(&r->arena, "%s/%s", r->folder, path);
    const char *name = arena_format(&r->arena, "%s%s", r->prefix, path);
    return add_entry(r, file, name, is_executable, err);
}

static enum status add_folder(struct resolver *r, const char *folder, const char *prefix,
                              struct err *err)
{
    r->folder = folder;
    r->prefix = prefix;
    return fs_walk(folder, visit, r, err);
}

static enum status finish_tree(struct resolver *r, struct artifact *out, struct err *err)
{
    return tree_put_entries(r->store, r->entries, r->count, out, err);
}

static enum status put_folder(struct resolver *r, const char *path, struct artifact *out,
                              struct err *err)
{
    TRY(add_folder(r, path, "", err));
    return finish_tree(r, out, err);
}

/* Where the part with wildcards begins: behind the last '/' before the first of them. */
static size_t fixed_bytes(const char *pattern)
{
    size_t bytes = strcspn(pattern, "*?[");
    while (bytes && pattern[bytes - 1] != '/')
        bytes--;
    return bytes;
}

static enum status add_match(struct resolver *r, const char *path, size_t fixed, struct err *err)
{
    struct stat now;
    TRY(look(path, &now, err));
    if (S_ISDIR(now.st_mode))
        return add_folder(r, path, arena_format(&r->arena, "%s/", path + fixed), err);
    return add_entry(r, path, path + fixed, now.st_mode & S_IXUSR, err);
}

static void glob_free(glob_t *matches)
{
    globfree(matches);
}
DEFINE_AUTO_VALUE(glob_t, glob_free)

static enum status put_glob(struct resolver *r, const char *base, const char *pattern,
                            struct artifact *out, struct err *err)
{
    if (strstr(pattern, "**"))
        return err_set(err, E_INVALID,
                       "%s: \"**\" has no meaning here; name the folder, which is "
                       "taken whole",
                       pattern);
    /* Wildcards in the base folder's own name are no wildcards. */
    AUTO(buf_fini) struct buf whole = buf_init(0);
    for (const char *c = base; *c; c++)
        buf_format(&whole, strchr("*?[\\", *c) ? "\\%c" : "%c", *c);
    buf_put_text(&whole, pattern);
    AUTO(glob_free) glob_t matches = {0};
    int failure = glob(buf_text(&whole), 0, NULL, &matches);
    if (failure == GLOB_NOMATCH)
        return err_set(err, E_NOTFOUND, "%s: no file matches", pattern);
    if (failure)
        return err_set(err, E_IO, "%s: the folder can't be read", pattern);
    size_t fixed = strlen(base) + fixed_bytes(pattern);
    for (size_t i = 0; i < matches.gl_pathc; i++)
        TRY(add_match(r, matches.gl_pathv[i], fixed, err));
    return finish_tree(r, out, err);
}

/* ---- the whole ---- */

static enum status resolve(struct resolver *r, const char *location, const char *base_dir,
                           struct artifact *out, struct err *err)
{
    if (strstr(location, "://"))
        return err_set(err, E_UNSUPPORTED, "%s: a source is a path, a folder or a glob", location);
    const char *base = *location == '/' ? "" : arena_format(&r->arena, "%s/", base_dir);
    const char *path = arena_format(&r->arena, "%s%s", base, location);
    struct stat now;
    if (stat(path, &now) != 0) {
        if (errno == ENOENT && strpbrk(location, "*?["))
            return put_glob(r, base, location, out, err);
        return errno == ENOENT ? err_set(err, E_NOTFOUND, "%s: there is no such file", path)
                               : fs_error(err, errno, path, "looking at it");
    }
    if (S_ISDIR(now.st_mode))
        return put_folder(r, path, out, err);
    *out = (struct artifact){.is_tree = false};
    return put_file(r, path, &out->id, &out->bytes, err);
}

enum status source_resolve(const struct source_need *need, const char *base_dir,
                           struct store *store, struct source_cache *cache, struct artifact *out,
                           struct err *err)
{
    struct resolver r = {.store = store, .cache = cache};
    struct artifact found = {.is_tree = false};
    enum status status = resolve(&r, need->location, base_dir, &found, err);
    mem_free(r.entries);
    arena_fini(&r.arena);
    if (status == OK)
        *out = found;
    else if (need->at && need->at->line)
        err_prefix(err, "source \"%s\" (line %u, column %u)", need->name, need->at->line,
                   need->at->column);
    else
        err_prefix(err, "source \"%s\"", need->name);
    return status;
}
