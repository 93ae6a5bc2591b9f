/* The append-only file that is the truth: the LMDB index is made from it.
 *
 *   file   = header entry*
 *   header = "penstock journal" (16 bytes) | format u32 | 0 u32 | random id (16 bytes)
 *   entry  = head (32 bytes) | meta | area
 *   head   = magic u32 | meta bytes u32 | meta and area bytes u64 | flushed u64
 *            | CRC-32C of meta and area u32 | CRC-32C of the head u32
 *   meta   = MessagePack, one commit:
 *            [[[frame bytes, public key | nil], …],
 *             [[task, frame, offset, bytes, action | nil], …],
 *             [[task, action], …], [removed task, …],
 *             [[run id, document bytes], …]]
 *   area   = the RESULTS frames verbatim, then the runs' documents
 *
 * All integers of the heads are little-endian. An entry is one commit, so that a commit is there
 * whole or not at all. `flushed` says up to where the file was known to be on the disk when the
 * entry was written; an entry without meta says nothing else. By it a torn end is told from damage:
 * what is broken and nowhere said to be flushed is an end that a kill or a power loss tore, and is
 * cut off; what is broken though it was flushed is damage. The CRC of the head begins with the
 * file's random id, so that no frame's content passes for a head.
 *
 * Thread: one appends and reads; journal_flush may be called by another. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/state/layer.h"
#include "broker/state/state.h"
#include "common/base/arena.h"

enum { JOURNAL_ID_BYTES = 16, JOURNAL_HEADER_BYTES = 40, JOURNAL_HEAD_BYTES = 32 };

struct journal;

/* STATE_WRITE makes a missing file. STATE_READ: E_NOTFOUND. E_VERSION: another format; E_CORRUPT:
 * no journal. */
MUST_USE enum status journal_open(const char *path, enum state_mode mode, struct journal **out,
                                  struct err *err);
void journal_close(struct journal *journal);
const uint8_t *journal_id(const struct journal *journal);
/* Where the next entry goes: behind the last whole one, once journal_next has come to the end. */
uint64_t journal_end(const struct journal *journal);
/* Bytes of the file, a torn end included. */
uint64_t journal_size(const struct journal *journal);

/* Reading again what was committed. */
struct journal_entry {
    uint64_t next; /* of the entry behind it */
    uint64_t area; /* where frames and documents begin */
    struct state_batch batch;
    const uint8_t *payload; /* meta and area */
    size_t payload_bytes;
};
/* The entry at `offset` (JOURNAL_HEADER_BYTES is the first), in memory of `arena`. *has_entry
 * false: the end; a torn rest is cut off by a writer and left alone by a reader. Errors: E_CORRUPT
 * naming the place, E_IO, E_NOMEM. */
MUST_USE enum status journal_next(struct journal *journal, uint64_t offset, struct arena *arena,
                                  struct journal_entry *out, bool *has_entry, struct err *err);

/* `heads` has where entries begin (uint64_t), from the first on; appends those up to the one that
 * holds the byte `to`, or to what is no head. Errors: E_IO, E_NOMEM. */
MUST_USE enum status journal_seek(struct journal *journal, uint64_t to, struct buf *heads,
                                  struct err *err);

/* Writes one commit; *area as in journal_entry. On failure nothing of it stays. Errors: E_FULL,
 * E_IO. */
MUST_USE enum status journal_append(struct journal *journal, const struct state_batch *batch,
                                    uint64_t *area, struct err *err);
/* fdatasync. Errors: E_CORRUPT. After a failure the kernel may have dropped what was not written,
 * so every later one fails as well: no use trying again. */
MUST_USE enum status journal_flush(struct journal *journal, struct err *err);
/* Writes down that all so far is flushed: after journal_flush, on the thread that appends. */
MUST_USE enum status journal_mark_flushed(struct journal *journal, struct err *err);
bool journal_is_flushed(const struct journal *journal);

/* `places` in the order of their offsets; `found(context, i, …)` for each. Neighbours are read
 * together. E_CORRUPT: a CRC that does not match. */
MUST_USE enum status journal_read(struct journal *journal, const struct place *places, size_t count,
                                  state_found_fn *found, void *context, struct err *err);

DEFINE_AUTO(struct journal *, journal_close)
