// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/fan.h"

#include "broker/sched/grow.h"
#include "broker/sched/run.h"
#include "common/base/mem.h"

/* Is this node the one that its new task was made for? */
static bool is_first_node(const struct task *task, uint32_t node)
{
    return (task->flags & FLAG_LISTED) && task->place == node;
}

static uint32_t count_consumers(const struct sched *sched, const struct run *run,
                                const struct sched_event *event, uint32_t *consumers,
                                uint8_t *has_dependants)
{
    uint32_t edges = 0;
    for (uint32_t i = 0; i < run->node_count; i++) {
        const struct task_node *node = &event->submit.nodes[i];
        bool is_first = is_first_node(task_at(sched, run_task(run, i)), i);
        for (uint32_t j = 0; j < node->edge_count; j++) {
            const struct task_edge *edge = &event->submit.edges[node->first_edge + j];
            ASSERT(edge->task < i && edge->output < OUTPUTS_MAX);
            has_dependants[edge->task] = 1;
            consumers[edge->task] += is_first;
        }
        edges += is_first ? node->edge_count + (node->edge_count > 0) : 0;
    }
    return edges;
}

/* A list of the right length for each producer; consumers[] becomes the place of its next entry. */
static void lay_out(struct sched *sched, const struct run *run, uint32_t *consumers)
{
    uint32_t words = 0;
    for (uint32_t i = 0; i < run->node_count; i++)
        words += consumers[i] ? consumers[i] + 1 : 0;
    sched->fans.items = grow_reserve(sched->fans.items, &sched->fans.capacity,
                                     sched->fans.count + words, sizeof *sched->fans.items);
    for (uint32_t i = 0; i < run->node_count; i++) {
        if (!consumers[i])
            continue;
        struct task *producer = task_at(sched, run_task(run, i));
        uint32_t first = sched->fans.count, before = producer->dependants;
        sched->fans.count += consumers[i] + 1;
        ASSERT(sched->fans.count < FAN_LINK);
        sched->fans.items[sched->fans.count - 1] = before == FAN_END ? FAN_END : FAN_LINK | before;
        producer->dependants = first;
        consumers[i] = first;
    }
}

static void fill_in(struct sched *sched, const struct run *run, const struct sched_event *event,
                    uint32_t *consumers)
{
    for (uint32_t i = 0; i < run->node_count; i++) {
        const struct task_node *node = &event->submit.nodes[i];
        uint32_t index = run_task(run, i);
        struct task *task = task_at(sched, index);
        if (!node->edge_count || !is_first_node(task, i))
            continue;
        task->first_input = sched->inputs.count;
        sched->inputs.items[sched->inputs.count++] = node->edge_count;
        for (uint32_t j = 0; j < node->edge_count; j++) {
            const struct task_edge *edge = &event->submit.edges[node->first_edge + j];
            uint32_t producer = run_task(run, edge->task);
            sched->inputs.items[sched->inputs.count++] = producer << OUTPUT_BITS | edge->output;
            sched->fans.items[consumers[edge->task]++] = index;
        }
    }
}

void fan_add(struct sched *sched, const struct run *run, const struct sched_event *event,
             uint8_t *has_dependants)
{
    AUTO(mem_free) uint32_t *consumers = mem_alloc((size_t)run->node_count * sizeof *consumers + 1);
    uint32_t words = count_consumers(sched, run, event, consumers, has_dependants);
    if (!words)
        return;
    sched->inputs.items = grow_reserve(sched->inputs.items, &sched->inputs.capacity,
                                       sched->inputs.count + words, sizeof *sched->inputs.items);
    lay_out(sched, run, consumers);
    fill_in(sched, run, event, consumers);
}
