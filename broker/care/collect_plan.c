/* Which runs and records go. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/care/collect.h"
#include "broker/care/document.h"
#include "broker/care/reach.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "proto/record.h"

void collect_plan_init(struct collect_plan *plan)
{
    *plan = (struct collect_plan){0};
    id_set_init(&plan->records);
}

void collect_plan_fini(struct collect_plan *plan)
{
    id_set_fini(&plan->records);
    mem_free((void *)plan->runs);
    arena_fini(&plan->arena);
}

/* ---- runs ---- */

/* How many runs of a pipeline were seen. */
struct tally {
    const char *pipeline;
    uint32_t count;
};

struct planning {
    const struct collect_options *options;
    struct store *store;
    struct collect_plan *plan;
    struct reach reach;
    struct tally *tallies;
    size_t tally_count;
};

/* Newest first: which of its pipeline's runs is this one, from 0? */
static uint32_t count_run(struct planning *p, const struct value *document)
{
    const char *name = value_get_text(document, "pipeline");
    name = name ? name : "";
    for (size_t i = 0; i < p->tally_count; i++)
        if (strcmp(p->tallies[i].pipeline, name) == 0)
            return p->tallies[i].count++;
    p->tallies = mem_resize(p->tallies, (p->tally_count + 1) * sizeof *p->tallies);
    p->tallies[p->tally_count++] =
        (struct tally){arena_text(&p->plan->arena, name, strlen(name)), 1};
    return 0;
}

static bool is_dropped(struct planning *p, const struct value *document)
{
    const struct collect_options *options = p->options;
    uint32_t newer = count_run(p, document);
    if (document_is_open(document) ||
        !(options->has_keep || options->has_age || options->label_count))
        return false;
    if (options->has_keep && newer < options->keep)
        return false;
    if (options->has_age && document_time_us(document) > options->now_us - options->age_us)
        return false;
    for (size_t i = 0; i < options->label_count; i++)
        if (!document_has_label(document, options->labels[i]))
            return false;
    return true;
}

static void drop_run(struct collect_plan *plan, const char *id)
{
    if (plan->run_count == plan->run_capacity) {
        plan->run_capacity = plan->run_capacity ? 2 * plan->run_capacity : 16;
        plan->runs = mem_resize((void *)plan->runs, plan->run_capacity * sizeof *plan->runs);
    }
    plan->runs[plan->run_count++] = arena_text(&plan->arena, id, strlen(id));
}

static enum status look_at_run(void *context, const char *id, const uint8_t *bytes, size_t count,
                               struct err *err)
{
    struct planning *p = context;
    AUTO(arena_fini) struct arena arena = {0};
    struct value document;
    TRY(reach_decode(id, bytes, count, &arena, &document, err));
    if (is_dropped(p, &document)) {
        drop_run(p->plan, id);
        return OK;
    }
    bool is_told;
    p->plan->runs_kept++;
    enum status status = reach_run_tasks(&p->reach, p->store, &document, &is_told, err);
    if (!is_told && !p->plan->runs_untold++)
        p->plan->untold = arena_text(&p->plan->arena, id, strlen(id));
    if (status != OK)
        err_prefix(err, "run %s is kept, but what it needs can't be told; nothing was removed", id);
    return status;
}

/* ---- records ---- */

/* A record goes with its action key. Where a record that stays has the same action (an early
 * cutoff), both stay, so that the work is found again by its inputs. */
struct records {
    struct collect_plan *plan;
    const struct reach *reach;
    struct id_set candidates, actions;
    uint32_t *action_of; /* of each candidate */
    uint32_t capacity;
    bool *is_shared; /* per action */
};

static enum status action_of(const uint8_t *bytes, size_t count, struct id *out, struct err *err)
{
    struct record record;
    TRY(record_parse(bytes, count, &record, err));
    hash_bytes(PERSON_ACTION, record.action, record.action_bytes, out);
    return OK;
}

static enum status find_candidate(void *context, const struct id *task, const uint8_t *bytes,
                                  size_t count, struct err *err)
{
    struct records *r = context;
    struct id action;
    if (r->plan->runs_untold || id_set_has(&r->reach->tasks, task)) {
        r->plan->records_kept++;
        return OK;
    }
    TRY(action_of(bytes, count, &action, err));
    if (r->candidates.count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 64;
        r->action_of = mem_resize(r->action_of, r->capacity * sizeof *r->action_of);
    }
    TRY(id_set_add(&r->actions, &action, err));
    r->action_of[r->candidates.count] = id_set_find(&r->actions, &action);
    return id_set_add(&r->candidates, task, err);
}

static enum status find_shared(void *context, const struct id *task, const uint8_t *bytes,
                               size_t count, struct err *err)
{
    struct records *r = context;
    struct id action;
    if (id_set_has(&r->candidates, task))
        return OK;
    TRY(action_of(bytes, count, &action, err));
    uint32_t index = id_set_find(&r->actions, &action);
    if (index != ID_MAP_NONE)
        r->is_shared[index] = true;
    return OK;
}

static enum status choose_records(struct state *state, struct records *r, struct err *err)
{
    TRY(state_each_record(state, find_candidate, r, err));
    if (!r->candidates.count)
        return OK;
    r->is_shared = mem_alloc(r->actions.count * sizeof *r->is_shared);
    TRY(state_each_record(state, find_shared, r, err));
    for (uint32_t i = 0; i < r->candidates.count; i++)
        if (r->is_shared[r->action_of[i]])
            r->plan->records_kept++;
        else
            TRY(id_set_add(&r->plan->records, &r->candidates.ids[i], err));
    return OK;
}

static enum status plan_records(struct state *state, const struct reach *reach,
                                struct collect_plan *plan, struct err *err)
{
    struct records r = {.plan = plan, .reach = reach};
    id_set_init(&r.candidates);
    id_set_init(&r.actions);
    enum status status = choose_records(state, &r, err);
    id_set_fini(&r.candidates);
    id_set_fini(&r.actions);
    mem_free(r.action_of);
    mem_free(r.is_shared);
    return status;
}

enum status collect_make_plan(struct state *state, struct store *store,
                              const struct collect_options *options, struct collect_plan *plan,
                              struct err *err)
{
    struct planning p = {.options = options, .store = store, .plan = plan};
    reach_init(&p.reach);
    enum status status = state_each_run(state, 0, look_at_run, &p, err);
    if (status == OK)
        status = plan_records(state, &p.reach, plan, err);
    reach_fini(&p.reach);
    mem_free(p.tallies);
    return status;
}
