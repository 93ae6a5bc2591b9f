/* Every invariant, recounted from scratch. Each check names what it found, so that a failing
 * simulation says where to look. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "broker/sched/match.h"
#include "broker/sched/note.h"
#include "broker/sched/rest.h"
#include "broker/sched/room.h"
#include "broker/sched/run.h"
#include "broker/sched/share.h"
#include "broker/sched/task.h"
#include "broker/sched/todo.h"
#include "common/base/mem.h"

#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            err_set(err, E_CORRUPT, __VA_ARGS__);                                                  \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

/* What the steps to come will still do, of which an invariant may wait: see todo.h. */
struct left_over {
    bool is_submitting, is_ending, is_cancelling;
    uint32_t *releases; /* per task: producers that succeeded and have not told it yet */
};

static void left_over_fini(struct left_over *left)
{
    mem_free(left->releases);
}
DEFINE_AUTO_VALUE(struct left_over, left_over_fini)

static struct left_over find_left_over(const struct sched *sched)
{
    struct left_over left = {.is_ending = sched->endings.count > 0};
    left.releases = mem_alloc((sched->tasks.count + 1) * sizeof *left.releases);
    for (uint32_t i = sched->todo_at; i < sched->todo.count; i++) {
        const struct todo *todo = &sched->todo.items[i];
        uint32_t cursor = todo->type == TODO_RELEASE ? todo->cursor : FAN_END;
        for (uint32_t next; (next = task_next_dependant(sched, &cursor)) != NONE;)
            left.releases[next]++;
        left.is_submitting |= todo->type == TODO_SUBMIT;
        left.is_cancelling |= todo->type == TODO_CANCEL;
    }
    return left;
}

static bool is_queued(const struct sched *sched, uint32_t index)
{
    const struct task *task = task_at(sched, index);
    const struct ready_bucket *bucket = &sched->ready.buckets[task->place];
    bool is_linked = task->previous == NONE ? bucket->first == index
                                            : task_at(sched, task->previous)->next == index;
    bool is_followed =
        task->next == NONE ? bucket->last == index : task_at(sched, task->next)->previous == index;
    return bucket->rank == task->rank && is_linked && is_followed;
}

static bool check_flight(const struct sched *sched, uint32_t index, struct err *err)
{
    const struct task *task = task_at(sched, index);
    EXPECT(task->place < sched->flights.count, "task %u: in flight without a flight", index);
    const struct flight *flight = &sched->flights.items[task->place];
    EXPECT(flight->task == index, "task %u: its flight is of task %u", index, flight->task);
    EXPECT(flight->attempt == task->attempt, "task %u: attempt %u, but its flight's is %u", index,
           task->attempt, flight->attempt);
    EXPECT(flight->worker == task->worker, "task %u: worker %u, but its flight's is %u", index,
           task->worker, flight->worker);
    EXPECT(sched->workers.items[flight->worker].is_used, "task %u: at worker %u, which is gone",
           index, flight->worker);
    return true;
}

/* What its stage says about its inputs. */
static bool check_inputs(const struct sched *sched, const struct left_over *left, uint32_t index,
                         struct err *err)
{
    const struct task *task = task_at(sched, index);
    uint32_t count, pending = left->releases[index];
    const uint32_t *inputs = task_inputs(sched, task, &count);
    for (uint32_t i = 0; i < count; i++) {
        enum stage stage = task_at(sched, inputs[i] >> OUTPUT_BITS)->stage;
        EXPECT(stage != STAGE_FREE || task_is_final(task), "task %u: its input %u was forgotten",
               index, i);
        pending += stage != STAGE_SUCCEEDED;
        EXPECT(task->stage != STAGE_WAITING || stage < STAGE_FAILED || left->is_ending ||
                   left->is_cancelling,
               "task %u: waits for task %u, which ended (stage %u)", index,
               inputs[i] >> OUTPUT_BITS, stage);
    }
    EXPECT(task->stage != STAGE_WAITING || task->pending == pending,
           "task %u: waits for %u inputs, but %u are missing", index, task->pending, pending);
    EXPECT(task->stage != STAGE_WAITING || pending > 0, "task %u: waits for nothing", index);
    EXPECT((task->stage != STAGE_READY && task->stage != STAGE_RESOLVING) || pending == 0,
           "task %u: ready, but %u inputs are missing", index, pending);
    return true;
}

static bool check_task(const struct sched *sched, const struct left_over *left, uint32_t index,
                       struct err *err)
{
    const struct task *task = task_at(sched, index);
    const struct rule *rule = rule_of(sched, task);
    EXPECT(rule->run != NONE, "task %u: its rule was forgotten", index);
    EXPECT(left->is_submitting ||
               (!(task->flags & (FLAG_WANTED | FLAG_LISTED)) && task->stage != STAGE_NEW),
           "task %u: marks left behind", index);
    if (task->stage == STAGE_NEW) /* its lists are being made */
        return true;
    EXPECT(!run_of(sched, task)->is_cancelled || task_is_final(task) || task_is_in_flight(task) ||
               task->stage == STAGE_COMMITTING || left->is_cancelling || left->is_submitting,
           "task %u: still waits, though its run was cancelled", index);
    EXPECT(task->stage != STAGE_READY || is_queued(sched, index), "task %u: ready, not queued",
           index);
    if (task_is_in_flight(task) && !check_flight(sched, index, err))
        return false;
    const struct note *note = note_find(sched, task, index);
    EXPECT(!note || note->task == index, "task %u: somebody else's note", index);
    return check_inputs(sched, left, index, err);
}

/* Lists name only what is there, and each other. */
static bool check_lists(const struct sched *sched, uint32_t index, struct err *err)
{
    const struct task *task = task_at(sched, index);
    for (uint32_t at = task->dependants; at != FAN_END;) {
        uint32_t word = sched->fans.items[at];
        if (word == FAN_SKIP || !(word & FAN_LINK)) {
            EXPECT(word == FAN_SKIP || task_at(sched, word)->stage != STAGE_FREE,
                   "task %u: task %u, which was forgotten, waits for it", index, word);
            at++;
        } else {
            at = word == FAN_END ? FAN_END : word & ~FAN_LINK;
        }
    }
    uint32_t count;
    const uint32_t *inputs = task_inputs(sched, task, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t producer = inputs[i] >> OUTPUT_BITS;
        EXPECT(task_at(sched, producer)->stage != STAGE_FREE || producer == sched->nobody,
               "task %u: its input %u is task %u, which was forgotten", index, i, producer);
    }
    return true;
}

static bool is_forgetting(const struct sched *sched)
{
    for (uint32_t i = sched->todo_at; i < sched->todo.count; i++)
        if (sched->todo.items[i].type == TODO_FORGET)
            return true;
    return false;
}

static bool check_tasks(const struct sched *sched, struct err *err)
{
    uint32_t ready = 0, in_flight = 0, committing = 0, queued = 0, answers = 0, live = 0;
    bool lists_are_whole = !is_forgetting(sched);
    AUTO(left_over_fini) struct left_over left = find_left_over(sched);
    for (uint32_t i = 0; i < sched->tasks.count; i++) {
        const struct task *task = task_at(sched, i);
        if (task->stage == STAGE_FREE)
            continue;
        live++;
        if (!check_task(sched, &left, i, err) || (lists_are_whole && !check_lists(sched, i, err)))
            return false;
        ready += task->stage == STAGE_READY;
        in_flight += task_is_in_flight(task);
        committing += task->stage == STAGE_COMMITTING;
    }
    for (uint32_t i = 0; i < sched->rules.count; i++)
        queued += sched->rules.items[i].queue.count;
    EXPECT(live == sched->live_tasks, "%u tasks live, counted %u", live, sched->live_tasks);
    EXPECT(ready == queued, "%u tasks are ready, %u are queued", ready, queued);
    EXPECT(in_flight == sched->flight_count, "%u tasks are in flight, counted %u", in_flight,
           sched->flight_count);
    for (uint32_t i = 0; i < sched->commits.count; i++)
        answers += sched->commits.items[i].type == COMMIT_ANSWER;
    EXPECT(committing + answers == sched->commits.count, "%u tasks are being committed, listed %u",
           committing, sched->commits.count - answers);
    return true;
}

static bool check_run(const struct sched *sched, uint32_t index, struct err *err)
{
    const struct run *run = &sched->runs.items[index];
    uint32_t counts[TASK_STATE_COUNT] = {0}, sum = 0;
    if (run->is_submitting || run->is_forgetting)
        return true;
    for (uint32_t i = 0; i < TASK_STATE_COUNT; i++)
        sum += run->counts[i];
    EXPECT(sum == run->node_count, "run %u: %u nodes, counted %u", index, run->node_count, sum);
    EXPECT(run->executed + run->hit == run->counts[TASK_SUCCEEDED],
           "run %u: %u executed and %u hits, but %u succeeded", index, run->executed, run->hit,
           run->counts[TASK_SUCCEEDED]);
    EXPECT(!run->is_over || run_open_count(run) == 0, "run %u: over with %u open tasks", index,
           run_open_count(run));
    EXPECT(run->is_over || run->is_checking || run_open_count(run) > 0 || sched->ended.count,
           "run %u: nothing is open, but it is not over", index);
    if (run->is_over || run->is_cancelled) /* frozen, or left some to other runs */
        return true;
    for (uint32_t i = 0; i < run->node_count; i++)
        counts[task_state_of(task_at(sched, run_task(run, i))->stage)]++;
    for (uint32_t i = 0; i < TASK_STATE_COUNT; i++)
        EXPECT(counts[i] == run->counts[i], "run %u: %u tasks are %s, counted %u", index, counts[i],
               task_state_name((enum task_state)i), run->counts[i]);
    return true;
}

/* Who has how much in flight, and which lanes have work. */
static bool check_lanes(const struct sched *sched, struct err *err)
{
    AUTO(mem_free) uint32_t *flights = mem_alloc((sched->runs.count + 1) * sizeof *flights);
    for (uint32_t i = 0; i < sched->tasks.count; i++) {
        const struct task *task = task_at(sched, i);
        if (task_is_in_flight(task))
            flights[rule_of(sched, task)->run]++;
    }
    for (uint32_t i = 0; i < sched->runs.count; i++)
        EXPECT(flights[i] == sched->runs.items[i].flights, "run %u: %u in flight, counted %u", i,
               flights[i], sched->runs.items[i].flights);
    uint32_t busy = 0;
    for (uint32_t i = 0; i < sched->lanes.count; i++) {
        const struct lane *lane = &sched->lanes.items[i];
        if (lane->run == NONE)
            continue;
        busy += lane->active_count > 0;
        EXPECT((lane->active_count > 0) == (lane->busy != NONE), "lane %u: %u rules, place %u", i,
               lane->active_count, lane->busy);
        EXPECT(lane->busy == NONE || sched->busy_lanes.items[lane->busy] == i,
               "lane %u: not where it should be listed", i);
    }
    EXPECT(busy == sched->busy_lanes.count, "%u lanes have work, listed %u", busy,
           sched->busy_lanes.count);
    return true;
}

/* What the flights of a worker take, and what others hold for it. */
static bool check_use(const struct sched *sched, uint32_t index, struct err *err)
{
    const struct worker *worker = &sched->workers.items[index];
    const struct offer *offer = &sched->offers.items[worker->offer];
    uint64_t cpu = 0, memory = 0, used[RESOURCES_MAX] = {0};
    uint32_t heavy = 0, expected = 0, leaving = 0;
    for (uint32_t at = worker->first; at != NONE; at = sched->flights.items[at].next) {
        const struct rule *rule = rule_of(sched, task_at(sched, sched->flights.items[at].task));
        cpu += rule->policy.cpu_hundredths;
        memory += rule->policy.memory_bytes;
        heavy += !rule->is_plain;
        leaving += sched->flights.items[at].thief != NONE;
        for (uint32_t i = 0; i < rule->policy.resource_count; i++)
            for (uint32_t j = 0; j < offer->resource_count; j++)
                if (strcmp(offer->resources[j].name, rule->policy.resources[i].name) == 0)
                    used[j] += rule->policy.resources[i].count;
    }
    for (uint32_t i = 0; i < sched->tasks.count; i++) {
        const struct task *task = task_at(sched, i);
        const struct flight *flight =
            task_is_in_flight(task) ? &sched->flights.items[task->place] : NULL;
        expected += flight && flight->thief == index && flight->thief_joined == worker->joined;
    }
    EXPECT(cpu == worker->cpu_used && memory == worker->memory_used && heavy == worker->heavy,
           "worker %u: %llu of cpu and %llu of memory are taken by %u, counted %llu, %llu, %u",
           index, (unsigned long long)cpu, (unsigned long long)memory, heavy,
           (unsigned long long)worker->cpu_used, (unsigned long long)worker->memory_used,
           worker->heavy);
    for (uint32_t i = 0; i < offer->resource_count; i++)
        EXPECT(used[i] == worker->used[i], "worker %u: %llu of %s are taken, counted %llu", index,
               (unsigned long long)used[i], offer->resources[i].name,
               (unsigned long long)worker->used[i]);
    EXPECT(expected == worker->expected && leaving == worker->leaving,
           "worker %u: %u are asked back for it and %u of its own, counted %u and %u", index,
           expected, leaving, worker->expected, worker->leaving);
    return true;
}

/* Its rest has an end; nothing waits there meanwhile; then it has one task of those given since. */
static bool check_rest(const struct sched *sched, uint32_t index, struct err *err)
{
    const struct worker *worker = &sched->workers.items[index];
    uint32_t entries = 0;
    for (uint32_t i = 0; i < sched->rests.count; i++)
        entries += sched->rests.entries[i].item == index &&
                   sched->rests.entries[i].minor == worker->joined;
    EXPECT(entries == worker->is_resting, "worker %u: its rest has %u ends", index, entries);
    EXPECT(!worker->is_resting || worker->rest_ms, "worker %u: rests, but is well", index);
    EXPECT((worker->rest_ms > 0) == rest_is_due(worker->rest_code),
           "worker %u: its rest of %u ms is of code %d", index, worker->rest_ms,
           (int)worker->rest_code);
    EXPECT(worker->trial == NONE || (worker->rest_ms && !worker->is_resting),
           "worker %u: is tried, but rests or is well", index);
    uint32_t begun = task_stamp(worker->rest_until - worker->rest_ms), tried = 0;
    for (uint32_t at = worker->first; at != NONE; at = sched->flights.items[at].next) {
        const struct flight *flight = &sched->flights.items[at];
        EXPECT(!worker->is_resting || flight->is_revoking || flight->is_killed ||
                   task_at(sched, flight->task)->stage == STAGE_RUNNING,
               "worker %u: rests, but task %u waits there", index, flight->task);
        bool is_since = worker->rest_ms && (int32_t)(flight->assigned_at - begun) > 0;
        EXPECT(!is_since || at == worker->trial, "worker %u: on trial, but has task %u as well",
               index, flight->task);
        tried += at == worker->trial;
    }
    EXPECT(worker->trial == NONE || tried, "worker %u: is tried with nothing", index);
    return true;
}

static bool check_worker(const struct sched *sched, uint32_t index, struct err *err)
{
    const struct worker *worker = &sched->workers.items[index];
    uint32_t flights = 0, started = 0, unacked = 0, previous = NONE;
    for (uint32_t at = worker->first; at != NONE; at = sched->flights.items[at].next) {
        const struct flight *flight = &sched->flights.items[at];
        EXPECT(flight->worker == index, "worker %u: lists a flight of %u", index, flight->worker);
        EXPECT(flight->previous == previous, "worker %u: its flights are badly linked", index);
        previous = at;
        flights++;
        started += task_at(sched, flight->task)->stage == STAGE_RUNNING;
    }
    for (uint32_t i = 0; i < sched->commits.count; i++)
        unacked += sched->commits.items[i].type == COMMIT_RESULT &&
                   sched->commits.items[i].worker == index &&
                   sched->commits.items[i].joined == worker->joined;
    EXPECT(flights == worker->flights, "worker %u: %u flights, counted %u", index, flights,
           worker->flights);
    EXPECT(started == worker->started, "worker %u: %u run, counted %u", index, started,
           worker->started);
    EXPECT(flights + unacked == worker->unacked, "worker %u: %u unacknowledged, counted %u", index,
           flights + unacked, worker->unacked);
    EXPECT(!worker->is_silent || flights == 0, "worker %u: silent, with flights", index);
    EXPECT(worker->room == room_now(sched, worker), "worker %u: its room is %u, listed under %u",
           index, room_now(sched, worker), worker->room);
    bool is_crowded = worker->flights > worker->slots || worker->is_over;
    EXPECT(is_crowded == (worker->crowd != NONE), "worker %u: crowded, but not listed", index);
    EXPECT(!is_crowded || sched->crowd.items[worker->crowd] == index,
           "worker %u: not where it should be in the crowd", index);
    return check_rest(sched, index, err) && check_use(sched, index, err);
}

static bool check_totals(const struct sched *sched, struct err *err)
{
    uint32_t workers = 0, slots = 0, crowd = 0, heavy = 0;
    uint64_t slots_taken = 0;
    for (uint32_t i = 0; i < sched->workers.count; i++) {
        const struct worker *worker = &sched->workers.items[i];
        workers += worker->is_used;
        slots += worker->is_used ? worker->slots : 0;
        crowd += worker->is_used && worker->crowd != NONE;
        for (uint32_t at = worker->is_used ? worker->first : NONE; at != NONE;
             at = sched->flights.items[at].next)
            slots_taken += rule_of(sched, task_at(sched, sched->flights.items[at].task))->slots;
    }
    for (uint32_t i = 0; i < sched->rules.count; i++)
        heavy += sched->rules.items[i].run != NONE && sched->rules.items[i].queue.count &&
                 !sched->rules.items[i].is_plain;
    EXPECT(workers == sched->worker_count && slots == sched->slots,
           "%u workers of %u slots, counted %u and %u", workers, slots, sched->worker_count,
           sched->slots);
    EXPECT(crowd == sched->crowd.count, "%u workers are crowded, listed %u", crowd,
           sched->crowd.count);
    EXPECT(slots_taken == sched->slots_taken, "flights take %llu slots, counted %llu",
           (unsigned long long)slots_taken, (unsigned long long)sched->slots_taken);
    EXPECT(heavy == sched->heavy_ready, "%u rules are ready and not plain, counted %u", heavy,
           sched->heavy_ready);
    return true;
}

/* Nobody is idle while there is work that fits what is free there; and what may wait at a worker
 * doesn't wait here. */
static bool check_dispatch(const struct sched *sched, struct err *err)
{
    if (!sched->has_quorum)
        return true;
    EXPECT(sched->dirty.count == 0, "%u offers were not looked at", sched->dirty.count);
    EXPECT(sched->gained.count == 0, "%u workers were not looked at", sched->gained.count);
    for (uint32_t i = 0; i < sched->workers.count; i++) {
        const struct worker *worker = &sched->workers.items[i];
        if (!worker->is_used || worker->room == ROOM_NONE)
            continue;
        for (uint32_t j = 0; j < sched->rules.count; j++) {
            const struct rule *rule = &sched->rules.items[j];
            if (rule->run == NONE || !rule->queue.count ||
                sched->runs.items[rule->run].is_cancelled ||
                !match_fits(&rule->policy, &sched->offers.items[worker->offer]))
                continue;
            EXPECT(worker->room != ROOM_FREE || !room_may_take(sched, worker, j, ROOM_FREE),
                   "worker %u could start one of %u ready tasks of rule %u", i, rule->queue.count,
                   j);
            EXPECT(!room_may_take(sched, worker, j, ROOM_DEEP),
                   "worker %u has room while %u tasks of rule %u are ready", i, rule->queue.count,
                   j);
        }
    }
    return true;
}

bool sched_check(const struct sched *sched, struct err *err)
{
    if (!check_tasks(sched, err))
        return false;
    for (uint32_t i = 0; i < sched->runs.count; i++)
        if (sched->runs.items[i].is_used && !check_run(sched, i, err))
            return false;
    for (uint32_t i = 0; i < sched->workers.count; i++)
        if (sched->workers.items[i].is_used && !check_worker(sched, i, err))
            return false;
    if (!check_lanes(sched, err) || !check_totals(sched, err))
        return false;
    EXPECT(sched->stack.count == 0, "%u tasks were left on the stack", sched->stack.count);
    return check_dispatch(sched, err);
}
