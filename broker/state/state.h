/* What is complete, and which runs there were: one contract for LMDB + journal (embedded), memory,
 * and Redis.
 *
 * A commit is one batch: RESULTS frames verbatim, which records of them count for which task id and
 * action key, aliases (early cutoff), removals, run documents. It is *committed* (survives kill -9
 * of any process) when state_poll says so; *flushed* (survives power loss) after state_flush. At
 * most one commit is under way. First commit wins: a task id that has a record keeps it.
 *
 * What a failure in the midst of a commit leaves: with LMDB and memory all of it or nothing. With
 * Redis a beginning of it: a batch of more than a thousand records goes as several scripts, each
 * whole or not at all: removals with the first, then records frame by frame, aliases and runs with
 * the last. That is safe, since nobody acts on a commit before all of it is there, and the caller
 * begins it again: a record that is there already stays what it is, and all else says the same
 * twice.
 *
 * Who writes has an epoch, higher than that of any writer before. Where writers may be on different
 * machines (Redis) the writer holds a lease and is fenced: as soon as another has taken the lease,
 * nothing of the old one is committed any more (E_FENCED). With a folder a lock does it.
 *
 * Back ends that answer at once finish inside state_begin; the caller polls all the same. Look-ups
 * are batched and synchronous; they wait for a server no longer than it takes to know that it does
 * not answer.
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
#include "proto/msg.h"
#include "proto/record.h"

struct state;

enum state_mode { STATE_READ, STATE_WRITE };
enum { STATE_RUN_ID_BYTES = 64 }; /* of a run's id, with its NUL */

enum { STATE_HOLDER_BYTES = 256 }; /* of a holder's text, with its NUL */

struct state_options {
    /* A folder ("lmdb:DIR" or a path), "mem:", or Redis (redis_url.h): "redis://…", "rediss://…",
     * "redis+unix:///path", "redis+sentinel://…". */
    const char *url;
    enum state_mode mode;
    /* Who writes, as others are shown it and follow it: endpoints, separated by spaces. NULL: this
     * machine's name and the process id. */
    const char *holder;
    uint64_t epoch_min; /* the epoch will be higher: what a worker has seen */
    bool waits_not;     /* a lease that somebody holds is E_CONFLICT at once */
    /* Redis, STATE_WRITE: the store that gets the journal (segment.h). NULL: none is written, and
     * what Redis loses is lost. A folder's journal is in the folder. */
    const char *journal_store;
    /* With journal_store: all of the journal is put back, whatever the server says it has. */
    bool recovers;
};

/* STATE_WRITE takes the writer's lock or lease: a second writer is E_CONFLICT naming the holder.
 * (Redis: the lease of one that died is waited for, LEAD_MS at most.) STATE_READ of a folder that
 * does not exist: E_NOTFOUND. Folder: replays the journal's tail into the index; a torn last entry
 * is cut off (logged), a damaged entry in the middle is E_CORRUPT. Redis: E_UNREACHABLE; E_DENIED a
 * wrong password, a user without the rights, a certificate; E_VERSION a namespace of a newer
 * version, a server that is too old. */
MUST_USE enum status state_open(const struct state_options *options, struct state **out,
                                struct err *err);
/* Is this failure of state_open a server that has just been started and still reads its data? It
 * will answer by itself. */
bool state_is_loading(const struct err *err);
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
 * "who", "begun", "ended", "state", "counts"}. An empty one removes the run. */
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
    const struct id *ahead; /* actions: see state_looks_ahead */
    uint32_t ahead_count;   /* STATE_AHEAD_MAX at most */
};

/* Starts a commit; the batch is borrowed until it is done. Errors: as state_poll. */
MUST_USE enum status state_begin(struct state *state, const struct state_batch *batch,
                                 struct err *err);
/* Sets *is_done. Errors: E_FENCED, E_CORRUPT, E_DENIED end the broker; others (E_FULL, E_IO,
 * E_UNREACHABLE) are tried again by the caller, with the same batch or more, by state_begin. */
MUST_USE enum status state_poll(struct state *state, bool *is_done, struct err *err);
/* Does a look-up cost a round trip to a server? Then actions that will be looked up when a commit
 * is done are asked for along with it (`ahead`), and the state_find_actions that follows, if it
 * asks for no others, is answered at once: with what was there right behind the commit. Nothing
 * else depends on it. */
enum { STATE_AHEAD_MAX = 16 };
bool state_looks_ahead(const struct state *state);
/* Readable when state_poll, state_flush_poll or state_renew has something to do; −1 when commits
 * finish at once. */
int state_fd(const struct state *state);
/* What was committed until now is to be flushed. Folder: on the disk. Redis: in the journal's
 * store, as durable as a blob there (what Redis itself keeps depends on its appendfsync: with
 * `everysec` a machine that loses its power loses a second or two, which recovery takes from the
 * journal); without a journal: what appendfsync gives, and nothing is waited for. Nothing here
 * waits: commits go on meanwhile, and state_flush_poll sets *is_done when all up to the last
 * state_flush_begin is flushed. Errors: E_CORRUPT the disk lost what it was given. A store that
 * does not answer is no error: it takes longer. */
void state_flush_begin(struct state *state);
MUST_USE enum status state_flush_poll(struct state *state, bool *is_done, struct err *err);
/* Begins and waits, for whoever has nothing else to do; STATE_FLUSH_MS at most, then E_UNREACHABLE:
 * ask again. */
enum { STATE_FLUSH_MS = 1000 };
MUST_USE enum status state_flush(struct state *state, struct err *err);

/* ---- who writes ---- */

/* The epoch that this writer acts under; a reader's: the last one there was. */
uint64_t state_epoch(const struct state *state);
/* How long a lease goes on that nobody renews, and how often it is renewed. */
enum { LEAD_MS = 3000, LEAD_RENEW_MS = LEAD_MS / 3 };
struct state_lead {
    bool is_held;     /* by somebody who lives, as far as one can know */
    uint32_t left_ms; /* of a lease: so long it goes on by itself */
    uint64_t epoch;
    char holder[STATE_HOLDER_BYTES]; /* of the last who wrote; "" nobody yet */
};
/* Who writes here? For a standby, which has the state open for reading. */
MUST_USE enum status state_leader(struct state *state, struct state_lead *out, struct err *err);
/* Called every turn; cheap. Keeps the lease. Errors: E_FENCED another writer leads: end, or become
 * its standby. A server that does not answer is no error here. */
MUST_USE enum status state_renew(struct state *state, struct err *err);
/* Is our lease over, as far as we can know, since it could not be renewed in time? Another may lead
 * already: until it is renewed nobody is to be told anything. Of a lock: never. */
bool state_is_cut_off(const struct state *state);
/* A worker has seen `seen`, higher than our epoch: Redis has lost that it was given. The epoch
 * becomes higher than `seen`. Errors: E_FENCED; E_LIMIT no broker can have come so far
 * (EPOCH_AHEAD_MAX); as a commit's. */
MUST_USE enum status state_raise_epoch(struct state *state, uint64_t seen, struct err *err);

/* ---- looking up ---- */

/* Keys looked up in one go; more are cut into pieces of so many. Large batches are cheap: sorted,
 * they visit each page of an index once. */
enum { STATE_FIND_MAX = 1 << 18 };
/* Batched look-ups. `found(context, i, record bytes, count)` is called for each key that has a
 * record; the bytes live during the call. Errors: E_IO, E_CORRUPT,
 * E_UNREACHABLE. After an error `found` may have been called for some. */
typedef void state_found_fn(void *context, uint32_t index, const uint8_t *record, size_t bytes);
MUST_USE enum status state_find_tasks(struct state *state, const struct id *tasks, uint32_t count,
                                      state_found_fn *found, void *context, struct err *err);
MUST_USE enum status state_find_actions(struct state *state, const struct id *actions,
                                        uint32_t count, state_found_fn *found, void *context,
                                        struct err *err);
/* Can it lack what it had? A server can; a folder's journal is read whole or not at all. */
bool state_may_forget(const struct state *state);
/* Are records that were there still there, all of them? Quicker than to look them up; what forgets
 * nothing (a folder) says yes. Some thousand at once. */
MUST_USE enum status state_has_all(struct state *state, const struct id *tasks, uint32_t count,
                                   bool *has_all, struct err *err);

/* All records (for REF by hex prefix, lineage by output, fsck). The visitor ends the walk with a
 * status other than OK. */
typedef enum status state_visit_fn(void *context, const struct id *task, const uint8_t *record,
                                   size_t bytes, struct err *err);
MUST_USE enum status state_each_record(struct state *state, state_visit_fn *visit, void *context,
                                       struct err *err);
/* The same, but a folder's record that is damaged does not end it: it is visited with `record`
 * NULL, and `err` says how it is. */
MUST_USE enum status state_audit_records(struct state *state, state_visit_fn *visit, void *context,
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

/* ---- what it rests on ---- */

/* The signed frame that a task's record came in. */
struct state_proof {
    struct buf frame;
    uint8_t public_key[PUBLIC_KEY_BYTES];
    bool is_signed;
    uint32_t offset, bytes; /* of the record within the frame */
};
/* Appends to out->frame. Reads the journal. Errors: E_NOTFOUND there is no record, or its frame is
 * in no journal. */
MUST_USE enum status state_find_proof(struct state *state, const struct id *task,
                                      struct state_proof *out, struct err *err);

/* What was put back from the journal since this state was opened. */
struct state_recovered {
    uint64_t segments, records;
    uint64_t refused; /* records whose signature does not hold */
    uint64_t damaged; /* entries that could not be read, each a commit's part or more */
};
void state_recovered(struct state *state, struct state_recovered *out);

/* Joins small pieces of the journal, verbatim, into larger ones; or (`merges` false) counts what
 * would be. It may end anywhere, and goes on beside a writer (segments.h). Only a journal in a
 * store has pieces. */
struct state_merged {
    uint64_t segments; /* that there were */
    uint64_t removed;  /* of them: what they had is in others now */
};
MUST_USE enum status state_merge_journal(struct state *state, bool merges, struct state_merged *out,
                                         struct err *err);

/* What about the server may cost results, for `doctor` and the log: one call for each thing looked
 * at; `mend` says what to do about one that is not `ok`. A folder has nothing to look at. */
typedef void state_finding_fn(void *context, const char *check, bool ok, const char *found,
                              const char *mend);
MUST_USE enum status state_examine(struct state *state, state_finding_fn *finding, void *context,
                                   struct err *err);

static inline void state_close_auto(struct state **s)
{
    if (*s)
        state_close(*s);
}
