/* Garbage collection, in two parts that both only look at what is there when they begin:
 *
 *   PLAN    which runs are dropped, and which records no other run reaches
 *           … whoever leads takes these out of the state: runs first, then records, committed …
 *   SWEEP   what in the store neither a record nor a run names, and is older than GC_GRACE_SECONDS,
 *           is removed
 *
 * WHY IT IS SAFE BESIDE WORK THAT GOES ON
 *   - The broker's loop removes the records, and spares those of tasks it knows or has been asked
 *     for since the plan began; a record that it is removing is no hit (broker/app/gc.h). So no run
 *     comes to rest on a record that goes.
 *   - The sweep begins when that is committed. From then on a name in the state is either of a
 *     record or run that it reads, or of one that came later. What came later names what those
 *     name (an early cutoff points at a record that is there), or what was put in the last day: a
 *     put of what is old makes it new (store_put), as does an upload that is spared (store_renew).
 *   - What is put while the sweep goes on is not taken (store_remove_old).
 *   - A tree's manifest goes before its files, and the files of a manifest that is new stay: no
 *     manifest is there whose files were taken.
 *   - Killed anywhere it leaves runs that are there or not, records that are reached or go the next
 *     time, bytes that are named or go the next time. No part needs what another remembers.
 *
 * A worker whose result takes longer than a day to arrive may have lost its bytes: they are looked
 * for before its run is over, and made again.
 *
 * The journal keeps frames of records that went (they are signed as a whole); replaying it takes
 * them out again, since removals are in it, too. Its small objects are merged (state_merge_journal)
 * when the sweep is over. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/state.h"
#include "common/base/arena.h"
#include "common/base/id_set.h"
#include "common/store/store.h"

/* A run is dropped if it is over and all that is given here holds for it; with nothing given none
 * is. */
struct collect_options {
    bool has_keep; /* not among the `keep` newest of its pipeline's name; open ones count */
    uint32_t keep;
    bool has_age; /* ended longer ago than this */
    int64_t age_us;
    const char *const *labels; /* "key=value": has all of them */
    size_t label_count;
    int64_t now_us;
};

struct collect_plan {
    struct arena arena;
    const char **runs; /* ids, newest first */
    uint32_t run_count, run_capacity, runs_kept;
    struct id_set records; /* task ids */
    uint64_t records_kept;
    uint32_t runs_untold; /* kept runs of which is not known what they need: no record goes */
    const char *untold;   /* the newest of them */
};
void collect_plan_init(struct collect_plan *plan); /* must stay where it is */
void collect_plan_fini(struct collect_plan *plan);
/* Errors: E_INVALID, E_CORRUPT an open run can't be expanded any more, so what it needs is unknown;
 * as the state's and the store's. */
MUST_USE enum status collect_make_plan(struct state *state, struct store *store,
                                       const struct collect_options *options,
                                       struct collect_plan *plan, struct err *err);

struct collect_sum {
    uint64_t count, bytes;
};
struct collect_swept {
    struct collect_sum removed, kept;
    struct collect_sum young;   /* nothing names them, and they are new */
    struct collect_sum aside;   /* in quarantine for longer than GC_ASIDE_SECONDS */
    struct collect_sum objects; /* records of run-task, checkpoints: as old */
};
struct collect_sweep {
    const struct collect_plan *plan; /* what is going to go from the state; NULL: nothing */
    int64_t now_s;                   /* since 1970, by the store's clock */
    bool removes;                    /* else it counts only */
    /* What the state must say all the time: one that has forgotten what it had names nothing. 0:
     * whatever it says. */
    uint64_t epoch;
};
MUST_USE enum status collect_sweep(struct state *state, struct store *store,
                                   const struct collect_sweep *sweep, struct collect_swept *out,
                                   struct err *err);

DEFINE_AUTO_VALUE(struct collect_plan, collect_plan_fini)
