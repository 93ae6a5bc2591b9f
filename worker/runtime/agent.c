// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/agent.h"

#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/death.h"
#include "common/base/mem.h"
#include "worker/runtime/agent_state.h"

enum {
    /* Light jobs up to this are quick: the window over them may grow. */
    QUICK_US = 500,
    /* A slot that never gets ready is not tried for ever. */
    FAILED_STARTS_MAX = 3,
    /* After a dismissal, what is left for acknowledgements to come in. */
    DISMISS_MS = 1000,
    /* Refusals before a heartbeat was due: whatever we say, this broker does not want it. */
    REFUSALS_MAX = 10
};

struct agent *agent_new(const struct agent_options *options)
{
    ASSERT(options->slots >= 1 && options->slots <= SLOTS_MAX);
    struct agent *agent = mem_alloc(sizeof *agent);
    agent->options = *options;
    if (!agent->options.sample_ms)
        agent->options.sample_ms = 25;
    if (!agent->options.prefetch)
        agent->options.prefetch = options->slots;
    agent->jobs = mem_alloc(AGENT_JOBS_MAX * sizeof *agent->jobs);
    agent->slots = mem_alloc(options->slots * sizeof *agent->slots);
    agent->last_words = mem_alloc(options->slots * sizeof *agent->last_words);
    agent->light = agent->waiting = agent->ready = (struct queue){AGENT_NONE, AGENT_NONE, 0};
    agent_share_init(agent);
    agent->lease_ms = LEASE_MS_DEFAULT;
    agent->heartbeat_at = agent->sample_at = agent->exit_at = MS_NEVER;
    return agent;
}

void agent_free(struct agent *agent)
{
    agent_share_fini(agent);
    mem_free(agent->jobs);
    mem_free(agent->slots);
    mem_free(agent->last_words);
    mem_free(agent);
}

void agent_actions_fini(struct agent_actions *actions)
{
    mem_free(actions->items);
    *actions = (struct agent_actions){0};
}

struct agent_action *agent_add(struct agent_actions *out, enum agent_action_type type)
{
    if (out->count == out->capacity) {
        out->capacity = out->capacity ? 2 * out->capacity : 64;
        out->items = mem_resize(out->items, out->capacity * sizeof *out->items);
    }
    struct agent_action *action = &out->items[out->count++];
    action->type = type;
    action->job = action->slot = AGENT_NONE;
    action->code = OK;
    action->text = "";
    return action;
}

/* Behind everything of its priority or a higher one; `is_front`: before everything (light jobs that
 * come back). */
void agent_queue_put(struct agent *agent, struct queue *queue, uint32_t job, bool is_front)
{
    struct job *jobs = agent->jobs;
    uint32_t before = is_front ? AGENT_NONE : queue->tail;
    if (!is_front && before != AGENT_NONE && jobs[before].priority < jobs[job].priority) {
        before = AGENT_NONE;
        for (uint32_t at = queue->head; jobs[at].priority >= jobs[job].priority; at = jobs[at].next)
            before = at;
    }
    uint32_t *link = before == AGENT_NONE ? &queue->head : &jobs[before].next;
    jobs[job].next = queue->count ? *link : AGENT_NONE;
    *link = job;
    if (jobs[job].next == AGENT_NONE)
        queue->tail = job;
    queue->count++;
}

void agent_queue_remove(struct agent *agent, struct queue *queue, uint32_t job)
{
    uint32_t before = AGENT_NONE;
    for (uint32_t at = queue->head; at != job; at = agent->jobs[at].next)
        before = at;
    uint32_t next = agent->jobs[job].next;
    *(before == AGENT_NONE ? &queue->head : &agent->jobs[before].next) = next;
    if (queue->tail == job)
        queue->tail = before;
    queue->count--;
}

uint32_t agent_queue_take(struct agent *agent, struct queue *queue)
{
    uint32_t job = queue->head;
    queue->head = agent->jobs[job].next;
    if (!--queue->count)
        queue->head = queue->tail = AGENT_NONE;
    return job;
}

/* The queue a job waits in, or NULL. */
static struct queue *queue_of(struct agent *agent, const struct job *job)
{
    if (job->state == JOB_WAITING)
        return &agent->waiting;
    if (job->state == JOB_READY)
        return job->is_light && !job->is_alone ? &agent->light : &agent->ready;
    return NULL;
}

static void release(struct agent *agent, uint32_t job, struct agent_actions *out)
{
    agent->jobs[job].state = JOB_NONE;
    agent_add(out, AGENT_RELEASE)->job = job;
}

void agent_finish(struct agent *agent, uint32_t job, enum status code, const char *text, ms_t now,
                  struct agent_actions *out)
{
    struct job *ended = &agent->jobs[job];
    struct agent_action *action = agent_add(out, AGENT_RESULT);
    action->job = job;
    action->attempt = ended->attempt;
    action->code = ended->is_cancelled ? E_CANCELLED : code;
    action->text = ended->is_cancelled ? "cancelled" : text;
    agent->held--;
    agent->has_unacked = true;
    if (!agent->open_results++)
        agent->results_at = now;
    release(agent, job, out);
    if (agent->open_results >= FRAME_TASKS_MAX / 2) { /* measured: gains end at about 500 */
        agent_add(out, AGENT_FLUSH);
        agent->open_results = 0;
    }
}

void agent_hand_back(struct agent *agent, uint32_t job, struct agent_actions *out)
{
    struct job *given = &agent->jobs[job];
    struct queue *queue = queue_of(agent, given);
    if (queue)
        agent_queue_remove(agent, queue, job);
    agent_add(out, AGENT_SEND_REVOKED)->attempt = given->attempt;
    agent->held--;
    if (given->state == JOB_FETCHING)
        given->is_given_up = true;
    else
        release(agent, job, out);
}

void agent_kill_slot(struct agent *agent, uint32_t slot, enum kill_reason reason,
                     struct agent_actions *out)
{
    struct slot_state *killed = &agent->slots[slot];
    if (killed->phase == SLOT_DYING || killed->phase == SLOT_ABSENT)
        return;
    killed->phase = SLOT_DYING;
    killed->reason = (uint8_t)reason;
    agent_add(out, AGENT_KILL_SLOT)->slot = slot;
}

void agent_exit(struct agent *agent, enum status code, const char *text, struct agent_actions *out)
{
    if (agent->has_exited)
        return;
    agent->has_exited = true;
    struct agent_action *action = agent_add(out, AGENT_EXIT);
    action->code = code;
    action->text = text;
}

/* What runs is handed back: nobody waits for a lease to end, or holds it against the tasks. */
static void exit_at_once(struct agent *agent, enum status code, const char *text,
                         struct agent_actions *out)
{
    if (agent->has_exited)
        return;
    if (agent->open_results)
        agent_add(out, AGENT_FLUSH);
    agent->open_results = 0;
    if (agent->is_linked)
        agent_add(out, AGENT_SEND_GOODBYE);
    agent_exit(agent, code, text, out);
}

static void on_task(struct agent *agent, const struct agent_event *event, struct agent_actions *out)
{
    uint32_t number = event->task.job;
    ASSERT(number < AGENT_JOBS_MAX && agent->jobs[number].state == JOB_NONE);
    struct job *job = &agent->jobs[number];
    if (agent->job_end <= number)
        agent->job_end = number + 1;
    *job = (struct job){.attempt = event->task.attempt,
                        .is_light = event->task.is_light,
                        .slot = AGENT_NONE,
                        .priority = event->task.priority,
                        .timeout_ms = event->task.timeout_ms,
                        .cpu_hundredths = event->task.cpu_hundredths,
                        .memory_bytes = event->task.memory_bytes,
                        .deadline = MS_NEVER};
    job->state = job->is_light ? JOB_READY : JOB_WAITING;
    agent->held++;
    if (agent_share_ask(agent, number, event))
        agent_queue_put(agent, queue_of(agent, job), number, false);
    else /* no broker that heard our HELLO sends that */
        agent_finish(agent, number, E_UNSUPPORTED, agent->refusal, event->now, out);
}

/* Rare, hence a scan. AGENT_NONE: already answered. */
static uint32_t find(const struct agent *agent, const struct attempt *attempt)
{
    for (uint32_t i = 0; i < agent->job_end; i++) {
        const struct job *job = &agent->jobs[i];
        if (job->state != JOB_NONE && !job->is_given_up && job->attempt.number == attempt->number &&
            !memcmp(&job->attempt.task, &attempt->task, sizeof attempt->task))
            return i;
    }
    return AGENT_NONE;
}

static void on_revoke(struct agent *agent, const struct attempt *attempt, struct agent_actions *out)
{
    uint32_t job = find(agent, attempt);
    if (job != AGENT_NONE && agent->jobs[job].state <= JOB_READY)
        agent_hand_back(agent, job, out);
}

static void on_kill(struct agent *agent, const struct agent_event *event, struct agent_actions *out)
{
    uint32_t number = find(agent, &event->attempt);
    if (number == AGENT_NONE)
        return;
    struct job *job = &agent->jobs[number];
    struct queue *queue = queue_of(agent, job);
    job->is_cancelled = true;
    if (queue) {
        agent_queue_remove(agent, queue, number);
        agent_finish(agent, number, E_CANCELLED, "cancelled", event->now, out);
    } else if (job->state == JOB_RUNNING) {
        agent_kill_slot(agent, job->slot, KILL_CANCEL, out);
    }
}

static void on_fetched(struct agent *agent, const struct agent_event *event,
                       struct agent_actions *out)
{
    struct job *job = &agent->jobs[event->done.job];
    ASSERT(job->state == JOB_FETCHING);
    agent->fetching--;
    if (job->is_given_up) {
        release(agent, event->done.job, out);
    } else if (event->done.code != OK || job->is_cancelled) {
        agent_finish(agent, event->done.job, event->done.code, event->done.text, event->now, out);
    } else {
        job->state = JOB_READY;
        agent_queue_put(agent, &agent->ready, event->done.job, false);
    }
}

/* A job has left its slot. Light ones are over; heavy ones have a log, and outputs if all went
 * well. */
static void ran(struct agent *agent, uint32_t number, enum status code, const char *text, ms_t now,
                struct agent_actions *out)
{
    struct job *job = &agent->jobs[number];
    if (job->is_light) {
        agent_finish(agent, number, code, text, now, out);
        return;
    }
    job->state = JOB_PUBLISHING;
    agent->publishing++;
    struct agent_action *action = agent_add(out, AGENT_PUBLISH);
    action->job = number;
    action->code = job->is_cancelled ? E_CANCELLED : code;
    action->text = job->is_cancelled ? "cancelled" : text;
}

static uint32_t ring_take(struct agent *agent, struct slot_state *slot)
{
    uint32_t job = slot->ring[slot->first];
    slot->first = (slot->first + 1) % AGENT_WINDOW_MAX;
    slot->count--;
    agent->running--;
    agent->heavy_running -= agent->jobs[job].is_light ? 0 : 1;
    if (!agent->jobs[job].is_light || agent->jobs[job].is_alone)
        agent_share_give_back(agent, job);
    return job;
}

static void on_slot_result(struct agent *agent, const struct agent_event *event,
                           struct agent_actions *out)
{
    struct slot_state *slot = &agent->slots[event->result.slot];
    ASSERT(slot->count);
    uint32_t job = ring_take(agent, slot);
    if (event->result.took_us > QUICK_US) {
        slot->window = 1;
        slot->quick = 0;
    } else if (slot->phase == SLOT_LIGHT && ++slot->quick >= slot->window) {
        slot->window = slot->window < AGENT_WINDOW_MAX / 2 ? 2 * slot->window : AGENT_WINDOW_MAX;
        slot->quick = 0;
    }
    if (!slot->count && slot->phase != SLOT_DYING)
        slot->phase = SLOT_IDLE;
    ran(agent, job, event->result.code, event->result.text, event->now, out);
}

static const char *describe_death(const struct agent_event *event, char out[DEATH_WORDS_BYTES])
{
    int signal = event->died.signal;
    return death_describe(signal, signal ? signal : event->died.exit_status, out);
}

/* Why a job's slot is dead; `words` says so to a person. */
static enum status death_code(const struct slot_state *slot, const struct job *job,
                              const struct agent_event *event, char words[ERR_TEXT_BYTES])
{
    char limit[32], found[32];
    if (slot->reason == KILL_TIMEOUT) {
        snprintf(words, ERR_TEXT_BYTES, "ran past its timeout of %s",
                 agent_describe_ms(job->timeout_ms, limit, sizeof limit));
        return E_TIMEOUT;
    }
    if (slot->reason == KILL_MEMORY) {
        snprintf(words, ERR_TEXT_BYTES, "grew past its memory limit of %s (resident %s)",
                 agent_describe_bytes(job->memory_bytes, limit, sizeof limit),
                 agent_describe_bytes(slot->resident_bytes, found, sizeof found));
        return E_MEMORY;
    }
    describe_death(event, words);
    return event->died.signal ? E_CRASHED : E_EXIT;
}

/* Back to a queue: a light job behind which a slot died may be the one to blame. */
static void run_again(struct agent *agent, uint32_t number, bool is_suspect)
{
    struct job *job = &agent->jobs[number];
    job->state = JOB_READY;
    job->slot = AGENT_NONE;
    job->is_alone = job->is_alone || is_suspect;
    agent_queue_put(agent, queue_of(agent, job), number, !job->is_alone);
}

static void on_slot_died(struct agent *agent, const struct agent_event *event,
                         struct agent_actions *out)
{
    struct slot_state *slot = &agent->slots[event->died.slot];
    char *words = agent->last_words[event->died.slot];
    bool was_starting = slot->phase == SLOT_STARTING;
    bool is_ours = slot->reason == KILL_CANCEL || slot->reason == KILL_DRAIN;
    bool is_known = slot->count == 1;
    while (slot->count) {
        uint32_t number = ring_take(agent, slot);
        struct job *job = &agent->jobs[number];
        if (job->is_cancelled || (is_known && !is_ours)) {
            enum status code = death_code(slot, job, event, words);
            ran(agent, number, code, words, event->now, out);
        } else {
            run_again(agent, number, !is_ours);
        }
    }
    uint32_t failed_starts = was_starting ? slot->failed_starts + 1 : 0;
    *slot = (struct slot_state){.failed_starts = failed_starts};
    if (failed_starts >= FAILED_STARTS_MAX) {
        char how[DEATH_WORDS_BYTES];
        snprintf(words, ERR_TEXT_BYTES, "slots do not start: %s before being ready",
                 describe_death(event, how));
        exit_at_once(agent, E_UNSUPPORTED, words, out);
    }
}

static void on_resident(struct agent *agent, const struct agent_event *event,
                        struct agent_actions *out)
{
    struct slot_state *slot = &agent->slots[event->resident.slot];
    if (slot->phase != SLOT_HEAVY)
        return;
    uint64_t limit = agent->jobs[slot->ring[slot->first]].memory_bytes;
    if (!limit || event->resident.bytes <= limit)
        return;
    slot->resident_bytes = event->resident.bytes;
    agent_kill_slot(agent, event->resident.slot, KILL_MEMORY, out);
}

static void on_welcome(struct agent *agent, const struct agent_event *event,
                       struct agent_actions *out)
{
    if (event->welcome.epoch < agent->epoch) {
        agent_add(out, AGENT_RECONNECT);
        return;
    }
    agent->epoch = event->welcome.epoch;
    agent->is_online = true;
    agent->lease_ms = event->welcome.lease_ms ? event->welcome.lease_ms : LEASE_MS_DEFAULT;
    agent->heartbeat_at = event->now + agent->lease_ms / 3;
    agent_add(out, AGENT_RESEND);
}

/* PROTOCOL.md, §6: a broker that began anew, or did not understand a frame, hears HELLO from us
 * again. */
static void on_refused(struct agent *agent, const struct agent_event *event,
                       struct agent_actions *out)
{
    enum status code = event->done.code;
    if (code == E_VERSION || code == E_DENIED || ++agent->refusals >= REFUSALS_MAX)
        agent_exit(agent, code, event->done.text, out);
    else
        agent_add(out, AGENT_RECONNECT);
}

static void hand_back_unbegun(struct agent *agent, struct agent_actions *out)
{
    for (uint32_t i = 0; i < agent->job_end; i++) {
        const struct job *job = &agent->jobs[i];
        if (job->state != JOB_NONE && job->state <= JOB_READY && !job->is_given_up)
            agent_hand_back(agent, i, out);
    }
}

static void on_drain(struct agent *agent, ms_t now, struct agent_actions *out)
{
    if (agent->is_draining) {
        exit_at_once(agent, OK, "", out);
        return;
    }
    agent->is_draining = true;
    agent->exit_at = now + agent->options.grace_ms;
    if (agent->running || agent->publishing) /* else GOODBYE says it all at once */
        hand_back_unbegun(agent, out);
}

/* The broker is done: whatever still runs, nobody waits for. */
static void on_dismiss(struct agent *agent, ms_t now, struct agent_actions *out)
{
    agent->is_dismissed = true;
    for (uint32_t i = 0; i < agent->options.slots; i++)
        if (agent->slots[i].count)
            agent_kill_slot(agent, i, KILL_DRAIN, out);
    if (agent->exit_at > now + DISMISS_MS)
        agent->exit_at = now + DISMISS_MS;
}

static void on_connection(struct agent *agent, bool is_up, struct agent_actions *out)
{
    agent->is_online = false;
    agent->is_linked = is_up;
    if (is_up)
        agent_add(out, AGENT_SEND_HELLO);
}

static void on_published(struct agent *agent, const struct agent_event *event,
                         struct agent_actions *out)
{
    ASSERT(agent->jobs[event->done.job].state == JOB_PUBLISHING);
    agent->publishing--;
    agent_finish(agent, event->done.job, event->done.code, event->done.text, event->now, out);
}

static void on_slot_ready(struct agent *agent, uint32_t number)
{
    struct slot_state *slot = &agent->slots[number];
    if (slot->phase != SLOT_STARTING)
        return;
    slot->phase = SLOT_IDLE;
    slot->window = 1;
    slot->failed_starts = 0;
}

void agent_step(struct agent *agent, const struct agent_event *event, struct agent_actions *out)
{
    switch (event->type) {
    case AGENT_CONNECTED: on_connection(agent, true, out); break;
    case AGENT_DISCONNECTED: on_connection(agent, false, out); break;
    case AGENT_WELCOME: on_welcome(agent, event, out); break;
    case AGENT_REFUSED: on_refused(agent, event, out); break;
    case AGENT_TASK: on_task(agent, event, out); break;
    case AGENT_REVOKE: on_revoke(agent, &event->attempt, out); break;
    case AGENT_KILL: on_kill(agent, event, out); break;
    case AGENT_ACK: agent->has_unacked = event->ack.left || agent->open_results; break;
    case AGENT_DISMISS: on_dismiss(agent, event->now, out); break;
    case AGENT_FETCHED: on_fetched(agent, event, out); break;
    case AGENT_PUBLISHED: on_published(agent, event, out); break;
    case AGENT_SLOT_READY: on_slot_ready(agent, event->died.slot); break;
    case AGENT_SLOT_RESULT: on_slot_result(agent, event, out); break;
    case AGENT_SLOT_DIED: on_slot_died(agent, event, out); break;
    case AGENT_RESIDENT: on_resident(agent, event, out); break;
    case AGENT_DRAIN: on_drain(agent, event->now, out); break;
    case AGENT_TICK: agent_tick(agent, event->now, out); break;
    }
}
