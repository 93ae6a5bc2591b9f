/* Who writes in a folder, and what its records rest on. The lock says who; the file `epoch` counts
 * the writers. */
// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "broker/state/state_lmdb.h"
#include "common/fs.h"

static const char *path_of(const struct state_lmdb *state, const char *name, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s", state->folder, name);
    return out;
}

/* ---- the epoch ---- */

/* What can't be read counts as none: a worker that has seen a higher one says so. */
static uint64_t read_epoch(const struct state_lmdb *state)
{
    char path[PATH_MAX];
    AUTO(buf_fini) struct buf text = buf_init(0);
    return fs_read(path_of(state, "epoch", path), &text, NULL) == OK
               ? strtoull(buf_text(&text), NULL, 10)
               : 0;
}

/* In place and of one length, so that a full disk, which a run waits for, keeps no broker out. */
static enum status write_epoch(struct state_lmdb *state, uint64_t epoch, struct err *err)
{
    char path[PATH_MAX], text[24];
    int bytes = snprintf(text, sizeof text, "%020" PRIu64 "\n", epoch);
    AUTO(fs_close_fd)
    int fd = open(path_of(state, "epoch", path), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return fs_error(err, errno, path, "cannot open");
    if (pwrite(fd, text, (size_t)bytes, 0) != bytes)
        return fs_error(err, errno, path, "cannot write");
    state->epoch = epoch;
    return OK;
}

enum status lmdb_take_epoch(struct state_lmdb *state, uint64_t above, struct err *err)
{
    uint64_t last = read_epoch(state);
    if (state->lock_fd >= 0)
        return write_epoch(state, (last > above ? last : above) + 1, err);
    state->epoch = last;
    return OK;
}

uint64_t lmdb_epoch(const struct state *base)
{
    return ((const struct state_lmdb *)base)->epoch;
}

enum status lmdb_raise_epoch(struct state *base, uint64_t seen, struct err *err)
{
    return lmdb_take_epoch(state_lmdb_of(base), seen, err);
}

/* ---- the writer ---- */

enum status lmdb_renew(struct state *base, struct err *err)
{
    (void)base; /* a lock holds until its process ends */
    (void)err;
    return OK;
}

enum status lmdb_leader(struct state *base, struct state_lead *out, struct err *err)
{
    (void)err;
    struct state_lmdb *state = state_lmdb_of(base);
    char path[PATH_MAX], pid[32] = "";
    *out = (struct state_lead){.epoch = read_epoch(state)};
    AUTO(fs_close_fd) int fd = open(path_of(state, "lock", path), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || pread(fd, pid, sizeof pid - 1, 0) <= 0)
        return OK;
    pid[strcspn(pid, "\n")] = '\0';
    snprintf(out->holder, sizeof out->holder, "pid %s", pid);
    out->is_held = state->lock_fd >= 0 || flock(fd, LOCK_SH | LOCK_NB) != 0;
    return OK;
}

/* ---- proof ---- */

/* The frame of the entry's batch that holds the place. */
static bool take_frame(const struct journal_entry *entry, struct place place,
                       struct state_proof *out)
{
    uint64_t at = entry->area;
    for (uint32_t i = 0; i < entry->batch.frame_count; at += entry->batch.frames[i++].count) {
        struct mp_view frame = entry->batch.frames[i];
        if (place.offset < at || place.offset + place.bytes > at + frame.count)
            continue;
        static const uint8_t none[PUBLIC_KEY_BYTES];
        buf_put(&out->frame, frame.bytes, frame.count);
        memcpy(out->public_key, entry->batch.frame_keys + (size_t)i * PUBLIC_KEY_BYTES,
               PUBLIC_KEY_BYTES);
        out->is_signed = memcmp(out->public_key, none, sizeof none) != 0;
        out->offset = (uint32_t)(place.offset - at);
        out->bytes = place.bytes;
        return true;
    }
    return false;
}

/* The last that begins not behind `place`. */
static uint64_t entry_at(const struct buf *heads, uint64_t place)
{
    const uint64_t *places = (const uint64_t *)(const void *)heads->bytes;
    size_t low = 0, high = heads->count / sizeof *places;
    while (low + 1 < high) {
        size_t middle = low + (high - low) / 2;
        *(places[middle] <= place ? &low : &high) = middle;
    }
    return high ? places[low] : JOURNAL_HEADER_BYTES;
}

enum status lmdb_find_proof(struct state *base, const struct id *task, struct state_proof *out,
                            struct err *err)
{
    struct state_lmdb *state = state_lmdb_of(base);
    char path[PATH_MAX], hex[ID_HEX_BYTES];
    struct place place;
    bool has_entry = false;
    TRY(lmdb_find_place(state, task, &place, &has_entry, err));
    if (!has_entry)
        return err_set(err, E_NOTFOUND, "task %s has no record", id_hex(task, hex));
    /* A handle of its own: a writer's is at its end. */
    AUTO(journal_close) struct journal *journal = NULL;
    AUTO(arena_fini) struct arena arena = {0};
    struct journal_entry entry;
    TRY(journal_open(path_of(state, "journal", path), STATE_READ, &journal, err));
    TRY(journal_seek(journal, place.offset, &state->heads, err));
    uint64_t at = entry_at(&state->heads, place.offset);
    TRY(journal_next(journal, at, &arena, &entry, &has_entry, err));
    if (!has_entry || !take_frame(&entry, place, out))
        return err_set(err, E_NOTFOUND, "%s: the frame of task %s is not in it", path,
                       id_hex(task, hex));
    return buf_check(&out->frame, "the record's frame", err);
}

enum status lmdb_examine(struct state *base, state_finding_fn *finding, void *context,
                         struct err *err)
{
    (void)base; /* opening it looked at all there is */
    (void)finding;
    (void)context;
    (void)err;
    return OK;
}
