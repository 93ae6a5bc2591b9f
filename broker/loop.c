// SPDX-License-Identifier: Apache-2.0
#include "broker/loop.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#include "broker/loop_batch.h"
#include "broker/loop_end.h"
#include "broker/loop_expect.h"
#include "broker/loop_lead.h"
#include "broker/loop_pause.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/log.h"

/* Rounds of commit and look-up within one beat: a chain of early cutoffs does not sleep between. */
enum { ROUNDS_MAX = 8, UNSENT_MS = 10, RESOLVE_BATCH = 1000 };

struct loop {
    struct loop_options options;
    struct sched *sched;
    struct sched_actions actions;
    struct loop_batch batch;
    struct loop_batch late; /* run documents that came while `batch` is being committed */
    ms_t wake_at;           /* the scheduler's wish */
    struct loop_lead lead;
    struct loop_pause pause;
    ms_t now;            /* the scheduler's time of this beat */
    uint32_t late_ticks; /* beats in a row in which a TICK was due and had to wait */
    struct loop_endings endings;
    /* Of the DONE being stepped. */
    const struct router_record *record;
    struct id record_action; /* its action's key, if it has task inputs */
    bool has_action;
    struct loop_expect expect;
    struct id action; /* of the RESOLVED being stepped */
    bool has_ended;   /* a run, in this turn */
    struct loop_stats stats;
};

struct loop *loop_new(const struct loop_options *options)
{
    struct loop *loop = mem_alloc(sizeof *loop);
    loop->options = *options;
    struct sched_options sched = {
        .seed = options->seed, .lease_ms = options->lease_ms, .workers_min = options->workers_min};
    loop->sched = sched_new(&sched);
    loop->wake_at = MS_NEVER;
    loop_batch_init(&loop->batch);
    loop_batch_init(&loop->late);
    loop_endings_init(&loop->endings);
    loop_expect_init(&loop->expect);
    return loop;
}

void loop_free(struct loop *loop)
{
    loop_endings_fini(&loop->endings);
    loop_expect_fini(&loop->expect);
    sched_free(loop->sched);
    sched_actions_fini(&loop->actions);
    loop_batch_fini(&loop->batch);
    loop_batch_fini(&loop->late);
    mem_free(loop);
}

struct sched *loop_sched(struct loop *loop)
{
    return loop->sched;
}

void loop_set_router(struct loop *loop, struct router *router)
{
    loop->options.router = router;
    loop->lead.told = 0;
}

void loop_stats(const struct loop *loop, struct loop_stats *out)
{
    *out = loop->stats;
}

void loop_put_run(struct loop *loop, const char *id, const uint8_t *document, size_t bytes)
{
    loop_batch_run(loop->pause.is_committing ? &loop->late : &loop->batch, id, document, bytes);
}

void loop_give_up(struct loop *loop)
{
    loop->pause.gives_up = true;
}

bool loop_is_settled(const struct loop *loop)
{
    return !loop->pause.is_committing && loop_batch_is_empty(&loop->batch);
}

bool loop_is_idle(const struct loop *loop)
{
    return loop_is_settled(loop) && loop_endings_is_empty(&loop->endings) &&
           !loop->batch.resolves.count &&
           (!loop->options.router || router_is_idle(loop->options.router));
}

/* ---- actions ---- */

/* The action of the task, which its record must name too. */
static struct id action_key(struct loop *loop, const struct sched_action *action,
                            const struct sched_work *work)
{
    struct id key = loop_batch_action(&loop->batch, work->spec, work->spec_bytes, action->inputs,
                                      action->input_count);
    loop_expect_put(&loop->expect, action->task, &key);
    return key;
}

static void send_task(struct loop *loop, const struct sched_action *action,
                      const struct sched_work *work)
{
    if (action->input_count && !action->is_resolved) /* else it was worked out then */
        action_key(loop, action, work);
    struct task_msg message = loop_batch_task(&loop->batch, action, work);
    router_assign(loop->options.router, action->worker, &message);
}

/* A frame is acknowledged when the last of its results is dealt with. */
static void acknowledge(struct loop *loop, uint64_t handle)
{
    if (router_settle(loop->options.router, handle))
        router_ack(loop->options.router, handle);
}

static void persist(struct loop *loop, const struct sched_action *action,
                    const struct sched_work *work)
{
    loop_batch_record(&loop->batch, router_frame(loop->options.router, action->frame),
                      action->frame, loop->record, work->id,
                      loop->has_action ? &loop->record_action : NULL, action->is_replacement);
}

static void log_dropped(const struct sched_action *action, const struct sched_work *work)
{
    char hex[ID_HEX_BYTES];
    log_event(LOG_WARN, "task.nondeterministic", "task=%s attempt=%u", id_hex(work->id, hex),
              action->attempt);
}

static void perform_on_task(struct loop *loop, const struct sched_action *action)
{
    struct router *router = loop->options.router;
    struct sched_work work = {.id = action->unknown};
    if (!action->unknown)
        work = sched_work(loop->sched, action->task);
    switch (action->type) {
    case SCHED_PERSIST: persist(loop, action, &work); break;
    case SCHED_ALIAS: loop_batch_alias(&loop->batch, work.id, &loop->action); break;
    case SCHED_FORGET: loop_batch_removal(&loop->batch, work.id); break;
    case SCHED_RESOLVE:
        loop_batch_resolve(&loop->batch, action->task, action_key(loop, action, &work));
        break;
    case SCHED_ASSIGN: send_task(loop, action, &work); break;
    case SCHED_REVOKE:
        router_revoke(router, action->worker, &(struct attempt){*work.id, action->attempt});
        break;
    case SCHED_KILL:
        router_kill(router, action->worker, &(struct attempt){*work.id, action->attempt});
        break;
    case SCHED_DROPPED: log_dropped(action, &work); break;
    default: break;
    }
}

/* Visible actions are carried out as they come: the scheduler gives them only when what they rest
 * on is committed. */
static void perform(struct loop *loop, const struct sched_action *action)
{
    switch (action->type) {
    case SCHED_ACK: acknowledge(loop, action->frame); break;
    case SCHED_PUBLISH:
        if (loop->options.hooks.published)
            loop->options.hooks.published(loop->options.hooks.context, action->run, action->task);
        break;
    case SCHED_WAKE_AT: loop->wake_at = action->at; break;
    case SCHED_FREED: loop_expect_clear(&loop->expect, action->task, action->index); break;
    case SCHED_CHECK:
        loop_endings_check(&loop->endings, action->run, action->inputs, action->input_count);
        break;
    case SCHED_RUN_OVER: loop_endings_over(&loop->endings, action->run); break;
    default: perform_on_task(loop, action); break;
    }
}

static void step(struct loop *loop, struct sched_event *event)
{
    loop->actions.count = 0;
    event->now = loop->now;
    int64_t begun_us = loop_stats_step_begin(event->type);
    sched_step(loop->sched, event, &loop->actions);
    loop_stats_step_end(&loop->stats, event->type, begun_us);
    for (size_t i = 0; i < loop->actions.count; i++)
        perform(loop, &loop->actions.items[i]);
}

static void look_at_clock(struct loop *loop)
{
    loop->now = loop_pause_now(&loop->pause);
}

void loop_step(struct loop *loop, struct sched_event *event)
{
    look_at_clock(loop);
    if (event->type == SCHED_GONE && loop->options.router)
        router_forget(loop->options.router, event->gone.worker);
    step(loop, event);
}

void loop_submit(struct loop *loop, struct sched_event *submit)
{
    /* A TICK would end leases whose heartbeats wait in the socket. */
    struct sched_event *event = submit, more = {.type = SCHED_GO_ON};
    struct sched_run_info info = {0};
    for (; !info.is_begun; event = &more) {
        loop_step(loop, event);
        sched_run_info(loop->sched, submit->submit.run, &info);
    }
}

/* ---- the four beats ---- */

/* A record of other work than the task's must not be kept under its id: the attempt has failed. */
static void refuse_record(struct loop *loop, const struct sched_event *done, const char *text)
{
    char hex[ID_HEX_BYTES];
    log_event(LOG_ERROR, "record.refused", "task=%s worker=%s",
              id_hex(&done->done.attempt.task, hex),
              router_worker_name(loop->options.router, done->done.worker));
    struct sched_event failed = {.type = SCHED_FAILED,
                                 .failed = {.worker = done->done.worker,
                                            .attempt = done->done.attempt,
                                            .code = E_PROTOCOL,
                                            .text = text,
                                            .text_bytes = (uint32_t)strlen(text),
                                            .frame = done->done.frame}};
    step(loop, &failed);
}

/* What is wrong with it, or NULL. */
static const char *check_record(struct loop *loop, const struct sched_event *done,
                                const struct record *record)
{
    uint32_t task = sched_task_find(loop->sched, &done->done.attempt.task);
    if (task == UINT32_MAX) /* the scheduler knows what to do with it */
        return NULL;
    struct sched_work work = sched_work(loop->sched, task);
    return loop_expect_check(&loop->expect, task, (struct mp_view){work.spec, work.spec_bytes},
                             record, &loop->has_action, &loop->record_action);
}

static void receive_event(void *context, struct sched_event *event,
                          const struct router_record *record)
{
    struct loop *loop = context;
    loop->record = record;
    loop->stats.results += event->type == SCHED_DONE;
    const char *fault = event->type == SCHED_DONE ? check_record(loop, event, record->view) : NULL;
    if (fault)
        refuse_record(loop, event, fault);
    else
        step(loop, event);
}

static void expect_results(void *context, const struct id *tasks, uint32_t count)
{
    struct loop *loop = context;
    sched_prefetch(loop->sched, tasks, count);
}

static enum status begin_commit(struct loop *loop, struct err *err)
{
    struct state_batch batch;
    loop_batch_view(&loop->batch, &batch);
    TRY(state_begin(loop->options.state, &batch, err));
    loop_pause_begin_commit(&loop->pause);
    return OK;
}

static void go_on(struct loop *loop)
{
    loop_pause_end(&loop->pause);
    look_at_clock(loop);
}

/* Commits what the beat gathered. Sets *is_durable when nothing is left to wait for. */
static enum status commit(struct loop *loop, bool *is_durable, struct err *err)
{
    *is_durable = false;
    int64_t begun_us = clock_us();
    enum status status = loop->pause.is_committing ? OK : begin_commit(loop, err);
    if (status == OK)
        status = state_poll(loop->options.state, is_durable, err);
    loop->stats.commit_us += clock_us() - begun_us;
    if (status != OK)
        return loop_pause_fail(&loop->pause, status, err);
    if (!*is_durable)
        return OK;
    go_on(loop);
    loop->stats.commits++;
    loop_batch_clear(&loop->batch);
    loop_batch_take_runs(&loop->batch, &loop->late);
    step(loop, &(struct sched_event){.type = SCHED_COMMITTED});
    return OK;
}

struct resolving {
    struct loop *loop;
    const struct resolve *items;
    bool *is_found;
};

static void resolve_one(struct resolving *r, uint32_t index, const struct sched_known *known)
{
    struct sched_event event = {
        .type = SCHED_RESOLVED,
        .resolved = {.task = r->items[index].task, .is_found = known != NULL}};
    if (known)
        event.resolved.record = *known;
    r->loop->action = r->items[index].action;
    step(r->loop, &event);
}

static void found_action(void *context, uint32_t index, const uint8_t *bytes, size_t count)
{
    struct resolving *r = context;
    struct artifact outputs[OUTPUTS_MAX];
    struct sched_known known = {0, outputs};
    r->is_found[index] = loop_batch_read_outputs(bytes, count, outputs, &known.output_count);
    if (r->is_found[index]) /* what can't be read is made again */
        resolve_one(r, index, &known);
}

/* Has somebody worked on these very bytes already? One batched look-up for all that became ready in
 * this beat. A state that can't answer is asked again. */
static enum status resolve(struct loop *loop, struct err *err)
{
    AUTO(buf_fini) struct buf asked = loop->batch.resolves;
    loop->batch.resolves = buf_init(0);
    const struct resolve *items = (const struct resolve *)(const void *)asked.bytes;
    uint32_t count = (uint32_t)(asked.count / sizeof *items);
    for (uint32_t first = 0; first < count; first += RESOLVE_BATCH) {
        struct id ids[RESOLVE_BATCH];
        bool is_found[RESOLVE_BATCH] = {0};
        uint32_t n = count - first < RESOLVE_BATCH ? count - first : RESOLVE_BATCH;
        for (uint32_t i = 0; i < n; i++)
            ids[i] = items[first + i].action;
        struct resolving r = {loop, items + first, is_found};
        enum status status = state_find_actions(loop->options.state, ids, n, found_action, &r, err);
        if (status != OK) {
            loop_batch_ask_again(&loop->batch, items + first, count - first, is_found, n);
            return loop_pause_fail(&loop->pause, status, err);
        }
        go_on(loop);
        for (uint32_t i = 0; i < n; i++)
            if (!is_found[i])
                resolve_one(&r, i, NULL);
    }
    return OK;
}

/* Flushed, then over: what is reported survives a power loss. */
static enum status end_run(struct loop *loop, const struct loop_ending *ending, struct err *err)
{
    TRY(store_flush(loop->options.store, err));
    TRY(state_flush(loop->options.state, err));
    go_on(loop);
    loop->has_ended = true;
    loop_stats_log(&loop->stats);
    if (loop->options.hooks.run_over)
        loop->options.hooks.run_over(loop->options.hooks.context, ending->run);
    return OK;
}

static enum status check_run(struct loop *loop, const struct loop_ending *ending, struct err *err)
{
    AUTO(buf_fini) struct buf missing = buf_init(0);
    TRY(loop_ending_find_missing(ending, loop->options.store, &missing, err));
    go_on(loop);
    struct sched_event event = {
        .type = SCHED_CHECKED,
        .checked = {.run = ending->run,
                    .missing = (const struct id *)(const void *)missing.bytes,
                    .missing_count = (uint32_t)(missing.count / sizeof(struct id))}};
    step(loop, &event);
    return OK;
}

/* What fails stays there, to be tried again. */
static enum status end_one(struct loop *loop, struct err *err)
{
    struct loop_ending ending = loop_endings_first(&loop->endings);
    enum status status =
        ending.is_over ? end_run(loop, &ending, err) : check_run(loop, &ending, err);
    if (status != OK)
        return loop_pause_fail(&loop->pause, status, err);
    loop_endings_drop_first(&loop->endings);
    return OK;
}

/* Commits, looks up, ends runs: until nothing is left, or the other beats want their turn. */
static enum status settle(struct loop *loop, struct err *err)
{
    if (loop->pause.is_waiting && clock_ms() < loop->pause.retry_at)
        return OK;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        bool is_durable = true;
        if (!loop_batch_is_empty(&loop->batch))
            TRY(commit(loop, &is_durable, err));
        if (!is_durable)
            return OK;
        if (!loop->batch.resolves.count && !loop_endings_is_empty(&loop->endings))
            return end_one(loop, err); /* a look into the store takes as long as a beat */
        if (!loop->batch.resolves.count) {
            if (loop->pause.is_waiting) /* for a look-up that has answered for all that is left */
                go_on(loop);
            return OK;
        }
        TRY(resolve(loop, err));
        if (loop->pause.is_waiting)
            return OK;
    }
    return OK;
}

static ms_t sleep_ms(const struct loop *loop, ms_t max_ms)
{
    ms_t now = clock_ms(), until = now + max_ms;
    bool has_work = loop->batch.resolves.count || !loop_endings_is_empty(&loop->endings) ||
                    !loop_batch_is_empty(&loop->batch);
    if (loop->pause.is_waiting && !loop->pause.is_committing)
        return loop->pause.retry_at > now ? loop->pause.retry_at - now : 0;
    if (has_work && !loop->pause.is_committing)
        return 0;
    if (loop->wake_at != MS_NEVER && loop->wake_at + loop->pause.stalled_ms < until)
        until = loop->wake_at + loop->pause.stalled_ms;
    if (loop->options.router && !router_is_idle(loop->options.router) && until > now + UNSENT_MS)
        until = now + UNSENT_MS; /* a peer's full queue is not announced when it has room again */
    return until > now ? until - now : 0;
}

static void sleep_until_ready(struct loop *loop, ms_t max_ms)
{
    struct pollfd fds[3] = {{.fd = -1}, {.fd = -1}, {.fd = -1}};
    ms_t ms = sleep_ms(loop, max_ms);
    bool is_deaf = loop_pause_is_on(&loop->pause);
    if (ms == 0 || (!is_deaf && loop->options.router && router_is_ready(loop->options.router)))
        return;
    if (!is_deaf && loop->options.router)
        fds[0] = (struct pollfd){.fd = router_fd(loop->options.router), .events = POLLIN};
    fds[1] = (struct pollfd){.fd = loop->options.wake_fd, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = state_fd(loop->options.state), .events = POLLIN};
    struct timespec timeout = {ms / 1000, ms % 1000 * 1000000};
    ppoll(fds, 3, &timeout, NULL); /* an interruption is a reason to look, like any other */
}

/* Time passes after all that was received: a lease is not over whose heartbeat waits in the socket.
 * Where that is never empty, time has its turn all the same. What is left over goes on anyway. */
static void tick(struct loop *loop)
{
    enum { LATE_TICKS_MAX = 64 };
    if (loop->now < loop->wake_at)
        return;
    bool is_late = loop->options.router && router_is_ready(loop->options.router) &&
                   loop->late_ticks < LATE_TICKS_MAX;
    loop->late_ticks = is_late ? loop->late_ticks + 1 : 0;
    loop->wake_at = MS_NEVER; /* the step says anew when */
    step(loop, &(struct sched_event){.type = is_late ? SCHED_GO_ON : SCHED_TICK});
}

enum status loop_turn(struct loop *loop, ms_t max_ms, struct err *err)
{
    int64_t begun_us = clock_us();
    TRY(loop_lead(&loop->lead, loop->options.state, loop->options.router, err));
    /* Meanwhile sockets fill up and time stands still: a slow state expires no lease. */
    if (!loop_pause_is_on(&loop->pause)) {
        look_at_clock(loop);
        if (loop->options.router)
            TRY(router_receive(loop->options.router, loop->now,
                               &(struct router_sink){receive_event, expect_results, loop}, err));
        tick(loop);
        loop->stats.step_us += clock_us() - begun_us;
    }
    TRY(settle(loop, err));
    if (loop->options.router)
        TRY(router_flush(loop->options.router, err));
    loop_stats_beat(&loop->stats, begun_us);
    if (!loop->has_ended) /* whoever drives us wants to know at once that a run is over */
        sleep_until_ready(loop, max_ms);
    loop->has_ended = false;
    return OK;
}
