// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/submit.h"

#include <string.h>

#include "broker/sched/fan.h"
#include "broker/sched/forget.h"
#include "broker/sched/grow.h"
#include "broker/sched/rank.h"
#include "broker/sched/rule.h"
#include "broker/sched/run.h"
#include "broker/sched/share.h"
#include "broker/sched/submission.h"
#include "broker/sched/task.h"
#include "broker/sched/todo.h"
#include "common/base/mem.h"

enum { PREFETCH_NODES = 16 };

void submit_restore(struct sched *sched, const struct sched_event *event)
{
    if (!event->restore.count)
        sched->known.count = sched->known_outputs.count = 0;
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

static struct run *run_at(struct sched *sched, const struct submission *submission)
{
    return &sched->runs.items[submission->run];
}

/* ---- records ---- */

static const struct id *known_id(const void *context, uint32_t index)
{
    const struct submission *submission = context;
    return &submission->known[index].id;
}

/* Records mostly come in the order of nodes, so the next one is tried before the map is asked.
 * False: the map has to be made first. */
static bool find_record(struct submission *submission, const struct id *id,
                        const struct known **out)
{
    uint32_t count = submission->known_count, at = submission->known_next;
    *out = NULL;
    if (at < count && id_equal(&submission->known[at].id, id)) {
        *out = &submission->known[at];
        submission->known_next++;
        return true;
    }
    if (submission->known_at < count)
        return false;
    at = count ? id_map_get(&submission->known_map, id) : ID_MAP_NONE;
    if (at == ID_MAP_NONE)
        return true;
    *out = &submission->known[at];
    submission->known_next = at + 1;
    return true;
}

/* ---- nodes become tasks ---- */

static bool is_forced(const struct submission *submission, uint32_t node)
{
    return submission->is_forced && submission->is_forced[node] == SCHED_FORCED;
}

/* It was forced, and that was done before a restart. */
static bool has_run(const struct submission *submission, uint32_t node)
{
    return submission->is_forced && submission->is_forced[node] == SCHED_FORCED_DONE;
}

/* What is to run again may make other bytes: what was made of them is looked up by its action. */
static bool is_stale(struct sched *sched, const struct submission *submission, uint32_t node)
{
    if (!submission->is_forced)
        return false;
    const struct task_node *from = &submission->nodes[node];
    const struct task_edge *edges = submission->edges + from->first_edge;
    for (uint32_t i = 0; i < from->edge_count; i++) {
        uint32_t producer = run_at(sched, submission)->node_tasks[edges[i].task];
        if (task_at(sched, producer)->flags & (FLAG_FORCED | FLAG_STALE))
            return true;
    }
    return false;
}

static uint32_t take_index(struct sched *sched)
{
    sched->live_tasks++;
    if (sched->free_tasks.count > 0)
        return sched->free_tasks.items[--sched->free_tasks.count];
    ASSERT(sched->tasks.count < TASK_INDEX_MAX && sched->tasks.count < sched->tasks.capacity);
    return sched->tasks.count++;
}

/* `attempt`: of a task of this id that ended, so that its stale attempts are not mistaken for
 * new ones. */
static uint32_t new_task(struct sched *sched, const struct submission *submission, uint32_t node,
                         const struct known *known, uint16_t attempt)
{
    const struct task_node *from = &submission->nodes[node];
    uint32_t index = take_index(sched);
    struct task *task = task_at(sched, index);
    *task = (struct task){.id = from->id,
                          .spec = from->spec,
                          .spec_bytes = from->spec_bytes,
                          .rule = run_at(sched, submission)->rules[from->policy],
                          .first_input = NONE,
                          .dependants = FAN_END,
                          .worker = NONE,
                          .place = node, /* until the submission is done */
                          .attempt = attempt,
                          .stage = STAGE_NEW,
                          .flags = FLAG_LISTED};
    if (is_forced(submission, node)) {
        task->flags |= FLAG_FORCED | FLAG_WANTED;
    } else if (is_stale(sched, submission, node) && !has_run(submission, node)) {
        task->flags |= FLAG_STALE;
    } else if (known) {
        if (has_run(submission, node)) /* what is below it is stale */
            task->flags |= FLAG_FORCED;
        task->stage = STAGE_SUCCEEDED;
        task->flags |= FLAG_HIT;
        task->finished_at = task_stamp(sched->now);
        if (known->output_count)
            task_set_outputs(sched, task, submission->known_outputs + known->first_output,
                             known->output_count);
    }
    id_map_put(&sched->ids, &task->id, index);
    return index;
}

/* Does what is there wait for the very tasks that this run has? Not if one of them has ended there,
 * and this run has a new one of its id. */
static bool has_same_producers(struct sched *sched, const struct submission *submission,
                               uint32_t node, const struct task *task)
{
    const struct task_node *from = &submission->nodes[node];
    const uint32_t *node_tasks = run_at(sched, submission)->node_tasks;
    uint32_t count;
    const uint32_t *inputs = task_inputs(sched, task, &count);
    if (count != from->edge_count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (inputs[i] >> OUTPUT_BITS != node_tasks[submission->edges[from->first_edge + i].task])
            return false;
    return true;
}

/* Can a node be the task that is there already? Not if that one failed or was cancelled: its
 * former runs keep what they saw. Of two tasks with one id, only the newer may still run. */
static bool is_shareable(struct sched *sched, const struct submission *submission, uint32_t node,
                         const struct task *task)
{
    bool is_waiting = task->stage == STAGE_WAITING || task->stage == STAGE_UNNEEDED;
    if (is_waiting && !has_same_producers(sched, submission, node, task))
        return false;
    return !task_is_final(task) || task->stage == STAGE_SUCCEEDED || task->stage == STAGE_UNNEEDED;
}

/* How many nodes of this run a new task is; no other run has it yet. */
static uint32_t count_nodes(const struct sched *sched, uint32_t index)
{
    uint32_t share = share_first(sched, task_at(sched, index), index);
    return share == NONE ? 1 : sched->shares.items[share].nodes;
}

/* Listed before, by a node that is not forced, and found: one force is enough. */
static void force_listed(struct sched *sched, const struct submission *submission, uint32_t index)
{
    struct task *task = task_at(sched, index);
    struct run *run = run_at(sched, submission);
    uint32_t nodes = count_nodes(sched, index) - 1;
    if (task->stage == STAGE_SUCCEEDED) {
        run->counts[TASK_SUCCEEDED] -= nodes;
        run->counts[TASK_WAITING] += nodes;
        run->hit -= nodes;
    }
    task->stage = STAGE_NEW;
    task->flags = (uint16_t)((task->flags & ~FLAG_HIT) | FLAG_FORCED);
    task_drop_outputs(sched, task);
    task->outputs = 0;
    task->finished_at = 0;
}

/* What was there may read a task that ended in its former run, or was forgotten with it, where this
 * run has a new one of that id: should it have to run again, it waits for the new one. */
static void leave_dead_inputs(struct sched *sched, const struct submission *submission,
                              uint32_t node, uint32_t index)
{
    const struct task_node *from = &submission->nodes[node];
    const struct task *task = task_at(sched, index);
    uint32_t count;
    task_inputs(sched, task, &count);
    for (uint32_t i = 0; i < count && i < from->edge_count; i++) {
        uint32_t *input = &sched->inputs.items[task->first_input + 1 + i];
        const struct task *before = task_at(sched, *input >> OUTPUT_BITS);
        const struct task_edge *edge = &submission->edges[from->first_edge + i];
        uint32_t producer = run_at(sched, submission)->node_tasks[edge->task];
        const struct task *named = task_at(sched, producer);
        bool is_gone = before->stage == STAGE_FREE || !id_equal(&before->id, &named->id);
        bool has_ended = task_is_final(before) && before->stage != STAGE_SUCCEEDED;
        if (producer == *input >> OUTPUT_BITS || (!is_gone && !has_ended))
            continue;
        if (!is_gone)
            forget_note_stray(sched, *input >> OUTPUT_BITS);
        *input = producer << OUTPUT_BITS | edge->output;
        task_at(sched, index)->flags |= FLAG_REMADE;
        fan_add(sched, producer, index);
    }
}

static void share_task(struct sched *sched, const struct submission *submission, uint32_t node,
                       uint32_t index)
{
    const struct task_node *from = &submission->nodes[node];
    struct task *task = task_at(sched, index);
    bool is_new = task->flags & FLAG_LISTED, forced = is_forced(submission, node);
    if (forced && !is_new && task->stage == STAGE_SUCCEEDED) { /* in another run: once more */
        task_take_back(sched, index);
        task->stage = STAGE_NEW;
    }
    if (forced)
        task->flags |= FLAG_WANTED;
    share_add(sched, index, submission->run, run_at(sched, submission)->rules[from->policy],
              from->spec, from->spec_bytes);
    if (is_new && forced)
        force_listed(sched, submission, index);
    leave_dead_inputs(sched, submission, node, index);
    share_rehome(sched, index);
}

static uint32_t task_of_node(struct sched *sched, const struct submission *submission,
                             uint32_t node, const struct known *known)
{
    const struct id *id = &submission->nodes[node].id;
    uint32_t index = id_map_get(&sched->ids, id);
    if (index != ID_MAP_NONE && is_shareable(sched, submission, node, task_at(sched, index))) {
        share_task(sched, submission, node, index);
        return index;
    }
    uint16_t attempt = index == ID_MAP_NONE ? 0 : task_at(sched, index)->attempt;
    if (index != ID_MAP_NONE)
        id_map_remove(&sched->ids, id);
    return new_task(sched, submission, node, known, attempt);
}

static uint32_t add_node(struct sched *sched, struct submission *submission, uint32_t node)
{
    const struct known *known;
    if (!find_record(submission, &submission->nodes[node].id, &known)) {
        submission->pass = SUBMIT_INDEX;
        return 0;
    }
    if (node + PREFETCH_NODES < submission->node_count)
        id_map_prefetch(&sched->ids, &submission->nodes[node + PREFETCH_NODES].id);
    uint32_t index = task_of_node(sched, submission, node, known);
    struct run *run = run_at(sched, submission);
    enum stage stage = (enum stage)task_at(sched, index)->stage;
    run->counts[task_state_of(stage)]++;
    run->hit += stage == STAGE_SUCCEEDED;
    run->node_tasks[node] = index;
    if (node == 0)
        run->first_task = index;
    submission->is_dense &= index == run->first_task + node;
    bool is_shared = !(task_at(sched, index)->flags & FLAG_LISTED);
    return submission->is_forced || is_shared ? submission->nodes[node].edge_count : 0;
}

/* ---- need ---- */

/* Backwards, so that whoever wants a task has been seen before it, and has its final rank. */
static uint32_t mark_wanted(struct sched *sched, struct submission *submission, uint32_t node)
{
    const uint8_t *is_target = submission->is_target;
    struct task *task = task_at(sched, run_task(run_at(sched, submission), node));
    if (is_target ? is_target[node] : !submission->has_dependants[node])
        task->flags |= FLAG_LEAF | FLAG_WANTED;
    bool is_new = task->flags & FLAG_LISTED;
    if (task_is_final(task) || task->stage == STAGE_COMMITTING ||
        (is_new && (task->place != node || !(task->flags & FLAG_WANTED))))
        return 0;
    uint32_t count;
    const uint32_t *inputs = task_inputs(sched, task, &count);
    for (uint32_t j = 0; j < count; j++) {
        uint32_t producer = inputs[j] >> OUTPUT_BITS;
        if (is_new) /* what was there before has seen to its inputs */
            task_at(sched, producer)->flags |= FLAG_WANTED;
        rank_raise(sched, producer, rank_above(task->rank));
    }
    return count;
}

/* A new task's first stage. Its counts said waiting so far. */
static void begin_task(struct sched *sched, const struct submission *submission, uint32_t index,
                       bool is_wanted)
{
    struct task *task = task_at(sched, index);
    task->place = NONE;
    if (task->stage == STAGE_SUCCEEDED)
        return;
    if (is_wanted) {
        task_settle(sched, index);
        return;
    }
    uint32_t nodes = count_nodes(sched, index);
    struct run *run = run_at(sched, submission);
    run->counts[TASK_WAITING] -= nodes;
    run->counts[TASK_UNNEEDED] += nodes;
    task->stage = STAGE_UNNEEDED;
}

static uint32_t begin_node(struct sched *sched, struct submission *submission, uint32_t node)
{
    uint32_t index = run_task(run_at(sched, submission), node);
    struct task *task = task_at(sched, index);
    bool is_new = task->flags & FLAG_LISTED, is_wanted = task->flags & FLAG_WANTED;
    task->flags &= (uint16_t) ~(FLAG_LISTED | FLAG_WANTED);
    if (is_new)
        begin_task(sched, submission, index, is_wanted);
    else if (task->stage == STAGE_WAITING || task->stage == STAGE_NEW ||
             (is_wanted && task->stage == STAGE_UNNEEDED))
        task_settle(sched, index);
    return submission->nodes[node].edge_count;
}

/* ---- passes ---- */

static void open_tasks(struct sched *sched, struct submission *submission)
{
    uint32_t count = submission->node_count;
    sched->tasks.items = grow_reserve(sched->tasks.items, &sched->tasks.capacity,
                                      sched->tasks.count + count, sizeof *sched->tasks.items);
    id_map_reserve(&sched->ids, sched->ids.count + count + 1);
    submission->has_dependants = mem_alloc((size_t)count + 1);
    submission->consumers = mem_alloc(((size_t)count + 1) * sizeof *submission->consumers);
}

static void index_records(struct sched *sched, struct submission *submission)
{
    uint32_t count = submission->known_count;
    if (!submission->known_at)
        id_map_reserve(&submission->known_map, count);
    for (; submission->known_at < count && sched->work_left > 0; submission->known_at++) {
        sched->work_left--;
        const struct id *id = &submission->known[submission->known_at].id;
        if (id_map_get(&submission->known_map, id) == ID_MAP_NONE)
            id_map_put(&submission->known_map, id, submission->known_at);
    }
    if (submission->known_at == count)
        submission->pass = SUBMIT_ADD; /* goes on where it was */
}

static void forget_records(struct submission *submission)
{
    id_map_fini(&submission->known_map);
    mem_free(TAKE(submission->known));
    mem_free(TAKE(submission->known_outputs));
}

typedef uint32_t visit_fn(struct sched *sched, struct submission *submission, uint32_t node);

static visit_fn *const visits[SUBMIT_DONE] = {
    [SUBMIT_ADD] = add_node,  [SUBMIT_COUNT] = fan_count,  [SUBMIT_LAY] = fan_lay,
    [SUBMIT_FILL] = fan_fill, [SUBMIT_WANT] = mark_wanted, [SUBMIT_BEGIN] = begin_node,
};

static void end_pass(struct sched *sched, struct submission *submission)
{
    struct run *run = run_at(sched, submission);
    if (submission->pass == SUBMIT_ADD) {
        forget_records(submission);
        if (submission->is_dense)
            mem_free(TAKE(run->node_tasks));
    }
    submission->pass++;
    submission->at = 0;
    if (submission->pass == SUBMIT_INDEX)
        submission->pass = SUBMIT_COUNT;
    if (submission->pass == SUBMIT_LAY)
        fan_reserve(sched, submission);
    if (submission->pass == SUBMIT_LAY && !submission->fan_words)
        submission->pass = SUBMIT_WANT;
}

static void go_through(struct sched *sched, struct submission *submission)
{
    enum submit_pass pass = submission->pass;
    uint32_t count = submission->node_count;
    while (submission->at < count && sched->work_left > 0) {
        uint32_t node = pass == SUBMIT_WANT ? count - 1 - submission->at : submission->at;
        sched->work_left -= 1 + (int64_t)visits[pass](sched, submission, node);
        if (submission->pass != pass)
            return;
        submission->at++;
    }
    if (submission->at == count)
        end_pass(sched, submission);
}

bool submit_go_on(struct sched *sched, struct submission *submission)
{
    while (submission->pass != SUBMIT_DONE && sched->work_left > 0) {
        if (submission->pass == SUBMIT_OPEN) {
            open_tasks(sched, submission);
            submission->pass = SUBMIT_ADD;
        } else if (submission->pass == SUBMIT_INDEX) {
            index_records(sched, submission);
        } else {
            go_through(sched, submission);
        }
    }
    if (submission->pass != SUBMIT_DONE)
        return false;
    run_at(sched, submission)->is_submitting = false;
    VECTOR_PUSH(sched->ended, submission->run);
    submit_free(submission);
    return true;
}

void submit_free(struct submission *submission)
{
    forget_records(submission);
    mem_free(submission->has_dependants);
    mem_free(submission->consumers);
    mem_free(submission);
}

static void open_run(struct sched *sched, const struct sched_event *event)
{
    uint32_t index = event->submit.run, count = event->submit.node_count;
    GROW_ZERO(sched->runs.items, sched->runs.capacity, index + 1);
    if (sched->runs.count <= index)
        sched->runs.count = index + 1;
    ASSERT(!sched->runs.items[index].is_used);
    struct run *run = &sched->runs.items[index];
    *run = (struct run){.is_used = true, .is_submitting = true, .node_count = count};
    run->node_tasks = mem_alloc(((size_t)count + 1) * sizeof *run->node_tasks);
    rule_add_run(sched, index, event);
}

void submit_run(struct sched *sched, const struct sched_event *event)
{
    open_run(sched, event);
    struct submission *submission = mem_alloc(sizeof *submission);
    *submission = (struct submission){.run = event->submit.run,
                                      .nodes = event->submit.nodes,
                                      .edges = event->submit.edges,
                                      .is_target = event->submit.is_target,
                                      .is_forced = event->submit.is_forced,
                                      .node_count = event->submit.node_count,
                                      .is_dense = true,
                                      .known = sched->known.items,
                                      .known_outputs = sched->known_outputs.items,
                                      .known_count = sched->known.count};
    submission->known_map = id_map_init(known_id, submission);
    memset(&sched->known, 0, sizeof sched->known);
    memset(&sched->known_outputs, 0, sizeof sched->known_outputs);
    todo_push(sched, (struct todo){
                         .type = TODO_SUBMIT, .index = submission->run, .submission = submission});
}
