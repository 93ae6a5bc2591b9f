// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/fan.h"

#include "broker/sched/grow.h"
#include "broker/sched/run.h"

static uint32_t task_of(const struct sched *sched, const struct submission *submission,
                        uint32_t node)
{
    return run_task(&sched->runs.items[submission->run], node);
}

/* Is this node the one that its new task was made for? */
static bool is_first_node(const struct task *task, uint32_t node)
{
    return (task->flags & FLAG_LISTED) && task->place == node;
}

uint32_t fan_count(struct sched *sched, struct submission *submission, uint32_t index)
{
    const struct task_node *node = &submission->nodes[index];
    bool is_first = is_first_node(task_at(sched, task_of(sched, submission, index)), index);
    for (uint32_t j = 0; j < node->edge_count; j++) {
        const struct task_edge *edge = &submission->edges[node->first_edge + j];
        ASSERT(edge->task < index && edge->output < OUTPUTS_MAX);
        submission->has_dependants[edge->task] = 1;
        if (!is_first)
            continue;
        submission->fan_words += submission->consumers[edge->task] ? 1 : 2;
        submission->consumers[edge->task]++;
    }
    if (is_first && node->edge_count)
        submission->input_words += node->edge_count + 1;
    return node->edge_count;
}

void fan_reserve(struct sched *sched, const struct submission *submission)
{
    sched->inputs.items =
        grow_reserve(sched->inputs.items, &sched->inputs.capacity,
                     sched->inputs.count + submission->input_words, sizeof *sched->inputs.items);
    sched->fans.items =
        grow_reserve(sched->fans.items, &sched->fans.capacity,
                     sched->fans.count + submission->fan_words, sizeof *sched->fans.items);
}

uint32_t fan_lay(struct sched *sched, struct submission *submission, uint32_t index)
{
    uint32_t count = submission->consumers[index];
    if (!count)
        return 0;
    struct task *producer = task_at(sched, task_of(sched, submission, index));
    uint32_t first = sched->fans.count, last = first + count, before = producer->dependants;
    sched->fans.count += count + 1;
    ASSERT(sched->fans.count < FAN_LINK);
    sched->fans.items[last] = before == FAN_END ? FAN_END : FAN_LINK | before;
    producer->dependants = first;
    submission->consumers[index] = first;
    /* A producer that was there before may be walked along meanwhile: over what is not filled in
     * yet to what is behind it. */
    for (uint32_t i = first; i < last; i++)
        sched->fans.items[i] = FAN_LINK | last;
    return count;
}

uint32_t fan_fill(struct sched *sched, struct submission *submission, uint32_t index)
{
    const struct task_node *node = &submission->nodes[index];
    uint32_t consumer = task_of(sched, submission, index);
    struct task *task = task_at(sched, consumer);
    if (!node->edge_count || !is_first_node(task, index))
        return 0;
    task->first_input = sched->inputs.count;
    sched->inputs.items[sched->inputs.count++] = node->edge_count;
    for (uint32_t j = 0; j < node->edge_count; j++) {
        const struct task_edge *edge = &submission->edges[node->first_edge + j];
        uint32_t producer = task_of(sched, submission, edge->task);
        sched->inputs.items[sched->inputs.count++] = producer << OUTPUT_BITS | edge->output;
        sched->fans.items[submission->consumers[edge->task]++] = consumer;
    }
    return node->edge_count;
}

void fan_add(struct sched *sched, uint32_t producer, uint32_t consumer)
{
    struct task *task = task_at(sched, producer);
    uint32_t first = sched->fans.count, before = task->dependants;
    ASSERT(first + 1 < FAN_LINK);
    VECTOR_PUSH(sched->fans, consumer);
    VECTOR_PUSH(sched->fans, before == FAN_END ? FAN_END : FAN_LINK | before);
    task->dependants = first;
}
