/* Small worlds, exhaustively: every graph of up to four tasks (of those that differ but in the
 * names, one) under every history of up to six events. The scheduler alone, two workers of one
 * slot. After each event sched_check(); after each history the rest goes well, and must end well.
 */
// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/mem.h"
#include "tests/sim/world.h"

enum {
    NODES = SMALL_NODES,
    EVENTS = 6,
    WORKERS = 2,
    HELD = 32,
    FRAMES = 96,
    LEASE_MS = 1000,
    END_STEPS = 300,
    RETRIES = 1
};

enum letter {
    LETTER_JOIN,    /* a worker; one that went away comes back with what it had */
    LETTER_GONE,    /* the first worker goes */
    LETTER_STARTED, /* the oldest attempt that has not begun begins */
    LETTER_DONE,    /* the oldest attempt succeeds */
    LETTER_FAILED,  /* … fails */
    LETTER_LOST,    /* … fails, since an input is not there */
    LETTER_REVOKED, /* the youngest that has not begun is given back */
    LETTER_COMMIT,
    LETTER_EXPIRE, /* all leases are over */
    LETTER_CANCEL, /* first softly, then not */
    LETTER_END,    /* nothing more */
    LETTER_COUNT
};

static const char *const letters[LETTER_COUNT] = {"join",   "gone",   "started", "done",
                                                  "failed", "lost",   "revoked", "commit",
                                                  "expire", "cancel", "end"};

struct holding {
    uint32_t node, number, worker;
    bool is_begun;
};

struct small {
    uint32_t count, edges; /* a bit for each pair, smaller node first */
    struct task_node nodes[NODES];
    struct task_edge edge_list[NODES * NODES];
    enum letter history[EVENTS];
    uint32_t length;
    struct sched *sched;
    struct sched_actions actions;
    ms_t now;
    bool is_here[WORKERS];
    struct holding held[HELD];
    uint32_t held_count;
    bool is_durable[NODES], is_written[NODES];
    uint32_t failures[NODES];
    uint8_t acks[FRAMES], frame_nodes[FRAMES]; /* of a success; NODES: of a failure */
    uint32_t frame_count, overs, cancels;
    uint32_t asked[NODES * 4], asked_count; /* RESOLVE, by task */
    bool is_checking, is_commit_due;
};

static _Noreturn void fail(const struct small *small, const char *what)
{
    printf("enumerate: %u tasks, edges 0x%x, after", small->count, small->edges);
    for (uint32_t i = 0; i < small->length; i++)
        printf(" %s", letters[small->history[i]]);
    printf(": FAILED: %s\n", what);
    fflush(stdout);
    _exit(1);
}

static struct id id_of(uint32_t node, uint8_t kind)
{
    struct id id = {0};
    uint64_t key = mix(node, kind);
    memcpy(id.bytes, &key, sizeof key);
    id.bytes[ID_BYTES - 1] = (uint8_t)node;
    return id;
}

static struct artifact output_of(uint32_t node)
{
    return (struct artifact){.id = id_of(node, 2), .bytes = 1};
}

/* ---- what the scheduler asks for ---- */

static uint32_t node_of(const struct small *small, uint32_t task)
{
    struct sched_task_info info;
    sched_task_info(small->sched, task, &info);
    return info.id.bytes[ID_BYTES - 1];
}

static void on_assign(struct small *small, const struct sched_action *action, uint32_t node)
{
    if (!small->is_here[action->worker])
        fail(small, "given to a worker that is gone");
    for (uint32_t i = 0; i < action->input_count; i++)
        if (!small->is_durable[action->inputs[i].id.bytes[ID_BYTES - 1]])
            fail(small, "given out before an input is durable");
    if (small->is_durable[node])
        fail(small, "given out, though it is done");
    if (small->held_count == HELD)
        fail(small, "given out without end");
    small->held[small->held_count++] =
        (struct holding){node, action->attempt, action->worker, false};
}

static void on_publish(struct small *small, uint32_t task, uint32_t node)
{
    struct sched_task_info info;
    sched_task_info(small->sched, task, &info);
    if (info.state == TASK_SUCCEEDED && !small->is_durable[node])
        fail(small, "shown as done before it is durable");
    if (info.state == TASK_FAILED && small->failures[node] <= RETRIES && !small->cancels)
        fail(small, "failed, though it was to be tried again");
}

static void perform(struct small *small, const struct sched_action *action)
{
    bool has_task = action->task != UINT32_MAX && action->type != SCHED_FREED;
    uint32_t node = has_task ? node_of(small, action->task) : 0;
    switch (action->type) {
    case SCHED_ASSIGN: on_assign(small, action, node); break;
    case SCHED_PERSIST: small->is_written[node] = small->is_commit_due = true; break;
    case SCHED_FORGET:
        small->is_commit_due = true;
        small->is_durable[node] = false;
        break;
    case SCHED_RESOLVE: small->asked[small->asked_count++] = action->task; break;
    case SCHED_PUBLISH: on_publish(small, action->task, node); break;
    case SCHED_CHECK: small->is_checking = true; break;
    case SCHED_RUN_OVER: small->overs++; break;
    case SCHED_ACK:
        if (small->acks[action->frame]++)
            fail(small, "acknowledged twice");
        if (small->frame_nodes[action->frame] < NODES &&
            small->is_written[small->frame_nodes[action->frame]])
            fail(small, "acknowledged before it is durable");
        break;
    case SCHED_DROPPED:
    case SCHED_ALIAS: fail(small, "another success, or a record from nowhere");
    default: break;
    }
}

static void step(struct small *small, struct sched_event *event)
{
    struct err err;
    event->now = small->now;
    small->actions.count = 0;
    sched_step(small->sched, event, &small->actions);
    if (!sched_check(small->sched, &err))
        fail(small, err.text);
    for (size_t i = 0; i < small->actions.count; i++)
        perform(small, &small->actions.items[i]);
    /* Look-ups and checks come at once. */
    while (small->asked_count) {
        struct sched_event answer = {.type = SCHED_RESOLVED};
        answer.resolved.task = small->asked[--small->asked_count];
        step(small, &answer);
    }
    if (small->is_checking) {
        small->is_checking = false;
        step(small, &(struct sched_event){.type = SCHED_CHECKED});
    }
}

/* ---- events ---- */

static void join(struct small *small, uint32_t worker)
{
    static const char *const kind = "work@1";
    struct attempt running[HELD];
    uint32_t count = 0;
    for (uint32_t i = 0; i < small->held_count; i++)
        if (small->held[i].worker == worker)
            running[count++] =
                (struct attempt){small->nodes[small->held[i].node].id, small->held[i].number};
    small->is_here[worker] = true;
    struct sched_event event = {.type = SCHED_HELLO,
                                .hello = {.worker = worker,
                                          .slots = 1,
                                          .credit = 2,
                                          .kind_count = 1,
                                          .kinds = &kind,
                                          .running = running,
                                          .running_count = count}};
    event.hello.instance[0] = (uint8_t)(worker + 1);
    step(small, &event);
}

static void gone(struct small *small, uint32_t worker)
{
    small->is_here[worker] = false;
    struct sched_event event = {.type = SCHED_GONE, .gone = {.worker = worker, .code = E_GONE}};
    step(small, &event);
}

/* The oldest (or youngest) attempt at a worker that is here; NOBODY: none. */
static uint32_t find_held(const struct small *small, bool is_youngest, bool has_begun_too)
{
    uint32_t found = NOBODY;
    for (uint32_t i = 0; i < small->held_count; i++) {
        if (!small->is_here[small->held[i].worker] || (!has_begun_too && small->held[i].is_begun))
            continue;
        if (found == NOBODY || is_youngest)
            found = i;
    }
    return found;
}

static struct holding take_held(struct small *small, uint32_t at)
{
    struct holding held = small->held[at];
    small->held_count--;
    memmove(small->held + at, small->held + at + 1, (small->held_count - at) * sizeof *small->held);
    return held;
}

static uint32_t new_frame(struct small *small, uint32_t node)
{
    ASSERT(small->frame_count < FRAMES);
    small->frame_nodes[small->frame_count] = (uint8_t)node;
    return small->frame_count++;
}

static bool done(struct small *small)
{
    uint32_t at = find_held(small, false, true);
    if (at == NOBODY)
        return false;
    struct holding held = take_held(small, at);
    struct artifact output = output_of(held.node);
    struct sched_event event = {.type = SCHED_DONE,
                                .done = {.worker = held.worker,
                                         .attempt = {small->nodes[held.node].id, held.number},
                                         .frame = new_frame(small, held.node),
                                         .outputs = &output,
                                         .output_count = 1}};
    step(small, &event);
    return true;
}

static bool failed(struct small *small, bool is_lost)
{
    uint32_t at = find_held(small, false, true);
    if (at == NOBODY || (is_lost && !small->nodes[small->held[at].node].edge_count))
        return false;
    struct holding held = take_held(small, at);
    const struct task_node *node = &small->nodes[held.node];
    struct id lost = {0};
    if (is_lost)
        lost = id_of(small->edge_list[node->first_edge].task, 2);
    else
        small->failures[held.node]++;
    struct sched_event event = {.type = SCHED_FAILED,
                                .failed = {.worker = held.worker,
                                           .attempt = {node->id, held.number},
                                           .code = is_lost ? E_LOST : E_EXIT,
                                           .text = "no",
                                           .text_bytes = 2,
                                           .frame = new_frame(small, NODES),
                                           .lost = &lost,
                                           .lost_count = is_lost}};
    step(small, &event);
    return true;
}

static bool tell(struct small *small, enum sched_event_type type)
{
    uint32_t at = find_held(small, type == SCHED_REVOKED, false);
    if (at == NOBODY)
        return false;
    small->held[at].is_begun = true;
    struct holding held = type == SCHED_REVOKED ? take_held(small, at) : small->held[at];
    struct sched_event event = {
        .type = type,
        .worker = {.worker = held.worker, .attempt = {small->nodes[held.node].id, held.number}}};
    step(small, &event);
    return true;
}

static bool commit_all(struct small *small)
{
    if (!small->is_commit_due)
        return false;
    small->is_commit_due = false;
    for (uint32_t i = 0; i < small->count; i++) {
        small->is_durable[i] |= small->is_written[i];
        small->is_written[i] = false;
    }
    step(small, &(struct sched_event){.type = SCHED_COMMITTED});
    return true;
}

/* The first worker that can. */
static bool come_or_go(struct small *small, bool comes)
{
    uint32_t i = 0;
    while (i < WORKERS && small->is_here[i] == comes)
        i++;
    if (i < WORKERS)
        comes ? join(small, i) : gone(small, i);
    return i < WORKERS;
}

static bool play(struct small *small, enum letter letter)
{
    switch (letter) {
    case LETTER_JOIN:
    case LETTER_GONE: return come_or_go(small, letter == LETTER_JOIN);
    case LETTER_STARTED: return tell(small, SCHED_STARTED);
    case LETTER_DONE: return done(small);
    case LETTER_FAILED: return failed(small, false);
    case LETTER_LOST: return failed(small, true);
    case LETTER_REVOKED: return tell(small, SCHED_REVOKED);
    case LETTER_COMMIT: return commit_all(small);
    case LETTER_EXPIRE:
        if (!small->is_here[0] && !small->is_here[1])
            return false;
        small->now += LEASE_MS;
        step(small, &(struct sched_event){.type = SCHED_TICK});
        return true;
    case LETTER_CANCEL: {
        struct sched_event event = {.type = SCHED_CANCEL, .cancel = {0, small->cancels > 0}};
        if (small->cancels++ == 2)
            return false;
        step(small, &event);
        return true;
    }
    default: return true;
    }
}

/* ---- the end ---- */

static void go_well(struct small *small)
{
    for (uint32_t i = 0; i < END_STEPS && !small->overs; i++) {
        if (commit_all(small))
            continue;
        if (!come_or_go(small, true) && !done(small)) {
            struct sched_event heartbeat = {.type = SCHED_HEARTBEAT};
            small->now += 20;
            step(small, &heartbeat);
            heartbeat.worker.worker = 1;
            step(small, &heartbeat);
            step(small, &(struct sched_event){.type = SCHED_TICK});
        }
    }
    while (commit_all(small) || done(small))
        ;
}

static void check_end_of(struct small *small)
{
    struct sched_load load;
    struct err err;
    if (small->overs != 1)
        fail(small, small->overs ? "it is over twice" : "it does not end");
    for (uint32_t i = 0; i < small->frame_count; i++)
        if (!small->acks[i])
            fail(small, "a result is never acknowledged");
    for (uint32_t i = 0; i < small->count; i++) {
        struct sched_task_info info;
        sched_task_info(small->sched, sched_task_index(small->sched, 0, i), &info);
        if (info.state <= TASK_RUNNING || info.state == TASK_UNNEEDED)
            fail(small, "a task is open, and the run is over");
        if (info.state == TASK_CANCELLED && !small->cancels)
            fail(small, "a task is cancelled that nobody cancelled");
    }
    struct sched_run_info run = {.is_known = true};
    for (sched_forget(small->sched, 0); run.is_known; sched_run_info(small->sched, 0, &run))
        step(small, &(struct sched_event){.type = SCHED_GO_ON});
    sched_load(small->sched, &load);
    if (!sched_check(small->sched, &err))
        fail(small, err.text);
    if (load.ready || load.running || sched_task_find(small->sched, &small->nodes[0].id) != NOBODY)
        fail(small, "something is left");
}

/* How many letters could be played; all: it was played to the end. */
static uint32_t run_history(struct small *small)
{
    static const struct task_policy policy = {.retry_limit = RETRIES,
                                              .backoff_ms = 10,
                                              .backoff_max_ms = 10,
                                              .poison_kills = 3,
                                              .kind_version = "work@1"};
    const struct sched_options options = {.seed = 1, .lease_ms = LEASE_MS};
    struct sched_event submit = {.type = SCHED_SUBMIT,
                                 .submit = {.nodes = small->nodes,
                                            .node_count = small->count,
                                            .edges = small->edge_list,
                                            .policies = &policy,
                                            .policy_count = 1}};
    small->sched = sched_new(&options);
    small->now = 1000;
    step(small, &submit);
    uint32_t i = 0;
    for (; i < EVENTS && small->history[i] != LETTER_END; i++) {
        small->length = i + 1;
        if (!play(small, small->history[i]))
            break;
    }
    bool is_whole = i == EVENTS || small->history[i] == LETTER_END;
    if (is_whole) {
        go_well(small);
        check_end_of(small);
    }
    sched_free(small->sched);
    return is_whole ? EVENTS : i;
}

static void lay_out(struct small *small)
{
    uint32_t edges = 0;
    for (uint32_t to = 0; to < small->count; to++) {
        small->nodes[to] = (struct task_node){.id = id_of(to, 1), .first_edge = edges};
        for (uint32_t from = 0; from < to; from++)
            if (small_has_edge(small->edges, from, to))
                small->edge_list[edges++] = (struct task_edge){from, 0};
        small->nodes[to].edge_count = edges - small->nodes[to].first_edge;
    }
}

/* All histories of one graph, in the order of an odometer; what can't go on is not begun. */
static uint64_t enumerate_one(uint32_t count, uint32_t edges)
{
    static struct small small;
    enum letter history[EVENTS] = {0};
    struct sched_actions actions = small.actions;
    uint64_t histories = 0;
    for (;;) {
        memset(&small, 0, sizeof small);
        small.actions = actions;
        small.count = count;
        small.edges = edges;
        memcpy(small.history, history, sizeof history);
        lay_out(&small);
        uint32_t at = run_history(&small);
        actions = small.actions;
        histories += at == EVENTS;
        for (uint32_t i = 0; at == EVENTS && i < EVENTS; i++)
            if (history[i] == LETTER_END)
                at = i;
        if (at == EVENTS)
            at--;
        while (++history[at] == LETTER_COUNT)
            if (at-- == 0)
                return histories;
        memset(history + at + 1, 0, (EVENTS - at - 1) * sizeof *history);
    }
}

uint64_t enumerate_all(uint32_t part, uint32_t parts)
{
    uint64_t histories = 0;
    uint32_t graph = 0;
    for (uint32_t count = 1; count <= NODES; count++)
        for (uint32_t edges = 0; edges >> (count * (count - 1) / 2) == 0; edges++)
            if (small_is_canonical(count, edges) && graph++ % parts == part)
                histories += enumerate_one(count, edges);
    return histories;
}
