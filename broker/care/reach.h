/* What is still needed, seen from the runs that are kept:
 *
 *   run document ── as it was written down ──▶ task ids ── look-up ──▶ records ──▶ outputs, log,
 *        │                                                                       │   inputs
 *        └─ sources, task list, logs of failed tasks, what else its result names └─ trees ──▶ files
 *
 * What a run that is over reached stands in its result, or, of a large one, in a blob; expanding it
 * again would give other ids once a kind's version has changed. An open one goes on as it is
 * expanded now.
 *
 * Bytes are in one set whatever they are, since ids of blobs and of trees can't be equal. Memory:
 * about 40 bytes an id, and one run's graph at a time. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/state.h"
#include "common/base/arena.h"
#include "common/base/id_set.h"
#include "common/store/store.h"

struct reach {
    struct id_set tasks;
    struct id_set bytes;
    struct id_set expanded; /* digests of what was expanded: runs of one pipeline are alike */
};

void reach_init(struct reach *reach); /* must stay where it is */
void reach_fini(struct reach *reach);
/* The tasks of a run. *is_told false: they were not written down (by an earlier version), or what
 * was is lost. Errors: E_INVALID, E_CORRUPT an open one can't be expanded any more; as the
 * store's. */
MUST_USE enum status reach_run_tasks(struct reach *reach, struct store *store,
                                     const struct value *document, bool *is_told, struct err *err);
/* The bytes that a run's document names. */
MUST_USE enum status reach_run_bytes(struct reach *reach, const struct value *document,
                                     struct err *err);
/* The bytes that a record names. Errors: E_PROTOCOL it is none. */
MUST_USE enum status reach_record(struct reach *reach, const uint8_t *record, size_t bytes,
                                  struct err *err);
/* The files of a tree. One that is not there, or damaged, has none. */
MUST_USE enum status reach_files(struct reach *reach, struct store *store, const struct id *tree,
                                 struct err *err);

/* A run's document, in the arena. Errors: E_CORRUPT naming the run. */
MUST_USE enum status reach_decode(const char *run, const uint8_t *bytes, size_t count,
                                  struct arena *arena, struct value *out, struct err *err);

DEFINE_AUTO_VALUE(struct reach, reach_fini)
