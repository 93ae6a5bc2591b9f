/* What pipeline/ knows of a pipeline between its files: steps, axes, inputs, sources, as read from
 * the document and checked. Everything lives in the pipeline's arena and is not changed once
 * pipeline_parse has returned (but for the sources' artifacts).
 *
 *   pipeline.c    the document's top level, the order of the passes
 *   override.c    -p and --set
 *   step.c        one step's keys; `defaults:`
 *   policy.c      durations, sizes, retry, resources
 *   substitute.c  ${…}
 *   matrix.c      axes and their values
 *   reference.c   inputs: who is meant, which axes align, which are gathered
 *   order.c       producers first; cycles
 *   params.c      the canonical parameters of each combination of axis values
 *   expand.c      tasks and edges
 *   task_id.c     their canonical bytes and ids
 *   graph_text.c  names, DOT, Mermaid */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/pipeline/graph.h"
#include "broker/pipeline/pipeline.h"
#include "proto/kinds.h"

#define STEP_NONE UINT32_MAX /* no such step, source, axis or value */

/* ---- diagnostics.c ---- */

/* Enough errors have been found: looking for more only costs time. */
bool diagnostics_is_full(const struct diagnostics *d);
/* An error whose text has its place already (a YAML problem). */
void diagnostics_failure(struct diagnostics *d, const char *text);
/* Says how many were left out; E_INVALID if there was an error. */
MUST_USE enum status diagnostics_end(struct diagnostics *d);

/* ---- matrix.c ---- */

struct axis {
    const char *name;
    const struct value *at;     /* for messages */
    const struct value *values; /* NULL: a range, whose values are made when asked for */
    uint32_t count;
    int64_t range[3];         /* start, stop, step of a range */
    struct value made;        /* the last one that was */
    struct axis_index *index; /* of a list */
};

/* ---- reference.c ---- */

struct input {
    const char *name;
    const struct value *key, *at; /* for messages: its name, what it refers to */
    const char *path;             /* where it is placed, or NULL */
    bool is_code;                 /* one of exec's `code` files */
    uint32_t source;              /* index, or STEP_NONE */
    uint32_t step;                /* the producer, or STEP_NONE */
    uint32_t output;              /* index into its sorted outputs */
    const char *output_name;
    /* Per axis of the producer: the consumer's axis that it aligns with, or STEP_NONE where it is
     * gathered; and for an aligned axis the producer's value for each of the consumer's (NULL: the
     * same). */
    uint32_t align[AXES_MAX];
    const uint32_t *value_map[AXES_MAX];
    uint32_t gather_count; /* product of the gathered axes; 1 without */
    bool is_gather;
};

struct step {
    const char *name;
    const struct value *at;   /* its key */
    const struct value *node; /* its mapping */
    const char *kind;
    const struct value *kind_at;
    bool is_exec, is_broken; /* broken: something was reported, don't ask for more */
    uint32_t axis_count;
    struct axis *axes[AXES_MAX];
    uint32_t matrix_of; /* the step whose axes it takes, or STEP_NONE */
    uint32_t axes_used; /* bit per axis */
    uint64_t task_count;
    struct value params;  /* template, before substitution; nil without */
    uint32_t params_axes; /* bit per axis that the template depends on */
    uint32_t code_count;
    const uint32_t *code; /* indices of sources: exec's code files */
    uint32_t input_count;
    struct input *inputs; /* sorted by name */
    uint32_t output_count;
    const char *const *outputs; /* sorted */
    bool outputs_vary;          /* with the params: every combination must agree */
    const struct value *outputs_node;
    struct task_policy policy; /* kind_version is set by expand */
};

struct source {
    const char *name;
    const struct value *at;
    bool is_used, is_resolved;
    struct artifact artifact;
};

/* Names to their indices, by hashing; the names must differ. */
struct name_index {
    const char **names;    /* NULL-terminated, for suggestions */
    uint32_t *slots, mask; /* index + 1; 0 is empty */
};
uint64_t name_hash(const char *name);
void name_index_init(struct name_index *index, struct arena *arena, const char *const *names,
                     uint32_t count);
/* STEP_NONE if there is none. */
uint32_t name_index_get(const struct name_index *index, const char *name);

struct pipeline {
    struct arena arena;
    const char *name;
    struct diagnostics *d; /* while parsing, and while expanding */
    struct value root;
    struct value params; /* after overrides and substitution */
    bool *params_used;
    /* Bytes that substitution may still put in: of the document, later of one combination. */
    size_t budget;
    size_t checked_bytes; /* of combinations that were validated */
    const struct value *defaults;
    uint32_t source_count;
    struct source *sources;
    struct source_need *needs;
    struct name_index source_index;              /* of those that `sources:` names */
    uint32_t *code_slots, code_mask, code_count; /* paths of code files → source + 1 */
    uint32_t step_count;
    struct step *steps; /* as written */
    struct name_index step_index;
    uint32_t *order;     /* producers first */
    uint64_t edge_count; /* task inputs that are tasks' outputs */
};

/* ---- substitute.c ---- */

struct scope {
    struct pipeline *pipeline;
    struct arena *arena; /* of what is made */
    /* Axes may be named. `choice` gives each one's value; without it nothing is replaced
     * (substitute_scan). */
    const struct step *step;
    const uint32_t *choice;
    const char *command_key; /* of a map at the top: where runtime references may stand */
    bool keeps_runtime; /* ${inputs.…} and ${outputs.…} are checked and left for the worker */
    bool quotes;        /* values inside a text are quoted for the shell */
    bool is_plain;      /* no reference is allowed at all (top-level params) */
    bool is_quiet;      /* report nothing */
    /* Counts pairs of the map at the top that failed and were left out, so that the others can be
     * checked; NULL: such a map fails. */
    uint32_t *dropped;
};

/* Reports every bad reference in `value`; returns the axes it names, as bits. */
uint32_t substitute_scan(const struct scope *scope, const struct value *value);
/* `value` with its references replaced; `<<` of mappings merged. Shares what has no reference.
 * Errors: E_INVALID, reported. */
MUST_USE enum status substitute(const struct scope *scope, const struct value *value,
                                struct value *out);

/* ---- the passes ---- */

MUST_USE enum status override_apply(struct pipeline *p, const struct override *overrides,
                                    size_t count);
/* " ; did you mean "train"?" or "". `names` end with NULL. Lives in the arena. */
const char *suggest(struct arena *arena, const char *word, const char *const *names);
/* Reports unless `name` is a name: letters, digits, _ (and - where `dash`), no digit first,
 * NAME_BYTES_MAX. */
bool check_name(struct pipeline *p, const struct value *name, const char *what, bool dash);
/* Is `path` relative, without empty, "." or ".." parts, short enough? Reports if not. */
bool check_path(struct pipeline *p, const struct value *path, const char *what);
/* Reports keys of `map` that are not among `known`. */
void check_keys(struct pipeline *p, const struct value *map, const char *where,
                const char *const *known);

void step_read_all(struct pipeline *p, const struct value *steps);
/* The next source's index. */
uint32_t source_add(struct pipeline *p, const char *name, const char *location,
                    const struct value *at);
/* A source that no `sources:` entry names (exec's code); the same path is one source. */
uint32_t source_add_code(struct pipeline *p, const struct value *path);
void policy_read(struct pipeline *p, const struct value *node, struct task_policy *policy);
/* One more that a worker must have; `at` is what asks for it. */
void policy_add_label(struct pipeline *p, const struct value *at, const char *key,
                      const char *value, struct task_policy *policy);
struct task_policy policy_default(void);
void matrix_read_all(struct pipeline *p);
void matrix_warn_unused(struct pipeline *p);
/* What is shown for a value: its `name`, its text, or JSON. */
void axis_show(const struct value *value, struct buf *out);
/* One of its values, valid until the next call for the same axis. */
const struct value *axis_value(struct axis *axis, uint32_t index);
/* The index of the value that shows as this text, or STEP_NONE; takes no look at the others. */
uint32_t axis_find_shown(const struct axis *axis, struct buf *shown);
/* The index of the value that shows as `value` does and equals it, or STEP_NONE. */
uint32_t axis_find(const struct axis *axis, const struct value *value);
bool axis_is_same(struct axis *a, struct axis *b);
/* Names and whom they mean; then, when all outputs are known, outputs and axes. */
void reference_read(struct pipeline *p, struct step *step);
void reference_resolve(struct pipeline *p, struct step *step);
void order_steps(struct pipeline *p);

/* ---- params.c ---- */

/* The canonical parameters of one combination of axis values. */
struct params {
    const uint8_t *bytes; /* a canonical map; count 0 when it is empty */
    size_t count;
    const struct kind_info *kind;
};

/* Encodes one combination into `scratch` (which the caller clears). `choice` has a value index per
 * axis. Errors: E_INVALID, reported. */
MUST_USE enum status params_build(struct pipeline *p, const struct step *step,
                                  const uint32_t *choice, struct arena *scratch,
                                  struct params *out);
/* Steps `choice` through the combinations of `axes` (bits), last fastest; false after the last. */
bool params_next(const struct step *step, uint32_t axes, uint32_t *choice);
/* Reports bad references; notes which axes the params depend on. */
void params_scan(struct pipeline *p, struct step *step);
/* Validates the first PARAMS_CHECKED_MAX combinations; graph_expand sees the rest. */
void params_check(struct pipeline *p, struct step *step);
/* Puts a name where it belongs among the sorted ones; false: it is there already. */
bool params_insert_output(const char **names, uint32_t *count, const char *name);
/* The names of a step's outputs, from its first combination, unless it listed them. */
void params_read_outputs(struct pipeline *p, struct step *step);

/* ---- ports.c ---- */

/* Are the step's inputs those that its kind takes? */
void ports_check(struct pipeline *p, const struct step *step);
/* Do the kind's outputs depend on its parameters? */
bool ports_vary(const struct step *step);
/* The outputs that canonical `params` make, sorted; how many. */
uint32_t ports_outputs(const struct step *step, const struct value *params,
                       const char *names[OUTPUTS_MAX]);

/* ---- task_id.c ---- */

/* A task input as the spec writes it. */
struct spec_input {
    const struct input *input;
    const struct artifact *source; /* NULL: tasks */
    const struct task_edge *edges; /* its producers, in order */
};

struct spec {
    const struct step *step;
    const struct params *params;
    const struct spec_input *inputs; /* of the step, in its order */
    const struct pipeline *pipeline;
    const struct task_node *tasks; /* producers have their ids */
};

/* Writes the canonical bytes (proto/task_spec.h). Returns the bytes needed; more than `out_bytes`:
 * nothing usable was written. */
size_t task_spec_write(const struct spec *spec, uint8_t *out, size_t out_bytes);
