/* What people ask for: workers, runs over parts of the graph, force, cancellation. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/world.h"

/* ---- workers and policies ---- */

static const char *const ZONE_A[] = {"zone", "a"};
static const char *const SSD_IN_A[] = {"zone", "a", "disk", "ssd"};

static const struct resource ONE_GPU = {"gpu", 1};

static void make_policies(struct world *world)
{
    struct rng *rng = &world->script;
    for (uint32_t i = 0; i < CLASSES; i++) {
        struct task_policy *policy = &world->policies[i];
        *policy = (struct task_policy){.retry_limit = between(rng, 1, 5),
                                       .backoff_ms = between(rng, 60, 400),
                                       .backoff_max_ms = between(rng, 400, 1500),
                                       .cpu_hundredths = 100,
                                       .poison_kills = between(rng, 2, 3),
                                       .priority = (int32_t)rng_below(rng, 3) - 1,
                                       .kind_version = i % 3 == 2 ? "work@2" : "work@1"};
        if (i && chance(rng, 60))
            policy->timeout_ms = between(rng, 3000, 6000);
    }
    world->policies[3].labels = ZONE_A;
    world->policies[3].label_count = 1;
    world->policies[4].labels = SSD_IN_A;
    world->policies[4].label_count = 2;
    world->policies[4].cpu_hundredths = 200;
    world->policies[5].memory_bytes = 2000;
    world->policies[1].resources = &ONE_GPU;
    world->policies[1].resource_count = 1;
}

/* Place 0 can do everything; the others something. */
static void make_places(struct world *world)
{
    struct rng *rng = &world->script;
    world->place_count = world->params.places < PLACES_MAX ? world->params.places : PLACES_MAX;
    for (uint32_t i = 0; i < world->place_count; i++) {
        struct place *place = &world->places[i];
        *place = (struct place){.conn = NOBODY, .is_wanted = true, .frozen_at = MS_NEVER};
        place->slots = i ? between(rng, 1, SLOTS_MOST) : between(rng, 2, SLOTS_MOST);
        place->cpu_hundredths = place->slots * 100;
        place->memory_bytes = !i || chance(rng, 50) ? 4000 : 1000;
        place->gpus = (struct resource){"gpu", i ? rng_below(rng, 3) : 1};
        uint32_t kinds = i ? between(rng, 1, 3) : 3;
        if (kinds & 1)
            place->kinds[place->kind_count++] = "work@1";
        if (kinds & 2)
            place->kinds[place->kind_count++] = "work@2";
        uint32_t labels = i ? rng_below(rng, 3) : 2;
        memcpy(place->labels, SSD_IN_A, sizeof SSD_IN_A);
        place->label_count = labels;
        world_at(world, world->now + (i ? rng_below(rng, world->params.faulty_ms / 2) : 0),
                 EVENT_START, i, 0, 0);
    }
}

/* ---- runs ---- */

/* Which tasks: some, and all that they need. */
static void choose(struct world *world, uint8_t chosen[UNITS_MAX])
{
    struct rng *rng = &world->script;
    bool is_all = chance(rng, 40);
    for (uint32_t i = world->unit_count; i-- > 0;) {
        if (is_all || chance(rng, 15) || (i == 0 && world->unit_count == 1))
            chosen[i] = 1;
        for (uint32_t j = 0; chosen[i] && j < world->units[i].input_count; j++)
            chosen[world->units[i].inputs[j].unit] = 1;
    }
    chosen[0] = 1;
}

static void add_node(struct world *world, struct run *run, uint32_t unit_number,
                     const uint32_t *node_of)
{
    const struct unit *unit = &world->units[unit_number];
    uint32_t at = run->node_count++;
    run->nodes[at] = (struct task_node){.id = unit->id,
                                        .policy = unit->policy,
                                        .first_edge = run->edge_count,
                                        .edge_count = unit->input_count};
    for (uint32_t j = 0; j < unit->input_count; j++)
        run->edges[run->edge_count++] =
            (struct task_edge){node_of[unit->inputs[j].unit], unit->inputs[j].output};
    run->units[at] = (uint8_t)unit_number;
}

static void make_run(struct world *world, struct run *run)
{
    struct rng *rng = &world->script;
    uint8_t chosen[UNITS_MAX] = {0};
    uint32_t node_of[UNITS_MAX] = {0};
    choose(world, chosen);
    enum { NODES = 2 * UNITS_MAX };
    run->nodes = mem_alloc(NODES * sizeof *run->nodes);
    run->edges = mem_alloc(NODES * UNIT_INPUTS_MAX * sizeof *run->edges);
    run->units = mem_alloc(NODES);
    run->is_target = mem_alloc(NODES);
    run->is_forced = mem_alloc(NODES);
    for (uint32_t i = 0; i < world->unit_count; i++) {
        for (uint32_t copies = chosen[i] ? 1 + chance(rng, 5) : 0; copies > 0; copies--) {
            add_node(world, run, i, node_of);
            node_of[i] = run->node_count - 1;
        }
    }
    run->has_targets = chance(rng, 30);
    run->has_forced = chance(rng, 12);
    uint32_t forced = chance(rng, 20) ? 100 : 20;
    for (uint32_t i = 0; i < run->node_count; i++) {
        run->is_target[i] = chance(rng, 25) || i + 1 == run->node_count;
        run->is_forced[i] = run->has_forced && chance(rng, forced);
    }
    int32_t priority = (int32_t)rng_below(rng, 3) - 1;
    for (uint32_t i = 0; i < CLASSES; i++) {
        run->policies[i] = world->policies[i];
        run->policies[i].priority += priority;
    }
}

void script_make(struct world *world)
{
    struct rng *rng = &world->script;
    world->lease_ms = between(rng, 300, 3000);
    world->credit = between(rng, 2, 24);
    world->delay_ms = between(rng, 0, 20);
    world->step_work = chance(rng, 70) ? between(rng, 1, 24) : 0;
    make_policies(world);
    make_places(world);
    world->run_count = world->params.runs < RUNS_MAX ? world->params.runs : RUNS_MAX;
    for (uint32_t i = 0; i < world->run_count; i++) {
        struct run *run = &world->runs[i];
        make_run(world, run);
        run->submit_at = world->now + (i ? rng_below(rng, world->params.faulty_ms) : 0);
        world_at(world, run->submit_at, EVENT_SUBMIT, i, 0, 0);
    }
}

void script_free(struct world *world)
{
    for (uint32_t i = 0; i < world->run_count; i++) {
        struct run *run = &world->runs[i];
        mem_free(run->nodes);
        mem_free(run->edges);
        mem_free(run->units);
        mem_free(run->is_target);
        mem_free(run->is_forced);
    }
}

/* ---- submitting ---- */

/* What the state knows of the run's tasks. */
static void restore(struct world *world, const struct run *run)
{
    struct id ids[2 * UNITS_MAX];
    struct sched_known known[2 * UNITS_MAX];
    struct artifact outputs[2 * UNITS_MAX][UNIT_OUTPUTS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->node_count; i++) {
        const struct kept_record *record = &world->records[run->units[i]];
        if (!record->is_there)
            continue;
        ids[count] = run->nodes[i].id;
        for (uint32_t j = 0; j < record->output_count; j++)
            outputs[count][j] = blob_artifact(world, record->outputs[j]);
        known[count] = (struct sched_known){record->output_count, outputs[count]};
        count++;
    }
    struct sched_event event = {.type = SCHED_RESTORE, .restore = {ids, known, count}};
    if (count)
        broker_tell(world, &event);
}

static void submit(struct world *world, uint32_t number)
{
    struct run *run = &world->runs[number];
    restore(world, run);
    for (uint32_t i = 0; i < run->node_count; i++) {
        struct unit *unit = &world->units[run->units[i]];
        unit->was_submitted = true;
        unit->submitted_at = world->tries.count;
        unit->redo += run->has_forced && run->is_forced[i];
    }
    struct sched_event event = {.type = SCHED_SUBMIT,
                                .submit = {.run = number,
                                           .nodes = run->nodes,
                                           .node_count = run->node_count,
                                           .edges = run->edges,
                                           .policies = run->policies,
                                           .policy_count = CLASSES,
                                           .is_target = run->has_targets ? run->is_target : NULL,
                                           .is_forced = run->has_forced ? run->is_forced : NULL}};
    broker_submit(world, &event);
    broker_wake(world, world->now);
}

/* Records are read when none waits to be written or removed: what is restored must be what is
 * there. */
void script_submit(struct world *world, uint32_t number)
{
    if (world->broker.is_up && world->broker.batch.count) {
        world_at(world, world->now + 5, EVENT_SUBMIT, number, 0, 0);
        return;
    }
    world->runs[number].is_submitted = true;
    if (world->broker.is_up)
        submit(world, number);
}

/* After a restart: every run that is not over, from what was stored with it. */
void script_resubmit(struct world *world)
{
    for (uint32_t i = 0; i < world->run_count; i++)
        if (world->runs[i].is_submitted && !world->runs[i].is_over)
            submit(world, i);
    for (uint32_t i = 0; i < world->run_count; i++) {
        if (!world->runs[i].is_cancelled || world->runs[i].is_over)
            continue;
        struct sched_event event = {.type = SCHED_CANCEL, .cancel = {i, world->runs[i].is_killed}};
        broker_tell(world, &event);
    }
}

void script_cancel(struct world *world, struct rng *rng)
{
    uint32_t number = rng_below(rng, world->run_count);
    struct run *run = &world->runs[number];
    if (!run->is_submitted || run->is_over || !world->broker.is_up)
        return;
    run->is_cancelled = true;
    run->is_killed |= chance(rng, 50);
    for (uint32_t i = 0; i < run->node_count; i++)
        excuse_unit(world, run->units[i]);
    struct sched_event event = {.type = SCHED_CANCEL, .cancel = {number, run->is_killed}};
    broker_tell(world, &event);
    broker_wake(world, world->now);
}
