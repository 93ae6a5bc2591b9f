// SPDX-License-Identifier: Apache-2.0
#include "worker/join.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/crypto/sign.h"
#include "common/fs.h"
#include "common/log.h"
#include "proto/limits.h"
#include "proto/msg.h"
#include "worker/link.h"
#include "worker/offer.h"
#include "worker/runtime/agent.h"
#include "worker/runtime/results.h"
#include "worker/runtime/slot.h"
#include "worker/runtime/work.h"

enum {
    NAME_ROOM = 128,
    /* Frames handed to the agent in one beat, so that slots are fed meanwhile. */
    FRAMES_PER_BEAT = 64,
    /* Progress that one slot may send on. */
    PROGRESS_MS = 50,
    ENTRY_BYTES = ID_BYTES + 16
};

/* What the parent knows of a slot beside what the agent does. */
struct seat {
    struct slot *slot; /* NULL: absent */
    uint32_t job;      /* the last one given to it */
    ms_t progress_at;
    bool is_touched; /* something was put that is not written yet */
};

struct join {
    const struct join_options *options;
    char name[NAME_ROOM];
    uint8_t instance[INSTANCE_BYTES];
    struct signer *signer;
    struct mover *mover;
    struct cache *cache;
    struct works *works;
    struct agent *agent;
    struct agent_actions actions;
    struct link *link;
    struct results *results;
    struct seat *seats;
    uint32_t slots;
    struct pollfd *polls;
    int signal_fd;
    ms_t now, wake_at;
    struct buf kinds, labels, out, jobs, started, revoked;
    const struct slot_message *answer; /* that the step under way is about */
    bool is_welcome, is_over;
    enum status code; /* why it is over */
    struct err err;
};

/* ---- frames out ---- */

static void send_batch(struct join *join, enum msg_type type, struct buf *attempts)
{
    const struct attempt *items = (const struct attempt *)(const void *)attempts->bytes;
    size_t left = attempts->count / sizeof *items;
    do {
        uint32_t count = left < FRAME_TASKS_MAX ? (uint32_t)left : FRAME_TASKS_MAX;
        size_t room = 16 + (size_t)count * ENTRY_BYTES;
        buf_clear(&join->out);
        struct mp_writer writer = mp_writer(buf_reserve(&join->out, room), room);
        msg_write_batch_head(&writer, type, count);
        for (uint32_t i = 0; i < count; i++)
            msg_write_attempt(&writer, &items[i]);
        link_send(join->link, writer.out, writer.need);
        items += count;
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

static void send_held(struct join *join, enum msg_type type)
{
    AUTO(buf_fini) struct buf held = buf_init(0);
    list_held(join, &held);
    send_batch(join, type, &held);
}

/* What it runs, and what it has results of that nobody acknowledged: neither is to be given to
 * anybody else. */
static void send_hello(struct join *join)
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
    struct hello hello = {.protocol = PROTOCOL_VERSION,
                          .name = join->name,
                          .name_bytes = (uint32_t)strlen(join->name),
                          .slots = join->slots,
                          .cpu_hundredths = join->slots * 100,
                          .memory_bytes = offer_memory(),
                          .epoch = agent_epoch(join->agent),
                          .kinds = {join->kinds.bytes, join->kinds.count},
                          .labels = {join->labels.bytes, join->labels.count},
                          .running = {writer.out, writer.need}};
    memcpy(hello.instance, join->instance, sizeof hello.instance);
    memcpy(hello.public_key, signer_public(join->signer), sizeof hello.public_key);
    room = writer.need + join->kinds.count + join->labels.count + 512;
    buf_clear(&join->out);
    writer = mp_writer(buf_reserve(&join->out, room), room);
    msg_write_hello(&writer, &hello);
    link_send(join->link, writer.out, writer.need);
    log_event(LOG_INFO, "broker.connected", "broker=%s", join->options->broker);
}

static void send_progress(struct join *join, struct seat *seat, const struct slot_message *message)
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

static void send_queued(struct join *join)
{
    struct mp_view frame;
    if (join->revoked.count)
        send_batch(join, MSG_REVOKED, &join->revoked);
    if (join->started.count)
        send_batch(join, MSG_STARTED, &join->started);
    while (join->is_welcome && results_next_unsent(join->results, &frame))
        link_send(join->link, frame.bytes, frame.count);
}

/* ---- the agent's actions ---- */

static void step(struct join *join, struct agent_event *event)
{
    event->now = join->now;
    agent_step(join->agent, event, &join->actions);
}

static void died(struct join *join, uint32_t number, int signal, int exit_status)
{
    struct agent_event event = {.type = AGENT_SLOT_DIED};
    event.died.slot = number;
    event.died.signal = signal;
    event.died.exit_status = exit_status;
    step(join, &event);
}

static void spawn(struct join *join, uint32_t number)
{
    struct err err = {0};
    struct seat *seat = &join->seats[number];
    seat->job = AGENT_NONE;
    if (slot_start(&seat->slot, &err) == OK)
        return;
    log_event(LOG_ERROR, "slot.failed", "error=\"%s\"", err.text);
    died(join, number, 0, 127);
}

static void stop_seat(struct join *join, uint32_t number)
{
    int signal = 0, exit_status = 0;
    struct seat *seat = &join->seats[number];
    slot_stop(TAKE(seat->slot), &signal, &exit_status);
    seat->is_touched = false;
    died(join, number, signal, exit_status);
}

static void start(struct join *join, uint32_t number, uint32_t job)
{
    struct slot_job described;
    struct seat *seat = &join->seats[number];
    works_slot_job(join->works, job, &described);
    slot_put(seat->slot, &described);
    seat->job = job;
    seat->is_touched = true;
}

static void add_result(struct join *join, const struct agent_action *action)
{
    struct result_msg result;
    struct err err = {0};
    struct work *work = works_get(join->works, action->job);
    if (join->answer && !work->heavy) {
        work->begun_us = join->answer->begun_us;
        work->took_us = join->answer->took_us;
    }
    enum status code = action->code;
    if (works_result(join->works, action->job, code, action->text, &result, &err) != OK)
        code = works_result(join->works, action->job, err.code, err.text, &result, NULL);
    results_add(join->results, &result);
}

static void publish(struct join *join, const struct agent_action *action)
{
    struct work *work = works_get(join->works, action->job);
    if (join->answer) {
        work->begun_us = join->answer->begun_us;
        work->took_us = join->answer->took_us;
    }
    works_publish(join->works, action->job, action->code, action->text);
}

static void sample(struct join *join, uint32_t number)
{
    struct agent_event event = {.type = AGENT_RESIDENT};
    event.resident.slot = number;
    event.resident.bytes = slot_resident(join->seats[number].slot);
    step(join, &event);
}

static void leave(struct join *join, const struct agent_action *action)
{
    join->is_over = true;
    join->code = action->code;
    if (action->code != OK)
        err_set(&join->err, action->code, "%s", action->text);
}

static void act(struct join *join, const struct agent_action *action)
{
    switch (action->type) {
    case AGENT_SEND_HELLO: send_hello(join); break;
    case AGENT_SEND_HEARTBEAT: send_held(join, MSG_HEARTBEAT); break;
    case AGENT_SEND_STARTED:
        buf_put(&join->started, &action->attempt, sizeof action->attempt);
        break;
    case AGENT_SEND_REVOKED:
        buf_put(&join->revoked, &action->attempt, sizeof action->attempt);
        break;
    case AGENT_SEND_GOODBYE: send_queued(join), send_held(join, MSG_GOODBYE); break;
    case AGENT_RECONNECT: link_reconnect(join->link); break;
    case AGENT_RESEND: results_unsend(join->results); break;
    case AGENT_FETCH: works_fetch(join->works, action->job); break;
    case AGENT_SPAWN: spawn(join, action->slot); break;
    case AGENT_START: start(join, action->slot, action->job); break;
    case AGENT_KILL_SLOT: stop_seat(join, action->slot); break;
    case AGENT_SAMPLE: sample(join, action->slot); break;
    case AGENT_PUBLISH: publish(join, action); break;
    case AGENT_RESULT: add_result(join, action); break;
    case AGENT_FLUSH: results_close(join->results); break;
    case AGENT_RELEASE: works_release(join->works, action->job); break;
    case AGENT_WAKE_AT: join->wake_at = action->at; break;
    case AGENT_EXIT: leave(join, action); break;
    }
}

/* Steps the agent and does what it says; an action may lead to another event, whose actions come
 * behind. */
static void tell(struct join *join, struct agent_event *event)
{
    join->actions.count = 0;
    step(join, event);
    for (size_t i = 0; i < join->actions.count; i++) {
        const struct agent_action action = join->actions.items[i];
        act(join, &action);
    }
}

/* ---- what comes in ---- */

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
        tell(join, &event);
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
            tell(join, &event);
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
    event.welcome.credit = welcome.credit;
    join->is_welcome = welcome.epoch >= agent_epoch(join->agent);
    tell(join, &event);
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
    snprintf(text, sizeof text, "the broker at %s refuses this worker: %.*s", join->options->broker,
             (int)refused.reason_bytes, refused.reason);
    struct agent_event event = {.type = AGENT_REFUSED};
    event.done.code = refused.code == OK ? E_PROTOCOL : refused.code;
    event.done.text = text;
    tell(join, &event);
}

static void on_frame(struct join *join, const uint8_t *bytes, size_t count)
{
    struct err err = {0};
    struct agent_event dismiss = {.type = AGENT_DISMISS};
    enum msg_type type = msg_type(bytes, count);
    switch (type) {
    case MSG_WELCOME: on_welcome(join, bytes, count, &err); break;
    case MSG_REFUSED: on_refused(join, bytes, count, &err); break;
    case MSG_TASKS: on_tasks(join, bytes, count, &err); break;
    case MSG_ACK:
    case MSG_REVOKE:
    case MSG_KILL: on_batch(join, type, bytes, count, &err); break;
    case MSG_GOODBYE: tell(join, &dismiss); break;
    case MSG_HEARTBEAT: break;
    default: err_set(&err, E_PROTOCOL, "a frame of type %d from the broker", (int)type); break;
    }
    if (err.code == OK)
        return;
    char quoted[ERR_TEXT_BYTES];
    log_event(LOG_ERROR, "frame.refused", "error=%s", log_quote(err.text, quoted, sizeof quoted));
    link_reconnect(join->link); /* HELLO will say what we have; the rest is sent again */
}

static void receive_frames(struct join *join)
{
    struct link_event event;
    for (int i = 0; i < FRAMES_PER_BEAT && link_next(join->link, join->now, &event); i++) {
        struct agent_event told = {.type = event.type == LINK_CONNECTED ? AGENT_CONNECTED
                                                                        : AGENT_DISCONNECTED};
        if (event.type == LINK_FRAME) {
            on_frame(join, event.bytes, event.count);
            continue;
        }
        if (event.type == LINK_DISCONNECTED)
            log_event(LOG_INFO, "broker.lost", "broker=%s", join->options->broker);
        join->is_welcome = false;
        tell(join, &told);
    }
}

static void on_slot_message(struct join *join, uint32_t number, const struct slot_message *message)
{
    char text[ERR_TEXT_BYTES];
    struct agent_event event = {.type = AGENT_SLOT_READY};
    event.died.slot = number;
    if (message->type == SLOT_PROGRESS) {
        send_progress(join, &join->seats[number], message);
        return;
    }
    if (message->type != SLOT_READY) {
        snprintf(text, sizeof text, "%.*s", (int)message->text_bytes, message->text);
        event.type = AGENT_SLOT_RESULT;
        event.result.slot = number;
        event.result.code = message->code;
        event.result.text = text;
        event.result.took_us = message->took_us;
        join->answer = message;
    }
    tell(join, &event);
    join->answer = NULL;
}

static void receive_slot(struct join *join, uint32_t number)
{
    struct err err = {0};
    struct slot_message message;
    struct seat *seat = &join->seats[number];
    bool is_bad = false;
    enum status status = slot_receive(seat->slot, &err);
    while (seat->slot && slot_next(seat->slot, &message, &is_bad)) {
        is_bad = (message.type == SLOT_DONE || message.type == SLOT_FAILED) &&
                 !agent_is_awaiting(join->agent, number);
        if (is_bad)
            break;
        on_slot_message(join, number, &message);
    }
    if (!seat->slot || (status == OK && !is_bad))
        return;
    if (is_bad)
        log_event(LOG_ERROR, "slot.nonsense", "slot=%u", number);
    join->actions.count = 0;
    stop_seat(join, number);
    for (size_t i = 0; i < join->actions.count; i++) {
        const struct agent_action action = join->actions.items[i];
        act(join, &action);
    }
}

static void receive_signals(struct join *join)
{
    struct signalfd_siginfo info;
    while (read(join->signal_fd, &info, sizeof info) == sizeof info) {
        struct agent_event event = {.type = AGENT_DRAIN};
        log_event(LOG_INFO, "worker.drain", "signal=%u", info.ssi_signo);
        tell(join, &event);
    }
}

static bool receive_moves(struct join *join)
{
    struct work_ended ended;
    bool is_any = false;
    while (works_next_ended(join->works, &ended)) {
        struct agent_event event = {.type = ended.is_publication ? AGENT_PUBLISHED : AGENT_FETCHED};
        event.done.job = ended.job;
        event.done.code = ended.code;
        event.done.text = ended.text;
        tell(join, &event);
        is_any = true;
    }
    return is_any;
}

/* ---- the loop ---- */

static nfds_t fill_polls(struct join *join)
{
    int link[2];
    nfds_t count = 0;
    link_fds(join->link, link);
    join->polls[count++] = (struct pollfd){link[0], POLLIN, 0};
    join->polls[count++] = (struct pollfd){link[1], POLLIN, 0};
    join->polls[count++] = (struct pollfd){join->signal_fd, POLLIN, 0};
    join->polls[count++] = (struct pollfd){mover_fd(join->mover), POLLIN, 0};
    for (uint32_t i = 0; i < join->slots; i++) {
        const struct slot *slot = join->seats[i].slot;
        short events = slot && slot_is_writing(slot) ? POLLIN | POLLOUT : POLLIN;
        join->polls[count++] = (struct pollfd){slot ? slot_fd(slot) : -1, events, 0};
    }
    return count;
}

static void wait_for_more(struct join *join, bool is_ready)
{
    nfds_t count = fill_polls(join);
    ms_t until =
        join->wake_at < link_wake_at(join->link) ? join->wake_at : link_wake_at(join->link);
    ms_t left = until == MS_NEVER ? 60000 : until - clock_ms();
    if (is_ready || left < 0 || link_is_ready(join->link))
        left = 0;
    left = left > 60000 ? 60000 : left;
    struct timespec timeout = {left / 1000, left % 1000 * 1000000};
    if (ppoll(join->polls, count, &timeout, NULL) <= 0)
        for (nfds_t i = 0; i < count; i++)
            join->polls[i].revents = 0;
}

static void flush_slots(struct join *join)
{
    for (uint32_t i = 0; i < join->slots; i++) {
        struct seat *seat = &join->seats[i];
        if (seat->slot && (seat->is_touched || slot_is_writing(seat->slot)))
            slot_flush(seat->slot);
        seat->is_touched = false;
    }
}

static void turn(struct join *join)
{
    struct agent_event tick = {.type = AGENT_TICK};
    join->now = clock_ms();
    receive_frames(join);
    for (uint32_t i = 0; i < join->slots; i++)
        if (join->polls[4 + i].revents && join->seats[i].slot)
            receive_slot(join, i);
    if (join->polls[2].revents)
        receive_signals(join);
    receive_moves(join);
    tell(join, &tick);
    flush_slots(join);
    bool is_ready = receive_moves(join);
    send_queued(join);
    if (!join->is_over)
        wait_for_more(join, is_ready);
}

static void join_fini(struct join *join)
{
    for (uint32_t i = 0; i < join->slots; i++)
        if (join->seats[i].slot)
            slot_stop(join->seats[i].slot, NULL, NULL);
    if (join->mover)
        mover_close(join->mover);
    if (join->works)
        works_free(join->works);
    if (join->cache)
        cache_close(join->cache);
    if (join->agent)
        agent_free(join->agent);
    if (join->results)
        results_free(join->results);
    if (join->link)
        link_close(join->link);
    if (join->signer)
        signer_free(join->signer);
    agent_actions_fini(&join->actions);
    struct buf *const buffers[] = {&join->kinds, &join->labels,  &join->out,
                                   &join->jobs,  &join->started, &join->revoked};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        buf_fini(buffers[i]);
    if (join->signal_fd >= 0)
        close(join->signal_fd);
    mem_free(join->seats);
    mem_free(join->polls);
}
DEFINE_AUTO_VALUE(struct join, join_fini)

static enum status take_signals(struct join *join, struct err *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (join->options->dies_with_parent) {
        signal(SIGINT, SIG_IGN);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    } else {
        sigaddset(&set, SIGINT);
    }
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    join->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (join->signal_fd < 0)
        return err_set(err, E_IO, "signalfd: %s", strerror(errno));
    return OK;
}

static enum status open_parts(struct join *join, struct err *err)
{
    const struct join_options *options = join->options;
    join->slots = options->slots ? options->slots : offer_cores();
    join->seats = mem_alloc(join->slots * sizeof *join->seats);
    join->polls = mem_alloc((join->slots + 4) * sizeof *join->polls);
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    snprintf(join->name, sizeof join->name, "%s-%d", host, (int)getpid());
    if (options->name)
        snprintf(join->name, sizeof join->name, "%s", options->name);
    if (strlen(join->name) > NAME_BYTES_MAX)
        return err_set(err, E_INVALID, "name \"%s\": over %d bytes", join->name, NAME_BYTES_MAX);
    random_bytes(join->instance, sizeof join->instance);
    TRY(take_signals(join, err));
    offer_encode_kinds(&join->kinds);
    TRY(offer_encode_labels(options->labels, options->label_count, &join->labels, err));
    /* The link first: it connects while the rest is made. */
    TRY(link_open(options->broker, &join->link, err));
    TRY(mover_open(options->store, &join->mover, err));
    TRY(cache_open(options->cache, options->cache_bytes, &join->cache, err));
    join->signer = signer_new();
    join->results = results_new(join->signer);
    const struct works_options works = {join->mover, join->cache, join->name};
    join->works = works_new(&works);
    const struct agent_options agent = {.slots = join->slots, .grace_ms = options->grace_ms};
    join->agent = agent_new(&agent);
    return OK;
}

enum status join_run(const struct join_options *options, struct err *err)
{
    AUTO(join_fini) struct join join = {.options = options, .signal_fd = -1};
    struct buf *const buffers[] = {&join.kinds, &join.labels,  &join.out,
                                   &join.jobs,  &join.started, &join.revoked};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        *buffers[i] = buf_init(0);
    TRY(open_parts(&join, err));
    while (!join.is_over)
        turn(&join);
    if (join.code != OK && err)
        *err = join.err;
    return join.code;
}
