/* What is complete, and which runs there were: one contract for LMDB + journal (embedded), memory,
 * and later Redis.
 *
 * A commit is one batch: RESULTS frames verbatim, which records of them count for which task id and
 * action key, aliases (early cutoff), removals, run documents. It is atomic and *committed*
 * (survives kill -9) when state_poll says so; *flushed* (survives power loss) after state_flush. At
 * most one commit is under way. First commit wins: a task id that has a record keeps it.
 *
 * Back ends that answer at once finish inside state_begin; the caller polls all the same. Look-ups
 * are batched and synchronous here; with a network behind them they become part of the beat.
 * Thread: the loop's, plus any number of reading processes. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "proto/codec.h"
#include "proto/err.h"
#include "proto/id.h"
#include "proto/record.h"

struct state;

enum state_mode { STATE_READ, STATE_WRITE };
enum { STATE_RUN_ID_BYTES = 64 }; /* of a run's id, with its NUL */

/* `url`: a folder ("lmdb:DIR" or a path) or "mem:"; later redis://…. STATE_WRITE takes the writer's
 * lock: a second writer is E_CONFLICT naming the holder's pid. STATE_READ of a folder that does not
 * exist: E_NOTFOUND. Replays the journal's tail into the index; a torn last entry is cut off
 * (logged), a damaged entry in the middle is E_CORRUPT. */
MUST_USE enum status state_open(const char *url, enum state_mode mode, struct state **out,
                                struct err *err);
void state_close(struct state *state);

/* A record's place: in a RESULTS body of this commit (frame, offset, bytes). */
struct state_record {
    struct id task;
    bool has_action;
    struct id action;
    uint32_t frame;         /* index into frames */
    uint32_t offset, bytes; /* of the record within the frame */
};
/* The task's record is that of the action from now on, whatever it was. */
struct state_alias {
    struct id task, action;
};
/* A run's document: canonical MessagePack map {"id", "pipeline" text, "params", "sources", "name",
 * "who", "begun", "ended", "state", "counts"}. */
struct state_run {
    const char *id; /* sortable text: time then random */
    const uint8_t *document;
    size_t document_bytes;
};

struct state_batch {
    const struct mp_view *frames; /* {bytes, count} */
    uint32_t frame_count;
    const uint8_t *frame_keys; /* the public key that each frame is signed with, 32 bytes each;
                                  NULL: unsigned */
    const struct state_record *records;
    uint32_t record_count;
    const struct state_alias *aliases;
    uint32_t alias_count;
    const struct id *removals; /* task ids; their action keys go with them */
    uint32_t removal_count;
    const struct state_run *runs; /* replaces the document of that id */
    uint32_t run_count;
};

/* Starts a commit; the batch is borrowed until it is done. */
MUST_USE enum status state_begin(struct state *state, const struct state_batch *batch,
                                 struct err *err);
/* Sets *is_done. Errors: E_FENCED, E_CORRUPT end the broker; others (E_FULL, E_IO, E_UNREACHABLE)
 * are tried again by the caller, with the same batch, by state_begin. */
MUST_USE enum status state_poll(struct state *state, bool *is_done, struct err *err);
/* Readable when state_poll has something new; −1 when commits finish at once. */
int state_fd(const struct state *state);
MUST_USE enum status state_flush(struct state *state, struct err *err);

/* Keys looked up in one go; more are cut into pieces of so many. Large batches are cheap: sorted,
 * they visit each page of an index once. */
enum { STATE_FIND_MAX = 1 << 18 };
/* Batched look-ups. `found(context, i, record bytes, count)` is called for each key that has a
 * record; the bytes live during the call. Errors: E_IO, E_CORRUPT. */
typedef void state_found_fn(void *context, uint32_t index, const uint8_t *record, size_t bytes);
MUST_USE enum status state_find_tasks(struct state *state, const struct id *tasks, uint32_t count,
                                      state_found_fn *found, void *context, struct err *err);
MUST_USE enum status state_find_actions(struct state *state, const struct id *actions,
                                        uint32_t count, state_found_fn *found, void *context,
                                        struct err *err);
/* All records (for REF by hex prefix, lineage by output, fsck). The visitor ends the walk with a
 * status other than OK. */
typedef enum status state_visit_fn(void *context, const struct id *task, const uint8_t *record,
                                   size_t bytes, struct err *err);
MUST_USE enum status state_each_record(struct state *state, state_visit_fn *visit, void *context,
                                       struct err *err);

/* Runs, newest first; `limit` 0: all. */
typedef enum status state_run_fn(void *context, const char *id, const uint8_t *document,
                                 size_t bytes, struct err *err);
MUST_USE enum status state_each_run(struct state *state, size_t limit, state_run_fn *visit,
                                    void *context, struct err *err);
/* By id or unique prefix, or "latest". Appends the document to `out`. Errors: E_NOTFOUND; E_INVALID
 * an ambiguous prefix, naming the candidates. */
MUST_USE enum status state_get_run(struct state *state, const char *ref, char *id_out,
                                   size_t id_bytes, struct buf *out, struct err *err);

static inline void state_close_auto(struct state **s)
{
    if (*s)
        state_close(*s);
}
