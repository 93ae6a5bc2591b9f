/* What a model is: arrays in, arrays out. Pure: no files, no clock, no randomness but its seed, no
 * threads; the same bytes on every machine of one architecture. Each model is one file that exports
 * one `const struct model`, one line in models.c, one schema file and one line of proto/kinds.def.
 *
 * Shapes: n rows, d columns, k classes. For classification `target` holds class indices 0 … k−1 as
 * doubles and a prediction is n × k probabilities; for regression k is 0 and a prediction is n × 1
 * values. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "proto/err.h"
#include "proto/schema.h"
#include "worker/data/matrix.h"

struct fit_input {
    struct matrix features;            /* n × d, no NaN */
    const double *target;              /* n */
    size_t class_count;                /* 0: regression */
    struct matrix validation_features; /* rows 0: none */
    const double *validation_target;
    const void *params; /* the model's params struct, decoded by its schema */
    /* Called now and then with (step, total, loss); may be NULL. A status other than OK ends the
     * fit. */
    enum status (*progress)(void *context, uint64_t step, uint64_t total, double loss);
    void *progress_context;
};

struct history_point {
    uint64_t step;
    double loss, validation_loss; /* NaN: none */
};

struct model;

/* A fitted model; every model's struct begins with this. */
struct fitted {
    const struct model *model;
    size_t column_count, class_count;
};

struct model {
    const char *name; /* = schema name = variant in kinds.def */
    const struct schema *schema;
    bool can_classify, can_regress;
    /* Errors: E_INVALID the data can't be fitted (one class only, no rows, …), said so that a
     * person can mend it; E_NOMEM; E_LIMIT no convergence where that matters. `history` gets points
     * appended (struct history_point each). */
    enum status (*fit)(const struct fit_input *input, struct buf *history, struct fitted **out,
                       struct err *err);
    /* `out` is n × max(k, 1), allocated by the caller. */
    enum status (*predict)(const struct fitted *fitted, const struct matrix *features, double *out,
                           struct err *err);
    void (*free)(struct fitted *fitted);
    /* Weights as named tensors that borrow from `fitted` … */
    size_t (*save)(const struct fitted *fitted, struct tensor *out, size_t out_count);
    /* … or, where the interchange format is a library's own, as bytes: exactly one of save and
     * save_bytes is set. */
    enum status (*save_bytes)(const struct fitted *fitted, struct buf *out, struct err *err);
    const char *weights_name; /* "weights.safetensors", "model.ubj" */
    /* Hostile input: E_CORRUPT, never a crash (in-house formats). column_count and class_count come
     * from config.json. */
    enum status (*load)(const struct tensor *tensors, size_t tensor_count, size_t column_count,
                        size_t class_count, struct fitted **out, struct err *err);
    enum status (*load_bytes)(const uint8_t *bytes, size_t count, size_t column_count,
                              size_t class_count, struct fitted **out, struct err *err);
    /* The number of coefficients, nodes or trees, for `info`; may be NULL. */
};

/* Do the numeric libraries that were loaded compute as those this program was built with (their
 * versions are part of kind versions)? Errors: E_VERSION saying which doesn't. Called once, before
 * any work is taken. */
MUST_USE enum status model_library_check(struct err *err);
/* NULL when there is none of that name. */
const struct model *model_find(const char *name);
/* NULL-terminated, in the order of kinds.def. */
const struct model *const *model_all(void);
