/* The embedded state, a folder:
 *
 *   journal             the truth (journal.h)
 *   index, index-lock   LMDB (lmdb_index.h)
 *   boot                which start of the machine wrote the index; it is never synced, so
 *                       after another start it is not even opened but made anew
 *   lock                locked by the one writer; holds its pid
 *   epoch               that of the last writer, as a number
 *
 * A reader sees the index plus the journal's tail, which it keeps as a layer. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/state/state_lmdb.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/fs.h"
#include "common/log.h"

enum {
    REPLAY_KEYS_MAX = 1 << 16, /* taken into the index at once */
    BOOT_BYTES = 64
};

static const char *in_folder(const struct state_lmdb *state, const char *name, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s", state->folder, name);
    return out;
}

/* ---- committing ---- */

static enum status lmdb_begin(struct state *base, const struct state_batch *batch, struct err *err)
{
    struct state_lmdb *state = state_lmdb_of(base);
    if (!state->behind)
        return err_set(err, E_DENIED, "%s: opened for reading alone", state->folder);
    uint64_t area;
    TRY(behind_start(state->behind, err));
    TRY(journal_append(state->journal, batch, &area, err));
    behind_lock(state->behind, state->seen);
    state->seen_count = BEHIND_LAYERS;
    apply_batch(state->seen[0], batch, area, &state->source);
    behind_added(state->behind);
    behind_unlock(state->behind);
    return OK;
}

static enum status lmdb_poll(struct state *base, bool *is_done, struct err *err)
{
    (void)err;
    *is_done = behind_has_room(state_lmdb_of(base)->behind);
    return OK;
}

static int lmdb_fd(const struct state *base)
{
    const struct state_lmdb *state = (const struct state_lmdb *)base;
    return state->behind ? behind_fd(state->behind) : -1;
}

static void lmdb_flush_begin(struct state *base)
{
    struct state_lmdb *state = state_lmdb_of(base);
    if (state->behind)
        behind_flush_begin(state->behind);
}

static enum status lmdb_flush_poll(struct state *base, bool *is_done, struct err *err)
{
    struct state_lmdb *state = state_lmdb_of(base);
    *is_done = true;
    if (!state->behind)
        return OK;
    TRY(behind_flush_poll(state->behind, is_done, err));
    /* Without the mark a later open could only take damage for a torn end; a full disk is no reason
     * to fail here. */
    if (*is_done)
        (void)!journal_mark_flushed(state->journal, NULL);
    return OK;
}

/* ---- opening ---- */

static enum status take_lock(struct state_lmdb *state, struct err *err)
{
    char path[PATH_MAX], pid[32] = "";
    in_folder(state, "lock", path);
    state->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (state->lock_fd < 0)
        return fs_error(err, errno, path, "cannot open");
    if (flock(state->lock_fd, LOCK_EX | LOCK_NB) == 0) {
        int bytes = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
        if (ftruncate(state->lock_fd, 0) != 0 ||
            pwrite(state->lock_fd, pid, (size_t)bytes, 0) != bytes)
            return fs_error(err, errno, path, "cannot write");
        return OK;
    }
    if (errno != EWOULDBLOCK)
        return fs_error(err, errno, path, "cannot lock");
    if (pread(state->lock_fd, pid, sizeof pid - 1, 0) <= 0)
        pid[0] = '?';
    pid[strcspn(pid, "\n")] = '\0';
    return err_set(
        err, E_CONFLICT,
        "%s: another broker (pid %s) is working with this state; wait until it has ended",
        state->folder, pid);
}

/* A word that changes with each start of the machine; "" if the system does not say. */
static void read_boot(char out[BOOT_BYTES])
{
    out[0] = '\0';
    AUTO(fs_close_fd) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? 0 : read(fd, out, BOOT_BYTES - 1);
    out[bytes < 0 ? 0 : bytes] = '\0';
}

static bool is_of_this_boot(struct state_lmdb *state)
{
    char path[PATH_MAX], now[BOOT_BYTES];
    AUTO(buf_fini) struct buf then = buf_init(BOOT_BYTES);
    read_boot(now);
    return now[0] && fs_read(in_folder(state, "boot", path), &then, NULL) == OK &&
           strcmp(buf_text(&then), now) == 0;
}

static enum status make_index(struct state_lmdb *state, const char *path, struct err *err)
{
    char lock[PATH_MAX], boot[PATH_MAX], now[BOOT_BYTES];
    in_folder(state, "index-lock", lock);
    if ((unlink(path) != 0 && errno != ENOENT) || (unlink(lock) != 0 && errno != ENOENT))
        return fs_error(err, errno, path, "cannot remove");
    TRY(lmdb_index_open(path, STATE_WRITE, &state->index, err));
    read_boot(now);
    return fs_write(in_folder(state, "boot", boot), now, strlen(now), err);
}

/* The index, and from where on the journal has to be read again. */
static enum status open_index(struct state_lmdb *state, enum state_mode mode, uint64_t *reached,
                              struct err *err)
{
    char path[PATH_MAX];
    struct err why = {0};
    *reached = 0;
    in_folder(state, "index", path);
    enum status status = is_of_this_boot(state) && fs_exists(path)
                             ? lmdb_index_open(path, mode, &state->index, &why)
                             : E_NOTFOUND;
    if (status == OK)
        status = lmdb_index_reached(state->index, journal_id(state->journal), reached, &why);
    if (status != OK || *reached > journal_size(state->journal))
        *reached = 0;
    if (*reached)
        return OK;
    if (state->index)
        lmdb_index_close(TAKE(state->index));
    *reached = JOURNAL_HEADER_BYTES;
    if (status != OK && status != E_NOTFOUND)
        log_event(LOG_WARN, "state.index_lost", "reason=\"%s\"", why.text);
    return mode == STATE_WRITE ? make_index(state, path, err) : OK;
}

static enum status index_tail(struct state_lmdb *state, struct err *err)
{
    if (layer_is_empty(state->tail))
        return OK;
    TRY(lmdb_index_apply(state->index, state->tail, journal_id(state->journal), err));
    layer_clear(state->tail);
    return OK;
}

static enum status replay(struct state_lmdb *state, uint64_t offset, enum state_mode mode,
                          struct err *err)
{
    AUTO(arena_fini) struct arena arena = {0};
    struct journal_entry entry;
    bool has_entry;
    state->tail = layer_new();
    state->seen[0] = state->tail;
    state->seen_count = 1;
    for (;; offset = entry.next) {
        arena_clear(&arena);
        TRY(journal_next(state->journal, offset, &arena, &entry, &has_entry, err));
        if (!has_entry)
            break;
        apply_batch(state->tail, &entry.batch, entry.area, &state->source);
        state->tail->journal_end = entry.next;
        if (mode == STATE_WRITE && state->tail->keys[SPACE_TASK].count > REPLAY_KEYS_MAX)
            TRY(index_tail(state, err));
    }
    if (mode == STATE_READ)
        return OK;
    TRY(index_tail(state, err));
    layer_free(TAKE(state->tail));
    return behind_open(state->journal, state->index, &state->behind, err);
}

static void lmdb_close(struct state *base)
{
    struct state_lmdb *state = state_lmdb_of(base);
    if (state->behind)
        behind_free(state->behind);
    if (state->tail)
        layer_free(state->tail);
    if (state->index)
        lmdb_index_close(state->index);
    if (state->journal)
        journal_close(state->journal);
    if (state->lock_fd >= 0)
        close(state->lock_fd);
    buf_fini(&state->heads);
    mem_free(state->folder);
    mem_free(state);
}

static enum status open_parts(struct state_lmdb *state, const struct state_options *options,
                              struct err *err)
{
    enum state_mode mode = options->mode;
    char path[PATH_MAX];
    uint64_t reached;
    if (mode == STATE_WRITE) {
        TRY(fs_make_dirs(state->folder, err));
        TRY(take_lock(state, err));
    }
    TRY(journal_open(in_folder(state, "journal", path), mode, &state->journal, err));
    TRY(open_index(state, mode, &reached, err));
    TRY(replay(state, reached, mode, err));
    return lmdb_take_epoch(state, options->epoch_min, err);
}

static enum status lmdb_open(const char *folder, const struct state_options *options,
                             struct state **out, struct err *err)
{
    *out = NULL;
    if (strlen(folder) + sizeof "/index-lock" > PATH_MAX)
        return err_set(err, E_LIMIT, "%s: the path is too long", folder);
    struct state_lmdb *state = mem_alloc(sizeof *state);
    state->base.backend = &state_lmdb;
    state->folder = mem_copy_text(folder, strlen(folder));
    state->lock_fd = -1;
    state->source = lmdb_source(state);
    state->heads = buf_init(0);
    enum status status = open_parts(state, options, err);
    if (status == OK)
        *out = &state->base;
    else
        lmdb_close(&state->base);
    return status;
}

const struct state_backend state_lmdb = {.open = lmdb_open,
                                         .close = lmdb_close,
                                         .begin = lmdb_begin,
                                         .poll = lmdb_poll,
                                         .fd = lmdb_fd,
                                         .flush_begin = lmdb_flush_begin,
                                         .flush_poll = lmdb_flush_poll,
                                         .find = lmdb_find,
                                         .each_record = lmdb_each_record,
                                         .each_run = lmdb_each_run,
                                         .epoch = lmdb_epoch,
                                         .leader = lmdb_leader,
                                         .renew = lmdb_renew,
                                         .raise_epoch = lmdb_raise_epoch,
                                         .find_proof = lmdb_find_proof,
                                         .examine = lmdb_examine};
