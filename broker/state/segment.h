/* The journal of a state whose server may lose what it acknowledged: commits, one after the other,
 * in objects of a store.
 *
 *   object  = "journal/NAMESPACE/EPOCH-NUMBER-WRITER" (hexadecimal, 16 digits each: who wrote the
 *             object, and the how-manieth of that writer it is); its content is entry*
 *   entry   = head (48 bytes) | meta | area
 *   head    = magic u32 | meta bytes u32 | area bytes u64 | epoch u64 | writer u64 | number u64
 *             | CRC-32C of meta and area u32 | CRC-32C of the head u32
 *   meta, area: as in journal.h (the area has the RESULTS frames verbatim, then run documents)
 *
 * All integers are little-endian. An entry is named by its mark: who committed it (the epoch, and a
 * random number, since a server that forgets may give an epoch twice) and the how-manieth of that
 * writer it is. An object may hold entries of an older writer: what its server still had of them
 * when the newer one took over, or what was merged (segments.h). Objects are read in the order of
 * their names; an entry may come more than once, and counts the first time. A writer's epoch is
 * higher than any that the journal knows when it begins.
 *
 * Pure but for hashing. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "broker/state/state.h"
#include "common/base/arena.h"

enum {
    SEGMENT_NAME_BYTES = 160,
    SEGMENT_BYTES = 8 << 20, /* then an object is put; a larger entry is an object of its own */
    ENTRY_HEAD_BYTES = 48,
    MARK_TEXT_BYTES = 3 * 17
};

/* A server counts epochs in doubles: a name or an entry with a higher one is a stranger's. */
#define EPOCH_MAX (UINT64_C(1) << 52)

struct mark {
    uint64_t epoch, writer, number;
};

/* Could `mark` have been committed after `than`? */
bool mark_is_after(struct mark mark, struct mark than);
static inline bool mark_equal(struct mark a, struct mark b)
{
    return a.epoch == b.epoch && a.writer == b.writer && a.number == b.number;
}
void mark_write(struct mark mark, char out[MARK_TEXT_BYTES]);
/* "" is the mark of nothing, all zero. */
bool mark_read(const char *text, struct mark *out);

void segment_prefix(const char *ns, char out[SEGMENT_NAME_BYTES]);
void segment_name(const char *ns, struct mark segment, char out[SEGMENT_NAME_BYTES]);
/* false: it is no name of a segment of this namespace. */
bool segment_read_name(const char *ns, const char *name, struct mark *out);

/* The mark of an entry, by its head alone; false: it is none. */
bool entry_mark(const void *bytes, size_t count, struct mark *out);
/* Appends an entry. */
void entry_encode(struct mark mark, const struct state_batch *batch, struct buf *out);

struct entry {
    struct mark mark;
    struct state_batch batch; /* in the arena and in `bytes` */
    const uint8_t *bytes;
    size_t byte_count;
};
/* The entry at the front of `bytes`. Errors: E_CORRUPT. */
MUST_USE enum status entry_decode(const uint8_t *bytes, size_t count, struct arena *arena,
                                  struct entry *out, struct err *err);

/* Is each record signed: in a frame whose signature is that of the key given with it, and there for
 * the very task? Errors: E_DENIED naming what is not. */
MUST_USE enum status entry_verify(const struct entry *entry, struct err *err);

/* Which entries have come: runs of numbers of one writer. */
struct marks_seen {
    struct buf runs; /* struct marks_run each */
};
/* false: it was there already. */
bool marks_see(struct marks_seen *seen, struct mark mark);
