// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/results.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "common/crypto/results.h"
#include "proto/limits.h"
#include "proto/task_spec.h"

enum {
    /* Room before the body's entries for the head of their array. */
    HEAD_BYTES = 5,
    /* Of a frame around its body. */
    ENVELOPE_BYTES = 128,
    BODY_BYTES_MAX = FRAME_BYTES_MAX - ENVELOPE_BYTES - HEAD_BYTES
};

struct kept {
    uint64_t sequence;
    uint8_t *bytes;
    size_t count;
};

struct results {
    const struct signer *signer;
    struct buf body; /* HEAD_BYTES of room, then entries */
    uint32_t entries;
    uint64_t sequence;
    struct kept *kept;                             /* in order of sequence */
    size_t kept_count, kept_capacity, unsent_from; /* all before `unsent_from` were sent */
};

struct results *results_new(const struct signer *signer)
{
    struct results *results = mem_alloc(sizeof *results);
    results->signer = signer;
    results->body = buf_init(FRAME_BYTES_MAX);
    return results;
}

void results_free(struct results *results)
{
    for (size_t i = 0; i < results->kept_count; i++)
        mem_free(results->kept[i].bytes);
    mem_free(results->kept);
    buf_fini(&results->body);
    mem_free(results);
}

void results_add(struct results *results, const struct result_msg *result)
{
    struct mp_writer writer = mp_writer(NULL, 0);
    struct buf *body = &results->body;
    /* Most entries fit in what is there already: written at once, measured only if not. */
    if (results->entries)
        writer = mp_writer(body->bytes + body->count, body->capacity - body->count);
    msg_write_result(&writer, result);
    if (mp_writer_is_full(&writer)) {
        size_t need = writer.need;
        if (body->count + need > BODY_BYTES_MAX)
            results_close(results);
        if (!results->entries)
            body->count = 0;
        uint8_t *at = buf_reserve(body, need + HEAD_BYTES);
        ASSERT(at);
        if (!results->entries)
            body->count = HEAD_BYTES;
        writer = mp_writer(body->bytes + body->count, need);
        msg_write_result(&writer, result);
        ASSERT(!mp_writer_is_full(&writer));
    }
    body->count += writer.need;
    results->entries++;
}

static void keep(struct results *results, uint8_t *bytes, size_t count)
{
    if (results->kept_count == results->kept_capacity) {
        results->kept_capacity = results->kept_capacity ? 2 * results->kept_capacity : 16;
        results->kept = mem_resize(results->kept, results->kept_capacity * sizeof *results->kept);
    }
    results->kept[results->kept_count++] =
        (struct kept){.sequence = results->sequence++, .bytes = bytes, .count = count};
}

void results_close(struct results *results)
{
    uint8_t head[HEAD_BYTES], signature[SIGN_BYTES];
    if (!results->entries)
        return;
    struct mp_writer writer = mp_writer(head, sizeof head);
    mp_write_array(&writer, results->entries);
    size_t offset = HEAD_BYTES - writer.need;
    memcpy(results->body.bytes + offset, head, writer.need);
    struct results_msg message = {.sequence = results->sequence,
                                  .signature = signature,
                                  .body = results->body.bytes + offset,
                                  .body_bytes = results->body.count - offset};
    results_sign(results->signer, message.body, message.body_bytes, signature);
    size_t room = message.body_bytes + ENVELOPE_BYTES;
    uint8_t *bytes = mem_resize(NULL, room);
    writer = mp_writer(bytes, room);
    msg_write_results(&writer, &message);
    ASSERT(!mp_writer_is_full(&writer));
    keep(results, bytes, writer.need);
    results->entries = 0;
    results->body.count = 0;
}

bool results_next_unsent(struct results *results, struct mp_view *out)
{
    if (results->unsent_from == results->kept_count)
        return false;
    const struct kept *kept = &results->kept[results->unsent_from++];
    *out = (struct mp_view){kept->bytes, kept->count};
    return true;
}

void results_unsend(struct results *results)
{
    results->unsent_from = 0;
}

size_t results_acknowledge(struct results *results, uint64_t sequence)
{
    size_t i = 0;
    while (i < results->kept_count && results->kept[i].sequence != sequence)
        i++;
    if (i == results->kept_count)
        return results->kept_count;
    mem_free(results->kept[i].bytes);
    results->kept_count--;
    memmove(results->kept + i, results->kept + i + 1,
            (results->kept_count - i) * sizeof *results->kept);
    if (i < results->unsent_from)
        results->unsent_from--;
    return results->kept_count;
}

static void list_frame(const struct kept *kept, struct buf *out)
{
    struct results_msg message;
    if (msg_decode_results(kept->bytes, kept->count, &message, NULL) != OK)
        return;
    struct mp_reader reader = mp_reader(message.body, message.body_bytes);
    uint32_t count = msg_body_begin(&reader);
    for (uint32_t i = 0; i < count && !reader.is_bad; i++) {
        struct result_msg result;
        msg_next_result(&reader, &result);
        buf_put(out, &result.attempt, sizeof result.attempt);
    }
}

void results_list(const struct results *results, struct buf *out)
{
    for (size_t i = 0; i < results->kept_count; i++)
        list_frame(&results->kept[i], out);
    if (!results->entries)
        return;
    struct mp_reader reader =
        mp_reader(results->body.bytes + HEAD_BYTES, results->body.count - HEAD_BYTES);
    for (uint32_t i = 0; i < results->entries && !reader.is_bad; i++) {
        struct result_msg result;
        msg_next_result(&reader, &result);
        buf_put(out, &result.attempt, sizeof result.attempt);
    }
}
