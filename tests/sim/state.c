/* The state: records by task and by action, written in batches; and what the broker does with each
 * action of the scheduler. A model of broker/state/apply.c and of the loop's `perform`. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/world.h"

enum { RETRY_COMMIT_MS = 200 };

/* ---- records ---- */

static struct kept_record *find_action(const struct world *world, uint64_t action)
{
    for (uint32_t i = 0; i < world->actions.count; i++)
        if (world->actions.items[i].is_there && world->actions.items[i].action == action)
            return &world->actions.items[i];
    return NULL;
}

const struct kept_record *state_action(const struct world *world, uint64_t action)
{
    return find_action(world, action);
}

/* The record goes, and with it its action key. */
static void remove_record(struct world *world, uint32_t unit)
{
    struct kept_record *record = &world->records[unit];
    struct kept_record *action = record->is_there ? find_action(world, record->action) : NULL;
    if (action)
        action->is_there = false;
    record->is_there = false;
}

/* First commit wins. */
static void put_record(struct world *world, const struct write *write)
{
    if (!world->records[write->unit].is_there)
        world->records[write->unit] = write->record;
    if (write->has_action && !find_action(world, write->record.action))
        LIST_ADD(world->actions, write->record);
}

static void apply_write(struct world *world, const struct write *write)
{
    switch (write->type) {
    case WRITE_REMOVE: remove_record(world, write->unit); break;
    case WRITE_RECORD: put_record(world, write); break;
    case WRITE_ALIAS: {
        const struct kept_record *found = find_action(world, write->record.action);
        if (found)
            world->records[write->unit] = *found;
        break;
    }
    }
}

/* The first `count` writes of the batch: removals, records, aliases. */
void state_apply(struct world *world, uint32_t count)
{
    const struct broker *broker = &world->broker;
    for (int type = WRITE_REMOVE; type <= WRITE_ALIAS; type++)
        for (uint32_t i = 0; i < broker->batch.count && count > 0; i++)
            if ((int)broker->batch.items[i].type == type) {
                apply_write(world, &broker->batch.items[i]);
                count--;
            }
}

bool state_is_pending(const struct world *world, uint32_t unit, enum write_type type)
{
    for (uint32_t i = 0; i < world->broker.batch.count; i++)
        if (world->broker.batch.items[i].type == type && world->broker.batch.items[i].unit == unit)
            return true;
    return false;
}

/* ---- the commit ---- */

static void begin_commit(struct world *world)
{
    struct broker *broker = &world->broker;
    struct rng *rng = &world->state;
    if (!broker->is_waiting)
        broker->waiting_since = broker_clock(world);
    broker->is_committing = true;
    ms_t took = chance(rng, 50) ? 0 : (ms_t)rng_below(rng, 4);
    broker->commit_fails = false;
    if (may(world, FAULT_COMMIT)) {
        if (chance(rng, world->chances.commit_slow))
            took = (ms_t)rng_below(rng, 2 * world->lease_ms);
        broker->commit_fails = chance(rng, world->chances.commit_fails);
    }
    broker->commit_at = world->now + took;
}

bool commit(struct world *world)
{
    struct broker *broker = &world->broker;
    if (!broker->is_committing)
        begin_commit(world);
    if (world->now < broker->commit_at)
        return false;
    if (broker->commit_fails) {
        bool is_durable = chance(&world->state, 50); /* and nobody says so */
        trace(world, "! a commit fails%s", is_durable ? ", though it is durable" : "");
        if (is_durable)
            state_apply(world, UINT32_MAX);
        if (!broker->is_waiting)
            broker->waiting_since = broker_clock(world);
        broker->is_waiting = true;
        broker->is_committing = false;
        broker->retry_at = world->now + RETRY_COMMIT_MS;
        return false;
    }
    state_apply(world, UINT32_MAX);
    broker_go_on(world);
    broker->batch.count = 0;
    broker_step(world, &(struct sched_event){.type = SCHED_COMMITTED});
    broker->foreseen.count = 0;
    return true;
}

/* ---- what the scheduler asks for ---- */

static void find_blobs(struct world *world, const struct artifact *blobs, uint32_t count,
                       uint16_t *out)
{
    for (uint32_t i = 0; i < count; i++) {
        out[i] = blob_find(world, &blobs[i].id);
        if (out[i] == UINT16_MAX)
            world_fail(world, "an artifact that nobody made is asked for");
    }
}

static uint64_t find_key(struct world *world, uint32_t unit, const struct artifact *blobs,
                         uint32_t count)
{
    uint16_t inputs[UNIT_INPUTS_MAX];
    find_blobs(world, blobs, count, inputs);
    return action_of(world, &world->units[unit], inputs, count);
}

static void foreseen(void *context, uint32_t task, const struct artifact *inputs, uint32_t count)
{
    struct world *world = context;
    struct sched_task_info info;
    sched_task_info(world->broker.sched, task, &info);
    uint32_t unit = unit_of(world, &info.id);
    LIST_ADD(world->broker.foreseen,
             (struct asked){task, unit, find_key(world, unit, inputs, count)});
}

/* What was foreseen with a commit is what is asked behind it: else a look-up along with the commit
 * would be in vain. */
static void ask(struct world *world, const struct sched_action *action, uint32_t unit)
{
    uint64_t key = find_key(world, unit, action->inputs, action->input_count);
    for (uint32_t i = 0; i < world->broker.foreseen.count; i++) {
        const struct asked *foreseen = &world->broker.foreseen.items[i];
        if (foreseen->task == action->task && foreseen->action != key)
            world_fail(world, "t%u is asked for with other inputs than were foreseen", unit);
    }
    LIST_ADD(world->broker.asked, (struct asked){action->task, unit, key});
}

static void persist(struct world *world, const struct sched_action *action, uint32_t unit)
{
    const struct entry *entry = world->broker.entry;
    if (!entry)
        world_fail(world, "a result is persisted that nobody reported");
    check_persist(world, unit, entry);
    struct write write = {.type = WRITE_RECORD, .unit = unit};
    write.conn = world->broker.held.items[action->frame].frame->conn;
    write.has_action = world->units[unit].input_count > 0;
    write.record = (struct kept_record){.is_there = true, .action = entry->action};
    write.record.output_count = entry->blob_count;
    memcpy(write.record.outputs, entry->blobs, sizeof write.record.outputs);
    if (action->is_replacement)
        LIST_ADD(world->broker.batch, (struct write){.type = WRITE_REMOVE, .unit = unit});
    LIST_ADD(world->broker.batch, write);
    sched_foresee(world->broker.sched, action->task, foreseen, world);
}

static void assign(struct world *world, const struct sched_action *action, uint32_t unit)
{
    struct entry entry = {.unit = unit, .number = action->attempt};
    struct sched_task_info info;
    sched_task_info(world->broker.sched, action->task, &info);
    check_assign(world, action, unit);
    try_begin(world, action, unit, &world->broker.sessions.items[action->worker]);
    find_blobs(world, action->inputs, action->input_count, entry.blobs);
    entry.blob_count = (uint8_t)action->input_count;
    entry.priority = info.policy->priority;
    entry.timeout_ms = info.policy->timeout_ms;
    entry.memory_bytes = info.policy->memory_bytes;
    entry.cpu_hundredths = info.policy->cpu_hundredths;
    entry.gpus = info.policy->resource_count ? info.policy->resources[0].count : 0;
    entry.is_light = world->units[unit].is_light;
    struct frame *out = session_out(world, action->worker, MSG_TASKS);
    if (!out)
        world_fail(world, "t%u is given to w%u, which is gone", unit, action->worker);
    frame_add(out, &entry);
}

static void tell_attempt(struct world *world, const struct sched_action *action, uint32_t unit)
{
    enum msg_type type = action->type == SCHED_KILL ? MSG_KILL : MSG_REVOKE;
    struct frame *out = session_out(world, action->worker, type);
    struct entry entry = {.unit = unit, .number = action->attempt};
    if (!out)
        return;
    frame_add(out, &entry);
    const struct session *session = &world->broker.sessions.items[action->worker];
    struct attempt_made *try =
        try_find(world, unit, action->attempt, session->place, session->life);
    if (try)
        try->is_killed |= type == MSG_KILL;
}

static void end(struct world *world, const struct sched_action *action)
{
    struct ending ending = {.run = action->run, .is_over = action->type == SCHED_RUN_OVER};
    ending.blobs = mem_alloc(action->input_count * sizeof *ending.blobs + 1);
    ending.blob_count = ending.is_over ? 0 : action->input_count;
    if (ending.is_over)
        check_run_over(world, action->run);
    else
        find_blobs(world, action->inputs, action->input_count, ending.blobs);
    LIST_ADD(world->broker.endings, ending);
}

/* A result is never acknowledged before it is durable. */
static void acknowledge(struct world *world, const struct sched_action *action)
{
    if (!broker_settle(world, action->frame))
        return;
    const struct frame *frame = world->broker.held.items[action->frame].frame;
    for (uint32_t i = 0; i < frame->count; i++)
        if (frame->entries[i].code == OK &&
            state_is_pending(world, frame->entries[i].unit, WRITE_RECORD))
            world_fail(world, "t%u#%u is acknowledged before its record is durable",
                       frame->entries[i].unit, frame->entries[i].number);
    broker_acknowledge(world, action->frame);
}

void broker_perform(struct world *world, const struct sched_action *action)
{
    struct broker *broker = &world->broker;
    struct sched_task_info info = {0};
    uint32_t unit = NOBODY;
    if (action->unknown) {
        unit = unit_of(world, action->unknown);
    } else if (action->task != UINT32_MAX && action->type != SCHED_FREED) {
        sched_task_info(broker->sched, action->task, &info);
        unit = unit_of(world, &info.id);
    }
    switch (action->type) {
    case SCHED_PERSIST: persist(world, action, unit); break;
    case SCHED_ALIAS:
        LIST_ADD(broker->batch, (struct write){.type = WRITE_ALIAS,
                                               .unit = unit,
                                               .record = {.action = broker->resolved_action}});
        sched_foresee(broker->sched, action->task, foreseen, world);
        break;
    case SCHED_FORGET:
        check_forget(world, unit);
        LIST_ADD(broker->batch, (struct write){.type = WRITE_REMOVE, .unit = unit});
        break;
    case SCHED_RESOLVE: ask(world, action, unit); break;
    case SCHED_ASSIGN: assign(world, action, unit); break;
    case SCHED_REVOKE:
    case SCHED_KILL: tell_attempt(world, action, unit); break;
    case SCHED_ACK: acknowledge(world, action); break;
    case SCHED_PUBLISH: check_publish(world, action, unit); break;
    case SCHED_WAKE_AT: broker->wake_at = action->at; break;
    case SCHED_CHECK:
    case SCHED_RUN_OVER: end(world, action); break;
    case SCHED_REST: check_rest(world, action); break;
    case SCHED_FREED: break; /* sched_check has looked that no list names them */
    case SCHED_DROPPED: world_fail(world, "t%u: two different successes", unit);
    }
}
