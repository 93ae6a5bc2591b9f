// SPDX-License-Identifier: Apache-2.0
#include "broker/state/lmdb_index.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "broker/state/order.h"
#include "common/base/mem.h"
#include "common/fs.h"

enum { TABLE_TASKS, TABLE_ACTIONS, TABLE_RUNS, TABLE_META, TABLE_COUNT };
enum { PREFETCH_KEYS = 8 };
enum { PLACE_BYTES = 16, REACHED_BYTES = JOURNAL_ID_BYTES + 8, MAP_BYTES_MIN = 1 << 18 };

static const char *const table_names[TABLE_COUNT] = {"tasks", "actions", "runs", "meta"};

struct lmdb_index {
    char *path;
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT];
    enum state_mode mode;
    bool writes_map;
    pthread_mutex_t reading; /* held while this process reads, and while the map grows */
};

static enum status fail(const struct lmdb_index *index, int code, const char *doing,
                        struct err *err)
{
    if (code > 0)
        return fs_error(err, code, index->path, doing);
    return err_set(err, E_CORRUPT,
                   "%s: %s: %s; remove this file, and it is made anew from the journal",
                   index->path, doing, mdb_strerror(code));
}

static void place_write(struct place place, uint8_t out[PLACE_BYTES])
{
    uint64_t offset = htole64(place.offset);
    uint32_t bytes = htole32(place.bytes), crc = htole32(place.crc);
    memcpy(out, &offset, 8);
    memcpy(out + 8, &bytes, 4);
    memcpy(out + 12, &crc, 4);
}

static bool place_read(const MDB_val *value, struct place *out)
{
    uint64_t offset;
    uint32_t bytes, crc;
    if (value->mv_size != PLACE_BYTES)
        return false;
    memcpy(&offset, value->mv_data, 8);
    memcpy(&bytes, (const uint8_t *)value->mv_data + 8, 4);
    memcpy(&crc, (const uint8_t *)value->mv_data + 12, 4);
    *out = (struct place){le64toh(offset), le32toh(bytes), le32toh(crc)};
    return true;
}

static MDB_val val(const void *data, size_t bytes)
{
    return (MDB_val){bytes, (void *)(uintptr_t)data};
}

/* ---- opening ---- */

/* A read-only transaction. Another process may have grown the map since: then ours follows. */
static enum status begin_read(struct lmdb_index *index, MDB_txn **txn, struct err *err)
{
    int code = mdb_txn_begin(index->env, NULL, MDB_RDONLY, txn);
    if (code == MDB_MAP_RESIZED) {
        code = mdb_env_set_mapsize(index->env, 0);
        code = code ? code : mdb_txn_begin(index->env, NULL, MDB_RDONLY, txn);
    }
    return code ? fail(index, code, "cannot read the index", err) : OK;
}

/* A file shorter than what it says it holds would end this program with SIGBUS. */
static enum status check_length(struct lmdb_index *index, struct err *err)
{
    MDB_envinfo info;
    MDB_stat stat_of;
    struct stat file;
    if (stat(index->path, &file) != 0)
        return fs_error(err, errno, index->path, "cannot read");
    int code = mdb_env_info(index->env, &info);
    code = code ? code : mdb_env_stat(index->env, &stat_of);
    if (code)
        return fail(index, code, "cannot read the index", err);
    if (info.me_last_txnid && (info.me_last_pgno + 1) * stat_of.ms_psize > (size_t)file.st_size)
        return fail(index, MDB_CORRUPTED, "shorter than it should be", err);
    return OK;
}

static enum status open_tables(struct lmdb_index *index, struct err *err)
{
    MDB_txn *txn;
    bool is_writer = index->mode == STATE_WRITE;
    int code = mdb_txn_begin(index->env, NULL, is_writer ? 0 : MDB_RDONLY, &txn);
    if (code)
        return fail(index, code, "cannot open the index", err);
    for (int i = 0; i < TABLE_COUNT && !code; i++)
        code = mdb_dbi_open(txn, table_names[i], is_writer ? MDB_CREATE : 0, &index->tables[i]);
    if (code)
        mdb_txn_abort(txn);
    else
        code = mdb_txn_commit(txn);
    return code ? fail(index, code, "cannot open the index", err) : OK;
}

/* A page without a place on the disk would end the program with SIGBUS once the disk is full, so
 * the whole map gets its place first. Returns an errno. */
static int allocate_map(struct lmdb_index *index, size_t bytes)
{
    int fd;
    int code = mdb_env_get_fd(index->env, &fd);
    return code ? code : posix_fallocate(fd, 0, (off_t)bytes);
}

static int open_env(struct lmdb_index *index, unsigned flags)
{
    int code = mdb_env_create(&index->env);
    code = code ? code : mdb_env_set_maxdbs(index->env, TABLE_COUNT);
    if (!fs_exists(index->path)) /* else as large as it is */
        code = code ? code : mdb_env_set_mapsize(index->env, MAP_BYTES_MIN);
    return code ? code
                : mdb_env_open(index->env, index->path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0666);
}

/* The writer changes pages in its map, where they are the system's cache and not this program's
 * memory. Where the disk has no room for a whole map, it writes page by page. */
static int open_writer(struct lmdb_index *index)
{
    MDB_envinfo info;
    int code = open_env(index, MDB_NOSYNC | MDB_WRITEMAP);
    code = code ? code : mdb_env_info(index->env, &info);
    code = code ? code : allocate_map(index, info.me_mapsize);
    index->writes_map = !code;
    if (code != ENOSPC)
        return code;
    mdb_env_close(TAKE(index->env));
    return open_env(index, MDB_NOSYNC);
}

enum status lmdb_index_open(const char *path, enum state_mode mode, struct lmdb_index **out,
                            struct err *err)
{
    *out = NULL;
    AUTO(lmdb_index_close) struct lmdb_index *index = mem_alloc(sizeof *index);
    pthread_mutex_init(&index->reading, NULL);
    index->path = mem_copy_text(path, strlen(path));
    index->mode = mode;
    int code = mode == STATE_WRITE ? open_writer(index) : open_env(index, MDB_RDONLY);
    if (code)
        return fail(index, code, "cannot open the index", err);
    TRY(check_length(index, err));
    int dead;
    if (mode == STATE_WRITE)
        mdb_reader_check(index->env, &dead); /* slots of readers that were killed */
    TRY(open_tables(index, err));
    *out = TAKE(index);
    return OK;
}

void lmdb_index_close(struct lmdb_index *index)
{
    if (index->env)
        mdb_env_close(index->env);
    pthread_mutex_destroy(&index->reading);
    mem_free(index->path);
    mem_free(index);
}

enum status lmdb_index_reached(struct lmdb_index *index, const uint8_t id[JOURNAL_ID_BYTES],
                               uint64_t *out, struct err *err)
{
    *out = 0;
    MDB_txn *txn;
    TRY(begin_read(index, &txn, err));
    MDB_val key = val("reached", 7), value;
    int code = mdb_get(txn, index->tables[TABLE_META], &key, &value);
    if (!code && value.mv_size == REACHED_BYTES &&
        memcmp(value.mv_data, id, JOURNAL_ID_BYTES) == 0) {
        memcpy(out, (const uint8_t *)value.mv_data + JOURNAL_ID_BYTES, 8);
        *out = le64toh(*out);
    }
    mdb_txn_abort(txn);
    return code && code != MDB_NOTFOUND ? fail(index, code, "cannot read the index", err) : OK;
}

/* ---- taking a layer in ---- */

static int put_keys(MDB_txn *txn, MDB_dbi table, const struct layer_keys *keys)
{
    AUTO(mem_free) struct ordered *order = mem_alloc(2 * (size_t)keys->count * sizeof *order);
    for (uint32_t i = 0; i < keys->count; i++)
        order[i] = (struct ordered){order_of_id(&keys->entries[i].key), i};
    order_sort(order, order + keys->count, keys->count);
    for (uint32_t i = 0; i < keys->count; i++) {
        if (i + PREFETCH_KEYS < keys->count)
            __builtin_prefetch(&keys->entries[order[i + PREFETCH_KEYS].index]);
        const struct layer_entry *entry = &keys->entries[order[i].index];
        uint8_t place[PLACE_BYTES];
        MDB_val key = val(entry->key.bytes, ID_BYTES), value = val(place, sizeof place);
        int code = entry->is_removed ? mdb_del(txn, table, &key, NULL) : 0;
        if (code && code != MDB_NOTFOUND)
            return code;
        if (!entry->has_place)
            continue;
        place_write(entry->place, place);
        code = mdb_put(txn, table, &key, &value, MDB_NOOVERWRITE);
        if (code && code != MDB_KEYEXIST)
            return code;
    }
    return 0;
}

static int put_runs(struct lmdb_index *index, MDB_txn *txn, const struct layer *layer)
{
    int code = 0;
    for (uint32_t i = 0; i < layer->run_count && !code; i++) {
        uint8_t place[PLACE_BYTES];
        place_write(layer->runs[i].place, place);
        MDB_val key = val(layer->runs[i].id, strlen(layer->runs[i].id));
        MDB_val value = val(place, sizeof place);
        code = layer->runs[i].place.bytes ? mdb_put(txn, index->tables[TABLE_RUNS], &key, &value, 0)
                                          : mdb_del(txn, index->tables[TABLE_RUNS], &key, NULL);
        code = code == MDB_NOTFOUND ? 0 : code;
    }
    return code;
}

static int apply_once(struct lmdb_index *index, const struct layer *layer,
                      const uint8_t id[JOURNAL_ID_BYTES])
{
    MDB_txn *txn;
    uint8_t reached[REACHED_BYTES];
    uint64_t end = htole64(layer->journal_end);
    memcpy(reached, id, JOURNAL_ID_BYTES);
    memcpy(reached + JOURNAL_ID_BYTES, &end, sizeof end);
    MDB_val key = val("reached", 7), value = val(reached, sizeof reached);
    int code = mdb_txn_begin(index->env, NULL, 0, &txn);
    if (code)
        return code;
    code = put_keys(txn, index->tables[TABLE_TASKS], &layer->keys[SPACE_TASK]);
    if (!code)
        code = put_keys(txn, index->tables[TABLE_ACTIONS], &layer->keys[SPACE_ACTION]);
    code = code ? code : put_runs(index, txn, layer);
    code = code ? code : mdb_put(txn, index->tables[TABLE_META], &key, &value, 0);
    if (!code)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return code;
}

/* Twice as large. No transaction of this process may be open meanwhile. */
static int grow(struct lmdb_index *index)
{
    MDB_envinfo info;
    pthread_mutex_lock(&index->reading);
    int code = mdb_env_info(index->env, &info);
    size_t bytes = info.me_mapsize < MAP_BYTES_MIN ? MAP_BYTES_MIN : info.me_mapsize * 2;
    if (index->writes_map)
        code = code ? code : allocate_map(index, bytes);
    code = code ? code : mdb_env_set_mapsize(index->env, bytes);
    pthread_mutex_unlock(&index->reading);
    return code;
}

enum status lmdb_index_apply(struct lmdb_index *index, const struct layer *layer,
                             const uint8_t id[JOURNAL_ID_BYTES], struct err *err)
{
    int code = apply_once(index, layer, id);
    while (code == MDB_MAP_FULL) {
        code = grow(index);
        code = code ? code : apply_once(index, layer, id);
    }
    return code ? fail(index, code, "cannot write the index", err) : OK;
}

/* ---- looking up ---- */

/* Opens a cursor in a snapshot; the pair of end_walk. */
static enum status begin_walk(struct lmdb_index *index, MDB_dbi table, MDB_cursor **cursor,
                              struct err *err)
{
    MDB_txn *txn;
    pthread_mutex_lock(&index->reading);
    enum status status = begin_read(index, &txn, err);
    if (status == OK) {
        int code = mdb_cursor_open(txn, table, cursor);
        if (!code)
            return OK;
        mdb_txn_abort(txn);
        status = fail(index, code, "cannot read the index", err);
    }
    pthread_mutex_unlock(&index->reading);
    return status;
}

static enum status end_walk(struct lmdb_index *index, MDB_cursor *cursor, int code, struct err *err)
{
    MDB_txn *txn = mdb_cursor_txn(cursor);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    pthread_mutex_unlock(&index->reading);
    return code && code != MDB_NOTFOUND ? fail(index, code, "cannot read the index", err) : OK;
}

/* A cursor finds the next key quickly where that is on the page of the one before. */
enum status lmdb_index_find(struct lmdb_index *index, enum space space, struct index_query *queries,
                            size_t count, struct err *err)
{
    MDB_cursor *cursor;
    TRY(begin_walk(index, index->tables[space == SPACE_TASK ? TABLE_TASKS : TABLE_ACTIONS], &cursor,
                   err));
    int code = 0;
    for (size_t i = 0; i < count && (!code || code == MDB_NOTFOUND); i++) {
        MDB_val key = val(queries[i].key->bytes, ID_BYTES), value;
        code = mdb_cursor_get(cursor, &key, &value, MDB_SET);
        queries[i].is_found = !code && place_read(&value, &queries[i].place);
    }
    return end_walk(index, cursor, code, err);
}

enum status lmdb_index_list(struct lmdb_index *index, const struct id *after,
                            struct layer_entry *out, size_t max, size_t *count, struct err *err)
{
    MDB_cursor *cursor;
    *count = 0;
    TRY(begin_walk(index, index->tables[TABLE_TASKS], &cursor, err));
    MDB_val key = {0}, value;
    if (after)
        key = val(after->bytes, ID_BYTES);
    int code = mdb_cursor_get(cursor, &key, &value, after ? MDB_SET_RANGE : MDB_FIRST);
    while (!code && *count < max) {
        struct layer_entry *entry = &out[*count];
        bool is_first =
            after && key.mv_size == ID_BYTES && memcmp(key.mv_data, after->bytes, ID_BYTES) == 0;
        if (key.mv_size == ID_BYTES && !is_first && place_read(&value, &entry->place)) {
            memcpy(entry->key.bytes, key.mv_data, ID_BYTES);
            entry->has_place = true;
            ++*count;
        }
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return end_walk(index, cursor, code, err);
}

/* To the last key that begins with `prefix`. The byte 0xff is in no id, so prefix + 0xff is behind
 * all of them. */
static int last_of_prefix(MDB_cursor *cursor, const char *prefix, MDB_val *key, MDB_val *value)
{
    uint8_t bound[STATE_RUN_ID_BYTES + 1];
    size_t bytes = strlen(prefix);
    bytes = bytes < STATE_RUN_ID_BYTES ? bytes : STATE_RUN_ID_BYTES;
    memcpy(bound, prefix, bytes);
    bound[bytes] = 0xff;
    *key = val(bound, bytes + 1);
    int code = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    if (code == MDB_NOTFOUND)
        return mdb_cursor_get(cursor, key, value, MDB_LAST);
    return code ? code : mdb_cursor_get(cursor, key, value, MDB_PREV);
}

enum status lmdb_index_runs(struct lmdb_index *index, const char *prefix, size_t limit,
                            struct layer *layer, struct err *err)
{
    MDB_cursor *cursor;
    TRY(begin_walk(index, index->tables[TABLE_RUNS], &cursor, err));
    MDB_val key, value;
    size_t prefix_bytes = strlen(prefix);
    int code = last_of_prefix(cursor, prefix, &key, &value);
    for (size_t n = 0; !code && (!limit || n < limit); n++) {
        struct place place;
        if (key.mv_size < prefix_bytes || memcmp(key.mv_data, prefix, prefix_bytes) != 0)
            break;
        if (key.mv_size < STATE_RUN_ID_BYTES && place_read(&value, &place)) {
            char id[STATE_RUN_ID_BYTES] = "";
            memcpy(id, key.mv_data, key.mv_size);
            layer_put_run(layer, id, place);
        }
        code = mdb_cursor_get(cursor, &key, &value, MDB_PREV);
    }
    return end_walk(index, cursor, code, err);
}
