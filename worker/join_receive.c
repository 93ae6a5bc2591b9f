// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "common/net/endpoint.h"
#include "worker/join_state.h"
#include "worker/offer.h"

enum {
    /* Frames handed to the agent in one beat, so that slots are fed meanwhile. */
    FRAMES_PER_BEAT = 64
};

static void on_tasks(struct join *join, const uint8_t *bytes, size_t count, struct err *err)
{
    buf_clear(&join->jobs);
    if (works_take(join->works, bytes, count, &join->jobs, err) != OK)
        return;
    for (size_t at = 0; at < join->jobs.count; at += sizeof(uint32_t)) {
        struct agent_event event = {.type = AGENT_TASK};
        memcpy(&event.task.job, join->jobs.bytes + at, sizeof event.task.job);
        const struct work *work = works_get(join->works, event.task.job);
        event.task.attempt = work->task.attempt;
        event.task.is_light = work->is_light;
        event.task.priority = work->task.priority;
        event.task.timeout_ms = work->task.timeout_ms;
        event.task.memory_bytes = work->task.memory_bytes;
        event.task.cpu_hundredths = work->task.cpu_hundredths;
        struct offer_counts counts;
        if (!work->is_light) { /* a light one asks for none */
            offer_decode_counts(&work->task.resources, &counts);
            event.task.resources = counts.items;
            event.task.resource_count = counts.count;
        }
        join_tell(join, &event);
    }
}

/* A frame of attempts or sequences: read whole before anything of it counts. */
static void on_batch(struct join *join, enum msg_type type, const uint8_t *bytes, size_t count,
                     struct err *err)
{
    for (int pass = 0; pass < 2; pass++) {
        struct mp_reader reader = mp_reader(bytes, count);
        uint32_t items = msg_batch_begin(&reader, type);
        for (uint32_t i = 0; i < items && !reader.is_bad; i++) {
            struct agent_event event = {.type = type == MSG_REVOKE ? AGENT_REVOKE : AGENT_KILL};
            uint64_t sequence = 0;
            if (type == MSG_ACK)
                sequence = msg_next_sequence(&reader);
            else
                msg_next_attempt(&reader, &event.attempt);
            if (pass == 0)
                continue;
            if (type == MSG_ACK) {
                event.type = AGENT_ACK;
                event.ack.left = results_acknowledge(join->results, sequence);
            }
            join_tell(join, &event);
        }
        if (pass == 0 && mp_reader_finish(&reader, "batch", err) != OK)
            return;
    }
}

static void on_welcome(struct join *join, const uint8_t *bytes, size_t count, struct err *err)
{
    struct welcome welcome;
    if (msg_decode_welcome(bytes, count, &welcome, err) != OK)
        return;
    struct agent_event event = {.type = AGENT_WELCOME};
    event.welcome.epoch = welcome.epoch;
    event.welcome.lease_ms = welcome.lease_ms;
    join->is_welcome = welcome.epoch >= agent_epoch(join->agent);
    join_tell(join, &event);
    join->is_alone_told = false;
    if (join->is_welcome)
        link_settle(join->link);
    if (join->is_welcome)
        log_event(LOG_INFO, "broker.welcome", "epoch=%llu lease_ms=%u",
                  (unsigned long long)welcome.epoch, welcome.lease_ms);
    else
        log_event(LOG_WARN, "broker.stale", "epoch=%llu seen=%llu",
                  (unsigned long long)welcome.epoch, (unsigned long long)agent_epoch(join->agent));
}

static void on_refused(struct join *join, const uint8_t *bytes, size_t count, struct err *err)
{
    struct refused refused;
    char text[ERR_TEXT_BYTES];
    if (msg_decode_refused(bytes, count, &refused, err) != OK)
        return;
    char quoted[2 * ERR_TEXT_BYTES];
    snprintf(text, sizeof text, "the broker at %s refuses this worker: %.*s",
             link_endpoint(join->link), (int)refused.reason_bytes, refused.reason);
    log_event(LOG_WARN, "broker.refused", "reason=%s", log_quote(text, quoted, sizeof quoted));
    if (refused.code == E_FENCED && join->broker_count > 1) {
        link_reconnect(join->link); /* another one leads: it is the next, or the one after it */
        return;
    }
    struct agent_event event = {.type = AGENT_REFUSED};
    event.done.code = refused.code;
    event.done.text = text;
    join_tell(join, &event);
}

/* May we talk to whoever a broker names? It is the same question as for those we were given. */
static bool may_follow(const struct join *join, const char *endpoint)
{
    struct endpoint parsed;
    return *endpoint && endpoint_parse(NULL, endpoint, ENDPOINT_CONNECT, &parsed, NULL) == OK &&
           (parsed.is_local || join->has_keys || join->options->insecure);
}

static void on_not_leader(struct join *join, const uint8_t *bytes, size_t count, struct err *err)
{
    struct not_leader not_leader;
    char endpoint[ENDPOINT_BYTES_MAX + 1], quoted[2 * ENDPOINT_BYTES_MAX];
    if (msg_decode_not_leader(bytes, count, &not_leader, err) != OK)
        return;
    snprintf(endpoint, sizeof endpoint, "%.*s", (int)not_leader.endpoint_bytes,
             not_leader.endpoint);
    log_event(LOG_INFO, "broker.stands_by", "broker=%s leader=%s", link_endpoint(join->link),
              log_quote(endpoint, quoted, sizeof quoted));
    if (may_follow(join, endpoint))
        link_follow(join->link, endpoint);
    else
        link_reconnect(join->link);
}

static void on_shut_out(struct join *join, const char *reason)
{
    struct agent_event event = {.type = AGENT_REFUSED};
    event.done.code = E_DENIED;
    event.done.text = reason;
    join_tell(join, &event);
}

static void on_watch(struct join *join, const uint8_t *bytes, size_t count, struct err *err)
{
    struct watch_msg watch;
    if (msg_decode_watch(bytes, count, &watch, err) == OK && join->is_welcome)
        join_send_log(join, &watch);
}

static void on_frame(struct join *join, const uint8_t *bytes, size_t count)
{
    struct err err = {0};
    struct agent_event dismiss = {.type = AGENT_DISMISS};
    enum msg_type type = msg_type(bytes, count);
    switch (type) {
    case MSG_WELCOME: on_welcome(join, bytes, count, &err); break;
    case MSG_REFUSED: on_refused(join, bytes, count, &err); break;
    case MSG_NOT_LEADER: on_not_leader(join, bytes, count, &err); break;
    case MSG_WATCH: on_watch(join, bytes, count, &err); break;
    case MSG_TASKS: on_tasks(join, bytes, count, &err); break;
    case MSG_ACK:
    case MSG_REVOKE:
    case MSG_KILL: on_batch(join, type, bytes, count, &err); break;
    case MSG_GOODBYE:
        log_event(LOG_INFO, "broker.goodbye", "broker=%s", link_endpoint(join->link));
        join_tell(join, &dismiss);
        break;
    case MSG_HEARTBEAT: break;
    default: err_set(&err, E_PROTOCOL, "a frame of type %d from the broker", (int)type); break;
    }
    if (err.code == OK)
        return;
    char quoted[ERR_TEXT_BYTES];
    log_event(LOG_ERROR, "frame.refused", "error=%s", log_quote(err.text, quoted, sizeof quoted));
    link_reconnect(join->link); /* HELLO will say what we have; the rest is sent again */
}

void join_receive(struct join *join)
{
    struct link_event event;
    for (int i = 0; i < FRAMES_PER_BEAT && link_next(join->link, join->now, &event); i++) {
        struct agent_event told = {.type = event.type == LINK_CONNECTED ? AGENT_CONNECTED
                                                                        : AGENT_DISCONNECTED};
        if (event.type == LINK_FRAME) {
            on_frame(join, event.bytes, event.count);
            continue;
        }
        if (event.type == LINK_SHUT_OUT) {
            on_shut_out(join, event.reason);
            return;
        }
        if (event.type == LINK_DISCONNECTED && join->is_connected)
            log_event(LOG_INFO, "broker.lost", "broker=%s", link_endpoint(join->link));
        join->is_connected = event.type == LINK_CONNECTED;
        if (join->is_welcome)
            join->alone_since = join->now;
        join->is_welcome = false;
        join_tell(join, &told);
    }
}
