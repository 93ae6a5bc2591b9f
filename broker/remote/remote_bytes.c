/* Artifacts and logs, from the broker to here. What comes goes into the store on this side first,
 * where its id is checked, then to where it is wanted. */
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/remote/remote.h"
#include "common/base/mem.h"
#include "common/fs.h"
#include "common/store/tree.h"
#include "proto/limits.h"

/* ---- one blob ---- */

struct file_sink {
    int fd;
    const char *path;
};

static enum status write_file(void *context, const void *piece, size_t bytes, struct err *err)
{
    const struct file_sink *sink = context;
    return fs_write_all(sink->fd, piece, bytes, sink->path, err);
}

static enum status fetch(struct remote *remote, const struct id *id, const char *temporary,
                         struct err *err)
{
    AUTO(buf_fini) struct buf path = buf_init(0);
    char hex[ID_HEX_BYTES];
    struct id found;
    uint64_t bytes;
    AUTO(fs_close_fd)
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(err, E_IO, "%s: cannot make it", temporary);
    struct file_sink file = {fd, temporary};
    struct remote_sink sink = {.write = write_file, .context = &file};
    buf_format(&path, "/v1/blobs/%s", id_hex(id, hex));
    TRY(remote_get(remote, buf_text(&path), &sink, err));
    TRY(store_put_file(remote->store, temporary, &found, &bytes, err));
    if (!id_equal(&found, id))
        return err_set(err, E_CORRUPT, "blob %s: what the broker sent has another id", hex);
    return OK;
}

/* Into our store, unless it is there. */
static enum status bring(struct remote *remote, const struct id *id, struct err *err)
{
    bool has;
    char temporary[PATH_MAX];
    AUTO(buf_fini) struct buf prefix = buf_init(0);
    TRY(store_has(remote->store, id, 1, &has, err));
    if (has)
        return OK;
    buf_format(&prefix, "%s/down", remote->home);
    TRY(fs_temp_name(buf_text(&prefix), temporary, sizeof temporary, err));
    enum status status = fetch(remote, id, temporary, err);
    unlink(temporary);
    return status;
}

/* ---- trees ---- */

static const struct value *field(const struct value *map, const char *key, enum value_type type)
{
    const struct value *value = map->type == VALUE_MAP ? value_get(map, key) : NULL;
    return value && value->type == type ? value : NULL;
}

static enum status read_entry(const struct value *file, struct tree_entry *out, struct err *err)
{
    const struct value *path = field(file, "path", VALUE_STRING),
                       *id = field(file, "id", VALUE_STRING),
                       *bytes = field(file, "bytes", VALUE_INT),
                       *is_executable = field(file, "is_executable", VALUE_BOOL);
    if (!path || !id || !bytes || !is_executable ||
        id_parse(id->text, id->count, &out->blob, NULL) != OK)
        return err_set(err, E_PROTOCOL, "a tree's list: an entry is no file");
    out->path = path->text;
    out->path_bytes = path->count;
    out->bytes = (uint64_t)bytes->integer;
    out->is_executable = is_executable->boolean;
    return OK;
}

enum status remote_list_tree(struct remote *remote, const struct id *id, struct store *store,
                             struct arena *arena, struct tree_entry **entries, size_t *count,
                             struct err *err)
{
    AUTO(buf_fini) struct buf path = buf_init(0);
    char hex[ID_HEX_BYTES];
    struct value answer;
    struct artifact made;
    buf_format(&path, "/v1/blobs/%s?tree=true", id_hex(id, hex));
    struct remote_ask ask = {.method = "GET", .path = buf_text(&path)};
    TRY(remote_ask(remote, &ask, arena, &answer, err));
    const struct value *files = field(&answer, "files", VALUE_ARRAY);
    if (!files || files->count > TREE_ENTRIES_MAX)
        return err_set(err, E_PROTOCOL, "tree %s: the broker's answer is no list of files", hex);
    *count = files->count;
    *entries = arena_alloc(arena, (*count + 1) * sizeof **entries);
    for (uint32_t i = 0; i < files->count; i++)
        TRY(read_entry(&files->items[i], &(*entries)[i], err));
    TRY(tree_put_entries(store, *entries, *count, &made, err));
    if (!id_equal(&made.id, id))
        return err_set(err, E_CORRUPT, "tree %s: what the broker listed has another id", hex);
    return OK;
}

static enum status bring_tree(struct remote *remote, const struct id *id, struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct tree_entry *entries;
    size_t count;
    TRY(remote_list_tree(remote, id, remote->store, &arena, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        TRY(bring(remote, &entries[i].blob, err));
    return OK;
}

enum status remote_export(struct app *app, const char *ref, const char *path, struct buf *out,
                          struct err *err)
{
    struct remote *remote = remote_of(app);
    AUTO(arena_fini) struct arena arena = {0};
    struct value about;
    struct id id;
    TRY(app_artifact(app, ref, &arena, &about, err));
    const struct value *hex = field(&about, "id", VALUE_STRING),
                       *tree = field(&about, "tree", VALUE_BOOL);
    if (!hex || id_parse(hex->text, hex->count, &id, NULL) != OK)
        return err_set(err, E_PROTOCOL, "%s: the broker's answer has no id", ref);
    bool is_tree = tree && tree->boolean;
    if (is_tree && !path)
        return err_set(err, E_INVALID, "%s is a folder; give a path with -o", ref);
    TRY(remote_open_store(remote, err));
    TRY(is_tree ? bring_tree(remote, &id, err) : bring(remote, &id, err));
    if (is_tree)
        return tree_get(remote->store, &id, path, err);
    return path ? store_get_file(remote->store, &id, path, err)
                : store_get(remote->store, &id, out, err);
}

/* ---- texts ---- */

struct text_sink {
    struct app_log *at; /* of a log */
    struct buf *out;
    size_t before; /* in `out` */
};

static enum status write_text(void *context, const void *piece, size_t bytes, struct err *err)
{
    const struct text_sink *sink = context;
    buf_put(sink->out, piece, bytes);
    return buf_check(sink->out, "answer", err);
}

static void read_again(void *context)
{
    const struct text_sink *sink = context;
    sink->out->count = sink->before;
}

static void read_place(void *context, const struct http_call *call)
{
    struct app_log *at = ((const struct text_sink *)context)->at;
    const char *attempt = http_header(call, "x-log-attempt"),
               *offset = http_header(call, "x-log-offset"),
               *is_final = http_header(call, "x-log-final");
    at->attempt = attempt ? (uint32_t)strtoul(attempt, NULL, 10) : 0;
    at->offset = offset ? strtoull(offset, NULL, 10) : 0;
    at->is_final = !is_final || strcmp(is_final, "true") == 0;
}

enum status remote_logs(struct app *app, const char *task, struct app_log *at, struct buf *out,
                        struct err *err)
{
    AUTO(buf_fini) struct buf path = buf_init(0);
    struct text_sink log = {at, out, out->count};
    struct remote_sink sink = {
        .write = write_text, .headers = read_place, .again = read_again, .context = &log};
    buf_put_text(&path, "/v1/logs/");
    remote_put_escaped(&path, task);
    buf_format(&path, "?attempt=%u&offset=%llu", at->attempt, (unsigned long long)at->offset);
    return remote_get(remote_of(app), buf_text(&path), &sink, err);
}

enum status remote_attest(struct app *app, const char *ref, bool all, struct buf *out,
                          struct err *err)
{
    AUTO(buf_fini) struct buf path = buf_init(0);
    struct text_sink text = {NULL, out, 0};
    struct remote_sink sink = {.write = write_text, .context = &text};
    buf_put_text(&path, "/v1/attestations/");
    remote_put_escaped(&path, ref);
    buf_put_text(&path, all ? "?all=true" : "");
    return remote_get(remote_of(app), buf_text(&path), &sink, err);
}
