/* The receiving half: frames become scheduler events. A frame is checked whole before anything in
 * it counts. */
// SPDX-License-Identifier: Apache-2.0
#include "broker/work/receive.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/crypto/results.h"
#include "common/log.h"

enum { PROBE_MS = 1000 };

void receive_emit(const struct sink *sink, struct sched_event *event)
{
    event->now = sink->now;
    sink->to->on_event(sink->to->context, event, NULL);
}

/* ---- refusing ---- */

static void say_refused(struct router *router, uint32_t worker, const struct err *reason)
{
    uint8_t frame[ERR_TEXT_BYTES + 32];
    struct mp_writer writer = mp_writer(frame, sizeof frame);
    struct refused refused = {reason->code, reason->text, (uint32_t)strlen(reason->text)};
    msg_write_refused(&writer, &refused);
    router_send_frame(router, worker, frame, writer.need);
}

void receive_drop(const struct sink *sink, uint32_t worker, bool is_drain, enum status code)
{
    bool was_known = sessions_get(&sink->router->sessions, worker)->is_known;
    sessions_remove(&sink->router->sessions, worker);
    struct sched_event event = {.type = SCHED_GONE,
                                .gone = {.worker = worker, .is_drain = is_drain, .code = code}};
    if (was_known)
        receive_emit(sink, &event);
}

void receive_refuse(const struct sink *sink, uint32_t worker, const struct err *reason)
{
    char quoted[2 * ERR_TEXT_BYTES];
    log_event(LOG_WARN, "worker.refused", "worker=%u reason=%s", worker,
              log_quote(reason->text, quoted, sizeof quoted));
    say_refused(sink->router, worker, reason);
    receive_drop(sink, worker, false, reason->code);
}

void receive_revoke(const struct sink *sink, uint32_t worker, const struct err *reason)
{
    say_refused(sink->router, worker, reason);
    receive_drop(sink, worker, true, reason->code);
}

/* ---- RESULTS ---- */

static enum status check_signature(const struct session *session, const struct results_msg *results,
                                   struct err *err)
{
    if (!results_are_signed_by(results, session->public_key))
        return err_set(err, E_DENIED, "RESULTS %llu: its signature is not that of worker %s",
                       (unsigned long long)results->sequence, session->name);
    return OK;
}

static enum status check_entry(struct router *router, struct entry *entry, struct err *err)
{
    entry->first_output = (uint32_t)(router->outputs.count / sizeof(struct artifact));
    if (entry->result.code != OK)
        return OK;
    TRY(record_parse(entry->result.record, entry->result.record_bytes, &entry->record, err));
    struct record_output output;
    for (size_t cursor = 0; record_next_output(&entry->record, &cursor, &output);)
        buf_put(&router->outputs, &output.artifact, sizeof output.artifact);
    return OK;
}

static enum status check_body(struct router *router, const struct results_msg *results,
                              uint32_t *count, struct err *err)
{
    struct mp_reader reader = mp_reader(results->body, results->body_bytes);
    *count = msg_body_begin(&reader);
    if (*count > router->entry_capacity) {
        router->entry_capacity = *count;
        router->entries = mem_resize(router->entries, *count * sizeof *router->entries);
    }
    buf_clear(&router->outputs);
    for (uint32_t i = 0; i < *count; i++) {
        router->entries[i] = (struct entry){0};
        msg_next_result(&reader, &router->entries[i].result);
        if (reader.is_bad)
            break;
        TRY(check_entry(router, &router->entries[i], err));
    }
    return mp_reader_finish(&reader, "RESULTS", err);
}

static void emit_done(const struct sink *sink, const struct entry *entry, struct sched_event *event)
{
    const struct artifact *outputs =
        (const struct artifact *)(const void *)sink->router->outputs.bytes;
    event->type = SCHED_DONE;
    event->done.attempt = entry->result.attempt;
    event->done.outputs = entry->record.output_count ? outputs + entry->first_output : NULL;
    event->done.output_count = entry->record.output_count;
    event->done.took_us = entry->record.took_us;
    event->now = sink->now;
    struct router_record record = {entry->result.record, entry->result.record_bytes,
                                   &entry->record};
    sink->to->on_event(sink->to->context, event, &record);
}

static void emit_failed(const struct sink *sink, const struct entry *entry, uint32_t worker,
                        uint64_t handle)
{
    const struct result_msg *result = &entry->result;
    struct id *lost = arena_alloc(&sink->router->arena, (result->lost_count + 1) * sizeof *lost);
    struct mp_reader reader = mp_reader(result->lost, result->lost_bytes);
    for (uint32_t i = 0; i < result->lost_count; i++)
        mp_read_id(&reader, &lost[i]);
    struct sched_event event = {.type = SCHED_FAILED,
                                .failed = {.worker = worker,
                                           .attempt = result->attempt,
                                           .code = result->code,
                                           .text = result->text,
                                           .text_bytes = result->text_bytes,
                                           .frame = handle,
                                           .has_log = result->has_log,
                                           .log = result->log,
                                           .lost = lost,
                                           .lost_count = result->lost_count}};
    receive_emit(sink, &event);
}

static void announce(const struct sink *sink, uint32_t count)
{
    struct router *router = sink->router;
    if (!sink->to->on_results)
        return;
    struct id *tasks = arena_alloc(&router->arena, count * sizeof *tasks);
    for (uint32_t i = 0; i < count; i++)
        tasks[i] = router->entries[i].result.attempt.task;
    sink->to->on_results(sink->to->context, tasks, count);
}

static enum status receive_results(const struct sink *sink, uint32_t worker, zmq_msg_t *message,
                                   struct err *err)
{
    struct router *router = sink->router;
    struct results_msg results;
    uint32_t count = 0;
    *sink->work += RECEIVE_FRAME_WORK;
    /* Held first: a small message's bytes move with it, and everything below points into them. */
    uint64_t handle;
    struct held *held = router_hold(router, message, worker, &handle);
    enum status status = msg_decode_results(held->frame.bytes, held->frame.count, &results, err);
    held->frame.sequence = results.sequence;
    if (status == OK)
        status = check_signature(sessions_get(&router->sessions, worker), &results, err);
    if (status == OK)
        status = check_body(router, &results, &count, err);
    if (status != OK || count == 0) {
        router_ack(router, handle);
        return status;
    }
    held->open_results = count;
    *sink->work += count;
    announce(sink, count);
    for (uint32_t i = 0; i < count; i++) {
        struct sched_event event = {.done = {.worker = worker, .frame = handle, .index = i}};
        if (router->entries[i].result.code == OK)
            emit_done(sink, &router->entries[i], &event);
        else
            emit_failed(sink, &router->entries[i], worker, handle);
    }
    return OK;
}

/* ---- the rest ---- */

static enum status receive_attempts(const struct sink *sink, uint32_t worker, const uint8_t *bytes,
                                    size_t count, enum msg_type message, enum sched_event_type type,
                                    struct err *err)
{
    struct mp_reader checker = mp_reader(bytes, count), reader = checker;
    struct attempt attempt;
    uint32_t attempts = msg_batch_begin(&checker, message);
    for (uint32_t i = 0; i < attempts && !checker.is_bad; i++)
        msg_next_attempt(&checker, &attempt);
    TRY(mp_reader_finish(&checker, "a batch of attempts", err));
    msg_batch_begin(&reader, message);
    struct sched_event event = {.type = type, .worker = {.worker = worker}};
    /* A heartbeat renews the worker's lease even when it holds nothing. */
    if (type == SCHED_HEARTBEAT && !attempts)
        receive_emit(sink, &event);
    for (uint32_t i = 0; i < attempts; i++) {
        msg_next_attempt(&reader, &event.worker.attempt);
        receive_emit(sink, &event);
    }
    return OK;
}

static enum status receive_progress(const struct sink *sink, uint32_t worker, const uint8_t *bytes,
                                    size_t count, struct err *err)
{
    struct progress_msg progress;
    TRY(msg_decode_progress(bytes, count, &progress, err));
    struct sched_event event = {.type = SCHED_PROGRESS,
                                .progress = {.worker = worker,
                                             .attempt = progress.attempt,
                                             .step = progress.step,
                                             .total = progress.total}};
    receive_emit(sink, &event);
    return OK;
}

static enum status receive_log(const struct sink *sink, uint32_t worker, const uint8_t *bytes,
                               size_t count, struct err *err)
{
    struct log_msg log;
    TRY(msg_decode_log(bytes, count, &log, err));
    if (sink->to->on_log)
        sink->to->on_log(sink->to->context, worker, &log);
    return OK;
}

void router_watch(struct router *router, uint32_t worker, const struct watch_msg *watch)
{
    enum { FRAME_BYTES = 80 };
    uint8_t frame[FRAME_BYTES];
    struct mp_writer writer = mp_writer(frame, sizeof frame);
    msg_write_watch(&writer, watch);
    router_send_frame(router, worker, frame, writer.need);
}

static enum status receive_goodbye(const struct sink *sink, uint32_t worker, const uint8_t *bytes,
                                   size_t count, struct err *err)
{
    TRY(receive_attempts(sink, worker, bytes, count, MSG_GOODBYE, SCHED_REVOKED, err));
    receive_drop(sink, worker, true, OK);
    return OK;
}

static enum status receive_message(const struct sink *sink, uint32_t worker, zmq_msg_t *message,
                                   struct err *err)
{
    const uint8_t *bytes = zmq_msg_data(message);
    size_t count = zmq_msg_size(message);
    enum msg_type type = msg_type(bytes, count);
    switch (type) {
    case MSG_RESULTS: return receive_results(sink, worker, message, err);
    case MSG_STARTED: return receive_attempts(sink, worker, bytes, count, type, SCHED_STARTED, err);
    case MSG_REVOKED: return receive_attempts(sink, worker, bytes, count, type, SCHED_REVOKED, err);
    case MSG_HEARTBEAT:
        return receive_attempts(sink, worker, bytes, count, type, SCHED_HEARTBEAT, err);
    case MSG_PROGRESS: return receive_progress(sink, worker, bytes, count, err);
    case MSG_LOG: return receive_log(sink, worker, bytes, count, err);
    case MSG_GOODBYE: return receive_goodbye(sink, worker, bytes, count, err);
    default: return err_set(err, E_PROTOCOL, "a frame of %zu bytes that no worker sends", count);
    }
}

static void receive_frame(const struct sink *sink, zmq_msg_t *from, zmq_msg_t *message)
{
    struct router *router = sink->router;
    struct err err = {0};
    arena_clear(&router->arena);
    *sink->work += 1;
    if (msg_type(zmq_msg_data(message), zmq_msg_size(message)) == MSG_HELLO) {
        *sink->work += RECEIVE_FRAME_WORK;
        receive_hello(sink, from, message);
        return;
    }
    uint32_t worker = sessions_find(&router->sessions, zmq_msg_data(from), zmq_msg_size(from));
    const struct session *session = sessions_get(&router->sessions, worker);
    if (session && strcmp(session->user, receive_user(message)) != 0) {
        /* Somebody else under the routing id of one that is gone. */
        receive_drop(sink, worker, false, E_GONE);
        worker = UINT32_MAX;
    }
    if (worker == UINT32_MAX) {
        if (receive_turn_away(router, from))
            return;
        /* Somebody we don't know, perhaps from before our restart: refused, it says HELLO again. */
        if (sessions_put(&router->sessions, zmq_msg_data(from), zmq_msg_size(from), &worker,
                         &err) != OK)
            return;
        err_set(&err, E_PROTOCOL, "say HELLO first");
        receive_refuse(sink, worker, &err);
        return;
    }
    sessions_get(&router->sessions, worker)->was_heard = true;
    if (receive_message(sink, worker, message, &err) != OK)
        receive_refuse(sink, worker, &err);
}

/* Peers that a send did not reach. */
static void drop_lost(const struct sink *sink)
{
    if (!sink->router->has_lost)
        return;
    sink->router->has_lost = false;
    for (uint32_t i = 0; i < sink->router->sessions.count; i++) {
        const struct session *session = sessions_get(&sink->router->sessions, i);
        if (session && session->is_lost)
            receive_drop(sink, i, false, E_GONE);
    }
}

/* A peer that died leaves nothing to notice until something is sent to it. */
static void probe_silent(struct router *router, ms_t now)
{
    if (now < router->probe_at)
        return;
    router->probe_at = now + PROBE_MS;
    uint8_t frame[16];
    struct mp_writer writer = mp_writer(frame, sizeof frame);
    msg_write_batch_head(&writer, MSG_HEARTBEAT, 0);
    for (uint32_t i = 0; i < router->sessions.count; i++) {
        struct session *session = sessions_get(&router->sessions, i);
        if (session && session->is_known && !session->was_heard)
            router_send_frame(router, i, frame, writer.need);
        if (session)
            session->was_heard = false;
    }
}

static bool receive_part(struct router *router, zmq_msg_t *part)
{
    zmq_msg_init(part);
    if (zmq_msg_recv(part, router->socket, ZMQ_DONTWAIT) >= 0)
        return true;
    zmq_msg_close(part);
    return false;
}

static void drain(struct router *router)
{
    zmq_msg_t part;
    for (bool has_more = true; has_more && receive_part(router, &part); zmq_msg_close(&part))
        has_more = zmq_msg_more(&part);
}

enum status router_receive(struct router *router, ms_t now, const struct router_sink *to,
                           struct err *err)
{
    (void)err;
    uint32_t work = 0;
    struct sink sink = {router, now, to, &work};
    zmq_msg_t from, message;
    probe_silent(router, now);
    receive_cut_off(&sink);
    while (work < RECEIVE_WORK_MAX && receive_part(router, &from)) {
        if (zmq_msg_more(&from) && receive_part(router, &message)) {
            if (!zmq_msg_more(&message))
                receive_frame(&sink, &from, &message);
            else
                drain(router); /* a message of several parts is not ours: dropped whole */
            zmq_msg_close(&message);
        }
        zmq_msg_close(&from);
    }
    if (work < RECEIVE_WORK_MAX) /* GOODBYE, or results, may have come before the end */
        drop_lost(&sink);
    return OK;
}
