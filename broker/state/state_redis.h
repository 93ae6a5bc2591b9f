/* Inside the state in Redis: what its parts share.
 *
 *   redis_url      what the URL says                redis_link     one connection
 *   redis_script   what the server runs             redis_part     a batch, cut for it
 *   redis_lead     the lease and the epoch          redis_commit   commits on their way
 *   redis_ahead    look-ups that go with a commit   redis_find     look-ups and walks
 *   redis_examine  what doctor says
 *   redis_journal  the outbox into the store, and what a server lost back out of it
 *
 * Two connections: `work` carries commits and the lease, and is never waited for; `look` carries
 * questions, and is. A third belongs to the journal's thread. A connection that failed is made anew
 * by whoever needs it, after a pause that grows; until then the caller is told at once. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/backend.h"
#include "broker/state/redis_script.h"
#include "common/base/ms.h"

enum { BACKOFF_MS_MIN = 50, BACKOFF_MS_MAX = 2000 };

struct redis_session {
    struct redis_link *link; /* NULL: not connected */
    ms_t retry_at;
    uint32_t backoff_ms;
    struct err why; /* the last failure */
};

enum redis_owed { OWED_PART, OWED_RENEWAL, OWED_AHEAD };

/* What was asked for along with the commit under way, or the last one: see redis_ahead.c. */
struct redis_ahead {
    struct id actions[STATE_AHEAD_MAX];
    uint32_t count; /* 0: nothing */
    bool is_owed;
    bool is_answered; /* by a server that had taken the commit */
    struct buf
        answers; /* of each: bytes that follow (uint64_t, UINT64_MAX: no record), then they */
};

struct redis_journal;
struct redis_spots;

struct state_redis {
    struct state base;
    struct redis_url url;
    enum state_mode mode;
    char *holder;
    char *journal_store; /* NULL: none */
    struct redis_scripts scripts;
    struct redis_session work, look;
    int epoll_fd, timer_fd; /* a writer's: the connection `work`, and when the lease is due */
    bool wants_room;        /* what epoll was told */
    /* the lease */
    uint64_t epoch, writer;
    bool waits_not;  /* for a lease that somebody holds */
    bool is_leader;  /* has been, and as far as we know is */
    bool is_fenced;  /* for good */
    bool is_lost;    /* the server has forgotten commits, or that we lead */
    bool is_putting; /* the journal's thread puts them back */
    bool is_renewing;
    ms_t renewed_at, renewal_sent_at;
    /* the commit under way */
    struct mark at;   /* of the last commit known to be there */
    struct mark sent; /* of the last part sent */
    struct buf owed;  /* enum redis_owed each (a byte), as the answers will come */
    size_t owed_first;
    uint32_t parts_owed; /* of the commit under way; 0: none */
    struct buf entries;  /* of the commit: entries, one after the other */
    enum status failed;  /* the first failure of its parts */
    struct err failure;
    struct redis_ahead ahead;
    struct redis_journal *journal;
    struct redis_spots *spots; /* where proofs were seen; NULL: none was asked for */
    uint64_t flush_wanted;     /* the number of our entry that is to be in its store */
};

static inline struct state_redis *state_redis_of(struct state *state)
{
    return (struct state_redis *)state;
}

/* ---- connections (redis_session.c) ---- */

/* A connection, if there is one or it can be made now. Errors: E_UNREACHABLE and others of
 * redis_link_open. */
MUST_USE enum status redis_session_ready(struct redis_session *session, const struct redis_url *url,
                                         bool *is_new, struct err *err);
/* Closes it; made anew at once, or (`why`) after a pause. If there is none, a pause that runs goes
 * on. */
void redis_session_drop(struct redis_session *session, const struct err *why);

/* ---- the lease (redis_lead.c) ---- */

/* Takes the lease on a fresh connection, or says that we still have it. Errors: E_CONFLICT somebody
 * holds it; E_FENCED; E_VERSION. */
MUST_USE enum status redis_lead_take(struct state_redis *state, bool is_forced, struct err *err);
MUST_USE enum status redis_lead_confirm(struct state_redis *state, struct err *err);
void redis_lead_release(struct state_redis *state);
/* Our epoch becomes higher than `seen`; on `look`, since answers may be owed on `work`. */
MUST_USE enum status redis_lead_outrank(struct state_redis *state, uint64_t seen, struct err *err);
/* What "FENCED" in an answer means: somebody else leads (E_FENCED, for good), or the server has
 * forgotten us (is_lost; E_UNREACHABLE until that is mended). */
enum status redis_lead_fenced(struct state_redis *state, const struct redis_reply *reply,
                              struct err *err);
enum status redis_lead_lost(struct state_redis *state, const char *at, struct err *err);
MUST_USE enum status redis_leader(struct state *base, struct state_lead *out, struct err *err);
MUST_USE enum status redis_renew(struct state *base, struct err *err);
MUST_USE enum status redis_raise_epoch(struct state *base, uint64_t seen, struct err *err);
uint64_t redis_epoch(const struct state *base);
bool redis_is_cut_off(const struct state *base);

/* ---- commits (redis_commit.c) ---- */

/* The connection `work`, with us in the lead and all that was lost put back. */
MUST_USE enum status redis_work_ready(struct state_redis *state, struct err *err);
/* Reads what answers there are. */
MUST_USE enum status redis_work_pump(struct state_redis *state, struct err *err);
void redis_work_owe(struct state_redis *state, enum redis_owed what);
void redis_work_drop(struct state_redis *state, const struct err *why);
MUST_USE enum status redis_begin(struct state *base, const struct state_batch *batch,
                                 struct err *err);
MUST_USE enum status redis_poll(struct state *base, bool *is_done, struct err *err);

/* ---- look-ups that go with a commit (redis_ahead.c) ---- */

/* Forgets what was asked with the last commit, and queues what the new one asks for, behind it. */
void redis_ahead_ask(struct state_redis *state, const struct state_batch *batch);
void redis_ahead_take(struct state_redis *state, const struct redis_reply *reply);
/* Once, and for the very next look-up of actions alone: true: it is answered. */
bool redis_ahead_answer(struct state_redis *state, const struct id *actions, uint32_t count,
                        state_found_fn *found, void *context);

/* ---- look-ups (redis_find.c) ---- */

MUST_USE enum status redis_find(struct state *base, enum space space, const struct id *keys,
                                uint32_t count, state_found_fn *found, void *context,
                                struct err *err);
MUST_USE enum status redis_has_all(struct state *base, const struct id *tasks, uint32_t count,
                                   bool *has_all, struct err *err);
MUST_USE enum status redis_each_record(struct state *base, state_visit_fn *visit, void *context,
                                       struct err *err);
MUST_USE enum status redis_each_run(struct state *base, const char *prefix, size_t limit,
                                    state_run_fn *visit, void *context, struct err *err);
void redis_spots_free(struct redis_spots *spots);
MUST_USE enum status redis_find_proof(struct state *base, const struct id *task,
                                      struct state_proof *out, struct err *err);
MUST_USE enum status redis_examine(struct state *base, state_finding_fn *finding, void *context,
                                   struct err *err);
/* One question on `look`, and its answer. */
MUST_USE enum status redis_look_ask(struct state_redis *state, const char *const *words,
                                    struct redis_reply **out, struct err *err);
