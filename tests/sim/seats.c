/* What the agent asks for: slots that work, are slow, hang and die; fetches and publications;
 * frames out. A model of worker/runtime/slot.c, work.c, results.c and worker/join_send.c. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/world.h"

/* ---- slots ---- */

static bool is_full(const struct world *world, const struct place *place)
{
    return may(world, FAULT_FULL) && world->now < place->full_until;
}

/* What the job will end with, and when. 0: never. */
static uint32_t foresee(struct world *world, uint32_t number, struct seat *seat, struct job *job)
{
    struct rng *rng = &world->work;
    struct unit *unit = &world->units[job->unit];
    uint32_t length = unit->length_ms + rng_below(rng, 3);
    seat->code = OK;
    if (is_full(world, &world->places[number])) {
        seat->code = E_FULL;
        return 1;
    }
    if (may(world, FAULT_SLOW) && chance(rng, world->chances.slow))
        length *= 10;
    if (unit->nature == NATURE_INVALID)
        seat->code = E_INVALID;
    else if (unit->nature == NATURE_SLOT_POISON)
        seat->code = E_CRASHED;
    else if (unit->nature == NATURE_WORKER_POISON)
        seat->code = E_GONE;
    else if (unit->nature == NATURE_FLAKY && unit->failures < 2 && chance(rng, 50))
        seat->code = E_EXIT;
    else if (may(world, FAULT_FLAKY) && chance(rng, world->chances.flaky))
        seat->code = chance(rng, 50) ? E_IO : E_EXIT;
    else if (may(world, FAULT_SLOT) && chance(rng, world->chances.slot))
        seat->code = E_CRASHED;
    if (may(world, FAULT_HANG) && job->entry.timeout_ms && chance(rng, world->chances.hang)) {
        trace(world, "! t%u#%u hangs at W%u", job->unit, job->number, number);
        return 0;
    }
    return length + 1;
}

static void begin_next(struct world *world, uint32_t number, uint32_t slot)
{
    struct seat *seat = &world->places[number].seats[slot];
    if (!seat->is_ready || seat->is_busy || seat->is_dead || !seat->job_count)
        return;
    struct job *job = &world->places[number].jobs[seat->jobs[0]];
    try_executes(world, number, job);
    seat->is_busy = true;
    uint32_t length = foresee(world, number, seat, job);
    if (length)
        world_at(world, world->now + length - 1, EVENT_SEAT, number, slot, seat->generation);
}

void seat_spawn(struct world *world, uint32_t number, uint32_t slot)
{
    struct seat *seat = &world->places[number].seats[slot];
    uint32_t generation = seat->generation + 1;
    *seat = (struct seat){.is_there = true, .generation = generation};
    world_at(world, world->now + between(&world->work, 1, 10), EVENT_SEAT, number, slot,
             generation);
}

/* The slot's process is no more, or is ended now: what it had is the agent's to decide. */
void seat_stop(struct world *world, uint32_t number, uint32_t slot, int signal)
{
    struct seat *seat = &world->places[number].seats[slot];
    uint32_t generation = seat->generation + 1;
    *seat = (struct seat){.generation = generation};
    struct agent_event event = {.type = AGENT_SLOT_DIED};
    event.died.slot = slot;
    event.died.signal = signal;
    place_step(world, number, &event);
}

void seat_give(struct world *world, uint32_t number, uint32_t slot, uint32_t job)
{
    struct seat *seat = &world->places[number].seats[slot];
    seat->jobs[seat->job_count++] = job;
    begin_next(world, number, slot);
}

/* The process dies; its parent notices when it reads. */
void seat_crash(struct world *world, uint32_t number, uint32_t slot)
{
    struct seat *seat = &world->places[number].seats[slot];
    if (!seat->is_there || seat->is_dead)
        return;
    seat->is_dead = true;
    for (uint32_t i = 0; i < seat->job_count; i++) {
        const struct job *job = &world->places[number].jobs[seat->jobs[i]];
        excuse_job(world, number, job);
    }
    place_input(
        world, number,
        (struct input){
            .type = INPUT_SLOT, .slot = slot, .generation = seat->generation, .is_death = true});
}

static void answer(struct world *world, uint32_t number, uint32_t slot)
{
    struct seat *seat = &world->places[number].seats[slot];
    struct job *job = &world->places[number].jobs[seat->jobs[0]];
    if (seat->code == E_GONE) {
        trace(world, "t%u#%u kills its worker", job->unit, job->number);
        place_kill(world, number);
        return;
    }
    if (seat->code == E_CRASHED) {
        trace(world, "t%u#%u kills its slot", job->unit, job->number);
        seat_crash(world, number, slot);
        return;
    }
    struct unit *unit = &world->units[job->unit];
    seat->is_busy = false;
    seat->job_count--;
    memmove(seat->jobs, seat->jobs + 1, seat->job_count * sizeof *seat->jobs);
    job->entry.action = action_of(world, unit, job->entry.blobs, job->entry.blob_count);
    make_outputs(world, unit, job->entry.action, job->outputs);
    job->output_count = unit->output_count;
    place_input(world, number,
                (struct input){.type = INPUT_SLOT,
                               .slot = slot,
                               .generation = seat->generation,
                               .code = seat->code,
                               .took_us = (int64_t)unit->length_ms * 1000 + 20});
    begin_next(world, number, slot);
}

void seat_event(struct world *world, uint32_t number, uint32_t slot, uint32_t generation)
{
    struct place *place = &world->places[number];
    struct seat *seat = &place->seats[slot];
    if (!place->is_up || seat->generation != generation || seat->is_dead)
        return;
    if (seat->is_ready) {
        answer(world, number, slot);
        return;
    }
    if (may(world, FAULT_SLOT) && chance(&world->work, world->chances.slot / 2)) {
        seat_crash(world, number, slot);
        return;
    }
    seat->is_ready = true;
    place_input(world, number,
                (struct input){
                    .type = INPUT_SLOT, .slot = slot, .generation = generation, .is_ready = true});
}

/* ---- files in and out ---- */

enum { KEY_PUBLICATION = 1 << 30 };

void move_begin(struct world *world, uint32_t number, uint32_t job, bool is_publication,
                enum status code)
{
    struct place *place = &world->places[number];
    place->jobs[job].code = code;
    world_at(world, world->now + rng_below(&world->work, 15), EVENT_MOVE, number, job,
             place->life | (is_publication ? (uint32_t)KEY_PUBLICATION : 0));
}

static enum status fetch(struct world *world, struct place *place, struct job *job)
{
    job->lost_count = 0;
    for (uint32_t i = 0; i < job->entry.blob_count; i++) {
        uint16_t blob = job->entry.blobs[i];
        struct blob *wanted = &world->blobs.items[blob];
        if (place->cache[blob / 8] >> (blob % 8) & 1)
            continue;
        if (is_full(world, place))
            return E_FULL;
        if (world->now < world->store_down_until)
            return E_UNREACHABLE;
        if (!wanted->is_there || wanted->is_corrupt) {
            wanted->is_there = false; /* quarantined */
            job->lost[job->lost_count++] = blob;
            continue;
        }
        place->cache[blob / 8] |= (uint8_t)(1 << blob % 8);
    }
    return job->lost_count ? E_LOST : OK;
}

static enum status publish(struct world *world, const struct place *place, const struct job *job)
{
    if (job->code != OK)
        return job->code;
    if (is_full(world, place))
        return E_FULL;
    if (world->now < world->store_down_until)
        return E_UNREACHABLE;
    for (uint32_t i = 0; i < job->output_count; i++) {
        struct blob *blob = &world->blobs.items[job->outputs[i]];
        blob->is_there = true;
        blob->is_corrupt = false;
    }
    return OK;
}

void move_end(struct world *world, uint32_t number, uint32_t job, uint32_t key)
{
    struct place *place = &world->places[number];
    bool is_publication = key & KEY_PUBLICATION;
    if (!place->is_up || place->life != (key & (KEY_PUBLICATION - 1)))
        return;
    struct input input = {.type = INPUT_MOVE, .job = job, .is_publication = is_publication};
    struct job *moved = &place->jobs[job];
    input.code = is_publication ? publish(world, place, moved) : fetch(world, place, moved);
    place_input(world, number, input);
}

/* ---- frames out ---- */

static void send(struct world *world, uint32_t number, struct frame *frame)
{
    struct place *place = &world->places[number];
    if (place->conn == NOBODY) {
        frame_free(frame);
        return;
    }
    net_send(world, place->conn, TO_BROKER, frame);
}

static void list_held(struct world *world, const struct place *place, struct frame *out)
{
    struct attempt attempt;
    for (uint32_t at = 0; agent_next_held(place->agent, &at, &attempt);) {
        struct entry entry = {.unit = unit_of(world, &attempt.task), .number = attempt.number};
        frame_add(out, &entry);
    }
}

void place_send_held(struct world *world, uint32_t number, enum msg_type type)
{
    struct frame *frame = frame_new(type);
    list_held(world, &world->places[number], frame);
    send(world, number, frame);
}

void place_send_hello(struct world *world, uint32_t number)
{
    const struct place *place = &world->places[number];
    struct frame *frame = frame_new(MSG_HELLO);
    frame->epoch = agent_epoch(place->agent);
    list_held(world, place, frame);
    for (const struct frame *kept = place->kept.first; kept; kept = kept->next)
        for (uint32_t i = 0; i < kept->count; i++)
            frame_add(frame, &kept->entries[i]);
    for (uint32_t i = 0; place->open && i < place->open->count; i++)
        frame_add(frame, &place->open->entries[i]);
    send(world, number, frame);
}

void place_send_queued(struct world *world, uint32_t number)
{
    struct place *place = &world->places[number];
    if (!place->is_up)
        return;
    if (place->revoked)
        send(world, number, TAKE(place->revoked));
    if (place->started)
        send(world, number, TAKE(place->started));
    uint32_t at = 0;
    for (const struct frame *kept = place->kept.first; place->is_welcome && kept;
         kept = kept->next, at++)
        if (at >= place->unsent_from)
            send(world, number, frame_copy(kept));
    if (place->is_welcome)
        place->unsent_from = place->kept_count;
}

/* ---- results ---- */

void place_add_result(struct world *world, uint32_t number, const struct agent_action *action)
{
    struct place *place = &world->places[number];
    struct job *job = &place->jobs[action->job];
    struct unit *unit = &world->units[job->unit];
    struct entry entry = job->entry;
    entry.code = action->code;
    entry.blob_count = action->code == OK ? job->output_count : 0;
    memcpy(entry.blobs, job->outputs, sizeof job->outputs);
    entry.lost_count = action->code == E_LOST ? job->lost_count : 0;
    memcpy(entry.lost, job->lost, sizeof job->lost);
    unit->failures += status_is_retryable(action->code) && action->code != E_LOST &&
                      action->code != E_FULL; /* see full_failed() */
    unit->deaths += action->code == E_CRASHED;
    if (!place->open)
        place->open = frame_new(MSG_RESULTS);
    frame_add(place->open, &entry);
}

void place_flush(struct place *place)
{
    if (!place->open)
        return;
    place->open->sequence = place->sequence++;
    frames_put(&place->kept, TAKE(place->open));
    place->kept_count++;
}

uint32_t place_acknowledge(struct place *place, uint64_t sequence)
{
    struct frames left = {0};
    uint32_t at = 0, count = 0, unsent_from = place->unsent_from;
    for (struct frame *frame; (frame = frames_take(&place->kept)); at++) {
        if (frame->sequence == sequence) {
            unsent_from -= at < place->unsent_from;
            frame_free(frame);
            continue;
        }
        frames_put(&left, frame);
        count++;
    }
    place->kept = left;
    place->kept_count = count;
    place->unsent_from = unsent_from;
    return count;
}

/* ---- the agent's actions ---- */

static void add_attempt(struct world *world, struct frame **out, enum msg_type type,
                        const struct attempt *attempt)
{
    struct entry entry = {.unit = unit_of(world, &attempt->task), .number = attempt->number};
    if (!*out)
        *out = frame_new(type);
    frame_add(*out, &entry);
}

/* What has begun is not given back: it would run twice. */
static void give_back(struct world *world, uint32_t number, const struct attempt *attempt)
{
    struct place *place = &world->places[number];
    uint32_t unit = unit_of(world, &attempt->task);
    for (uint32_t i = 0; i < SLOTS_MOST; i++)
        for (uint32_t j = 0; j < place->seats[i].job_count; j++) {
            const struct job *job = &place->jobs[place->seats[i].jobs[j]];
            const struct attempt_made *try =
                try_find(world, job->unit, job->number, number, place->life);
            if (job->unit == unit && job->number == attempt->number && try && !try->is_excused)
                world_fail(world, "W%u gives t%u#%u back, which is running", number, unit,
                           attempt->number);
        }
    add_attempt(world, &place->revoked, MSG_REVOKED, attempt);
}

/* Past a limit, cancelled, or the grace is over: it may run again elsewhere. */
static void end_slot(struct world *world, uint32_t number, uint32_t slot)
{
    struct place *place = &world->places[number];
    for (uint32_t i = 0; i < place->seats[slot].job_count; i++)
        excuse_job(world, number, &place->jobs[place->seats[slot].jobs[i]]);
    seat_stop(world, number, slot, 9);
}

static void sample(struct world *world, uint32_t number, uint32_t slot)
{
    struct agent_event event = {.type = AGENT_RESIDENT};
    bool is_large = may(world, FAULT_SLOT) && chance(&world->work, 5);
    event.resident.slot = slot;
    event.resident.bytes = is_large ? 3000 : 1000;
    place_step(world, number, &event);
}

void place_act(struct world *world, uint32_t number, const struct agent_action *action)
{
    struct place *place = &world->places[number];
    switch (action->type) {
    case AGENT_SEND_HELLO: place_send_hello(world, number); break;
    case AGENT_SEND_HEARTBEAT: place_send_held(world, number, MSG_HEARTBEAT); break;
    case AGENT_SEND_STARTED:
        add_attempt(world, &place->started, MSG_STARTED, &action->attempt);
        break;
    case AGENT_SEND_REVOKED: give_back(world, number, &action->attempt); break;
    case AGENT_SEND_GOODBYE:
        place_send_queued(world, number);
        place_send_held(world, number, MSG_GOODBYE);
        break;
    case AGENT_RECONNECT: place->is_broken = true; break;
    case AGENT_RESEND: place->unsent_from = 0; break;
    case AGENT_FETCH: move_begin(world, number, action->job, false, OK); break;
    case AGENT_SPAWN: seat_spawn(world, number, action->slot); break;
    case AGENT_START: seat_give(world, number, action->slot, action->job); break;
    case AGENT_KILL_SLOT: end_slot(world, number, action->slot); break;
    case AGENT_SAMPLE: sample(world, number, action->slot); break;
    case AGENT_PUBLISH: move_begin(world, number, action->job, true, action->code); break;
    case AGENT_RESULT: place_add_result(world, number, action); break;
    case AGENT_FLUSH: place_flush(place); break;
    case AGENT_RELEASE: place->jobs[action->job].is_used = false; break;
    case AGENT_WAKE_AT: place->wake_at = action->at; break;
    case AGENT_EXIT:
        place->is_leaving = true;
        if (action->code != OK)
            excuse_place(world, number, 0, !place->is_welcome);
        trace(world, "W%u.%u exits: %s", number, place->life, status_name(action->code));
        break;
    }
}
