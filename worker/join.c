// SPDX-License-Identifier: Apache-2.0
#include "worker/join.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/clock.h"
#include "common/cores.h"
#include "common/landlock.h"
#include "common/log.h"
#include "common/procs.h"
#include "proto/limits.h"
#include "worker/join_state.h"
#include "worker/machine.h"
#include "worker/offer.h"
#include "worker/runtime/cgroup.h"
#include "worker/runtime/sandbox_layers.h"
#include "worker/runtime/secrets.h"

/* A broker that starts, or starts again, is there by then. */
enum { ALONE_MS = 3000 };

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
    const struct slot_options options = {&join->options->sandbox, join->cgroups};
    if (slot_start(&options, &seat->slot, &err) == OK)
        return;
    log_event(LOG_ERROR, "slot.failed", "error=\"%s\"", err.text);
    died(join, number, 0, 127);
}

/* What a slot that was killed left without an ancestor comes to us. */
static void end_orphans(const struct join *join)
{
    AUTO(buf_fini) struct buf keep = buf_init(0);
    for (uint32_t i = 0; i < join->slots; i++)
        if (join->seats[i].slot) {
            pid_t pid = slot_pid(join->seats[i].slot);
            buf_put(&keep, &pid, sizeof pid);
        }
    procs_end_orphans((const pid_t *)(const void *)keep.bytes, keep.count / sizeof(pid_t));
}

static void stop_seat(struct join *join, uint32_t number)
{
    int signal = 0, exit_status = 0;
    struct seat *seat = &join->seats[number];
    slot_stop(TAKE(seat->slot), &signal, &exit_status);
    end_orphans(join);
    seat->is_touched = seat->is_limited = false;
    died(join, number, signal, exit_status);
}

static void start(struct join *join, uint32_t number, uint32_t job)
{
    struct slot_job described;
    struct seat *seat = &join->seats[number];
    works_slot_job(join->works, job, &described);
    seat->is_limited = slot_limit_memory(seat->slot, described.memory_bytes);
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
    if (join->seats[number].is_limited)
        return;
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
    case AGENT_SEND_HELLO: join_send_hello(join); break;
    case AGENT_SEND_HEARTBEAT: join_send_held(join, MSG_HEARTBEAT); break;
    case AGENT_SEND_STARTED:
        buf_put(&join->started, &action->attempt, sizeof action->attempt);
        break;
    case AGENT_SEND_REVOKED:
        buf_put(&join->revoked, &action->attempt, sizeof action->attempt);
        break;
    case AGENT_SEND_GOODBYE: join_send_queued(join), join_send_held(join, MSG_GOODBYE); break;
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

/* What the agent said; an action may lead to another event, whose actions come behind. */
static void carry_out(struct join *join)
{
    for (size_t i = 0; i < join->actions.count; i++) {
        const struct agent_action action = join->actions.items[i];
        act(join, &action);
    }
    join->actions.count = 0;
}

void join_tell(struct join *join, struct agent_event *event)
{
    step(join, event);
    carry_out(join);
}

/* ---- what comes in ---- */

/* Did the job of this slot meet the bound of its memory? Then `text` says so. */
static bool ran_out(const struct join *join, uint32_t number, char text[ERR_TEXT_BYTES])
{
    char limit[32];
    const struct seat *seat = &join->seats[number];
    if (!seat->is_limited || !agent_is_awaiting(join->agent, number) || !slot_ran_out(seat->slot))
        return false;
    snprintf(text, ERR_TEXT_BYTES, "grew past its memory limit of %s",
             agent_describe_bytes(works_get(join->works, seat->job)->task.memory_bytes, limit,
                                  sizeof limit));
    return true;
}

static void on_slot_message(struct join *join, uint32_t number, const struct slot_message *message)
{
    char text[ERR_TEXT_BYTES];
    struct agent_event event = {.type = AGENT_SLOT_READY};
    event.died.slot = number;
    if (message->type == SLOT_PROGRESS) {
        join_send_progress(join, &join->seats[number], message);
        return;
    }
    if (message->type != SLOT_READY) {
        size_t bytes = message->text_bytes < sizeof text ? message->text_bytes : sizeof text - 1;
        if (bytes)
            memcpy(text, message->text, bytes);
        text[bytes] = 0;
        event.type = AGENT_SLOT_RESULT;
        event.result.slot = number;
        event.result.code = message->code;
        if (message->code != OK && ran_out(join, number, text))
            event.result.code = E_MEMORY;
        event.result.text = text;
        event.result.took_us = message->took_us;
        join->answer = message;
    }
    join_tell(join, &event);
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
        is_bad = message.type != SLOT_READY && !agent_is_awaiting(join->agent, number);
        if (is_bad)
            break;
        on_slot_message(join, number, &message);
    }
    if (!seat->slot || (status == OK && !is_bad))
        return;
    char text[ERR_TEXT_BYTES];
    if (is_bad)
        log_event(LOG_ERROR, "slot.nonsense", "slot=%u", number);
    else if (ran_out(join, number, text)) { /* the slot itself was what was killed */
        struct agent_event event = {.type = AGENT_SLOT_RESULT};
        event.result.slot = number;
        event.result.code = E_MEMORY;
        event.result.text = text;
        join_tell(join, &event);
    }
    stop_seat(join, number);
    carry_out(join);
}

static void receive_signals(struct join *join)
{
    struct signalfd_siginfo info;
    while (read(join->signal_fd, &info, sizeof info) == sizeof info) {
        struct agent_event event = {.type = AGENT_DRAIN};
        log_event(LOG_INFO, "worker.drain", "signal=%u", info.ssi_signo);
        join_tell(join, &event);
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
        join_tell(join, &event);
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

/* Whoever mistyped the endpoint, or whose broker ended, hears of it once. */
static void tell_if_alone(struct join *join)
{
    if (join->is_welcome || join->is_alone_told || join->now - join->alone_since < ALONE_MS)
        return;
    join->is_alone_told = true;
    log_event(LOG_WARN, "broker.awaited", "broker=%s since_ms=%lld", link_endpoint(join->link),
              (long long)(join->now - join->alone_since));
}

static void wait_for_more(struct join *join, bool is_ready)
{
    nfds_t count = fill_polls(join);
    ms_t until =
        join->wake_at < link_wake_at(join->link) ? join->wake_at : link_wake_at(join->link);
    ms_t left = until == MS_NEVER ? 60000 : until - clock_ms();
    if (is_ready || left < 0 || link_is_ready(join->link))
        left = 0;
    ms_t most = join->is_welcome || join->is_alone_told ? 60000 : ALONE_MS;
    left = left > most ? most : left;
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
    link_stir(join->link, (const bool[]){join->polls[0].revents, join->polls[1].revents});
    join_receive(join);
    for (uint32_t i = 0; i < join->slots; i++)
        if (join->polls[4 + i].revents && join->seats[i].slot)
            receive_slot(join, i);
    if (join->polls[2].revents)
        receive_signals(join);
    receive_moves(join);
    bool is_ready = true;
    for (int i = 0; i < 2 && is_ready; i++) { /* what was fetched at once begins at once */
        join_tell(join, &tick);
        flush_slots(join);
        join_send_queued(join);
        is_ready = receive_moves(join);
    }
    works_tidy(join->works);
    tell_if_alone(join);
    if (!join->is_over)
        wait_for_more(join, is_ready);
}

static void join_fini(struct join *join)
{
    for (uint32_t i = 0; i < join->slots; i++)
        if (join->seats[i].slot)
            slot_stop(join->seats[i].slot, NULL, NULL);
    if (join->seats)
        procs_end_orphans(NULL, 0);
    if (join->cgroups)
        cgroups_close(join->cgroups);
    if (join->mover)
        mover_close(join->mover);
    if (join->works)
        works_free(join->works);
    if (join->secrets)
        secrets_free(join->secrets);
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

/* Those it was given, and one for each secret it has. */
static enum status encode_labels(struct join *join, struct err *err)
{
    size_t given = join->options->label_count, count;
    const char *const *of_secrets = secrets_labels(join->secrets, &count);
    AUTO(mem_free) const char **labels = mem_alloc((given + count + 1) * sizeof *labels);
    for (size_t i = 0; i < given; i++)
        labels[i] = join->options->labels[i];
    for (size_t i = 0; i < count; i++)
        labels[given + i] = of_secrets[i];
    return offer_encode_labels(labels, given + count, &join->labels, err);
}

static enum status open_parts(struct join *join, struct err *err)
{
    const struct join_options *options = join->options;
    join->slots = options->slots ? options->slots : cores_count();
    join->cpu_hundredths = options->cpu_hundredths ? options->cpu_hundredths : 100 * join->slots;
    join->memory_bytes = options->memory_bytes ? options->memory_bytes : machine_memory();
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
    TRY(secrets_open(options->secrets, &join->secrets, err));
    TRY(encode_labels(join, err));
    /* The link first: it connects while the rest is made. */
    TRY(join_connect(join, err));
    TRY(mover_open(options->store, &join->mover, err));
    TRY(cache_open(options->cache, options->cache_bytes, &join->cache, err));
    join->results = results_new(join->signer);
    const struct works_options works = {join->mover, join->cache, join->name, join->secrets};
    join->works = works_new(&works);
    const struct agent_options agent = {.slots = join->slots,
                                        .grace_ms = options->grace_ms,
                                        .cpu_hundredths = join->cpu_hundredths,
                                        .memory_bytes = join->memory_bytes,
                                        .resources = options->resources,
                                        .resource_count = options->resource_count};
    join->agent = agent_new(&agent);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (options->sandbox.mode != SANDBOX_OFF)
        join->cgroups = cgroups_open(options->sandbox.processes);
    return OK;
}

/* Whoever relies on a layer hears once that it is not there. */
static void tell_missing(const struct sandbox_options *sandbox)
{
    struct sandbox_layer layers[SANDBOX_LAYERS];
    if (sandbox->mode != SANDBOX_BEST_EFFORT)
        return;
    sandbox_look(layers);
    for (int i = 0; i < SANDBOX_LAYERS; i++)
        if (!layers[i].is_there)
            log_event(layers[i].is_optional ? LOG_INFO : LOG_WARN, "sandbox.incomplete",
                      "missing=%s found=\"%s\" mend=\"%s\"", layers[i].name, layers[i].found,
                      layers[i].mend);
}

enum status join_run(const struct join_options *options, struct err *err)
{
    AUTO(join_fini) struct join join = {.options = options, .signal_fd = -1};
    struct buf *const buffers[] = {&join.kinds, &join.labels,  &join.out,
                                   &join.jobs,  &join.started, &join.revoked};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        *buffers[i] = buf_init(0);
    TRY(sandbox_check(&options->sandbox, err));
    landlock_close_self();
    tell_missing(&options->sandbox);
    TRY(open_parts(&join, err));
    join.alone_since = clock_ms();
    while (!join.is_over)
        turn(&join);
    if (join.code != OK && err)
        *err = join.err;
    return join.code;
}
