// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/sched.h"

#include <string.h>

#include "broker/sched/grow.h"
#include "broker/sched/match.h"
#include "broker/sched/peers.h"
#include "broker/sched/rest.h"
#include "broker/sched/result.h"
#include "broker/sched/retry.h"
#include "broker/sched/run.h"
#include "broker/sched/steal.h"
#include "broker/sched/submit.h"
#include "broker/sched/todo.h"
#include "common/base/mem.h"

static const struct id *task_id(const void *context, uint32_t index)
{
    const struct sched *sched = context;
    return &sched->tasks.items[index].id;
}

static const struct id *instance_id(const void *context, uint32_t index)
{
    const struct sched *sched = context;
    return &sched->instances.items[index].id;
}

struct sched *sched_new(const struct sched_options *options)
{
    struct sched *sched = mem_alloc(sizeof *sched);
    sched->options = *options;
    if (!sched->options.step_work)
        sched->options.step_work = STEP_WORK_DEFAULT;
    sched->rng = rng_seed(options->seed);
    sched->woken_at = MS_NEVER;
    sched->nobody = NONE;
    sched->ids = id_map_init(task_id, sched);
    sched->instance_ids = id_map_init(instance_id, sched);
    return sched;
}

static void free_parts(struct sched *sched)
{
    for (uint32_t i = 0; i < sched->notes.count; i++)
        mem_free(sched->notes.items[i].text);
    for (uint32_t i = 0; i < sched->pasts.count; i++)
        mem_free(sched->pasts.items[i].text);
    for (uint32_t i = 0; i < sched->rules.count; i++)
        ready_fini(&sched->ready, &sched->rules.items[i].queue);
    for (uint32_t i = 0; i < sched->lanes.count; i++)
        mem_free(sched->lanes.items[i].active);
    for (uint32_t i = 0; i < sched->runs.count; i++)
        run_fini(&sched->runs.items[i]);
    for (uint32_t i = sched->todo_at; i < sched->todo.count; i++)
        if (sched->todo.items[i].type == TODO_SUBMIT)
            submit_free(sched->todo.items[i].submission);
    for (uint32_t i = 0; i < sched->offers.count; i++)
        match_offer_fini(&sched->offers.items[i]);
    ready_pool_fini(&sched->ready);
    id_map_fini(&sched->ids);
    id_map_fini(&sched->instance_ids);
    side_fini(&sched->note_of);
    side_fini(&sched->share_of);
    heap_fini(&sched->leases);
    heap_fini(&sched->backoffs);
    heap_fini(&sched->rests);
    arena_fini(&sched->scratch);
}

void sched_free(struct sched *sched)
{
    if (!sched)
        return;
    free_parts(sched);
    void *arrays[] = {
        sched->tasks.items,
        sched->inputs.items,
        sched->fans.items,
        sched->artifacts.items,
        sched->free_tasks.items,
        sched->scrubs.items,
        sched->strays.items,
        sched->notes.items,
        sched->free_notes.items,
        sched->pasts.items,
        sched->free_pasts.items,
        sched->shares.items,
        sched->free_shares.items,
        sched->known.items,
        sched->known_outputs.items,
        sched->runs.items,
        sched->rules.items,
        sched->lanes.items,
        sched->free_rules.items,
        sched->free_lanes.items,
        sched->busy_lanes.items,
        sched->gained.items,
        sched->crowd.items,
        sched->hungry.items,
        sched->places,
        sched->free_instances.items,
        sched->workers.items,
        sched->offers.items,
        sched->dirty.items,
        sched->instances.items,
        sched->flights.items,
        sched->free_flights.items,
        sched->commits.items,
        sched->stack.items,
        sched->ended.items,
        sched->todo.items,
        sched->endings.items,
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        mem_free(arrays[i]);
    mem_free(sched);
}

/* ---- the step ---- */

/* The worker that an event comes from, or NONE. */
static uint32_t worker_of(const struct sched_event *event)
{
    switch (event->type) {
    case SCHED_HELLO: return event->hello.worker;
    case SCHED_HEARTBEAT:
    case SCHED_REVOKED: return event->worker.worker;
    case SCHED_DONE: return event->done.worker;
    case SCHED_FAILED: return event->failed.worker;
    default: return NONE;
    }
}

static void apply(struct sched *sched, const struct sched_event *event)
{
    switch (event->type) {
    case SCHED_SUBMIT: submit_run(sched, event); break;
    case SCHED_RESTORE: submit_restore(sched, event); break;
    case SCHED_CANCEL: run_cancel(sched, event->cancel.run, event->cancel.kill); break;
    case SCHED_HELLO: peers_hello(sched, event); break;
    case SCHED_HEARTBEAT: peers_heartbeat(sched, event); break;
    case SCHED_GONE: peers_gone(sched, event); break;
    case SCHED_STARTED: peers_started(sched, event); break;
    case SCHED_PROGRESS: peers_progress(sched, event); break;
    case SCHED_DONE: result_done(sched, event); break;
    case SCHED_FAILED: result_failed(sched, event); break;
    case SCHED_REVOKED: peers_revoked(sched, event); break;
    case SCHED_RESOLVED: result_resolved(sched, event); break;
    case SCHED_COMMITTED: result_committed(sched); break;
    case SCHED_CHECKED:
        run_checked(sched, event->checked.run, event->checked.missing,
                    event->checked.missing_count);
        break;
    case SCHED_TICK:
        peers_tick(sched);
        rest_tick(sched);
        retry_tick(sched);
        break;
    case SCHED_EXTEND:
    case SCHED_GO_ON:
    case SCHED_EVENT_COUNT: break;
    }
}

static ms_t first_of(const struct heap *heap)
{
    return heap->count ? (ms_t)heap_top(heap)->major : MS_NEVER;
}

static ms_t next_deadline(const struct sched *sched)
{
    if (!todo_is_empty(sched) || sched->ended.count)
        return sched->now;
    ms_t at = first_of(&sched->leases), backoff = first_of(&sched->backoffs);
    at = backoff < at ? backoff : at;
    ms_t rest = first_of(&sched->rests);
    return rest < at ? rest : at;
}

static void ask_to_be_woken(struct sched *sched)
{
    if (sched->woken_at <= sched->now)
        sched->woken_at = MS_NEVER; /* that one was for now */
    ms_t at = next_deadline(sched);
    if (at >= sched->woken_at)
        return;
    sched->woken_at = at;
    sched_act(sched, SCHED_WAKE_AT)->at = at;
}

/* Results, answers and whatever else workers say come by the thousand in one beat. What is left
 * over is not worked off with each of them, or the beat would be as long as the graph is large. */
static bool is_one_of_many(enum sched_event_type type)
{
    return type == SCHED_DONE || type == SCHED_RESOLVED || type == SCHED_STARTED ||
           type == SCHED_PROGRESS || type == SCHED_HEARTBEAT || type == SCHED_REVOKED;
}

static void work_off(struct sched *sched, bool is_todo_due)
{
    if (is_todo_due && !todo_is_empty(sched))
        todo_run(sched);
    if (sched->dirty.count || sched->gained.count)
        match_dispatch(sched);
}

void sched_step(struct sched *sched, const struct sched_event *event, struct sched_actions *out)
{
    ASSERT(event->type < SCHED_EVENT_COUNT);
    sched->out = out;
    if (event->now > sched->now)
        sched->now = event->now; /* time never goes back */
    if (sched->scratch.used_bytes)
        arena_clear(&sched->scratch);
    sched->work_left = sched->options.step_work;
    apply(sched, event);
    work_off(sched, !is_one_of_many(event->type));
    uint32_t worker = worker_of(event);
    if (worker < sched->workers.count)
        steal_for(sched, worker);
    if (sched->hungry.count)
        steal_for_hungry(sched);
    while (sched->ended.count && sched->work_left > 0) {
        run_end_some(sched);
        work_off(sched, true);
    }
    ask_to_be_woken(sched);
    sched->out = NULL;
}
