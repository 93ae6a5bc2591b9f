// SPDX-License-Identifier: Apache-2.0
#include "broker/loop.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#include "broker/loop_batch.h"
#include "common/base/mem.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/store/tree.h"

/* Rounds of commit and look-up within one beat: a chain of early cutoffs goes on without sleeping
 * between. */
enum { ROUNDS_MAX = 8, RETRY_COMMIT_MS = 200, RESOLVE_BATCH = 1000 };

struct loop {
    struct loop_options options;
    struct sched *sched;
    struct sched_actions actions;
    struct loop_batch batch;
    ms_t wake_at;        /* the scheduler's wish */
    bool is_committing;  /* a commit is under way: nothing is stepped */
    bool is_waiting;     /* the last commit failed; told once */
    ms_t retry_at;       /* when it is tried again */
    enum status failure; /* of an action carried out inside a callback; ends the loop */
    struct err error;
    const uint8_t *record; /* of the DONE being stepped */
    size_t record_bytes;
    struct id action; /* of the RESOLVED being stepped */
    struct loop_stats stats;
};

struct loop *loop_new(const struct loop_options *options)
{
    struct loop *loop = mem_alloc(sizeof *loop);
    loop->options = *options;
    struct sched_options sched = {.seed = options->seed, .lease_ms = options->lease_ms};
    loop->sched = sched_new(&sched);
    loop->wake_at = MS_NEVER;
    loop_batch_init(&loop->batch);
    return loop;
}

void loop_free(struct loop *loop)
{
    sched_free(loop->sched);
    sched_actions_fini(&loop->actions);
    loop_batch_fini(&loop->batch);
    mem_free(loop);
}

struct sched *loop_sched(struct loop *loop)
{
    return loop->sched;
}

void loop_set_router(struct loop *loop, struct router *router)
{
    loop->options.router = router;
}

void loop_stats(const struct loop *loop, struct loop_stats *out)
{
    *out = loop->stats;
}

void loop_put_run(struct loop *loop, const char *id, const uint8_t *document, size_t bytes)
{
    loop_batch_run(&loop->batch, id, document, bytes);
}

bool loop_is_idle(const struct loop *loop)
{
    return !loop->is_committing && loop_batch_is_empty(&loop->batch);
}

/* ---- actions ---- */

static void send_task(struct loop *loop, const struct sched_action *action,
                      const struct sched_task_info *info)
{
    struct mp_view inputs = loop_batch_inputs(&loop->batch, action->inputs, action->input_count);
    struct task_msg message = {.attempt = {info->id, action->attempt},
                               .spec = info->spec,
                               .spec_bytes = info->spec_bytes,
                               .inputs = inputs.bytes,
                               .inputs_bytes = inputs.count,
                               .input_count = action->input_count,
                               .priority = info->policy->priority,
                               .timeout_ms = info->policy->timeout_ms,
                               .memory_bytes = info->policy->memory_bytes};
    router_assign(loop->options.router, action->worker, &message);
}

/* A frame is acknowledged when the last of its results is dealt with. */
static void acknowledge(struct loop *loop, uint64_t handle)
{
    if (router_settle(loop->options.router, handle))
        router_ack(loop->options.router, handle);
}

static void check_one(struct loop *loop, const struct artifact *artifact, struct buf *missing)
{
    bool has = false;
    struct err err = {0};
    enum status status = artifact->is_tree
                             ? tree_check(loop->options.store, &artifact->id, missing, &err)
                             : store_has(loop->options.store, &artifact->id, 1, &has, &err);
    if (status == E_NOTFOUND || status == E_CORRUPT || (status == OK && !artifact->is_tree && !has))
        buf_put(missing, &artifact->id, sizeof artifact->id);
    else if (status != OK) {
        loop->failure = status;
        loop->error = err;
    }
}

static void step(struct loop *loop, struct sched_event *event);

/* Are the results there? A tree that lacks a file counts as missing itself: that is what its
 * producer makes again. */
static void check(struct loop *loop, const struct sched_action *action)
{
    AUTO(buf_fini) struct buf missing = buf_init(0), inside = buf_init(0);
    for (uint32_t i = 0; i < action->input_count; i++) {
        const struct artifact *artifact = &action->inputs[i];
        check_one(loop, artifact, artifact->is_tree ? &inside : &missing);
        if (inside.count)
            buf_put(&missing, &artifact->id, sizeof artifact->id);
        buf_clear(&inside);
    }
    struct sched_event event = {
        .type = SCHED_CHECKED,
        .checked = {.run = action->run,
                    .missing = (const struct id *)(const void *)missing.bytes,
                    .missing_count = (uint32_t)(missing.count / sizeof(struct id))}};
    step(loop, &event);
}

/* Flushed, then over: what is reported survives a power loss. */
static void end_run(struct loop *loop, uint32_t run)
{
    loop->failure = store_flush(loop->options.store, &loop->error);
    if (loop->failure == OK)
        loop->failure = state_flush(loop->options.state, &loop->error);
    if (loop->failure == OK && loop->options.hooks.run_over)
        loop->options.hooks.run_over(loop->options.hooks.context, run);
}

static void log_dropped(const struct sched_action *action, const struct sched_task_info *info)
{
    char hex[ID_HEX_BYTES];
    log_event(LOG_WARN, "task.nondeterministic", "task=%s attempt=%u", id_hex(&info->id, hex),
              action->attempt);
}

/* Visible actions are carried out as they come: the scheduler gives them only when what they rest
 * on is committed. */
static void perform(struct loop *loop, const struct sched_action *action)
{
    const struct loop_hooks *hooks = &loop->options.hooks;
    struct router *router = loop->options.router;
    struct sched_task_info info;
    bool has_task = action->type != SCHED_ACK && action->type != SCHED_CHECK &&
                    action->type != SCHED_WAKE_AT && action->type != SCHED_RUN_OVER &&
                    !action->unknown;
    struct attempt attempt = {.number = action->attempt};
    if (has_task)
        sched_task_info(loop->sched, action->task, &info);
    if (has_task || action->unknown)
        attempt.task = has_task ? info.id : *action->unknown;
    switch (action->type) {
    case SCHED_PERSIST:
        loop_batch_record(&loop->batch, router_frame(router, action->frame), action->frame,
                          loop->record, loop->record_bytes, &info.id, action->is_replacement);
        break;
    case SCHED_ALIAS: loop_batch_alias(&loop->batch, &info.id, &loop->action); break;
    case SCHED_FORGET: loop_batch_removal(&loop->batch, &info.id); break;
    case SCHED_RESOLVE:
        loop_batch_resolve(&loop->batch, action->task, info.spec, info.spec_bytes, action->inputs,
                           action->input_count);
        break;
    case SCHED_ASSIGN: send_task(loop, action, &info); break;
    case SCHED_REVOKE: router_revoke(router, action->worker, &attempt); break;
    case SCHED_KILL: router_kill(router, action->worker, &attempt); break;
    case SCHED_ACK: acknowledge(loop, action->frame); break;
    case SCHED_DROPPED: log_dropped(action, &info); break;
    case SCHED_PUBLISH:
        if (hooks->published)
            hooks->published(hooks->context, action->run, action->task);
        break;
    case SCHED_WAKE_AT: loop->wake_at = action->at; break;
    case SCHED_CHECK: check(loop, action); break;
    case SCHED_RUN_OVER: end_run(loop, action->run); break;
    }
}

/* CHECK is answered by a step of its own, so it comes last: what the other actions point at lives
 * until the next step. The list is taken away meanwhile. */
static void step(struct loop *loop, struct sched_event *event)
{
    struct sched_actions actions = loop->actions;
    loop->actions = (struct sched_actions){0};
    actions.count = 0;
    event->now = clock_ms();
    int64_t begun_us = clock_us();
    sched_step(loop->sched, event, &actions);
    loop->stats.step_us += clock_us() - begun_us;
    for (size_t i = 0; i < actions.count && loop->failure == OK; i++)
        if (actions.items[i].type != SCHED_CHECK)
            perform(loop, &actions.items[i]);
    for (size_t i = 0; i < actions.count && loop->failure == OK; i++)
        if (actions.items[i].type == SCHED_CHECK)
            perform(loop, &actions.items[i]);
    sched_actions_fini(&loop->actions);
    loop->actions = actions;
}

void loop_step(struct loop *loop, struct sched_event *event)
{
    step(loop, event);
}

/* ---- the four beats ---- */

static void receive_event(void *context, struct sched_event *event, const uint8_t *record,
                          size_t record_bytes)
{
    struct loop *loop = context;
    loop->record = record;
    loop->record_bytes = record_bytes;
    loop->stats.results += event->type == SCHED_DONE;
    step(loop, event);
}

static enum status begin_commit(struct loop *loop, struct err *err)
{
    struct state_batch batch;
    loop_batch_view(&loop->batch, &batch);
    TRY(state_begin(loop->options.state, &batch, err));
    loop->is_committing = true;
    return OK;
}

static bool can_be_waited_for(enum status status)
{
    return status == E_FULL || status == E_IO || status == E_UNREACHABLE || status == E_NOMEM;
}

/* A commit that fails is tried again: a full disk or a state that is away pauses the run and loses
 * nothing. */
static enum status wait_for_state(struct loop *loop, enum status status, struct err *err)
{
    char quoted[2 * ERR_TEXT_BYTES];
    if (!can_be_waited_for(status))
        return status;
    if (!loop->is_waiting)
        log_event(LOG_ERROR, "state.waiting", "reason=%s",
                  log_quote(err->text, quoted, sizeof quoted));
    loop->is_waiting = true;
    loop->is_committing = false;
    loop->retry_at = clock_ms() + RETRY_COMMIT_MS;
    return OK;
}

/* Commits what the beat gathered. Sets *is_durable when nothing is left to wait for. */
static enum status commit(struct loop *loop, bool *is_durable, struct err *err)
{
    *is_durable = false;
    if (loop->is_waiting && clock_ms() < loop->retry_at)
        return OK;
    int64_t begun_us = clock_us();
    enum status status = loop->is_committing ? OK : begin_commit(loop, err);
    if (status == OK)
        status = state_poll(loop->options.state, is_durable, err);
    loop->stats.commit_us += clock_us() - begun_us;
    if (status != OK)
        return wait_for_state(loop, status, err);
    if (!*is_durable)
        return OK;
    if (loop->is_waiting)
        log_event(LOG_WARN, "state.back", "commits=%llu", (unsigned long long)loop->stats.commits);
    loop->is_waiting = loop->is_committing = false;
    loop->stats.commits++;
    loop_batch_clear(&loop->batch);
    struct sched_event event = {.type = SCHED_COMMITTED};
    step(loop, &event);
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
    struct record record;
    struct artifact outputs[OUTPUTS_MAX];
    struct sched_known known = {0, outputs};
    if (record_parse(bytes, count, &record, NULL) != OK)
        return; /* looks like none: it is made again */
    struct record_output output;
    for (size_t cursor = 0; record_next_output(&record, &cursor, &output);)
        outputs[known.output_count++] = output.artifact;
    r->is_found[index] = true;
    resolve_one(r, index, &known);
}

/* Has somebody worked on these very bytes already? One batched look-up for all that became ready in
 * this beat. */
static enum status resolve(struct loop *loop, struct err *err)
{
    struct buf asked = loop->batch.resolves;
    loop->batch.resolves = buf_init(0);
    const struct resolve *items = (const struct resolve *)(const void *)asked.bytes;
    uint32_t count = (uint32_t)(asked.count / sizeof *items);
    enum status status = OK;
    for (uint32_t first = 0; first < count && status == OK; first += RESOLVE_BATCH) {
        struct id ids[RESOLVE_BATCH];
        bool is_found[RESOLVE_BATCH];
        memset(is_found, 0, sizeof is_found);
        uint32_t n = count - first < RESOLVE_BATCH ? count - first : RESOLVE_BATCH;
        for (uint32_t i = 0; i < n; i++)
            ids[i] = items[first + i].action;
        struct resolving r = {loop, items + first, is_found};
        status = state_find_actions(loop->options.state, ids, n, found_action, &r, err);
        for (uint32_t i = 0; i < n && status == OK; i++)
            if (!is_found[i])
                resolve_one(&r, i, NULL);
    }
    buf_fini(&asked);
    return status;
}

static enum status settle(struct loop *loop, struct err *err)
{
    for (int round = 0; round < ROUNDS_MAX; round++) {
        bool is_durable = true;
        if (!loop_batch_is_empty(&loop->batch))
            TRY(commit(loop, &is_durable, err));
        if (!is_durable || !loop->batch.resolves.count)
            return OK;
        TRY(resolve(loop, err));
    }
    return OK;
}

static ms_t sleep_ms(const struct loop *loop, ms_t max_ms)
{
    ms_t now = clock_ms(), until = now + max_ms;
    if (loop->batch.resolves.count ||
        (!loop_batch_is_empty(&loop->batch) && !loop->is_waiting && !loop->is_committing))
        return 0;
    if (loop->wake_at < until)
        until = loop->wake_at;
    if (loop->is_waiting && loop->retry_at < until)
        until = loop->retry_at;
    return until > now ? until - now : 0;
}

static void sleep_until_ready(struct loop *loop, ms_t max_ms)
{
    struct pollfd fds[3] = {{.fd = -1}, {.fd = -1}, {.fd = -1}};
    ms_t ms = sleep_ms(loop, max_ms);
    if (ms == 0 || (loop->options.router && router_is_ready(loop->options.router)))
        return;
    fds[0] = (struct pollfd){.fd = loop->options.router ? router_fd(loop->options.router) : -1,
                             .events = POLLIN};
    fds[1] = (struct pollfd){.fd = loop->options.wake_fd, .events = POLLIN};
    fds[2] = (struct pollfd){.fd = state_fd(loop->options.state), .events = POLLIN};
    struct timespec timeout = {ms / 1000, ms % 1000 * 1000000};
    ppoll(fds, 3, &timeout, NULL); /* an interruption is a reason to look, like any other */
}

static void tick(struct loop *loop)
{
    if (clock_ms() < loop->wake_at)
        return;
    struct sched_event event = {.type = SCHED_TICK};
    loop->wake_at = MS_NEVER;
    step(loop, &event);
}

enum status loop_turn(struct loop *loop, ms_t max_ms, struct err *err)
{
    int64_t begun_us = clock_us();
    /* While a commit is under way sockets fill up and time stands still: a slow state expires no
     * lease. */
    if (!loop->is_committing && !loop->is_waiting) {
        if (loop->options.router)
            TRY(router_receive(loop->options.router, clock_ms(), receive_event, loop, err));
        tick(loop);
    }
    if (loop->failure == OK)
        TRY(settle(loop, err));
    if (loop->failure != OK) {
        *err = loop->error;
        return loop->failure;
    }
    if (loop->options.router)
        TRY(router_flush(loop->options.router, err));
    int64_t beat_us = clock_us() - begun_us;
    loop->stats.beats++;
    if (beat_us > loop->stats.worst_beat_us)
        loop->stats.worst_beat_us = beat_us;
    sleep_until_ready(loop, max_ms);
    return OK;
}
