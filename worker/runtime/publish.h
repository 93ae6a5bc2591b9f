/* What a job leaves, made durable: its declared outputs are hashed and put into the store (a folder
 * as a tree), small JSON outputs are also kept as values for the record, and its log is stored if
 * there is one. What is not declared is left behind in the work folder and goes with it.
 *
 * Is it JSON? A regular file of at most INLINE_BYTES_MAX that parses as a JSON object or list; the
 * name plays no part. Thread: whoever owns the store. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "common/store/store.h"
#include "proto/record.h"
#include "worker/runtime/seal.h"

struct publication {
    struct arena arena;
    /* What to publish. */
    const char *output_dir, *log_path;
    const char *const *names; /* of the outputs, sorted */
    uint32_t name_count;      /* 0 also for a failed job: its log alone */
    /* What came of it, in `arena`. */
    struct record_output *outputs;
    uint32_t output_count;
    struct seal *seals;    /* of each output */
    const uint8_t *values; /* encoded map, NULL: none */
    size_t values_bytes;
    bool has_log;
    struct artifact log;
};

/* Errors: E_INVALID a declared output was not made, or is no file and no folder; whatever the store
 * says. The log is stored also then. */
MUST_USE enum status publish_run(struct store *store, struct publication *publication,
                                 struct err *err);
/* Bytes to be read for it, at most `enough`, for deciding who does it: `enough` also for a folder
 * of many files or with folders in it. */
uint64_t publish_size(const struct publication *publication, uint64_t enough);
