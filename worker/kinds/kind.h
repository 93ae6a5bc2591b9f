/* What a kind's handler is given and may do. It runs in a slot: a child process without secrets,
 * sockets or the store, which may crash, hang or leak at no cost to anybody else. Files come in as
 * paths (fetched and verified, read-only); what it leaves at the output paths is hashed and
 * published by the worker's parent.
 *
 * Each kind is one file that exports one `const struct kind kind_NAME` and one line in kinds.c;
 * proto/kinds.def names it for both programs. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"
#include "proto/task_spec.h"
#include "proto/value.h"

/* In every work folder: a folder for temporary files. Beside it, perhaps: an empty folder that a
 * kind may move into it and fill, which costs less than to make one. */
#define KIND_TEMP_FOLDER  ".tmp"
#define KIND_SPARE_FOLDER "spare"

struct kind_input {
    const char *name;
    const char *
        path; /* in the work folder where it is placed; NULL when the kind reads it where it lies */
    bool is_gather;
    uint32_t count;                   /* 1, or the gather's length (may be 0) */
    const char *const *files;         /* absolute path of each: a file, or a folder for a tree */
    const struct artifact *artifacts; /* its id, bytes, is_tree */
};

/* Only for this one call. */
struct kind_secret {
    const char *name;
    char *value; /* NUL behind it */
    size_t bytes;
};

struct kind_call;

/* How a kind that runs programs confines them: worker/runtime/sandbox.h. */
struct kind_confine {
    void *context;
    /* Before a program starts. Errors: E_UNSUPPORTED, E_IO. */
    enum status (*prepare)(void *context, const struct kind_call *call, bool has_network,
                           struct err *err);
    /* For child_options. */
    int (*enter)(void *context, const char **at);
    /* A program failed, and said `words`: what it was refused, as far as that is sure; else "". */
    void (*explain)(void *context, const char *words, char *out, size_t out_bytes);
};

struct kind_call {
    const struct task_spec *spec;
    const struct value *params; /* canonical map; VALUE_MAP with count 0 when empty */
    const struct kind_input *inputs;
    uint32_t input_count;
    const char *const *outputs; /* names, sorted */
    uint32_t output_count;
    const char *work_dir;   /* absolute, empty but for KIND_TEMP_FOLDER, the handler's own */
    const char *output_dir; /* absolute; output NAME goes to output_dir/NAME (a file or a folder) */
    const char *log_path;   /* for a kind with has_own_log; NULL: stdout and stderr are the log */
    uint32_t attempt;
    uint32_t timeout_ms;   /* 0: none; the parent enforces it, exec passes it on */
    uint64_t memory_bytes; /* 0: none; likewise */
    /* For a live view; rate-limited by the caller. Names and values of `metrics` are copied. */
    void (*progress)(const struct kind_call *call, uint64_t step, uint64_t total,
                     const char *metric, double value);
    void *context;
    const struct kind_secret *secrets; /* that the parameters name */
    uint32_t secret_count;
    const struct kind_confine *confine; /* NULL: programs are not confined */
};

struct kind {
    const char *name;
    /* Errors become the task's failure; their text is what a person reads. stdout and stderr are
     * the record's log. */
    enum status (*run)(const struct kind_call *call, struct err *err);
    /* Touches no files (sleep): runs without a work folder, its inputs are never fetched, and each
     * of its outputs is the empty blob. With limits to be watched it has a folder all the same. */
    bool is_light;
    /* Appends to log_path what there is to tell; stdout and stderr stay the slot's own. */
    bool has_own_log;
};

/* NULL when there is none. */
const struct kind *kind_find(const char *name, size_t name_bytes);

/* May a task of this kind and version run here? Errors: E_UNSUPPORTED no such kind; E_VERSION
 * naming both versions. */
MUST_USE enum status kind_check_version(const char *kind, size_t kind_bytes, const char *version,
                                        size_t version_bytes, struct err *err);

/* The single input `name`. Errors: E_INVALID absent, or a gather. */
MUST_USE enum status kind_input(const struct kind_call *call, const char *name,
                                const struct kind_input **out, struct err *err);
/* NULL when the task has none of that name (optional inputs). */
const struct kind_input *kind_input_find(const struct kind_call *call, const char *name);
/* Is the output asked for? */
bool kind_has_output(const struct kind_call *call, const char *name);
/* "output_dir/name" into `path`. */
MUST_USE enum status kind_output_path(const struct kind_call *call, const char *name, char *path,
                                      size_t path_bytes, struct err *err);

extern const struct kind kind_preprocess, kind_train, kind_predict, kind_metrics, kind_exec,
    kind_sleep;
