// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/submit.h"

#include <string.h>

#include "broker/sched/fan.h"
#include "broker/sched/grow.h"
#include "broker/sched/rank.h"
#include "broker/sched/rule.h"
#include "broker/sched/run.h"
#include "broker/sched/share.h"
#include "broker/sched/task.h"
#include "common/base/mem.h"

enum { PREFETCH_NODES = 16 };

void submit_restore(struct sched *sched, const struct sched_event *event)
{
    for (uint32_t i = 0; i < event->restore.count; i++) {
        const struct sched_known *record = &event->restore.records[i];
        if (record->output_count > OUTPUTS_MAX)
            continue;
        uint32_t first = sched->known_outputs.count, count = record->output_count;
        VECTOR_PUSH(sched->known, ((struct known){event->restore.tasks[i], first, count}));
        if (!count)
            continue;
        GROW(sched->known_outputs.items, sched->known_outputs.capacity, first + count);
        memcpy(&sched->known_outputs.items[first], record->outputs,
               count * sizeof *record->outputs);
        sched->known_outputs.count += count;
    }
}

/* ---- records ---- */

static const struct id *known_id(const void *context, uint32_t index)
{
    const struct sched *sched = context;
    return &sched->known.items[index].id;
}

/* Records mostly come in the order of nodes, so the next one is tried before a map is made. */
struct lookup {
    struct id_map map;
    uint32_t next;
    bool has_map;
};

static const struct known *find_record(const struct sched *sched, struct lookup *lookup,
                                       const struct id *id)
{
    uint32_t count = sched->known.count;
    if (lookup->next < count && id_equal(&sched->known.items[lookup->next].id, id))
        return &sched->known.items[lookup->next++];
    if (!count)
        return NULL;
    if (!lookup->has_map) {
        lookup->has_map = true;
        id_map_reserve(&lookup->map, count);
        for (uint32_t i = 0; i < count; i++)
            if (id_map_get(&lookup->map, &sched->known.items[i].id) == ID_MAP_NONE)
                id_map_put(&lookup->map, &sched->known.items[i].id, i);
    }
    uint32_t at = id_map_get(&lookup->map, id);
    if (at == ID_MAP_NONE)
        return NULL;
    lookup->next = at + 1;
    return &sched->known.items[at];
}

/* ---- nodes become tasks ---- */

struct submission {
    struct sched *sched;
    const struct sched_event *event;
    uint32_t run_index;
    struct run *run;
    struct lookup lookup;
};

static bool is_forced(const struct submission *submission, uint32_t node)
{
    const uint8_t *forced = submission->event->submit.is_forced;
    return forced && forced[node];
}

/* What is to run again may make other bytes: what was made of them is looked up by its action. */
static bool is_stale(const struct submission *submission, uint32_t node)
{
    if (!submission->event->submit.is_forced)
        return false;
    const struct task_node *from = &submission->event->submit.nodes[node];
    const struct task_edge *edges = submission->event->submit.edges + from->first_edge;
    for (uint32_t i = 0; i < from->edge_count; i++) {
        uint32_t producer = submission->run->node_tasks[edges[i].task];
        if (task_at(submission->sched, producer)->flags & (FLAG_FORCED | FLAG_STALE))
            return true;
    }
    return false;
}

static uint32_t take_index(struct sched *sched)
{
    if (sched->free_tasks.count > 0)
        return sched->free_tasks.items[--sched->free_tasks.count];
    ASSERT(sched->tasks.count < TASK_INDEX_MAX);
    return sched->tasks.count++;
}

/* `attempt`: of a task of this id that ended, so that its stale attempts are not mistaken for
 * new ones. */
static uint32_t new_task(struct submission *submission, uint32_t node, uint16_t attempt)
{
    struct sched *sched = submission->sched;
    const struct task_node *from = &submission->event->submit.nodes[node];
    uint32_t index = take_index(sched);
    struct task *task = task_at(sched, index);
    *task = (struct task){.id = from->id,
                          .spec = from->spec,
                          .spec_bytes = from->spec_bytes,
                          .rule = submission->run->rules[from->policy],
                          .first_input = NONE,
                          .dependants = FAN_END,
                          .worker = NONE,
                          .place = node, /* until the submission is done */
                          .attempt = attempt,
                          .stage = STAGE_WAITING,
                          .flags = FLAG_LISTED};
    if (is_forced(submission, node)) {
        task->flags |= FLAG_FORCED | FLAG_WANTED;
    } else if (is_stale(submission, node)) {
        task->flags |= FLAG_STALE;
    } else {
        const struct known *known = find_record(sched, &submission->lookup, &from->id);
        if (known) {
            task->stage = STAGE_SUCCEEDED;
            task->flags |= FLAG_HIT;
            task->finished_at = task_stamp(sched->now);
            if (known->output_count)
                task_set_outputs(sched, task, sched->known_outputs.items + known->first_output,
                                 known->output_count);
        }
    }
    id_map_put(&sched->ids, &task->id, index);
    return index;
}

/* Can a node be the task that is there already? Not if that one failed or was cancelled: its
 * former runs keep what they saw. Of two tasks with one id, only the newer may still run. */
static bool is_shareable(const struct task *task)
{
    return !task_is_final(task) || task->stage == STAGE_SUCCEEDED || task->stage == STAGE_UNNEEDED;
}

static uint32_t share_task(struct submission *submission, uint32_t node, uint32_t index)
{
    struct sched *sched = submission->sched;
    const struct task_node *from = &submission->event->submit.nodes[node];
    struct task *task = task_at(sched, index);
    bool is_new = task->flags & FLAG_LISTED;
    if (is_forced(submission, node))
        task->flags |= FLAG_WANTED;
    share_add(sched, index, submission->run_index, submission->run->rules[from->policy], from->spec,
              from->spec_bytes);
    if (is_new && is_forced(submission, node)) {
        /* listed before, by a node that is not forced: one force is enough */
        task->stage = STAGE_WAITING;
        task->flags = (uint16_t)((task->flags & ~FLAG_HIT) | FLAG_FORCED);
        task->outputs = task->output_count = 0;
        task->finished_at = 0;
    }
    share_rehome(sched, index);
    return index;
}

/* Forced nodes whose task succeeded in another run: it is to run again. */
static void take_back_forced(struct submission *submission)
{
    struct sched *sched = submission->sched;
    for (uint32_t i = 0; i < submission->event->submit.node_count; i++) {
        if (!is_forced(submission, i))
            continue;
        uint32_t index = id_map_get(&sched->ids, &submission->event->submit.nodes[i].id);
        if (index != ID_MAP_NONE && task_at(sched, index)->stage == STAGE_SUCCEEDED)
            task_take_back(sched, index);
    }
}

static void add_nodes(struct submission *submission)
{
    struct sched *sched = submission->sched;
    const struct task_node *nodes = submission->event->submit.nodes;
    uint32_t count = submission->event->submit.node_count;
    struct run *run = submission->run;
    bool is_dense = true;
    for (uint32_t i = 0; i < count; i++) {
        if (i + PREFETCH_NODES < count) {
            uint64_t hash = id_hash(&nodes[i + PREFETCH_NODES].id);
            __builtin_prefetch(&sched->ids.slots[(uint32_t)hash & sched->ids.mask]);
        }
        uint32_t index = id_map_get(&sched->ids, &nodes[i].id);
        if (index != ID_MAP_NONE && is_shareable(task_at(sched, index))) {
            index = share_task(submission, i, index);
        } else {
            uint16_t attempt = index == ID_MAP_NONE ? 0 : task_at(sched, index)->attempt;
            if (index != ID_MAP_NONE)
                id_map_remove(&sched->ids, &nodes[i].id);
            index = new_task(submission, i, attempt);
        }
        run->node_tasks[i] = index;
        if (i == 0)
            run->first_task = index;
        is_dense &= index == run->first_task + i;
    }
    if (is_dense) {
        mem_free(run->node_tasks);
        run->node_tasks = NULL;
    }
}

/* ---- need ---- */

/* Backwards, so that whoever wants a task has been seen before it, and has its final rank. */
static void mark_wanted(struct submission *submission, const uint8_t *has_dependants)
{
    struct sched *sched = submission->sched;
    const uint8_t *is_target = submission->event->submit.is_target;
    for (uint32_t i = submission->event->submit.node_count; i-- > 0;) {
        struct task *task = task_at(sched, run_task(submission->run, i));
        if (is_target ? is_target[i] : !has_dependants[i])
            task->flags |= FLAG_LEAF | FLAG_WANTED;
        bool is_new = task->flags & FLAG_LISTED;
        if (task_is_final(task) || task->stage == STAGE_COMMITTING ||
            (is_new && (task->place != i || !(task->flags & FLAG_WANTED))))
            continue;
        uint32_t count;
        const uint32_t *inputs = task_inputs(sched, task, &count);
        for (uint32_t j = 0; j < count; j++) {
            uint32_t producer = inputs[j] >> OUTPUT_BITS;
            if (is_new) /* what was there before has seen to its inputs */
                task_at(sched, producer)->flags |= FLAG_WANTED;
            rank_raise(sched, producer, rank_above(task->rank));
        }
    }
}

/* A new task's first stage. Its counts said waiting so far. */
static void begin_task(struct submission *submission, uint32_t index, bool is_wanted)
{
    struct sched *sched = submission->sched;
    struct task *task = task_at(sched, index);
    task->place = NONE;
    if (task->stage == STAGE_SUCCEEDED)
        return;
    if (is_wanted) {
        task_settle(sched, index);
        return;
    }
    uint32_t nodes = 1;
    for (uint32_t at = share_first(sched, task, index); at != NONE;
         at = sched->shares.items[at].next)
        nodes = sched->shares.items[at].nodes;
    submission->run->counts[TASK_WAITING] -= nodes;
    submission->run->counts[TASK_UNNEEDED] += nodes;
    task->stage = STAGE_UNNEEDED;
}

static void count_nodes(struct submission *submission)
{
    struct run *run = submission->run;
    for (uint32_t i = 0; i < run->node_count; i++) {
        const struct task *task = task_at(submission->sched, run_task(run, i));
        run->counts[task_state_of(task->stage)]++;
        run->hit += task->stage == STAGE_SUCCEEDED;
    }
}

static void begin_tasks(struct submission *submission)
{
    struct sched *sched = submission->sched;
    count_nodes(submission);
    for (uint32_t i = 0; i < submission->event->submit.node_count; i++) {
        uint32_t index = run_task(submission->run, i);
        struct task *task = task_at(sched, index);
        bool is_new = task->flags & FLAG_LISTED, is_wanted = task->flags & FLAG_WANTED;
        task->flags &= (uint16_t) ~(FLAG_LISTED | FLAG_WANTED);
        if (is_new)
            begin_task(submission, index, is_wanted);
        else if (task->stage == STAGE_WAITING || (is_wanted && task->stage == STAGE_UNNEEDED))
            task_settle(sched, index);
    }
}

static void open_run(struct submission *submission)
{
    struct sched *sched = submission->sched;
    uint32_t index = submission->run_index, count = submission->event->submit.node_count;
    GROW(sched->runs.items, sched->runs.capacity, index + 1);
    if (sched->runs.count <= index)
        sched->runs.count = index + 1;
    ASSERT(!sched->runs.items[index].is_used);
    struct run *run = submission->run = &sched->runs.items[index];
    *run = (struct run){.is_used = true, .node_count = count};
    run->node_tasks = mem_alloc((size_t)count * sizeof *run->node_tasks + 1);
    rule_add_run(sched, index, submission->event);
    sched->tasks.items = grow_reserve(sched->tasks.items, &sched->tasks.capacity,
                                      sched->tasks.count + count, sizeof *sched->tasks.items);
    id_map_reserve(&sched->ids, sched->ids.count + count + 1);
}

void submit_run(struct sched *sched, const struct sched_event *event)
{
    struct submission submission = {.sched = sched,
                                    .event = event,
                                    .run_index = event->submit.run,
                                    .lookup = {.map = id_map_init(known_id, sched)}};
    open_run(&submission);
    if (event->submit.is_forced)
        take_back_forced(&submission);
    add_nodes(&submission);
    AUTO(mem_free) uint8_t *has_dependants = mem_alloc((size_t)event->submit.node_count + 1);
    fan_add(sched, submission.run, event, has_dependants);
    mark_wanted(&submission, has_dependants);
    begin_tasks(&submission);
    id_map_fini(&submission.lookup.map);
    mem_free(sched->known.items);
    mem_free(sched->known_outputs.items);
    memset(&sched->known, 0, sizeof sched->known);
    memset(&sched->known_outputs, 0, sizeof sched->known_outputs);
    VECTOR_PUSH(sched->ended, submission.run_index);
}
