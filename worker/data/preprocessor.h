/* A preprocessor: the operations of a preprocess step with all that they learned, so that any other
 * table can be prepared the same way. Fitting goes through the operations in order; the split
 * happens before the first one that learns from values (or at the end). What comes before it sees
 * the whole table, what comes after learns from the training part alone and is applied to every
 * part. Classes are those of the training part, too.
 *
 * As a file it is canonical JSON: {format, table, target, id, task, dtype, operations: [{name,
 * state}], features, classes}. Its blob id is what datasets and models name as their preprocessor.
 * Read as hostile. Pure. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "proto/err.h"
#include "proto/id.h"
#include "proto/schemas.h"
#include "worker/data/dataset.h"
#include "worker/data/ops/ops.h"
#include "worker/data/table.h"

struct preprocessor_step {
    const struct operation *operation;
    struct value state;
};

struct preprocessor {
    struct arena arena;
    struct table_options options; /* how tables are read */
    const char *target, *id;      /* NULL: none */
    enum dataset_task task;
    bool is_f32;
    struct preprocessor_step *steps;
    size_t step_count;
    const char *const *features;
    size_t feature_count;
    struct value classes;
    char hex[ID_HEX_BYTES]; /* the blob id of its file */
};

enum { PART_TRAIN, PART_TEST, PART_VALIDATION, PART_COUNT };

/* What one table became: `train` alone where nothing was split. */
struct parts {
    struct table *tables[PART_COUNT];
};

void parts_fini(struct parts *parts);
DEFINE_AUTO_VALUE(struct parts, parts_fini)
void preprocessor_free(struct preprocessor *preprocessor);
DEFINE_AUTO(struct preprocessor *, preprocessor_free)

/* How a step's parameters say that tables are read. The lists live in `arena`. */
struct table_options preprocessor_options(const struct preprocess_params *params,
                                          struct arena *arena);
/* Fits and transforms. The parts borrow from `table`, which changes. Errors: E_INVALID, with line
 * and column. */
MUST_USE enum status preprocessor_fit(const struct preprocess_params *params, struct table *table,
                                      struct parts *parts, struct preprocessor **out,
                                      struct err *err);
/* Applies all operations to a new table. */
MUST_USE enum status preprocessor_transform(struct preprocessor *preprocessor, struct table *table,
                                            struct err *err);
/* A transformed table as a dataset; without a target if the table lacks that column. */
MUST_USE enum status preprocessor_dataset(const struct preprocessor *preprocessor,
                                          struct table *table, struct dataset **out,
                                          struct err *err);
/* Appends the file. */
MUST_USE enum status preprocessor_write(const struct preprocessor *preprocessor, struct buf *out,
                                        struct err *err);
/* `name` is for messages. Errors: E_CORRUPT, E_LIMIT. */
MUST_USE enum status preprocessor_read(const char *name, const uint8_t *bytes, size_t count,
                                       struct preprocessor **out, struct err *err);
