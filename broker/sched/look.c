// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/note.h"
#include "broker/sched/run.h"
#include "broker/sched/share.h"
#include "broker/sched/task.h"

const char *task_state_name(enum task_state state)
{
    static const char *const names[TASK_STATE_COUNT] = {
        [TASK_WAITING] = "waiting",     [TASK_READY] = "ready",
        [TASK_RUNNING] = "running",     [TASK_SUCCEEDED] = "succeeded",
        [TASK_FAILED] = "failed",       [TASK_UPSTREAM_FAILED] = "upstream_failed",
        [TASK_SKIPPED] = "skipped",     [TASK_UNNEEDED] = "unneeded",
        [TASK_CANCELLED] = "cancelled",
    };
    return state < TASK_STATE_COUNT ? names[state] : "unknown";
}

uint32_t sched_task_index(const struct sched *sched, uint32_t run, uint32_t node)
{
    ASSERT(run < sched->runs.count && node < sched->runs.items[run].node_count);
    return run_task(&sched->runs.items[run], node);
}

uint32_t sched_task_find(const struct sched *sched, const struct id *id)
{
    return id_map_get(&sched->ids, id);
}

void sched_prefetch(const struct sched *sched, const struct id *tasks, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        id_map_prefetch(&sched->ids, &tasks[i]);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = id_map_guess(&sched->ids, &tasks[i]);
        if (at == ID_MAP_NONE)
            continue;
        const uint8_t *task = (const uint8_t *)task_at(sched, at);
        __builtin_prefetch(task);
        __builtin_prefetch(task + sizeof(struct task) - 1); /* it may lie across two lines */
    }
}

struct sched_work sched_work(const struct sched *sched, uint32_t index)
{
    ASSERT(index < sched->tasks.count);
    const struct task *task = task_at(sched, index);
    return (struct sched_work){.id = &task->id,
                               .spec = task->spec,
                               .spec_bytes = task->spec_bytes,
                               .policy = &rule_of(sched, task)->policy};
}

/* False: some are not there yet, or too many. */
static bool foresee_inputs(const struct sched *sched, const struct task *task,
                           struct artifact out[SCHED_FORESEEN_INPUTS_MAX], uint32_t *count)
{
    const uint32_t *inputs = task_inputs(sched, task, count);
    if (*count > SCHED_FORESEEN_INPUTS_MAX)
        return false;
    for (uint32_t i = 0; i < *count; i++) {
        const struct task *producer = task_at(sched, inputs[i] >> OUTPUT_BITS);
        uint32_t output = inputs[i] & ((1 << OUTPUT_BITS) - 1);
        bool is_made = producer->stage == STAGE_SUCCEEDED || producer->stage == STAGE_COMMITTING;
        if (!is_made || output >= producer->output_count)
            return false;
        out[i] = sched->artifacts.items[producer->outputs + output];
    }
    return true;
}

void sched_foresee(const struct sched *sched, uint32_t index, sched_foreseen_fn *foreseen,
                   void *context)
{
    struct artifact inputs[SCHED_FORESEEN_INPUTS_MAX];
    uint32_t cursor = task_at(sched, index)->dependants, count;
    for (uint32_t i = 0; i < SCHED_FORESEEN_MAX; i++) {
        uint32_t next = task_next_dependant(sched, &cursor);
        if (next == NONE)
            return;
        const struct task *consumer = task_at(sched, next);
        if (consumer->stage == STAGE_WAITING && !(consumer->flags & FLAG_FORCED) &&
            foresee_inputs(sched, consumer, inputs, &count))
            foreseen(context, next, inputs, count);
    }
}

static void tell_flight(const struct sched *sched, const struct task *task,
                        struct sched_task_info *out)
{
    const struct flight *flight = &sched->flights.items[task->place];
    out->assigned_at = task_time(sched, flight->assigned_at);
    out->progress_step = flight->step;
    out->progress_total = flight->total;
}

void sched_task_info(const struct sched *sched, uint32_t index, struct sched_task_info *out)
{
    ASSERT(index < sched->tasks.count);
    const struct task *task = task_at(sched, index);
    const struct note *note = note_find(sched, task, index);
    bool has_outputs = task->stage == STAGE_SUCCEEDED;
    bool is_listed = task->stage == STAGE_READY; /* two of its times are links then */
    *out = (struct sched_task_info){
        .id = task->id,
        .state = task_state_of(task->stage),
        .is_hit = (task->flags & FLAG_HIT) != 0,
        .is_cutoff = (task->flags & FLAG_CUTOFF) != 0,
        .is_shared = (task->flags & FLAG_SHARED) != 0,
        .attempts = task->attempt,
        .worker = task->stage == STAGE_WAITING ? NONE : task->worker,
        .ready_at = task_time(sched, task->ready_at),
        .assigned_at = MS_NEVER,
        .started_at = is_listed ? MS_NEVER : task_time(sched, task->started_at),
        .finished_at = task_is_final(task) ? task_time(sched, task->finished_at) : MS_NEVER,
        .code = note ? note->code : OK,
        .text = note && note->text ? note->text : "",
        .spec = task->spec,
        .spec_bytes = task->spec_bytes,
        .policy = &sched->rules.items[task->rule].policy,
        .output_count = has_outputs ? task->output_count : 0,
        .outputs =
            has_outputs && task->output_count ? sched->artifacts.items + task->outputs : NULL,
    };
    if (note && note->has_log) {
        out->has_log = true;
        out->log = note->log;
    }
    if (task_is_in_flight(task))
        tell_flight(sched, task, out);
}

void sched_node_info(const struct sched *sched, uint32_t run, uint32_t node,
                     struct sched_task_info *out)
{
    uint32_t index = sched_task_index(sched, run, node);
    sched_task_info(sched, index, out);
    for (uint32_t at = share_first(sched, task_at(sched, index), index); at != NONE;
         at = sched->shares.items[at].next)
        if (sched->shares.items[at].run == run && sched->shares.items[at].is_left)
            out->state = TASK_CANCELLED;
}

uint32_t sched_first_task(const struct sched *sched, uint32_t run)
{
    ASSERT(run < sched->runs.count);
    const struct run *r = &sched->runs.items[run];
    return r->node_tasks ? NONE : r->first_task;
}

void sched_run_info(const struct sched *sched, uint32_t index, struct sched_run_info *out)
{
    *out = (struct sched_run_info){0};
    if (index >= sched->runs.count)
        return;
    const struct run *run = &sched->runs.items[index];
    for (uint32_t i = 0; i < TASK_STATE_COUNT; i++)
        out->counts[i] = run->counts[i];
    out->hit = run->hit;
    out->executed = run->executed;
    out->is_known = run->is_used;
    out->is_begun = run->is_used && !run->is_submitting;
    out->is_over = run->is_over;
    out->is_cancelled = run->is_cancelled;
}

void sched_load(const struct sched *sched, struct sched_load *out)
{
    uint64_t wanted = sched->slots_taken;
    *out = (struct sched_load){.running = sched->flight_count, .workers = sched->worker_count};
    for (uint32_t i = 0; i < sched->rules.count; i++) {
        const struct rule *rule = &sched->rules.items[i];
        if (rule->run == NONE)
            continue;
        out->ready += rule->queue.count;
        wanted += (uint64_t)rule->queue.count * rule->slots;
    }
    for (uint32_t i = 0; i < sched->runs.count; i++) {
        const struct run *run = &sched->runs.items[i];
        if (run->is_used && !run->is_over)
            out->waiting += run->counts[TASK_WAITING];
    }
    if (!sched->has_quorum && sched->options.workers_min > sched->worker_count)
        out->workers_awaited = sched->options.workers_min - sched->worker_count;
    out->slots = sched->slots;
    out->slots_wanted = wanted < UINT32_MAX ? (uint32_t)wanted : UINT32_MAX;
}

static uint32_t rest_left(const struct sched *sched, const struct worker *worker)
{
    if (!worker->is_resting || worker->rest_until <= sched->now)
        return 0;
    return (uint32_t)(worker->rest_until - sched->now);
}

bool sched_next_worker(const struct sched *sched, uint32_t *cursor, struct sched_worker_info *out)
{
    for (; *cursor < sched->workers.count; ++*cursor) {
        const struct worker *worker = &sched->workers.items[*cursor];
        if (!worker->is_used)
            continue;
        const struct offer *offer = &sched->offers.items[worker->offer];
        *out = (struct sched_worker_info){.worker = *cursor,
                                          .name = worker_name(sched, *cursor),
                                          .is_silent = worker->is_silent,
                                          .rest_code = worker->rest_code,
                                          .rest_left_ms = rest_left(sched, worker),
                                          .slots = worker->slots,
                                          .running = worker->started,
                                          .cpu_hundredths = offer->cpu_hundredths,
                                          .memory_bytes = offer->memory_bytes,
                                          .kind_count = offer->kind_count,
                                          .kinds = offer->kinds,
                                          .label_count = offer->label_count,
                                          .labels = offer->labels,
                                          .resource_count = offer->resource_count,
                                          .resources = offer->resources};
        ++*cursor;
        return true;
    }
    return false;
}
