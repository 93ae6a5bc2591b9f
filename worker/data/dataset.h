/* A dataset: what preprocess makes, train and predict read. A safetensors file:
 *
 *   features  f64 or f32 [rows, columns]
 *   target    i64 [rows] index into the classes, or f64 [rows]; absent without a target column
 *   row_id    i64 [rows] 0-based data row of the source table, or the `id` column
 *
 *   metadata  format        "penstock.dataset.1"
 *             task          "classification" | "regression" | "none"
 *             columns       JSON list of feature names
 *             target        its name
 *             classes       JSON list of strings, sorted by bytes, or of integers, sorted by size
 *             preprocessor  64 hex digits: the blob id of the `preprocessor` output
 *
 * In memory features and target are always doubles. Everything read is checked: shapes agree,
 * targets are within the classes, no NaN or infinity. Owns its arrays and an arena with the names.
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "proto/err.h"
#include "proto/value.h"
#include "worker/data/matrix.h"

enum dataset_task { DATASET_NO_TARGET, DATASET_CLASSIFICATION, DATASET_REGRESSION };

struct dataset {
    struct arena arena; /* names, classes */
    struct matrix features;
    double *target;  /* rows; class index or value; NULL when absent */
    int64_t *row_id; /* rows */
    enum dataset_task task;
    bool is_f32;                /* written as f32; the values are rounded already */
    const char *const *columns; /* features.columns names */
    const char *target_name;    /* NULL when there is none */
    struct value classes;       /* VALUE_ARRAY of strings or integers; count 0 for regression */
    const char *preprocessor;   /* 64 hex digits, or NULL */
};

/* "classification", "regression", "none"; parse gives E_INVALID for another word. */
const char *dataset_task_name(enum dataset_task task);
MUST_USE enum status dataset_task_parse(const char *name, const char *word, enum dataset_task *out,
                                        struct err *err);
void dataset_free(struct dataset *dataset);
DEFINE_AUTO(struct dataset *, dataset_free)
/* Errors: E_NOMEM. Row ids and features are zero. `target` is allocated if the task has one. */
MUST_USE enum status dataset_new(size_t rows, size_t columns, enum dataset_task task,
                                 struct dataset **out, struct err *err);
MUST_USE enum status dataset_write(const struct dataset *dataset, struct buf *out, struct err *err);
/* `name` is for messages. Errors: E_CORRUPT, E_INVALID, E_LIMIT, E_NOMEM. */
MUST_USE enum status dataset_read(const char *name, const uint8_t *bytes, size_t count,
                                  struct dataset **out, struct err *err);

/* Predictions: what predict makes and metrics reads. A safetensors file:
 *
 *   prediction     i64 [rows] class index, or f64 [rows]
 *   probabilities  f64 [rows, classes]; classification only
 *   target         as the dataset's; absent when it had none
 *   row_id         i64 [rows]
 *   metadata       format "penstock.predictions.1", task, classes */
struct predictions {
    struct arena arena;
    size_t rows, class_count;
    enum dataset_task task; /* of the model: classification or regression */
    double *prediction;     /* rows; class index or value */
    double *probabilities;  /* rows × class_count; NULL for regression */
    double *target;         /* NULL when absent */
    int64_t *row_id;
    struct value classes;
};

void predictions_free(struct predictions *predictions);
DEFINE_AUTO(struct predictions *, predictions_free)
MUST_USE enum status predictions_new(size_t rows, size_t class_count, bool has_target,
                                     struct predictions **out, struct err *err);
MUST_USE enum status predictions_write(const struct predictions *predictions, struct buf *out,
                                       struct err *err);
MUST_USE enum status predictions_read(const char *name, const uint8_t *bytes, size_t count,
                                      struct predictions **out, struct err *err);
