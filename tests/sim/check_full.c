/* Workers whose disk is full: what the scheduler has cause to know of them, and may therefore hold
 * against no task. A spell begins when it must think a worker well, and ends with the next. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "tests/sim/world.h"

/* A full disk costs a task one retry, and none if its worker has rested for it, while another that
 * could run it is well. */
void full_failed(struct world *world, struct before *before, const struct attempt_made *try,
                 uint32_t worker)
{
    const struct broker *broker = &world->broker;
    const struct place *place = &world->places[try->place];
    struct unit *unit = &world->units[before->unit];
    struct sched_worker_info info;
    uint32_t cursor = 0;
    bool has_rested = place->rest_spell == place->full_spell && try->given_at > place->rest_at;
    bool has_other = false;
    if (!place->was_full)
        world_fail(world, "W%u says that its disk is full", try->place);
    while (sched_next_worker(broker->sched, &cursor, &info))
        has_other |= info.worker != worker && !info.is_silent && info.rest_code == OK &&
                     is_fitting(&world->policies[unit->policy],
                                &world->places[broker->sessions.items[info.worker].place]);
    before->is_free =
        has_other && (has_rested || unit->full_spells[try->place] == place->full_spell);
    unit->failures += !before->is_free;
    unit->full_spells[try->place] = place->full_spell;
}

/* It joins, or something succeeds there: its disk is taken to have room. */
void full_is_over(struct world *world, uint32_t worker)
{
    if (worker < world->broker.sessions.count)
        world->places[world->broker.sessions.items[worker].place].full_spell++;
}

void check_rest(struct world *world, const struct sched_action *action)
{
    uint32_t number = world->broker.sessions.items[action->worker].place;
    if (!world->places[number].was_full || action->code != E_FULL)
        world_fail(world, "W%u is to rest, but its disk was never full", number);
    world->places[number].rest_spell = world->places[number].full_spell;
    world->places[number].rest_at = world->broker.now;
}

/* It waits for no backoff, as after a retry. */
void full_check(struct world *world, const struct before *before)
{
    AUTO(buf_fini) struct buf why = buf_init(0);
    sched_explain(world->broker.sched, before->task, &why);
    if (strstr(buf_text(&why), "(retry "))
        world_fail(world, "t%u %s; that its worker's disk is full was known", before->unit,
                   buf_text(&why));
}
