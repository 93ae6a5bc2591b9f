/* A task from a file, for work without a broker: its specification as canonical MessagePack, or as
 * JSON in which ids are hex text and "version" may be left out. Records of finished tasks lie under
 * `records/<task id>` of the store; inputs that are other tasks' outputs are found there.
 *
 *   {"kind": "exec", "outputs": ["o"], "params": {"command": "sort $x > o"},
 *    "inputs": {"x": ["blob", "<64 hex>"]}}
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "common/store/store.h"
#include "proto/err.h"
#include "proto/id.h"
#include "proto/task_spec.h"

struct task_file {
    struct buf spec;   /* canonical bytes */
    struct buf inputs; /* struct artifact per task reference */
    struct id id;
};

void task_file_fini(struct task_file *file);
DEFINE_AUTO_VALUE(struct task_file, task_file_fini)

/* `name`: a specification's path, or the id of a task whose record is in the store. Errors:
 * E_NOTFOUND, E_INVALID, E_CORRUPT; E_NOTFOUND also for an input whose record is not there. */
MUST_USE enum status task_file_load(const char *name, struct store *store, struct task_file *out,
                                    struct err *err);
/* Writes the record of a finished task. */
MUST_USE enum status task_file_save_record(struct store *store, const struct id *task,
                                           const uint8_t *record, size_t bytes, struct err *err);
