/* What there is to do: tasks, what they make, and what the faultless run would say of them. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "tests/sim/world.h"

enum { NARROW_OUTPUT = 7, IRIS_UNITS_MIN = 20 };

/* ---- ids ---- */

static struct id make_id(uint64_t key, uint8_t kind)
{
    struct id id = {0};
    memcpy(id.bytes, &key, sizeof key);
    id.bytes[sizeof key] = kind;
    return id;
}

uint16_t blob_of(struct world *world, uint64_t key)
{
    struct id id = make_id(key, 2);
    for (uint32_t i = 0; i < world->blobs.count; i++)
        if (id_equal(&world->blobs.items[i].id, &id))
            return (uint16_t)i;
    LIST_ADD(world->blobs, (struct blob){.id = id});
    return (uint16_t)(world->blobs.count - 1);
}

uint16_t blob_find(const struct world *world, const struct id *id)
{
    for (uint32_t i = 0; i < world->blobs.count; i++)
        if (id_equal(&world->blobs.items[i].id, id))
            return (uint16_t)i;
    return UINT16_MAX;
}

struct artifact blob_artifact(const struct world *world, uint16_t blob)
{
    return (struct artifact){.id = world->blobs.items[blob].id, .bytes = 10};
}

uint32_t unit_of(struct world *world, const struct id *id)
{
    for (uint32_t i = 0; i < world->unit_count; i++)
        if (id_equal(&world->units[i].id, id))
            return i;
    world_fail(world, "a task that nobody submitted");
}

/* ---- what work makes: a function of what it does and of what it reads ---- */

uint64_t action_of(const struct world *world, const struct unit *unit, const uint16_t *inputs,
                   uint32_t count)
{
    uint64_t key = mix(unit->function, count);
    for (uint32_t i = 0; i < count; i++)
        key = mix(key, id_hash(&world->blobs.items[inputs[i]].id));
    return key;
}

void make_outputs(struct world *world, const struct unit *unit, uint64_t action,
                  uint16_t out[UNIT_OUTPUTS_MAX])
{
    /* Some work makes the same whatever it reads: what is below it is cut off early. */
    bool is_narrow = unit->function % NARROW_OUTPUT < 2;
    uint64_t made_of = is_narrow ? unit->function % (NARROW_OUTPUT * 3) : action;
    for (uint32_t i = 0; i < unit->output_count; i++)
        out[i] = blob_of(world, mix(made_of, 1000 + i));
}

/* ---- the shapes ---- */

static bool is_taken(const struct world *world, const struct id *id)
{
    for (uint32_t i = 0; i < world->unit_count; i++)
        if (id_equal(&world->units[i].id, id))
            return true;
    return false;
}

static void draw_nature(struct world *world, struct unit *unit)
{
    uint32_t at = (uint32_t)(mix(unit->function, 5) % 100);
    bool has_poison = world->params.faults >> FAULT_POISON & 1;
    bool has_flaky = world->params.faults >> FAULT_FLAKY & 1;
    unit->nature = NATURE_GOOD;
    if (at < 3)
        unit->nature = NATURE_INVALID;
    else if (at < 6 && has_poison)
        unit->nature = NATURE_SLOT_POISON;
    else if (at < 8 && has_poison)
        unit->nature = NATURE_WORKER_POISON;
    else if (at < 16 && has_flaky)
        unit->nature = NATURE_FLAKY;
}

static struct unit *add_unit(struct world *world, const uint32_t *inputs, uint32_t count)
{
    struct unit *unit = &world->units[world->unit_count];
    *unit = (struct unit){.last_try = NOBODY};
    for (uint32_t i = 0; i < count; i++) {
        const struct unit *producer = &world->units[inputs[i]];
        uint32_t output = rng_below(&world->dag, producer->output_count);
        unit->inputs[i] = (struct unit_input){(uint8_t)inputs[i], (uint8_t)output};
    }
    unit->input_count = (uint8_t)count;
    unit->output_count = (uint8_t)between(&world->dag, 1, 2);
    do {
        unit->function = mix(world->params.seed % 16, rng_below(&world->dag, 12));
        for (uint32_t tries = rng_below(&world->dag, 3); tries > 0; tries--)
            unit->function = mix(unit->function, rng_next(&world->dag));
        uint64_t key = mix(unit->function, unit->output_count);
        for (uint32_t i = 0; i < count; i++)
            key = mix(key,
                      mix(unit->inputs[i].output, id_hash(&world->units[unit->inputs[i].unit].id)));
        unit->id = make_id(key, 1);
    } while (is_taken(world, &unit->id));
    /* Equal work has equal outputs, so their number must not differ. */
    unit->function = mix(unit->function, unit->output_count);
    unit->policy = (uint8_t)(mix(unit->function, 6) % CLASSES);
    unit->length_ms = (uint32_t)(mix(unit->function, 7) % 150);
    if (mix(unit->function, 8) % 16 == 0)
        unit->length_ms *= 15;
    draw_nature(world, unit);
    world->unit_count++;
    return unit;
}

static uint32_t pick_inputs(struct world *world, uint32_t from, uint32_t to, uint32_t most,
                            uint32_t out[UNIT_INPUTS_MAX])
{
    uint32_t count = to > from ? rng_below(&world->dag, most + 1) : 0;
    for (uint32_t i = 0; i < count; i++)
        out[i] = between(&world->dag, from, to - 1);
    return count;
}

static void make_chain(struct world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        add_unit(world, &(uint32_t){i - 1}, i ? 1 : 0);
}

/* One, many, one. */
static void make_fan(struct world *world, uint32_t count)
{
    uint32_t inputs[UNIT_INPUTS_MAX], n = 0;
    add_unit(world, NULL, 0);
    while (world->unit_count + 1 < count && n < UNIT_INPUTS_MAX) {
        inputs[n++] = world->unit_count;
        add_unit(world, &(uint32_t){0}, 1);
    }
    if (n)
        add_unit(world, inputs, n);
}

static void make_diamonds(struct world *world, uint32_t count)
{
    add_unit(world, NULL, 0);
    while (world->unit_count + 3 <= count) {
        uint32_t top = world->unit_count - 1;
        add_unit(world, &top, 1);
        add_unit(world, &top, 1);
        add_unit(world, (uint32_t[]){top + 1, top + 2}, 2);
    }
}

static void make_layers(struct world *world, uint32_t count)
{
    uint32_t inputs[UNIT_INPUTS_MAX], before = 0, first = 0;
    uint32_t width = between(&world->dag, 1, 6);
    while (world->unit_count < count) {
        if (world->unit_count - first == width) {
            before = first;
            first = world->unit_count;
        }
        uint32_t n = pick_inputs(world, before, first, 4, inputs);
        add_unit(world, inputs, n);
    }
}

static void make_random(struct world *world, uint32_t count)
{
    uint32_t inputs[UNIT_INPUTS_MAX];
    while (world->unit_count < count) {
        uint32_t n = pick_inputs(world, 0, world->unit_count, 4, inputs);
        add_unit(world, inputs, n);
    }
}

/* The example's own graph: the ids are the real ones. */
static void make_iris(struct world *world)
{
    world->unit_count = iris_load(world->units);
    for (uint32_t i = 0; i < world->unit_count; i++) {
        struct unit *unit = &world->units[i];
        unit->last_try = NOBODY;
        unit->function = mix(world->params.seed, id_hash(&unit->id)) * NARROW_OUTPUT + 3;
        unit->policy = (uint8_t)(mix(unit->function, 6) % CLASSES);
        unit->length_ms = (uint32_t)(mix(unit->function, 7) % 100);
        draw_nature(world, unit);
    }
}

/* Work that touches no files: alone, and over at once. */
static void add_light(struct world *world)
{
    uint32_t count = between(&world->dag, 1, 12);
    while (count-- > 0 && world->unit_count < UNITS_MAX) {
        struct unit *unit = add_unit(world, NULL, 0);
        unit->output_count = 0;
        unit->is_light = true;
        unit->policy = 0;
        unit->function = mix(unit->function, rng_next(&world->dag));
        unit->length_ms = rng_below(&world->dag, 3);
    }
}

/* ---- the faultless run ---- */

static void foresee(struct world *world, uint32_t number)
{
    struct unit *unit = &world->units[number];
    uint16_t inputs[UNIT_INPUTS_MAX];
    unit->expected = TASK_SUCCEEDED;
    for (uint32_t i = 0; i < unit->input_count; i++) {
        const struct unit *producer = &world->units[unit->inputs[i].unit];
        if (producer->expected != TASK_SUCCEEDED)
            unit->expected = TASK_UPSTREAM_FAILED;
        inputs[i] = producer->outputs[unit->inputs[i].output];
    }
    if (unit->expected != TASK_SUCCEEDED)
        return;
    unit->action = action_of(world, unit, inputs, unit->input_count);
    make_outputs(world, unit, unit->action, unit->outputs);
    if (unit->nature != NATURE_GOOD && unit->nature != NATURE_FLAKY)
        unit->expected = TASK_FAILED;
}

void dag_make(struct world *world)
{
    uint32_t count = world->params.units;
    world->shape = (enum shape)rng_below(&world->dag, SHAPE_COUNT);
    if (world->shape == SHAPE_IRIS && count < IRIS_UNITS_MIN) /* made smaller */
        world->shape = SHAPE_RANDOM;
    switch (world->shape) {
    case SHAPE_CHAIN: make_chain(world, count); break;
    case SHAPE_FAN: make_fan(world, count); break;
    case SHAPE_DIAMONDS: make_diamonds(world, count); break;
    case SHAPE_LAYERS: make_layers(world, count); break;
    case SHAPE_IRIS: make_iris(world); break;
    default: make_random(world, count); break;
    }
    if (chance(&world->dag, 40))
        add_light(world);
    for (uint32_t i = 0; i < world->unit_count; i++)
        foresee(world, i);
}
