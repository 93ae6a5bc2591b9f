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

/* A block is up to an eighth longer than what is in it. */
static uint32_t with_margin(uint32_t words)
{
    return words + words / 8;
}

void fan_reserve(struct sched *sched, const struct submission *submission)
{
    sched->inputs.items = grow_reserve(sched->inputs.items, &sched->inputs.capacity,
                                       sched->inputs.count + with_margin(submission->input_words),
                                       sizeof *sched->inputs.items);
    sched->fans.items = grow_reserve(sched->fans.items, &sched->fans.capacity,
                                     sched->fans.count + with_margin(submission->fan_words),
                                     sizeof *sched->fans.items);
}

static uint32_t take_inputs(struct sched *sched, uint32_t words)
{
    uint32_t at = block_take(&sched->free_inputs, sched->inputs.items, sizeof(uint32_t), words);
    if (at != UINT32_MAX)
        return at;
    at = sched->inputs.count;
    sched->inputs.count += block_length(words);
    GROW(sched->inputs.items, sched->inputs.capacity, sched->inputs.count);
    return at;
}

static uint32_t take_fan(struct sched *sched, uint32_t words)
{
    uint32_t at = block_take(&sched->free_fans, sched->fans.items, sizeof(uint32_t), words);
    if (at != UINT32_MAX)
        return at;
    at = sched->fans.count;
    sched->fans.count += block_length(words);
    ASSERT(sched->fans.count < FAN_LINK);
    GROW(sched->fans.items, sched->fans.capacity, sched->fans.count);
    return at;
}

uint32_t fan_lay(struct sched *sched, struct submission *submission, uint32_t index)
{
    uint32_t count = submission->consumers[index];
    if (!count)
        return 0;
    struct task *producer = task_at(sched, task_of(sched, submission, index));
    uint32_t before = producer->dependants, first = take_fan(sched, count + 1);
    sched->fans.items[first + count] = before == FAN_END ? FAN_END : FAN_LINK | before;
    producer->dependants = first;
    submission->consumers[index] = first;
    /* A producer that was there before may be walked along meanwhile: over what is not filled in
     * yet to what is behind it. */
    for (uint32_t i = first; i < first + count; i++)
        sched->fans.items[i] = FAN_SKIP;
    return count;
}

uint32_t fan_fill(struct sched *sched, struct submission *submission, uint32_t index)
{
    const struct task_node *node = &submission->nodes[index];
    uint32_t consumer = task_of(sched, submission, index);
    struct task *task = task_at(sched, consumer);
    if (!node->edge_count || !is_first_node(task, index))
        return 0;
    uint32_t at = task->first_input = take_inputs(sched, node->edge_count + 1);
    sched->inputs.items[at++] = node->edge_count;
    for (uint32_t j = 0; j < node->edge_count; j++) {
        const struct task_edge *edge = &submission->edges[node->first_edge + j];
        uint32_t producer = task_of(sched, submission, edge->task);
        sched->inputs.items[at++] = producer << OUTPUT_BITS | edge->output;
        sched->fans.items[submission->consumers[edge->task]++] = consumer;
    }
    return node->edge_count;
}

void fan_add(struct sched *sched, uint32_t producer, uint32_t consumer)
{
    uint32_t first = take_fan(sched, 2), before = task_at(sched, producer)->dependants;
    sched->fans.items[first] = consumer;
    sched->fans.items[first + 1] = before == FAN_END ? FAN_END : FAN_LINK | before;
    task_at(sched, producer)->dependants = first;
}

/* ---- giving back ---- */

void fan_drop_inputs(struct sched *sched, struct task *task)
{
    if (task->first_input != NONE)
        block_give(&sched->free_inputs, sched->inputs.items, sizeof(uint32_t), task->first_input,
                   sched->inputs.items[task->first_input] + 1);
    task->first_input = NONE;
}

/* The words of a block, its last one included. */
static uint32_t words_of(const struct sched *sched, uint32_t first)
{
    uint32_t at = first;
    for (uint32_t word; (word = sched->fans.items[at]) == FAN_SKIP || !(word & FAN_LINK);)
        at++;
    return at - first + 1;
}

/* Where a block's last word leads to. */
static uint32_t next_block(uint32_t last)
{
    return last == FAN_END ? FAN_END : last & ~FAN_LINK;
}

void fan_drop(struct sched *sched, struct task *task)
{
    for (uint32_t at = task->dependants, next; at != FAN_END; at = next) {
        uint32_t words = words_of(sched, at);
        next = next_block(sched->fans.items[at + words - 1]);
        block_give(&sched->free_fans, sched->fans.items, sizeof(uint32_t), at, words);
    }
    task->dependants = FAN_END;
}

/* Blanks the forgotten; true: nobody is left in the block. */
static bool blank_block(struct sched *sched, uint32_t first, uint32_t words)
{
    bool is_empty = true;
    for (uint32_t i = first; i < first + words - 1; i++) {
        uint32_t *word = &sched->fans.items[i];
        if (*word != FAN_SKIP && task_at(sched, *word)->stage == STAGE_FREE)
            *word = FAN_SKIP;
        is_empty = is_empty && *word == FAN_SKIP;
    }
    return is_empty;
}

/* Somebody who walks along the list may stand in the block. */
static bool is_walked(const struct sched *sched, const struct task *task)
{
    return (task->flags & FLAG_RELEASING) || sched->endings.count;
}

bool fan_scrub(struct sched *sched, uint32_t index, struct fan_place *place)
{
    struct task *task = task_at(sched, index);
    uint32_t at = place->is_begun ? place->block : task->dependants;
    if (!place->is_begun)
        *place = (struct fan_place){.is_begun = true, .before = FAN_END};
    if (at == FAN_END)
        return true;
    uint32_t words = words_of(sched, at), last = sched->fans.items[at + words - 1];
    sched->work_left -= words;
    place->block = next_block(last);
    if (!blank_block(sched, at, words) || is_walked(sched, task)) {
        place->before = at + words - 1;
        return false;
    }
    if (place->before == FAN_END)
        task->dependants = place->block;
    else
        sched->fans.items[place->before] = last;
    block_give(&sched->free_fans, sched->fans.items, sizeof(uint32_t), at, words);
    return false;
}
