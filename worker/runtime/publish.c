// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/publish.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/fs.h"
#include "common/store/tree.h"
#include "common/text/json.h"
#include "proto/limits.h"
#include "proto/value.h"

enum {
    PATH_BYTES = 4096,
    /* In a folder that is stored at once, on the loop's time. */
    SMALL_FILES_MAX = 16
};

static enum status output_path(const struct publication *publication, const char *name, char *out,
                               struct err *err)
{
    int bytes = snprintf(out, PATH_BYTES, "%s/%s", publication->output_dir, name);
    if (bytes < 0 || bytes >= PATH_BYTES)
        return err_set(err, E_LIMIT, "output %s: its path is over %d bytes", name, PATH_BYTES);
    return OK;
}

/* The file's value if it is small JSON; anything else is no error. */
static bool read_json(const char *path, struct arena *arena, struct value *out)
{
    AUTO(buf_fini) struct buf text = buf_init(INLINE_BYTES_MAX);
    if (fs_read(path, &text, NULL) != OK)
        return false;
    size_t at = 0;
    while (at < text.count && strchr(" \t\r\n", text.bytes[at]))
        at++;
    if (at == text.count || (text.bytes[at] != '{' && text.bytes[at] != '['))
        return false;
    return json_parse("output", (const char *)text.bytes, text.count, arena, out, NULL) == OK &&
           value_encode(out, NULL, 0) > 0;
}

static enum status put_output(struct store *store, struct publication *publication,
                              const char *name, struct value *values, struct err *err)
{
    char path[PATH_BYTES];
    struct stat found;
    struct record_output *output = &publication->outputs[publication->output_count];
    output->name = name;
    output->name_bytes = (uint32_t)strlen(name);
    TRY(output_path(publication, name, path, err));
    if (lstat(path, &found))
        return errno == ENOENT || errno == ENOTDIR
                   ? err_set(err, E_INVALID, "output %s was not made", name)
                   : fs_error(err, errno, path, "lstat");
    publication->seals[publication->output_count] = seal_output(path);
    if (S_ISDIR(found.st_mode)) {
        if (tree_put(store, path, &output->artifact, err) != OK)
            return err_prefix(err, "output %s", name);
    } else if (S_ISREG(found.st_mode)) {
        if (store_put_file(store, path, &output->artifact.id, &output->artifact.bytes, err) != OK)
            return err_prefix(err, "output %s", name);
        struct value *pair = &values->items[(size_t)2 * values->count];
        if (found.st_size <= INLINE_BYTES_MAX && read_json(path, &publication->arena, &pair[1])) {
            pair[0] = value_string(name);
            values->count++;
        }
    } else {
        return err_set(err, E_INVALID, "output %s is neither a file nor a folder", name);
    }
    publication->output_count++;
    return OK;
}

static void encode_values(struct publication *publication, const struct value *values)
{
    if (!values->count)
        return;
    size_t bytes = value_encode(values, NULL, 0);
    uint8_t *encoded = arena_alloc(&publication->arena, bytes);
    publication->values_bytes = value_encode(values, encoded, bytes);
    publication->values = encoded;
}

/* Past the maximum a log is cut: its beginning says most. */
static enum status put_log(struct store *store, struct publication *publication, struct err *err)
{
    struct stat found;
    if (!publication->log_path || lstat(publication->log_path, &found) || !S_ISREG(found.st_mode) ||
        !found.st_size)
        return OK;
    if (found.st_size > LOG_BYTES_MAX && truncate(publication->log_path, LOG_BYTES_MAX))
        return fs_error(err, errno, publication->log_path, "truncate");
    if (store_put_file(store, publication->log_path, &publication->log.id, &publication->log.bytes,
                       err) != OK)
        return err_prefix(err, "log");
    publication->has_log = true;
    return OK;
}

enum status publish_run(struct store *store, struct publication *publication, struct err *err)
{
    size_t room = publication->name_count + 1;
    publication->outputs = arena_alloc(&publication->arena, room * sizeof *publication->outputs);
    publication->seals = arena_alloc(&publication->arena, room * sizeof *publication->seals);
    struct value values = {.type = VALUE_MAP};
    values.items = arena_alloc(&publication->arena, 2 * room * sizeof *values.items);
    TRY(put_log(store, publication, err));
    for (uint32_t i = 0; i < publication->name_count; i++)
        TRY(put_output(store, publication, publication->names[i], &values, err));
    encode_values(publication, &values);
    return OK;
}

static void close_folder_auto(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

/* A few files; what is deeper or has more counts as `enough`, since looking through it may take
 * long already. */
static uint64_t folder_size(const char *path, uint64_t enough)
{
    AUTO(close_folder) DIR *folder = opendir(path);
    uint64_t bytes = 0;
    size_t files = 0;
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        struct stat found;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (++files > SMALL_FILES_MAX ||
            fstatat(dirfd(folder), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) ||
            !S_ISREG(found.st_mode))
            return enough;
        bytes += (uint64_t)found.st_size;
    }
    return bytes < enough ? bytes : enough;
}

uint64_t publish_size(const struct publication *publication, uint64_t enough)
{
    uint64_t bytes = 0;
    struct stat found;
    if (publication->log_path && !lstat(publication->log_path, &found))
        bytes += (uint64_t)found.st_size;
    for (uint32_t i = 0; i < publication->name_count && bytes < enough; i++) {
        char path[PATH_BYTES];
        if (output_path(publication, publication->names[i], path, NULL) == OK &&
            !lstat(path, &found))
            bytes += S_ISDIR(found.st_mode) ? folder_size(path, enough) : (uint64_t)found.st_size;
    }
    return bytes < enough ? bytes : enough;
}
