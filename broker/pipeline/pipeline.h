/* A pipeline file's meaning (design: §4): text → struct pipeline. Pure: text in, structs or
 * diagnostics out; no file is opened here, paths of sources are only named. Every node remembers
 * its place, and *all* errors of a file are reported at once, each as file:line:column, the value,
 * what was expected, with a suggestion for a mistyped name.
 *
 * What later issues add (include, use, for_each, when, sample, folds, schedule) has its place here:
 * a key of the top level or of a step is one row of a table in pipeline.c. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "proto/err.h"
#include "proto/id.h"
#include "proto/source_need.h"
#include "proto/task_spec.h"
#include "proto/value.h"

/* All problems of one file, as text: one line each in the file's order, up to DIAGNOSTICS_MAX, then
 * "… and N more". */
struct diagnostics {
    const char *file;
    struct buf text;
    uint32_t error_count, warning_count;
};
/* Empty again, for another file. */
void diagnostics_fini(struct diagnostics *d);
void diagnostics_error(struct diagnostics *d, const struct value *at, const char *format, ...)
    PRINTF(3, 4);
void diagnostics_warning(struct diagnostics *d, const struct value *at, const char *format, ...)
    PRINTF(3, 4);

struct pipeline; /* opaque; lives in its own arena */

/* `-p name=value` (value is YAML: 7, 1.5, [a, b]); `--set path.to.key=value` edits the document
 * before it is read. */
struct override {
    const char *path; /* "seed", or "train.params.model" */
    const char *value;
    bool is_set; /* --set, not -p */
};

/* Parses and checks everything that can be checked without the sources: keys, types, kinds,
 * parameters (through proto/schema.h), references, cycles, axes, limits. Errors: E_INVALID with all
 * of them in `d`; warnings alone are OK (`lint` shows them: an axis nothing uses, a source or
 * parameter nothing uses). */
MUST_USE enum status pipeline_parse(const char *file, const char *text, size_t bytes,
                                    const struct override *overrides, size_t override_count,
                                    struct diagnostics *d, struct pipeline **out);
void pipeline_free(struct pipeline *pipeline);
const char *pipeline_name(const struct pipeline *pipeline);
/* The parameters after overrides, as a map value. */
const struct value *pipeline_params(const struct pipeline *pipeline);
size_t pipeline_sources(const struct pipeline *pipeline, const struct source_need **out);

/* Gives a source its bytes' identity; all must be resolved before graph_expand. */
void pipeline_resolve_source(struct pipeline *pipeline, size_t index,
                             const struct artifact *artifact);

static inline void pipeline_free_auto(struct pipeline **p)
{
    if (*p)
        pipeline_free(*p);
}
