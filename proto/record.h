/* What a finished task was (design: §2): one canonical MessagePack map,
 *
 *   {"action": {…}, "attempt": 1, "log": ARTIFACT?, "outputs": {NAME: ARTIFACT, …}?,
 *    "timings": [begun (µs since the epoch), took (µs)], "values": {NAME: JSON value, …}?,
 *    "worker": "name"}            where ARTIFACT = [id, bytes, is_tree]
 *
 * "action" is the action's document itself (proto/task_spec.h), so a record never names a task id
 * and lineage needs nothing else. "log", "outputs" and "values" are left out when there are none.
 * "values" holds JSON outputs of up to INLINE_BYTES_MAX, parsed, so that `select` and `metrics`
 * tables need no read. The reader is a view; it takes the action's form on trust (task_spec_parse
 * checks it). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "proto/err.h"
#include "proto/task_spec.h"

struct record_output {
    const char *name;
    uint32_t name_bytes;
    struct artifact artifact;
};

struct record {
    const uint8_t *action; /* encoded */
    size_t action_bytes;
    uint32_t attempt;
    bool has_log;
    struct artifact log;
    uint32_t output_count;
    const uint8_t *outputs, *outputs_end; /* encoded; iterate with record_next_output() */
    int64_t begun_us; /* since the epoch, by the worker's clock; for people, never for decisions */
    int64_t took_us;
    const uint8_t *values; /* encoded map, or NULL */
    size_t values_bytes;
    const char *worker;
    uint32_t worker_bytes;
};

/* Errors: E_PROTOCOL not a canonical record; E_LIMIT. */
MUST_USE enum status record_parse(const uint8_t *bytes, size_t count, struct record *out,
                                  struct err *err);
bool record_next_output(const struct record *record, size_t *cursor, struct record_output *out);
/* Writes a record; `outputs` must be sorted by name. Returns bytes needed, as value_encode does. */
size_t record_encode(const struct record *record, const struct record_output *outputs, uint8_t *out,
                     size_t out_bytes);
