/* The agent's decisions, taken on TICK alone: what to fetch, start, spawn, kill, send and wait for.
 */
// SPDX-License-Identifier: Apache-2.0
#include "worker/runtime/agent_state.h"

enum {
    /* A job that ends sooner is not announced: its result says all, and a frame of its own would
     * cost more than many a job. */
    ANNOUNCE_MS = 10,
    /* Jobs not fetched that one tick looks at for one that could pass another. */
    LOOKED_AT_MAX = 256,
    /* What a result waits for company at most, while no slot waits for work. */
    RESULTS_MS = 4
};

static void enforce_deadlines(struct agent *agent, ms_t now, struct agent_actions *out)
{
    if (!agent->heavy_running)
        return;
    for (uint32_t i = 0; i < agent->options.slots; i++) {
        const struct slot_state *slot = &agent->slots[i];
        if (slot->phase == SLOT_HEAVY && agent->jobs[slot->ring[slot->first]].deadline <= now)
            agent_kill_slot(agent, i, KILL_TIMEOUT, out);
    }
}

/* Tells the broker of jobs that have begun, and will be heard of for a while. */
static void announce(struct agent *agent, ms_t now, struct agent_actions *out)
{
    for (uint32_t i = 0; agent->heavy_running && i < agent->options.slots; i++) {
        const struct slot_state *slot = &agent->slots[i];
        if (slot->phase != SLOT_HEAVY)
            continue;
        uint32_t number = slot->ring[slot->first];
        struct job *job = &agent->jobs[number];
        if (job->announce_at > now)
            continue;
        job->announce_at = MS_NEVER;
        struct agent_action *started = agent_add(out, AGENT_SEND_STARTED);
        started->job = number;
        started->attempt = job->attempt;
    }
}

static void sample_sizes(struct agent *agent, ms_t now, struct agent_actions *out)
{
    bool is_due = agent->sample_at <= now, is_needed = false;
    for (uint32_t i = 0; agent->heavy_running && i < agent->options.slots; i++) {
        const struct slot_state *slot = &agent->slots[i];
        if (slot->phase != SLOT_HEAVY || !agent->jobs[slot->ring[slot->first]].memory_bytes)
            continue;
        is_needed = true;
        if (is_due)
            agent_add(out, AGENT_SAMPLE)->slot = i;
    }
    if (!is_needed)
        agent->sample_at = MS_NEVER;
    else if (is_due || agent->sample_at == MS_NEVER)
        agent->sample_at = now + agent->options.sample_ms;
}

/* What was tried before may be what killed us: its start is told before it can do so again. */
static void start_job(struct agent *agent, uint32_t number, uint32_t job, struct agent_actions *out)
{
    struct slot_state *slot = &agent->slots[number];
    bool is_suspect = agent->jobs[job].attempt.number > 1;
    slot->ring[(slot->first + slot->count++) % AGENT_WINDOW_MAX] = job;
    agent->jobs[job].state = JOB_RUNNING;
    agent->jobs[job].slot = number;
    agent->running++;
    struct agent_action *action = agent_add(out, AGENT_START);
    action->job = job;
    action->slot = number;
    if (!is_suspect)
        return;
    struct agent_action *started = agent_add(out, AGENT_SEND_STARTED);
    started->job = job;
    started->attempt = agent->jobs[job].attempt;
}

static void start_heavy_job(struct agent *agent, uint32_t slot, uint32_t number, ms_t now,
                            struct agent_actions *out)
{
    struct job *job = &agent->jobs[number];
    agent_queue_remove(agent, &agent->ready, number);
    agent_share_take(agent, number);
    agent->slots[slot].phase = SLOT_HEAVY;
    job->deadline = job->timeout_ms ? now + job->timeout_ms : MS_NEVER;
    bool is_told_now = job->is_light || job->attempt.number > 1;
    job->announce_at = is_told_now ? MS_NEVER : now + ANNOUNCE_MS;
    start_job(agent, slot, number, out);
    agent->heavy_running += job->is_light ? 0 : 1;
}

/* The next idle slot from `from` on, or options.slots. */
static uint32_t idle_slot(const struct agent *agent, uint32_t from)
{
    while (from < agent->options.slots && agent->slots[from].phase != SLOT_IDLE)
        from++;
    return from;
}

/* In order; past the first that lacks resources only what leaves it its place (agent.h). Returns
 * that one, or AGENT_NONE. */
static uint32_t start_heavy(struct agent *agent, ms_t now, struct agent_actions *out)
{
    uint32_t waiting = AGENT_NONE, none = agent->options.slots, slot = 0;
    for (uint32_t next, job = agent->ready.head; job != AGENT_NONE; job = next) {
        next = agent->jobs[job].next;
        slot = idle_slot(agent, slot);
        bool is_room = slot < none && (waiting == AGENT_NONE || idle_slot(agent, slot + 1) < none);
        if (!is_room)
            break;
        if (agent_share_fits(agent, job, waiting))
            start_heavy_job(agent, slot, job, now, out);
        else if (waiting == AGENT_NONE)
            waiting = job;
    }
    return waiting;
}

static void fetch(struct agent *agent, uint32_t job, struct agent_actions *out)
{
    agent_queue_remove(agent, &agent->waiting, job);
    agent->jobs[job].state = JOB_FETCHING;
    agent->fetching++;
    agent_add(out, AGENT_FETCH)->job = job;
}

/* As many as the slots will want next. Where slots are idle because the heavy job `waiting` and
 * those like it lack resources, also what could start past it. */
static void start_fetches(struct agent *agent, uint32_t waiting, struct agent_actions *out)
{
    while (agent->waiting.count && agent->fetching + agent->ready.count + agent->heavy_running <
                                       agent->options.slots + agent->options.prefetch)
        fetch(agent, agent->waiting.head, out);
    if (waiting == AGENT_NONE || !agent->waiting.count)
        return;
    uint32_t idle = 0, looked = 0;
    for (uint32_t i = 0; i < agent->options.slots; i++)
        idle += agent->slots[i].phase == SLOT_IDLE;
    for (uint32_t next, job = agent->waiting.head;
         job != AGENT_NONE && agent->fetching + 1 < idle && looked < LOOKED_AT_MAX;
         job = next, looked++) {
        next = agent->jobs[job].next;
        if (agent_share_fits(agent, job, waiting))
            fetch(agent, job, out);
    }
}

/* May light jobs go into the slot? Not if a heavy one waits for a slot, or for what they take. */
static bool is_for_light(const struct agent *agent, uint32_t slot, uint32_t waiting)
{
    bool is_new = agent->slots[slot].phase == SLOT_IDLE;
    if (!is_new && agent->slots[slot].phase != SLOT_LIGHT)
        return false;
    if (waiting == AGENT_NONE)
        return !is_new || agent_share_fits_light(agent, true, AGENT_NONE);
    uint32_t idle = idle_slot(agent, 0);
    if (idle == slot)
        idle = idle_slot(agent, slot + 1);
    return idle < agent->options.slots && agent_share_fits_light(agent, is_new, waiting);
}

/* Light jobs are shared out evenly, as many as the slot's window has room for, once half of it is
 * free. `waiting`: the heavy one that lacks resources; without it any other lacks a slot. */
static void start_light(struct agent *agent, uint32_t waiting, struct agent_actions *out)
{
    if (!agent->light.count || (agent->ready.count && waiting == AGENT_NONE))
        return;
    uint32_t share = (agent->light.count + agent->options.slots - 1) / agent->options.slots;
    for (uint32_t i = 0; i < agent->options.slots && agent->light.count; i++) {
        struct slot_state *slot = &agent->slots[i];
        uint32_t room = slot->count < slot->window ? slot->window - slot->count : 0;
        if (!room || room < slot->window / 2 || !is_for_light(agent, i, waiting))
            continue;
        slot->phase = SLOT_LIGHT;
        for (uint32_t n = room < share ? room : share; n && agent->light.count; n--)
            start_job(agent, i, agent_queue_take(agent, &agent->light), out);
    }
}

static void spawn_slots(struct agent *agent, struct agent_actions *out)
{
    uint32_t free_slots = 0, demand = agent->ready.count + agent->fetching + agent->light.count;
    if (!demand && agent->has_spawned)
        return;
    if (!agent->has_spawned) /* the first starts while the link connects */
        demand = 1;
    agent->has_spawned = true;
    for (uint32_t i = 0; i < agent->options.slots; i++)
        free_slots += agent->slots[i].phase == SLOT_IDLE || agent->slots[i].phase == SLOT_STARTING;
    for (uint32_t i = 0; i < agent->options.slots && free_slots < demand; i++) {
        if (agent->slots[i].phase != SLOT_ABSENT)
            continue;
        agent->slots[i].phase = SLOT_STARTING;
        agent_add(out, AGENT_SPAWN)->slot = i;
        free_slots++;
    }
}

/* Would a slot begin more, if the broker only sent it? */
static bool is_starving(const struct agent *agent)
{
    if (!agent->running && !agent->fetching && !agent->publishing)
        return true;
    if (agent->waiting.count || agent->fetching || agent->ready.count || agent->light.count)
        return false;
    for (uint32_t i = 0; i < agent->options.slots; i++)
        if (!agent->slots[i].count)
            return true;
    return false;
}

/* A frame closes when it is old enough, or at once when the broker's answer is waited for. */
static void flush_results(struct agent *agent, ms_t now, struct agent_actions *out)
{
    if (!agent->open_results || !agent->is_online ||
        (now < agent->results_at + RESULTS_MS && !is_starving(agent)))
        return;
    agent_add(out, AGENT_FLUSH);
    agent->open_results = 0;
}

static void heartbeat(struct agent *agent, ms_t now, struct agent_actions *out)
{
    if (!agent->is_online || now < agent->heartbeat_at)
        return;
    agent_add(out, AGENT_SEND_HEARTBEAT);
    agent->refusals = 0;
    agent->heartbeat_at = now + agent->lease_ms / 3;
}

/* Once what ran is over and acknowledged, GOODBYE hands back what came in meanwhile. When the grace
 * is over first, what runs is ended and handed back too. */
static void leave(struct agent *agent, ms_t now, struct agent_actions *out)
{
    if (agent->has_exited || (!agent->is_draining && !agent->is_dismissed))
        return;
    bool is_idle = !agent->running && !agent->fetching && !agent->publishing;
    bool is_late = now >= agent->exit_at;
    if (is_idle && (is_late || (!agent->open_results && !agent->has_unacked))) {
        if (agent->is_linked)
            agent_add(out, AGENT_SEND_GOODBYE);
        bool is_lost = agent->has_unacked && !agent->is_dismissed;
        agent_exit(agent, is_lost ? E_UNREACHABLE : OK,
                   is_lost ? "results were not acknowledged within the grace" : "", out);
        return;
    }
    for (uint32_t i = 0; is_late && i < agent->options.slots; i++)
        if (agent->slots[i].count)
            agent_kill_slot(agent, i, KILL_DRAIN, out);
}

static ms_t earlier(ms_t a, ms_t b)
{
    return a < b ? a : b;
}

static ms_t wake_at(const struct agent *agent, ms_t now)
{
    ms_t at = earlier(agent->sample_at, agent->exit_at > now ? agent->exit_at : now + 100);
    if (agent->is_online)
        at = earlier(at, agent->heartbeat_at);
    if (agent->is_online && agent->open_results)
        at = earlier(at, agent->results_at + RESULTS_MS);
    for (uint32_t i = 0; agent->heavy_running && i < agent->options.slots; i++) {
        const struct slot_state *slot = &agent->slots[i];
        if (slot->phase != SLOT_HEAVY)
            continue;
        const struct job *job = &agent->jobs[slot->ring[slot->first]];
        at = earlier(at, earlier(job->deadline, job->announce_at));
    }
    return at;
}

void agent_tick(struct agent *agent, ms_t now, struct agent_actions *out)
{
    enforce_deadlines(agent, now, out);
    if (!agent->is_draining && !agent->is_dismissed) {
        uint32_t waiting = start_heavy(agent, now, out);
        start_light(agent, waiting, out);
        start_fetches(agent, waiting, out);
        spawn_slots(agent, out);
    }
    announce(agent, now, out);
    sample_sizes(agent, now, out);
    flush_results(agent, now, out);
    heartbeat(agent, now, out);
    leave(agent, now, out);
    agent_add(out, AGENT_WAKE_AT)->at = wake_at(agent, now);
}

bool agent_next_held(const struct agent *agent, uint32_t *cursor, struct attempt *out)
{
    while (*cursor < agent->job_end) {
        const struct job *job = &agent->jobs[(*cursor)++];
        if (job->state == JOB_NONE || job->is_given_up)
            continue;
        *out = job->attempt;
        return true;
    }
    return false;
}

bool agent_is_awaiting(const struct agent *agent, uint32_t slot)
{
    return agent->slots[slot].count > 0;
}

uint64_t agent_epoch(const struct agent *agent)
{
    return agent->epoch;
}

bool agent_check(const struct agent *agent, struct err *err)
{
    uint32_t states[JOB_PUBLISHING + 1] = {0}, held = 0, in_slots = 0;
    if (!agent_share_check(agent, err))
        return false;
    for (uint32_t i = 0; i < agent->job_end; i++) {
        states[agent->jobs[i].state]++;
        held += agent->jobs[i].state != JOB_NONE && !agent->jobs[i].is_given_up;
    }
    for (uint32_t i = 0; i < agent->options.slots; i++) {
        const struct slot_state *slot = &agent->slots[i];
        in_slots += slot->count;
        bool may_hold = slot->phase >= SLOT_LIGHT;
        if ((slot->count && !may_hold) || (slot->phase == SLOT_HEAVY && slot->count != 1)) {
            err_set(err, E_INVALID, "slot %u in phase %u holds %u jobs", i, slot->phase,
                    slot->count);
            return false;
        }
    }
    if (held != agent->held || states[JOB_WAITING] != agent->waiting.count ||
        states[JOB_READY] != agent->light.count + agent->ready.count ||
        states[JOB_FETCHING] != agent->fetching || states[JOB_RUNNING] != agent->running ||
        in_slots != agent->running || states[JOB_PUBLISHING] != agent->publishing) {
        err_set(err, E_INVALID, "counts disagree: held %u of %u, running %u, in slots %u, ready %u",
                agent->held, held, agent->running, in_slots, states[JOB_READY]);
        return false;
    }
    return true;
}
