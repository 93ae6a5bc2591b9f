/* Does the store hold what the state says it does? Every record's outputs and log, the files of
 * trees, and what runs took from outside: presence first, from one listing of the store; bytes if
 * that is asked. Looks only, and may do so beside work that goes on: what it misses it asks for
 * once more, and tells only what a record or run still names then.
 *
 * Memory: about 64 bytes for each blob. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/state.h"
#include "common/base/arena.h"
#include "common/base/id_set.h"
#include "common/store/store.h"

enum audit_fault { AUDIT_SOUND, AUDIT_MISSING, AUDIT_CORRUPT };
/* What something is to who names it. Inputs of actions that nobody makes or brings any more are
 * only counted as named. */
enum audit_role { AUDIT_INPUT, AUDIT_FILE, AUDIT_LOG, AUDIT_SOURCE, AUDIT_OUTPUT };

struct audit_item {
    uint64_t bytes;
    bool is_tree;
    uint8_t role;  /* enum audit_role, the highest */
    uint8_t fault; /* enum audit_fault; of a tree also that of a file */
    bool is_there;
};

struct audit_task {
    struct id made;     /* what of it is damaged: the first such output, or its log */
    const char *output; /* NULL: the log */
    const char *name;   /* "train[model=mlp]"; NULL: no run has it */
    const char *run;    /* the newest that has it */
};

struct audit {
    struct arena arena;
    struct id_set ids;
    struct audit_item *items; /* by number */
    uint32_t capacity;
    uint64_t run_count, record_count;
    uint64_t sound_count, sound_bytes;     /* of what is named */
    uint64_t unnamed_count, unnamed_bytes; /* there, and named by nobody: gc's business */
    uint32_t damaged_count;                /* items */

    struct id_set tasks;           /* whose records name what is damaged */
    struct audit_task *task_infos; /* by number */
    struct buf unreadable;         /* task ids of records that are damaged themselves */
    struct value lost_sources;     /* [{"id", "name", "location", "run", "fault"}] */
};

void audit_init(struct audit *audit); /* must stay where it is */
void audit_fini(struct audit *audit);
/* `reads_bytes`: all that is named is read and hashed, else only listed (a size that is wrong is
 * looked at). */
MUST_USE enum status audit_run(struct audit *audit, struct state *state, struct store *store,
                               bool reads_bytes, struct err *err);
/* Nothing damaged, nothing missing? */
bool audit_is_clean(const struct audit *audit);
/* Puts what is corrupt into quarantine. */
MUST_USE enum status audit_put_aside(const struct audit *audit, struct store *store,
                                     uint64_t *count, struct err *err);
const char *audit_fault_name(enum audit_fault fault);

DEFINE_AUTO_VALUE(struct audit, audit_fini)
