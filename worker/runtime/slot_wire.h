/* What a worker's parent and its slots say to each other, over a socketpair: frames of a
 * little-endian u32 length and that many bytes of MessagePack items, one item a message, many
 * messages a frame.
 *
 *   parent → slot
 *     [0, attempt, spec]                              a light job
 *     [1, attempt, timeout, memory, work folder, output folder, log file, [input, …],
 *      [secret, …], spec]                             a heavy one
 *     input = [name, path | nil, is_gather, [[file, [id, bytes, is_tree]], …]]
 *     secret = [name, value with a zero byte behind it]
 *   slot → parent
 *     [0, begun, took]              the oldest job in flight succeeded; µs
 *     [1, begun, took, code, text]  it failed
 *     [2, step, total, metric, value]  it goes on; a metric of "" has no value
 *     [3]                           ready for jobs
 *
 * The slot has run foreign code, so the parent takes nothing it says on trust. Nothing here
 * allocates but from the arena. Thread: any. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/codec.h"
#include "proto/limits.h"
#include "worker/kinds/kind.h"

enum {
    SLOT_HEAD_BYTES = 4,
    /* What a slot may make its parent buffer: a window of failures with their texts. */
    SLOT_REPLY_BYTES_MAX = 1 << 20,
    /* A job whose gathers hold 200,000 paths. */
    SLOT_JOB_BYTES_MAX = 128 << 20
};

struct slot_job {
    bool is_light;
    uint32_t attempt, timeout_ms;
    uint64_t memory_bytes;
    const char *work_dir, *output_dir, *log_path;
    uint32_t input_count;
    const struct kind_input *inputs;
    uint32_t secret_count;
    const struct kind_secret *secrets;
    const uint8_t *spec;
    size_t spec_bytes;
};

enum slot_message_type { SLOT_DONE, SLOT_FAILED, SLOT_PROGRESS, SLOT_READY };

struct slot_message {
    enum slot_message_type type;
    int64_t begun_us, took_us; /* epoch; duration */
    enum status code;
    uint64_t step, total;
    double value;
    const char *text; /* of a failure, or the metric's name; a view */
    uint32_t text_bytes;
};

void slot_job_write(struct mp_writer *writer, const struct slot_job *job);
/* The spec and secrets' values stay views into the frame (which is wiped then); the rest is copied
 * into `arena`. False: malformed. */
MUST_USE bool slot_job_read(struct mp_reader *reader, struct arena *arena, struct slot_job *out);
void slot_message_write(struct mp_writer *writer, const struct slot_message *message);
/* False: malformed. */
MUST_USE bool slot_message_read(struct mp_reader *reader, struct slot_message *out);

static inline void slot_head_write(uint8_t *out, size_t bytes)
{
    for (int i = 0; i < SLOT_HEAD_BYTES; i++)
        out[i] = (uint8_t)(bytes >> 8 * i);
}
static inline size_t slot_head_read(const uint8_t *in)
{
    return (size_t)in[0] | (size_t)in[1] << 8 | (size_t)in[2] << 16 | (size_t)in[3] << 24;
}
