/* A state and a store with runs in them, as a broker and its workers leave them: documents that
 * expand again, records with their actions, blobs and trees. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/care/audit.h"
#include "broker/care/collect.h"
#include "proto/limits.h"
#include "tests/unit/common/temp.h"

enum { HOUSE_RUNS_MAX = 256, HOUSE_OLD_SECONDS = 3 * GC_GRACE_SECONDS };

struct house {
    struct temp *temp;
    struct state *state; /* opened for writing */
    struct store *store;
    uint32_t run_count;
};

extern struct err house_err;

/* cmocka's: *state is a struct house *. A folder for each. */
int house_setup(void **state);
int house_teardown(void **state);
const char *house_at(struct house *house, const char *name);
void house_open_state(struct house *house);
void house_close_state(struct house *house);

/* A run of a pipeline of four steps: `make` (as many tasks as `width`) reads a source and makes a
 * file; `pack` makes a tree of two files; `sum` gathers all `make`; `end` reads `sum`, and logs.
 * Equal parameters are equal tasks. */
struct house_run {
    const char *pipeline; /* its name; NULL: "p" */
    uint32_t seed, width;
    const char *label;  /* "key=value" */
    int64_t ended_days; /* ago */
    bool is_open;
    /* Records of `end` and `pack` are not there: it has not got so far. */
    bool is_begun_only;
    bool lists_in_store; /* its tasks: as a large run does */
    bool is_untold;      /* they are listed nowhere */
    bool is_changed;     /* expanded now, its tasks are others: a kind's version was raised */
};
/* Puts its blobs, records, document. Its id lives as long as the folder. */
const char *house_add(struct house *house, const struct house_run *run);
/* Everything that is in the store becomes old. */
void house_make_old(struct house *house);

bool house_has_run(struct house *house, const char *id);
/* Is all of it there: a record for each task, whose bytes are there and right? Of an open one: of
 * what is begun. Else says in house_err what is not. */
bool house_is_whole(struct house *house, const char *id, bool is_begun_only);
uint32_t house_record_count(struct house *house);
/* Blobs and manifests. */
uint32_t house_blob_count(struct house *house);
/* The record's output "o" of a task of that run by its name. */
struct artifact house_output(struct house *house, const char *run, const char *task);
const char *house_path(struct house *house, const struct id *id, bool is_tree);

/* What a broker does with a plan: runs first, then records in commits of `at_once`, but for those
 * of `spared` (NULL: none). */
void house_remove(struct house *house, const struct collect_plan *plan, const struct id_set *spared,
                  uint32_t at_once);
/* All of it: plan, remove, sweep. */
struct collect_swept house_collect(struct house *house, const struct collect_options *options);
/* The tasks of a run. */
void house_add_tasks(struct house *house, const char *run, struct id_set *out);
