// SPDX-License-Identifier: Apache-2.0
#include "broker/state/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "broker/state/crc32c.h"
#include "broker/state/journal_meta.h"
#include "broker/state/little_endian.h"
#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/log.h"

enum {
    FORMAT = 1,
    MAGIC = 0x314a5350, /* "PSJ1" */
    SCAN_BYTES = 1 << 20,
    WINDOW_BYTES = 1 << 18, /* read at once for neighbouring records */
    GAP_BYTES = 1 << 12     /* cheaper to read than to skip */
};

struct journal {
    char *path;
    int fd;
    enum state_mode mode;
    uint8_t id[JOURNAL_ID_BYTES];
    _Atomic uint64_t end;        /* of the last whole entry */
    _Atomic uint64_t flushed;    /* all before it is on the disk */
    _Atomic uint64_t commit_end; /* as `end`, entries that only say `flushed` left out */
    uint64_t marked;             /* what the file says of `flushed` */
    bool has_dirt;               /* a failed write could not be cut off yet */
    atomic_bool has_lost;        /* an fdatasync failed */
    atomic_bool is_new;          /* made here: the folders above it may be as new */
    struct buf meta, in;
    struct iovec *pieces;
    size_t piece_capacity;
};

struct head {
    uint32_t meta_bytes;
    uint64_t payload_bytes, flushed;
    uint32_t payload_crc;
};

static const char NAME[17] = "penstock journal";

static uint32_t head_crc(const struct journal *journal, const uint8_t head[JOURNAL_HEAD_BYTES])
{
    return crc32c(crc32c(0, journal->id, sizeof journal->id), head, JOURNAL_HEAD_BYTES - 4);
}

static void head_write(const struct journal *journal, const struct head *head,
                       uint8_t out[JOURNAL_HEAD_BYTES])
{
    put32(out, MAGIC);
    put32(out + 4, head->meta_bytes);
    put64(out + 8, head->payload_bytes);
    put64(out + 16, head->flushed);
    put32(out + 24, head->payload_crc);
    put32(out + 28, head_crc(journal, out));
}

static bool head_read(const struct journal *journal, const uint8_t in[JOURNAL_HEAD_BYTES],
                      struct head *head)
{
    *head = (struct head){get32(in + 4), get64(in + 8), get64(in + 16), get32(in + 24)};
    return get32(in) == MAGIC && get32(in + 28) == head_crc(journal, in) &&
           head->meta_bytes <= head->payload_bytes && head->payload_bytes <= INT64_MAX;
}

/* ---- opening ---- */

static enum status read_at(struct journal *journal, uint64_t offset, void *out, size_t bytes,
                           size_t *got, struct err *err)
{
    *got = 0;
    while (*got < bytes) {
        ssize_t n = pread(journal->fd, (uint8_t *)out + *got, bytes - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fs_error(err, errno, journal->path, "cannot read");
        if (n == 0)
            return OK;
        *got += (size_t)n;
    }
    return OK;
}

/* The header of a file that a kill left shorter than one is written again: nothing can be behind
 * it. */
static enum status make_header(struct journal *journal, struct err *err)
{
    uint8_t header[JOURNAL_HEADER_BYTES] = {0};
    random_bytes(journal->id, sizeof journal->id);
    memcpy(header, NAME, 16);
    put32(header + 16, FORMAT);
    memcpy(header + 24, journal->id, sizeof journal->id);
    if (ftruncate(journal->fd, 0) != 0)
        return fs_error(err, errno, journal->path, "cannot write");
    journal->is_new = true;
    return fs_write_all(journal->fd, header, sizeof header, journal->path, err);
}

static enum status read_header(struct journal *journal, struct err *err)
{
    uint8_t header[JOURNAL_HEADER_BYTES];
    size_t got;
    TRY(read_at(journal, 0, header, sizeof header, &got, err));
    if (got < sizeof header)
        return journal->mode == STATE_WRITE ? make_header(journal, err) : OK;
    if (memcmp(header, NAME, 16) != 0)
        return err_set(err, E_CORRUPT, "%s: this is not a journal", journal->path);
    if (get32(header + 16) != FORMAT)
        return err_set(err, E_VERSION, "%s: journal of format %u; this program knows format %d",
                       journal->path, get32(header + 16), FORMAT);
    memcpy(journal->id, header + 24, sizeof journal->id);
    return OK;
}

enum status journal_open(const char *path, enum state_mode mode, struct journal **out,
                         struct err *err)
{
    *out = NULL;
    AUTO(journal_close) struct journal *journal = mem_alloc(sizeof *journal);
    journal->path = mem_copy_text(path, strlen(path));
    journal->mode = mode;
    journal->end = JOURNAL_HEADER_BYTES;
    journal->meta = buf_init(0);
    journal->in = buf_init(0);
    int flags = mode == STATE_WRITE ? O_RDWR | O_CREAT : O_RDONLY;
    journal->fd = open(path, flags | O_CLOEXEC, 0666);
    if (journal->fd < 0)
        return fs_error(err, errno, path, "cannot open");
    TRY(read_header(journal, err));
    *out = TAKE(journal);
    return OK;
}

void journal_close(struct journal *journal)
{
    if (journal->fd >= 0)
        close(journal->fd);
    buf_fini(&journal->meta);
    buf_fini(&journal->in);
    mem_free(journal->pieces);
    mem_free(journal->path);
    mem_free(journal);
}

const uint8_t *journal_id(const struct journal *journal)
{
    return journal->id;
}

uint64_t journal_end(const struct journal *journal)
{
    return journal->end;
}

uint64_t journal_size(const struct journal *journal)
{
    struct stat info;
    return fstat(journal->fd, &info) == 0 ? (uint64_t)info.st_size : 0;
}

/* ---- reading again ---- */

/* Is there a head behind `offset` that says that `offset` was flushed? */
static enum status find_witness(struct journal *journal, uint64_t offset, bool *is_found,
                                struct err *err)
{
    *is_found = false;
    AUTO(mem_free) uint8_t *chunk = mem_alloc(SCAN_BYTES);
    uint8_t magic[4];
    put32(magic, MAGIC);
    for (uint64_t base = offset;;) {
        size_t got;
        TRY(read_at(journal, base, chunk, SCAN_BYTES, &got, err));
        for (size_t i = 0; i + JOURNAL_HEAD_BYTES <= got; i++) {
            uint8_t *at = memchr(chunk + i, magic[0], got - i);
            i = at ? (size_t)(at - chunk) : got;
            struct head head;
            if (i + JOURNAL_HEAD_BYTES <= got && memcmp(at, magic, sizeof magic) == 0 &&
                head_read(journal, at, &head) && head.flushed > offset)
                *is_found = true;
        }
        if (*is_found || got < SCAN_BYTES)
            return OK;
        base += SCAN_BYTES - JOURNAL_HEAD_BYTES;
    }
}

static enum status cut(struct journal *journal, uint64_t offset, struct err *err)
{
    struct stat info;
    if (fstat(journal->fd, &info) != 0 || ftruncate(journal->fd, (off_t)offset) != 0)
        return fs_error(err, errno, journal->path, "cannot cut off a torn end");
    log_event(LOG_WARN, "journal.torn", "file=%s offset=%" PRIu64 " bytes=%" PRIu64, journal->path,
              offset, (uint64_t)info.st_size - offset);
    return OK;
}

/* Reads the entry whole; *is_whole false: it is not there, or not whole. `is_empty`: nothing at all
 * is there. */
static enum status read_entry(struct journal *journal, uint64_t offset, struct arena *arena,
                              struct head *head, uint8_t **payload, bool *is_whole, bool *is_empty,
                              struct err *err)
{
    uint8_t bytes[JOURNAL_HEAD_BYTES];
    struct stat info;
    size_t got;
    *is_whole = false;
    TRY(read_at(journal, offset, bytes, sizeof bytes, &got, err));
    *is_empty = got == 0;
    if (got < sizeof bytes || !head_read(journal, bytes, head))
        return OK;
    if (fstat(journal->fd, &info) != 0)
        return fs_error(err, errno, journal->path, "cannot read");
    if (head->payload_bytes + offset + sizeof bytes > (uint64_t)info.st_size)
        return OK;
    *payload = arena_try(arena, (size_t)head->payload_bytes);
    if (!*payload)
        return err_set(err, E_NOMEM, "%s: no memory for an entry of %" PRIu64 " bytes",
                       journal->path, head->payload_bytes);
    TRY(read_at(journal, offset + sizeof bytes, *payload, (size_t)head->payload_bytes, &got, err));
    *is_whole = got == head->payload_bytes && crc32c(0, *payload, got) == head->payload_crc;
    return OK;
}

/* A broken entry: damage, or an end that a kill or power loss tore? */
static enum status settle_broken(struct journal *journal, uint64_t offset, struct arena *arena,
                                 struct head *head, uint8_t **payload, bool *is_whole,
                                 struct err *err)
{
    bool is_damage, is_empty;
    TRY(find_witness(journal, offset, &is_damage, err));
    if (!is_damage)
        return journal->mode == STATE_WRITE ? cut(journal, offset, err) : OK;
    /* A writer beside us may have finished the entry while we looked. */
    TRY(read_entry(journal, offset, arena, head, payload, is_whole, &is_empty, err));
    if (*is_whole)
        return OK;
    return err_set(err, E_CORRUPT,
                   "%s: the entry at byte %" PRIu64 " is damaged and was once whole on the disk; "
                   "restore the file from a copy, or move it away to begin anew",
                   journal->path, offset);
}

enum status journal_next(struct journal *journal, uint64_t offset, struct arena *arena,
                         struct journal_entry *out, bool *has_entry, struct err *err)
{
    struct head head;
    uint8_t *payload = NULL;
    bool is_empty;
    *has_entry = false;
    TRY(read_entry(journal, offset, arena, &head, &payload, has_entry, &is_empty, err));
    if (!*has_entry && !is_empty)
        TRY(settle_broken(journal, offset, arena, &head, &payload, has_entry, err));
    if (!*has_entry) {
        journal->end = journal->commit_end = journal->marked = offset;
        return OK;
    }
    *out = (struct journal_entry){.next = offset + JOURNAL_HEAD_BYTES + head.payload_bytes,
                                  .area = offset + JOURNAL_HEAD_BYTES + head.meta_bytes,
                                  .payload = payload,
                                  .payload_bytes = (size_t)head.payload_bytes};
    if (!head.meta_bytes)
        return OK;
    struct mp_view meta = {payload, head.meta_bytes};
    struct mp_view area = {payload + head.meta_bytes, (size_t)head.payload_bytes - head.meta_bytes};
    enum status status = journal_meta_decode(meta, area, arena, &out->batch, err);
    if (status != OK)
        return err_prefix(err, "%s: byte %" PRIu64, journal->path, offset);
    return OK;
}

enum status journal_seek(struct journal *journal, uint64_t to, struct buf *heads, struct err *err)
{
    uint8_t bytes[JOURNAL_HEAD_BYTES];
    struct head head;
    uint64_t next = JOURNAL_HEADER_BYTES;
    if (heads->count)
        memcpy(&next, heads->bytes + heads->count - sizeof next, sizeof next);
    for (bool is_known = heads->count; next <= to; is_known = false) {
        size_t got;
        TRY(read_at(journal, next, bytes, sizeof bytes, &got, err));
        if (got < sizeof bytes || !head_read(journal, bytes, &head))
            break;
        if (!is_known)
            buf_put(heads, &next, sizeof next);
        next += sizeof bytes + head.payload_bytes;
    }
    return buf_check(heads, "the places of a journal's entries", err);
}

/* ---- writing ---- */

static enum status write_pieces(struct journal *journal, struct iovec *pieces, size_t count,
                                struct err *err)
{
    uint64_t at = journal->end;
    while (count) {
        int now = count < IOV_MAX ? (int)count : IOV_MAX;
        ssize_t n = pwritev(journal->fd, pieces, now, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fs_error(err, errno, journal->path, "cannot write");
        at += (uint64_t)n;
        for (; count && (size_t)n >= pieces->iov_len; pieces++, count--)
            n -= (ssize_t)pieces->iov_len;
        if (n) {
            pieces->iov_base = (uint8_t *)pieces->iov_base + n;
            pieces->iov_len -= (size_t)n;
        }
    }
    return OK;
}

/* Nothing half-written stays behind; if even that fails, it is done before the next write. */
static enum status clean_up(struct journal *journal, struct err *err)
{
    if (!journal->has_dirt)
        return OK;
    if (ftruncate(journal->fd, (off_t)journal->end) != 0)
        return fs_error(err, errno, journal->path, "cannot cut off a failed write");
    journal->has_dirt = false;
    return OK;
}

/* `pieces[0]` is room for the head. */
static enum status append(struct journal *journal, struct iovec *pieces, size_t count,
                          size_t meta_bytes, struct err *err)
{
    ASSERT(journal->mode == STATE_WRITE && meta_bytes <= UINT32_MAX);
    TRY(clean_up(journal, err));
    struct head head = {.meta_bytes = (uint32_t)meta_bytes, .flushed = journal->flushed};
    for (size_t i = 1; i < count; i++) {
        head.payload_bytes += pieces[i].iov_len;
        head.payload_crc = crc32c(head.payload_crc, pieces[i].iov_base, pieces[i].iov_len);
    }
    uint8_t bytes[JOURNAL_HEAD_BYTES];
    head_write(journal, &head, bytes);
    pieces[0] = (struct iovec){bytes, sizeof bytes};
    enum status status = write_pieces(journal, pieces, count, err);
    if (status != OK) {
        journal->has_dirt = true;
        (void)!clean_up(journal, NULL);
        return status;
    }
    journal->marked = head.flushed;
    journal->end += JOURNAL_HEAD_BYTES + head.payload_bytes;
    return OK;
}

enum status journal_append(struct journal *journal, const struct state_batch *batch, uint64_t *area,
                           struct err *err)
{
    size_t count = 2 + (size_t)batch->frame_count + batch->run_count;
    if (count > journal->piece_capacity) {
        journal->piece_capacity = count * 2;
        journal->pieces = mem_resize(journal->pieces, count * 2 * sizeof *journal->pieces);
    }
    buf_clear(&journal->meta);
    journal_meta_encode(batch, &journal->meta);
    struct iovec *piece = journal->pieces + 1;
    *piece++ = (struct iovec){journal->meta.bytes, journal->meta.count};
    for (uint32_t i = 0; i < batch->frame_count; i++)
        *piece++ =
            (struct iovec){(void *)(uintptr_t)batch->frames[i].bytes, batch->frames[i].count};
    for (uint32_t i = 0; i < batch->run_count; i++)
        *piece++ = (struct iovec){(void *)(uintptr_t)batch->runs[i].document,
                                  batch->runs[i].document_bytes};
    uint64_t begin = journal->end;
    TRY(append(journal, journal->pieces, count, journal->meta.count, err));
    journal->commit_end = journal->end;
    *area = begin + JOURNAL_HEAD_BYTES + journal->meta.count;
    return OK;
}

enum status journal_flush(struct journal *journal, struct err *err)
{
    uint64_t end = journal->end;
    /* A file is only as durable as the names that lead to it. */
    if (journal->is_new)
        TRY(fs_flush_all(journal->path, err));
    journal->is_new = false;
    if (!journal->has_lost && fdatasync(journal->fd) == 0) {
        journal->flushed = end;
        return OK;
    }
    journal->has_lost = true;
    return err_set(err, E_CORRUPT,
                   "%s: the system could not bring it to the disk; what was committed since may "
                   "not survive a power loss",
                   journal->path);
}

bool journal_is_flushed(const struct journal *journal)
{
    return journal->flushed >= journal->commit_end;
}

enum status journal_mark_flushed(struct journal *journal, struct err *err)
{
    struct iovec head;
    return journal->marked >= journal->commit_end ? OK : append(journal, &head, 1, 0, err);
}

/* ---- records ---- */

enum status journal_read(struct journal *journal, const struct place *places, size_t count,
                         state_found_fn *found, void *context, struct err *err)
{
    for (size_t i = 0, next; i < count; i = next) {
        uint64_t begin = places[i].offset, end = begin + places[i].bytes;
        for (next = i + 1; next < count && places[next].offset <= end + GAP_BYTES; next++) {
            uint64_t further = places[next].offset + places[next].bytes;
            if (further > end && further - begin > WINDOW_BYTES)
                break;
            end = further > end ? further : end;
        }
        size_t got, bytes = (size_t)(end - begin);
        buf_clear(&journal->in);
        TRY(buf_try_reserve(&journal->in, bytes, "records of the journal", err));
        TRY(read_at(journal, begin, journal->in.bytes, bytes, &got, err));
        for (size_t k = i; k < next; k++) {
            const uint8_t *at = journal->in.bytes + (places[k].offset - begin);
            if (got < bytes || crc32c(0, at, places[k].bytes) != places[k].crc)
                return err_set(err, E_CORRUPT,
                               "%s: the record at byte %" PRIu64 " (%u bytes) is damaged; restore "
                               "the file from a copy, or move it away to begin anew",
                               journal->path, places[k].offset, places[k].bytes);
            found(context, (uint32_t)k, at, places[k].bytes);
        }
    }
    return OK;
}
