/* A pipeline made concrete: parsed, sources resolved, expanded, every task with its id. Made from a
 * request (sources are read from disk) or from a run's stored document (sources are known by id),
 * so that an old run's tasks can be found again without keeping them: nothing in memory is
 * precious. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/app.h"
#include "broker/pipeline/graph.h"
#include "broker/pipeline/pipeline.h"
#include "broker/state/state.h"
#include "common/store/store.h"

struct submission {
    struct arena arena;
    struct diagnostics *diagnostics; /* borrowed */
    const char *file;
    const char *text;
    size_t text_bytes;
    struct override *overrides;
    size_t override_count;
    struct pipeline *pipeline;
    const struct source_need *needs;
    size_t need_count;
    struct artifact *sources; /* need_count */
    struct graph *graph;
};

/* In three parts, so that what can be said of the text alone is said before anything is made.
 * Errors of the file are in `diagnostics`. */
MUST_USE enum status submission_parse(const struct app_request *request,
                                      struct diagnostics *diagnostics, struct submission **out,
                                      struct err *err);
/* Sources of this machine are read; `store` gets their bytes (NULL only hashes them), and
 * `cache_path` is where unchanged files' ids are remembered (NULL: nowhere). Those of a request
 * from elsewhere are in the store: E_NOTFOUND one is not, E_INVALID one is not named. */
MUST_USE enum status submission_resolve(struct submission *submission,
                                        const struct app_request *request, struct store *store,
                                        const char *cache_path, struct err *err);
MUST_USE enum status submission_expand(struct submission *submission, struct err *err);
/* All three. */
MUST_USE enum status submission_open(const struct app_request *request, struct store *store,
                                     const char *cache_path, struct diagnostics *diagnostics,
                                     struct submission **out, struct err *err);
/* From a run's document (submission_document); and with the params and sets of `changes` behind its
 * own. */
MUST_USE enum status submission_restore(const struct value *document,
                                        struct diagnostics *diagnostics, struct submission **out,
                                        struct err *err);
MUST_USE enum status submission_change(const struct value *document,
                                       const struct app_request *changes,
                                       struct diagnostics *diagnostics, struct submission **out,
                                       struct err *err);
void submission_free(struct submission *submission);
/* The request's graph as a drawing, appended to `out`. */
MUST_USE enum status submission_draw(const struct app_request *request,
                                     enum app_graph_format format, bool all_tasks,
                                     struct diagnostics *diagnostics, struct buf *out,
                                     struct err *err);
/* What a run's document must hold so that submission_restore works: put into `document`. */
void submission_document(const struct submission *submission, struct arena *arena,
                         struct value *document);

/* The step of that name, or UINT32_MAX. */
uint32_t submission_step(const struct submission *submission, const char *name);
/* E_INVALID: there is no such step; with the nearest name, or with all. */
enum status submission_no_step(const struct submission *submission, const char *name,
                               struct err *err);
/* The task "step" or "step[axis=value,…]". Errors: E_NOTFOUND with a suggestion; E_INVALID when
 * several match, naming some. */
MUST_USE enum status submission_task(const struct submission *submission, const char *name,
                                     size_t bytes, uint32_t *out, struct err *err);

/* Looks every task up in batches; `found(context, task, record)` for each that has a record.
 * `id_of` tells the tasks' ids; NULL: the graph does. */
typedef void submission_found_fn(void *context, uint32_t task, const struct record *record);
struct submission_finder {
    struct id (*id_of)(void *context, uint32_t task);
    submission_found_fn *found;
    void *context;
};
MUST_USE enum status submission_look_up(const struct submission *submission, struct state *state,
                                        const struct submission_finder *finder, struct err *err);
/* The axes of a task as a map {"case": "small"} (mapping values by their name). */
struct value submission_axes(const struct submission *submission, uint32_t task,
                             struct arena *arena);

static inline void submission_free_auto(struct submission **s)
{
    if (*s)
        submission_free(*s);
}
