// SPDX-License-Identifier: Apache-2.0
#include "broker/loop_inside.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/clock.h"
#include "common/log.h"

enum { UNSENT_MS = 10 };

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
    loop->ender = loop_ender_new(options->store);
    loop_expect_init(&loop->expect);
    return loop;
}

void loop_free(struct loop *loop)
{
    loop_ender_free(loop->ender);
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

uint64_t loop_put_run(struct loop *loop, const char *id, const uint8_t *document, size_t bytes)
{
    bool is_late = loop->pause.is_committing;
    loop_batch_run(is_late ? &loop->late : &loop->batch, id, document, bytes);
    loop->flush_wanted = loop->commits + 1 + is_late;
    return loop->flush_wanted;
}

bool loop_has_committed(const struct loop *loop, uint64_t put)
{
    return loop->commits >= put;
}

bool loop_has_kept(const struct loop *loop, uint64_t put)
{
    return loop->flush_done >= put;
}

void loop_hurry(struct loop *loop)
{
    loop->is_hurried = true;
}

void loop_watch(struct loop *loop, uint32_t worker, const struct watch_msg *watch)
{
    if (loop->options.router)
        router_watch(loop->options.router, worker, watch);
}

void loop_leave(struct loop *loop)
{
    bool is_more = loop->pause.is_committing || !loop_batch_is_empty(&loop->batch);
    loop->is_left = true;
    loop->flush_wanted = loop->commits + is_more;
}

void loop_remove_records(struct loop *loop, const struct id *tasks, uint32_t count, bool even_known)
{
    loop_batch_want_removals(&loop->batch, tasks, count, even_known);
}

bool loop_is_removing(const struct loop *loop)
{
    return loop_batch_is_removing(&loop->batch);
}

bool loop_has_removed(const struct loop *loop)
{
    return !loop_is_removing(loop) && loop->flush_done >= loop->removed_with;
}

void loop_give_up(struct loop *loop)
{
    loop->pause.gives_up = true;
    loop_ender_give_up(loop->ender);
}

bool loop_is_settled(const struct loop *loop)
{
    return !loop->pause.is_committing && loop_batch_is_empty(&loop->batch);
}

bool loop_is_idle(const struct loop *loop)
{
    bool is_committed = loop_is_settled(loop) && loop->flush_done >= loop->flush_wanted &&
                        (!loop->options.router || router_is_idle(loop->options.router));
    return is_committed &&
           (loop->is_left || (loop_ender_is_idle(loop->ender) && !loop->batch.resolves.count));
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
    if (loop->is_left)
        return;                                      /* the next broker does */
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

static void foreseen(void *context, uint32_t task, const struct artifact *inputs,
                     uint32_t input_count)
{
    struct loop *loop = context;
    struct sched_work work = sched_work(loop->sched, task);
    loop_batch_look_ahead(&loop->batch, &work, inputs, input_count);
}

/* What this success will have looked up is asked for along with its commit. */
static void look_ahead(struct loop *loop, uint32_t task)
{
    if (state_looks_ahead(loop->options.state))
        sched_foresee(loop->sched, task, foreseen, loop);
}

static void persist(struct loop *loop, const struct sched_action *action,
                    const struct sched_work *work)
{
    look_ahead(loop, action->task);
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

static void log_rest(const struct loop *loop, const struct sched_action *action)
{
    log_event(LOG_WARN, "worker.rests", "worker=%s code=%s ms=%lld",
              router_worker_name(loop->options.router, action->worker), status_name(action->code),
              (long long)(action->at - loop->now));
}

static void perform_on_task(struct loop *loop, const struct sched_action *action)
{
    struct router *router = loop->options.router;
    struct sched_work work = {.id = action->unknown};
    if (!action->unknown)
        work = sched_work(loop->sched, action->task);
    switch (action->type) {
    case SCHED_PERSIST: persist(loop, action, &work); break;
    case SCHED_ALIAS:
        look_ahead(loop, action->task);
        loop_batch_alias(&loop->batch, work.id, &loop->action);
        break;
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

static void end_run(struct loop *loop, uint32_t run)
{
    const struct loop_hooks *hooks = &loop->options.hooks;
    AUTO(buf_fini) struct buf keep = buf_init(0);
    if (hooks->run_ended)
        hooks->run_ended(hooks->context, run, &keep);
    loop_ender_flush(loop->ender, run, &keep);
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
    case SCHED_REST: log_rest(loop, action); break;
    case SCHED_FREED: loop_expect_clear(&loop->expect, action->task, action->index); break;
    case SCHED_CHECK:
        loop_ender_check(loop->ender, action->run, action->inputs, action->input_count);
        break;
    case SCHED_RUN_OVER: end_run(loop, action->run); break;
    default: perform_on_task(loop, action); break;
    }
}

void loop_do(struct loop *loop, struct sched_event *event)
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

void loop_go_on(struct loop *loop)
{
    loop_pause_end(&loop->pause);
    look_at_clock(loop);
}

void loop_step(struct loop *loop, struct sched_event *event)
{
    look_at_clock(loop);
    if (event->type == SCHED_GONE && loop->options.router)
        router_forget(loop->options.router, event->gone.worker);
    loop_do(loop, event);
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
    loop_do(loop, &failed);
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
        loop_do(loop, event);
}

static void receive_log(void *context, uint32_t worker, const struct log_msg *log)
{
    struct loop *loop = context;
    const struct loop_hooks *hooks = &loop->options.hooks;
    if (hooks->log)
        hooks->log(hooks->context, worker, log);
}

static void expect_results(void *context, const struct id *tasks, uint32_t count)
{
    struct loop *loop = context;
    sched_prefetch(loop->sched, tasks, count);
}

static ms_t sleep_ms(const struct loop *loop, ms_t max_ms)
{
    ms_t now = clock_ms(), until = now + max_ms;
    bool has_work =
        (loop->batch.resolves.count && !loop->is_left) || !loop_batch_is_empty(&loop->batch);
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
    enum { WORKERS, WAKE, STATE, ENDER, FD_COUNT };
    struct pollfd fds[FD_COUNT] = {{.fd = -1}, {.fd = -1}, {.fd = -1}, {.fd = -1}};
    ms_t ms = sleep_ms(loop, max_ms);
    bool is_deaf = loop_pause_is_on(&loop->pause) || loop->is_left;
    if (ms == 0 || (!is_deaf && loop->options.router && router_is_ready(loop->options.router)))
        return;
    if (!is_deaf && loop->options.router)
        fds[WORKERS] = (struct pollfd){.fd = router_fd(loop->options.router), .events = POLLIN};
    if (!is_deaf)
        fds[ENDER] = (struct pollfd){.fd = loop_ender_fd(loop->ender), .events = POLLIN};
    fds[WAKE] = (struct pollfd){.fd = loop->options.wake_fd, .events = POLLIN};
    fds[STATE] = (struct pollfd){.fd = state_fd(loop->options.state), .events = POLLIN};
    struct timespec timeout = {ms / 1000, ms % 1000 * 1000000};
    ppoll(fds, FD_COUNT, &timeout, NULL); /* an interruption is a reason to look, like any other */
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
    loop_do(loop, &(struct sched_event){.type = is_late ? SCHED_GO_ON : SCHED_TICK});
}

/* Another broker may lead by now: nothing is heard, committed or given out until that is known. */
static enum status wait_for_lease(struct loop *loop, ms_t max_ms, struct err *err)
{
    enum { LOOK_MS = 50 };
    struct err why;
    struct pollfd fds[] = {{.fd = loop->options.wake_fd, .events = POLLIN},
                           {.fd = state_fd(loop->options.state), .events = POLLIN}};
    err_set(&why, E_UNREACHABLE, "the lease is over and could not be renewed");
    bool is_told = loop_pause_is_on(&loop->pause) && !loop->pause.gives_up;
    if (!is_told && loop_pause_fail(&loop->pause, why.code, &why) != OK)
        return err_set(err, why.code, "%s", why.text);
    poll(fds, 2, max_ms < LOOK_MS ? (int)max_ms : LOOK_MS);
    return OK;
}

enum status loop_turn(struct loop *loop, ms_t max_ms, struct err *err)
{
    int64_t begun_us = clock_us();
    TRY(loop_lead(&loop->lead, loop->options.state, loop->options.router, err));
    if (state_is_cut_off(loop->options.state))
        return wait_for_lease(loop, max_ms, err);
    /* Meanwhile sockets fill up and time stands still: a slow state expires no lease. */
    if (!loop_pause_is_on(&loop->pause) && !loop->is_left) {
        look_at_clock(loop);
        if (loop->options.router)
            TRY(router_receive(
                loop->options.router, loop->now,
                &(struct router_sink){receive_event, receive_log, expect_results, loop}, err));
        TRY(loop_hear_ender(loop, err));
        tick(loop);
        loop->stats.step_us += clock_us() - begun_us;
    }
    TRY(loop_settle(loop, err));
    TRY(loop_flush(loop, err));
    if (loop->options.router)
        TRY(router_flush(loop->options.router, err));
    loop_stats_beat(&loop->stats, begun_us);
    if (!loop->is_hurried)
        sleep_until_ready(loop, max_ms);
    loop->is_hurried = false;
    return OK;
}
