/* A model on disk: the tree artifact that train makes and predict reads.
 *
 *   config.json          format "penstock.model.1", kind_version (with its libraries), model,
 *                        task, parameters (all, defaults too), columns (feature names), target,
 *                        classes, preprocessor (64 hex digits); keys sorted
 *   weights.safetensors  or model.ubj: what the model says (struct model, weights_name)
 *
 * Everything read is hostile: sizes, types and shapes are checked; a library's own format
 * (model.ubj) is parsed by that library, so load only inside a slot. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/err.h"
#include "proto/value.h"
#include "worker/data/dataset.h"
#include "worker/models/model.h"

/* What a model knows beside its weights. Owns an arena with everything it points to. */
struct model_info {
    struct arena arena;
    const struct model *model;
    enum dataset_task task;     /* classification or regression */
    struct value params;        /* VALUE_MAP: every parameter, defaults included */
    size_t column_count;        /* = fitted.column_count */
    const char *const *columns; /* feature names, in the order of the matrix' columns */
    const char *target_name;    /* NULL when the dataset had no name for it */
    struct value classes;       /* VALUE_ARRAY of strings or integers; count 0 for regression */
    const char *preprocessor;   /* 64 hex digits, or NULL */
};

void model_info_free(struct model_info *info);
DEFINE_AUTO(struct model_info *, model_info_free)
/* By the model's own hook. */
void fitted_free(struct fitted *fitted);
DEFINE_AUTO(struct fitted *, fitted_free)

/* Writes the files into `dir`, which is made. Errors: E_IO, E_FULL, E_LIMIT. */
MUST_USE enum status model_file_save(const char *dir, const struct fitted *fitted,
                                     const struct model_info *info, struct err *err);
/* Both out-pointers are the caller's. Errors: E_NOTFOUND, E_CORRUPT, E_INVALID, E_LIMIT, E_NOMEM.
 */
MUST_USE enum status model_file_load(const char *dir, struct fitted **fitted_out,
                                     struct model_info **info_out, struct err *err);
/* May `model` predict for `dataset`? Same columns in the same order, prepared by the same
 * preprocessor, and classes, where the dataset has a target, that the model knows in the same
 * order. Errors: E_INVALID saying what differs. */
MUST_USE enum status model_info_check(const struct model_info *info, const struct dataset *dataset,
                                      struct err *err);
