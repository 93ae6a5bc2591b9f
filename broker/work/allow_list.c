// SPDX-License-Identifier: Apache-2.0
#include "broker/work/allow_list.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/fs.h"

enum {
    KEY_DIGITS = ID_HEX_BYTES - 1,
    LINE_BYTES = KEY_DIGITS + 1 + NAME_BYTES_MAX + 1,
    FILE_BYTES_MAX = 2 * ALLOWED_KEYS_MAX * LINE_BYTES /* there may be comments */
};

/* ---- finding ---- */

static const struct id *key_of(const struct allow_list *list, uint32_t index, bool is_wire)
{
    const struct allow_entry *entry = &list->items[index];
    return is_wire ? &entry->wire : &entry->key;
}

static const struct allow_entry *find(const struct allow_list *list, const uint32_t *order,
                                      const struct id *id, bool is_wire)
{
    uint32_t from = 0, to = order ? list->count : 0;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        int side = id_compare(key_of(list, order[middle], is_wire), id);
        if (side == 0)
            return &list->items[order[middle]];
        if (side < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

const struct allow_entry *allow_list_find(const struct allow_list *list, const struct id *key)
{
    return find(list, list->by_key, key, false);
}

const struct allow_entry *allow_list_find_wire(const struct allow_list *list, const struct id *wire)
{
    return find(list, list->by_wire, wire, true);
}

struct order {
    const struct allow_list *list;
    bool is_wire;
};

static int compare(const void *a, const void *b, void *context)
{
    const struct order *order = context;
    return id_compare(key_of(order->list, *(const uint32_t *)a, order->is_wire),
                      key_of(order->list, *(const uint32_t *)b, order->is_wire));
}

static uint32_t *make_order(const struct allow_list *list, bool is_wire)
{
    struct order order = {list, is_wire};
    uint32_t *indices = mem_alloc((list->count + 1) * sizeof *indices);
    for (uint32_t i = 0; i < list->count; i++)
        indices[i] = i;
    qsort_r(indices, list->count, sizeof *indices, compare, &order);
    return indices;
}

enum status allow_list_derive(struct allow_list *list, const struct allow_list *before,
                              struct err *err)
{
    for (uint32_t i = 0; i < list->count; i++) {
        struct allow_entry *entry = &list->items[i];
        const struct allow_entry *known = before ? allow_list_find(before, &entry->key) : NULL;
        char hex[ID_HEX_BYTES];
        if (known)
            entry->wire = known->wire;
        else if (!wire_public(entry->key.bytes, entry->wire.bytes))
            return err_set(err, E_INVALID, "key %s of worker %s: these bytes are no public key",
                           id_hex(&entry->key, hex), entry->name);
    }
    list->by_wire = make_order(list, true);
    return OK;
}

/* ---- reading ---- */

struct line {
    const char *path, *text;
    size_t bytes;
    unsigned number;
};

static enum status read_line(struct allow_list *list, const struct line *line, struct err *err)
{
    size_t bytes = line->bytes;
    while (bytes && strchr(" \t\r", line->text[bytes - 1]))
        bytes--;
    if (!bytes || line->text[0] == '#')
        return OK;
    if (list->count == ALLOWED_KEYS_MAX)
        return err_set(err, E_LIMIT, "%s: more than %d keys", line->path, ALLOWED_KEYS_MAX);
    struct allow_entry *entry = &list->items[list->count];
    *entry = (struct allow_entry){0};
    const char *name = line->text + KEY_DIGITS + 1;
    size_t name_bytes = bytes > KEY_DIGITS + 1 ? bytes - KEY_DIGITS - 1 : 0;
    if (!name_bytes || line->text[KEY_DIGITS] != ' ' || name_bytes > NAME_BYTES_MAX ||
        memchr(name, 0, name_bytes) || id_parse(line->text, KEY_DIGITS, &entry->key, NULL) != OK)
        return err_set(err, E_INVALID,
                       "%s:%u: expected a public key of 64 hex digits, a space and a name, not "
                       "\"%.*s\"",
                       line->path, line->number, (int)(bytes < 100 ? bytes : 100), line->text);
    memcpy(entry->name, name, name_bytes);
    list->count++;
    return OK;
}

static enum status read_lines(struct allow_list *list, const char *path, const struct buf *text,
                              struct err *err)
{
    struct line line = {.path = path, .text = (const char *)text->bytes};
    for (size_t left = text->count; left;) {
        const char *end = memchr(line.text, '\n', left);
        line.bytes = end ? (size_t)(end - line.text) : left;
        line.number++;
        TRY(read_line(list, &line, err));
        size_t step = line.bytes + (end ? 1 : 0);
        line.text += step;
        left -= step;
    }
    return OK;
}

static enum status check_twins(const struct allow_list *list, const char *path, struct err *err)
{
    char hex[ID_HEX_BYTES];
    for (uint32_t i = 1; i < list->count; i++) {
        const struct allow_entry *a = &list->items[list->by_key[i - 1]];
        const struct allow_entry *b = &list->items[list->by_key[i]];
        if (id_equal(&a->key, &b->key))
            return err_set(err, E_INVALID, "%s: key %s stands there twice, for %s and %s", path,
                           id_hex(&a->key, hex), a->name, b->name);
    }
    return OK;
}

enum status allow_list_read(const char *path, struct allow_list *out, struct err *err)
{
    AUTO(buf_fini) struct buf text = buf_init(FILE_BYTES_MAX);
    AUTO(allow_list_fini) struct allow_list list = {0};
    *out = (struct allow_list){0};
    TRY(fs_read(path, &text, err));
    uint32_t lines = 1;
    for (size_t i = 0; i < text.count; i++)
        lines += text.bytes[i] == '\n';
    uint32_t room = lines < ALLOWED_KEYS_MAX ? lines : ALLOWED_KEYS_MAX;
    list.items = mem_alloc(room * sizeof *list.items);
    TRY(read_lines(&list, path, &text, err));
    list.by_key = make_order(&list, false);
    TRY(check_twins(&list, path, err));
    *out = list;
    list = (struct allow_list){0};
    return OK;
}

void allow_list_fini(struct allow_list *list)
{
    mem_free(list->items);
    mem_free(list->by_key);
    mem_free(list->by_wire);
    *list = (struct allow_list){0};
}

/* ---- changing ---- */

/* The new file is flushed before it takes the old one's place, and that is flushed too: a key that
 * was revoked does not come back with the power. */
static enum status replace(const char *path, const struct buf *text, struct err *err)
{
    char temp[PATH_MAX], folder[PATH_MAX];
    TRY(fs_temp_name(path, temp, sizeof temp, err));
    TRY(fs_write(temp, text->bytes, text->count, err));
    enum status status = fs_flush(temp, err);
    if (status == OK && rename(temp, path) != 0)
        status = fs_error(err, errno, path, "cannot replace");
    if (status != OK) {
        unlink(temp);
        return status;
    }
    snprintf(folder, sizeof folder, "%s", path);
    return fs_flush(dirname(folder), err);
}

/* Locks the file's folder, so that two changes come one after the other. */
static enum status lock(const char *path, int *fd, struct err *err)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    const char *folder = dirname(copy);
    *fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return fs_error(err, errno, folder, "cannot open");
    while (flock(*fd, LOCK_EX) != 0)
        if (errno != EINTR)
            return fs_error(err, errno, folder, "cannot lock");
    return OK;
}

enum status allow_list_create(const char *path, struct err *err)
{
    static const char head[] =
        "# workers that the broker admits: public key and name, a line each\n";
    AUTO(fs_close_fd) int fd = -1;
    TRY(lock(path, &fd, err));
    if (fs_exists(path))
        return OK;
    AUTO(buf_fini) struct buf text = buf_init(0);
    buf_put_text(&text, head);
    return replace(path, &text, err);
}

enum status allow_list_add(const char *path, const struct id *key, const char *name,
                           struct err *err)
{
    char hex[ID_HEX_BYTES];
    AUTO(fs_close_fd) int fd = -1;
    AUTO(allow_list_fini) struct allow_list list = {0};
    AUTO(buf_fini) struct buf text = buf_init(FILE_BYTES_MAX);
    TRY(lock(path, &fd, err));
    TRY(allow_list_read(path, &list, err));
    const struct allow_entry *there = allow_list_find(&list, key);
    if (there)
        return err_set(err, E_CONFLICT, "key %s is on the list already, as %s", id_hex(key, hex),
                       there->name);
    for (uint32_t i = 0; i < list.count; i++)
        if (strcmp(list.items[i].name, name) == 0)
            return err_set(err, E_CONFLICT,
                           "a worker %s is on the list already, with key %s: choose another name, "
                           "or revoke that one first",
                           name, id_hex(&list.items[i].key, hex));
    if (list.count == ALLOWED_KEYS_MAX)
        return err_set(err, E_LIMIT, "%s: more than %d keys", path, ALLOWED_KEYS_MAX);
    TRY(fs_read(path, &text, err));
    if (text.count && text.bytes[text.count - 1] != '\n')
        buf_put_char(&text, '\n');
    buf_format(&text, "%s %s\n", id_hex(key, hex), name);
    TRY(buf_check(&text, path, err));
    return replace(path, &text, err);
}

/* Every line but those of the entries that go stays as it is. */
enum status allow_list_remove(const char *path, const char *name_or_key, struct err *err)
{
    AUTO(fs_close_fd) int fd = -1;
    AUTO(allow_list_fini) struct allow_list list = {0};
    AUTO(buf_fini) struct buf text = buf_init(FILE_BYTES_MAX), kept = buf_init(FILE_BYTES_MAX);
    uint32_t removed = 0;
    TRY(lock(path, &fd, err));
    TRY(allow_list_read(path, &list, err)); /* what follows relies on its form */
    TRY(fs_read(path, &text, err));
    const char *at = (const char *)text.bytes;
    for (size_t left = text.count; left;) {
        struct allow_entry entry;
        struct allow_list one = {.items = &entry};
        const char *end = memchr(at, '\n', left);
        size_t bytes = end ? (size_t)(end - at) : left, step = bytes + (end ? 1 : 0);
        char hex[ID_HEX_BYTES];
        TRY(read_line(&one, &(struct line){path, at, bytes, 0}, err));
        bool goes = one.count && (strcmp(entry.name, name_or_key) == 0 ||
                                  strcmp(id_hex(&entry.key, hex), name_or_key) == 0);
        removed += goes;
        if (!goes)
            buf_put(&kept, at, step);
        at += step;
        left -= step;
    }
    if (!removed)
        return err_set(err, E_NOTFOUND, "no worker and no key %s in %s", name_or_key, path);
    return replace(path, &kept, err);
}

/* ---- following ---- */

static bool is_same(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static enum status fail(struct allow_watch *watch, enum status status)
{
    bool is_told = watch->failure == status;
    watch->failure = status;
    return is_told ? OK : status;
}

struct allow_watch allow_watch_of(const char *path, const uint8_t own[SIGN_PUBLIC_BYTES])
{
    struct allow_watch watch = {.path = path};
    memcpy(watch.own.key.bytes, own, SIGN_PUBLIC_BYTES);
    ASSERT(wire_public(own, watch.own.wire.bytes)); /* of our own pair */
    return watch;
}

enum status allow_watch_look(struct allow_watch *watch, bool *is_new, struct err *err)
{
    struct stat now;
    *is_new = false;
    if (stat(watch->path, &now) != 0) {
        watch->inode = 0; /* when it comes back, it is read */
        return fail(watch, fs_error(err, errno, watch->path, "cannot look at it"));
    }
    if (watch->inode == now.st_ino && watch->device == now.st_dev &&
        watch->bytes == (uint64_t)now.st_size && is_same(&watch->modified, &now.st_mtim) &&
        is_same(&watch->changed, &now.st_ctim))
        return OK;
    /* As it was before it is read: what is written meanwhile changes it again. */
    watch->inode = now.st_ino;
    watch->device = now.st_dev;
    watch->bytes = (uint64_t)now.st_size;
    watch->modified = now.st_mtim;
    watch->changed = now.st_ctim;
    AUTO(allow_list_fini) struct allow_list list = {0};
    enum status status = allow_list_read(watch->path, &list, err);
    if (status == OK && watch->needs_wire)
        status = allow_list_derive(&list, &watch->list, err);
    watch->failure = OK; /* what is found now is told anew */
    if (status != OK)
        return fail(watch, status);
    struct allow_list old = watch->list;
    watch->list = list;
    list = old;
    *is_new = true;
    return OK;
}

const struct allow_entry *allow_watch_find(const struct allow_watch *watch, const struct id *key)
{
    return id_equal(&watch->own.key, key) ? &watch->own : allow_list_find(&watch->list, key);
}

const struct allow_entry *allow_watch_find_wire(const struct allow_watch *watch,
                                                const struct id *wire)
{
    return id_equal(&watch->own.wire, wire) ? &watch->own
                                            : allow_list_find_wire(&watch->list, wire);
}
