/* What a task is: its canonical bytes, whose hash is the task id (design: §2).
 *
 *   {"inputs": {NAME: INPUT, …}, "kind": "train", "outputs": [NAME, …], "params": {…},
 *    "version": "1+…"}
 *
 *   INPUT = [task id (bin 32), output name]         another task's output
 *         | ["blob", id] | ["tree", id]             bytes that are known already
 *         | [[INPUT, …]]                            a gather, in order, ≤ GATHER_INLINE_MAX
 *
 * A gather is a one-element array holding the list, so that the three can't be confused. An input
 * that is placed at a path of the work folder is {"from": INPUT, "path": "data/x.csv"}.
 *
 * "inputs", "outputs" and "params" are left out when empty; "outputs" are sorted. `params` is the
 * canonical map of proto/schema.h. The *action* is the same document with every task output
 * replaced by ["blob"|"tree", id].
 *
 * Nothing here allocates: the reader is a view into the bytes, the writer fills a given buffer. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"
#include "proto/id.h"
#include "proto/value.h"

/* A blob or tree that exists: what an output is, and what a resolved input is. */
struct artifact {
    struct id id;
    uint64_t bytes; /* of the blob; of all blobs of a tree */
    bool is_tree;
};

/* Personalisation strings of the hashes (16 bytes, zero-padded); the blob id has none. */
#define PERSON_TASK   "penstock task"
#define PERSON_ACTION "penstock action"
#define PERSON_TREE   "penstock tree"
#define PERSON_FRAME  "penstock results"

struct task_input {
    const char *name; /* not NUL-terminated */
    uint32_t name_bytes;
    const char *path; /* where it is placed, or NULL */
    uint32_t path_bytes;
    bool is_gather;
    uint32_t ref_count;             /* 1, or the gather's length */
    const uint8_t *refs, *refs_end; /* encoded; iterate with task_input_next_ref() */
};

struct task_ref {
    bool is_task; /* else `artifact` (bytes unknown: 0) */
    struct id task;
    const char *output;
    uint32_t output_bytes;
    struct artifact artifact;
};

/* A checked view of a spec's bytes; borrows them. */
struct task_spec {
    const uint8_t *bytes;
    size_t count;
    const char *kind, *version;
    uint32_t kind_bytes, version_bytes;
    uint32_t input_count, output_count;
    const uint8_t *inputs, *inputs_end, *outputs, *outputs_end; /* encoded parts, or NULL */
    const uint8_t *params;                                      /* NULL when empty */
    size_t params_bytes;
};

/* Errors: E_PROTOCOL when it is not a canonical spec. */
MUST_USE enum status task_spec_parse(const uint8_t *bytes, size_t count, struct task_spec *out,
                                     struct err *err);
/* Iterators: start with a cursor of 0; false at the end. Inputs come in the order of the bytes
 * (sorted by name), refs in gather order. The concatenation of all refs that are tasks, in this
 * order, is the order in which TASKS carries the resolved input ids. */
bool task_spec_next_input(const struct task_spec *spec, size_t *cursor, struct task_input *out);
bool task_spec_next_output(const struct task_spec *spec, size_t *cursor, const char **name,
                           uint32_t *name_bytes);
bool task_input_next_ref(const struct task_input *input, size_t *cursor, struct task_ref *out);
/* The refs of all inputs, one after the other: for whoever does not ask which input one is of.
 * Start with a cursor of {0}. */
struct task_ref_cursor {
    struct task_input input;
    size_t input_at, ref_at;
};
bool task_spec_next_ref(const struct task_spec *spec, struct task_ref_cursor *cursor,
                        struct task_ref *out);

/* The action of a spec: `resolved` are the artifacts of its task refs, in the order above. Returns
 * bytes needed (as value_encode does), 0 when `resolved_count` does not fit the spec. */
size_t task_spec_action(const struct task_spec *spec, const struct artifact *resolved,
                        size_t resolved_count, uint8_t *out, size_t out_bytes);
