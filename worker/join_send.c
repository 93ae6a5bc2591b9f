// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/log.h"
#include "proto/limits.h"
#include "worker/join_state.h"

enum {
    /* Progress that one slot may send on. */
    PROGRESS_MS = 50,
    ENTRY_BYTES = ID_BYTES + 16
};

/* Behind the first GOODBYE nobody listens any more: it names all at once. */
static void send_batch(struct join *join, enum msg_type type, struct buf *attempts)
{
    const size_t most = type == MSG_GOODBYE ? BATCH_ENTRIES_MAX : FRAME_TASKS_MAX;
    const struct attempt *items = (const struct attempt *)(const void *)attempts->bytes;
    size_t left = attempts->count / sizeof *items, at = 0;
    do {
        uint32_t count = (uint32_t)(left < most ? left : most);
        size_t room = 16 + (size_t)count * ENTRY_BYTES;
        buf_clear(&join->out);
        struct mp_writer writer = mp_writer(buf_reserve(&join->out, room), room);
        msg_write_batch_head(&writer, type, count);
        for (uint32_t i = 0; i < count; i++)
            msg_write_attempt(&writer, &items[at + i]);
        link_send(join->link, writer.out, writer.need);
        at += count;
        left -= count;
    } while (left);
    buf_clear(attempts);
}

static void list_held(struct join *join, struct buf *out)
{
    struct attempt attempt;
    for (uint32_t at = 0; agent_next_held(join->agent, &at, &attempt);)
        buf_put(out, &attempt, sizeof attempt);
}

void join_send_held(struct join *join, enum msg_type type)
{
    AUTO(buf_fini) struct buf held = buf_init(0);
    list_held(join, &held);
    send_batch(join, type, &held);
}

/* What it runs, and what it has results of that nobody acknowledged: neither is to be given to
 * anybody else. */
void join_send_hello(struct join *join)
{
    AUTO(buf_fini) struct buf held = buf_init(0), running = buf_init(0);
    list_held(join, &held);
    results_list(join->results, &held);
    const struct attempt *items = (const struct attempt *)(const void *)held.bytes;
    uint32_t count = (uint32_t)(held.count / sizeof *items);
    size_t room = 16 + (size_t)count * ENTRY_BYTES;
    struct mp_writer writer = mp_writer(buf_reserve(&running, room), room);
    mp_write_array(&writer, count);
    for (uint32_t i = 0; i < count; i++)
        msg_write_attempt(&writer, &items[i]);
    uint8_t counts[RESOURCES_BYTES_MAX];
    struct mp_writer resources = mp_writer(counts, sizeof counts);
    mp_write_resources(&resources, join->options->resources, join->options->resource_count);
    struct hello hello = {.protocol = PROTOCOL_VERSION,
                          .name = join->name,
                          .name_bytes = (uint32_t)strlen(join->name),
                          .slots = join->slots,
                          .cpu_hundredths = join->cpu_hundredths,
                          .memory_bytes = join->memory_bytes,
                          .epoch = agent_epoch(join->agent),
                          .kinds = {join->kinds.bytes, join->kinds.count},
                          .labels = {join->labels.bytes, join->labels.count},
                          .resources = {counts, resources.need},
                          .running = {writer.out, writer.need}};
    memcpy(hello.instance, join->instance, sizeof hello.instance);
    memcpy(hello.public_key, signer_public(join->signer), sizeof hello.public_key);
    room = writer.need + join->kinds.count + join->labels.count + resources.need + 512;
    buf_clear(&join->out);
    writer = mp_writer(buf_reserve(&join->out, room), room);
    msg_write_hello(&writer, &hello);
    link_send(join->link, writer.out, writer.need);
    log_event(LOG_INFO, "broker.connected", "broker=%s", link_endpoint(join->link));
}

void join_send_progress(struct join *join, struct seat *seat, const struct slot_message *message)
{
    if (!join->is_welcome || join->now < seat->progress_at || seat->job == AGENT_NONE)
        return;
    seat->progress_at = join->now + PROGRESS_MS;
    uint8_t metrics[NAME_BYTES_MAX + 32], frame[NAME_BYTES_MAX + 256];
    struct mp_writer writer = mp_writer(metrics, sizeof metrics);
    mp_write_map(&writer, message->text_bytes ? 1 : 0);
    if (message->text_bytes) {
        mp_write_str(&writer, message->text, message->text_bytes);
        mp_write_real(&writer, message->value);
    }
    struct progress_msg progress = {.attempt = works_get(join->works, seat->job)->task.attempt,
                                    .step = message->step,
                                    .total = message->total,
                                    .metrics = {metrics, writer.need}};
    writer = mp_writer(frame, sizeof frame);
    msg_write_progress(&writer, &progress);
    if (!mp_writer_is_full(&writer))
        link_send(join->link, frame, writer.need);
}

void join_send_queued(struct join *join)
{
    struct mp_view frame;
    if (join->revoked.count)
        send_batch(join, MSG_REVOKED, &join->revoked);
    if (join->started.count)
        send_batch(join, MSG_STARTED, &join->started);
    while (join->is_welcome && results_next_unsent(join->results, &frame))
        link_send(join->link, frame.bytes, frame.count);
}
