/* "a + b -> c -> d, a -> e" as a submission. Nodes are numbered in the order in which they are
 * named. */
// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "common/base/mem.h"
#include "tests/stories/play.h"

struct graph_text {
    struct task_node nodes[PLAY_TASKS];
    uint32_t tasks[PLAY_TASKS]; /* node → task of the play */
    uint32_t needs[PLAY_TASKS][PLAY_LIST], need_count[PLAY_TASKS];
    struct task_edge edges[PLAY_EDGES];
    struct task_policy policies[PLAY_TASKS];
    uint8_t is_target[PLAY_TASKS], is_forced[PLAY_TASKS];
    uint32_t node_count, edge_count;
};

/* A name in quotes-free text may be given twice with a ' to make a second node of the same task. */
static uint32_t node_of(struct play *play, struct graph_text *graph, const char *name)
{
    size_t bytes = strlen(name);
    bool is_twin = bytes > 1 && name[bytes - 1] == '\'';
    uint32_t task = play_task(play, is_twin ? arena_text(&play->arena, name, bytes - 1) : name);
    for (uint32_t i = 0; !is_twin && i < graph->node_count; i++)
        if (graph->tasks[i] == task)
            return i;
    graph->tasks[graph->node_count] = task;
    return graph->node_count++;
}

static void add_chain(struct play *play, struct graph_text *graph, const char *text)
{
    const char *links[PLAY_LIST], *names[PLAY_LIST];
    uint32_t before[PLAY_LIST], before_count = 0;
    uint32_t link_count = play_split(play, text, "->", links);
    for (uint32_t i = 0; i < link_count; i++) {
        uint32_t here[PLAY_LIST], count = play_split(play, links[i], "+", names);
        for (uint32_t j = 0; j < count; j++) {
            here[j] = node_of(play, graph, names[j]);
            for (uint32_t k = 0; k < before_count; k++)
                graph->needs[here[j]][graph->need_count[here[j]]++] = before[k];
        }
        memcpy(before, here, sizeof before);
        before_count = count;
    }
}

static void fill_nodes(struct play *play, struct graph_text *graph)
{
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct play_task *task = &play->tasks[graph->tasks[i]];
        graph->policies[i] = task->policy;
        graph->is_target[i] = task->is_target;
        graph->is_forced[i] = task->is_forced;
        graph->nodes[i] = (struct task_node){.id = task->id,
                                             .policy = i,
                                             .first_edge = graph->edge_count,
                                             .edge_count = graph->need_count[i]};
        for (uint32_t j = 0; j < graph->need_count[i]; j++)
            graph->edges[graph->edge_count++].task = graph->needs[i][j];
    }
}

static void restore_known(struct play *play, const struct graph_text *graph)
{
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct play_task *task = &play->tasks[graph->tasks[i]];
        struct artifact output = play_output(play, graph->tasks[i], false);
        struct sched_known known = {1, &output};
        struct sched_event event = {.type = SCHED_RESTORE, .restore = {&task->id, &known, 1}};
        if (task->is_known)
            play_send(play, &event);
    }
}

bool play_submit(struct play *play, uint32_t run, const char *text)
{
    struct graph_text *graph = mem_alloc(sizeof *graph);
    const char *chains[PLAY_LIST];
    uint32_t count = play_split(play, text, ",", chains);
    for (uint32_t i = 0; i < count; i++)
        add_chain(play, graph, chains[i]);
    fill_nodes(play, graph);
    restore_known(play, graph);
    struct sched_event event = {.type = SCHED_SUBMIT,
                                .submit = {.run = run,
                                           .nodes = graph->nodes,
                                           .node_count = graph->node_count,
                                           .edges = graph->edges,
                                           .policies = graph->policies,
                                           .policy_count = graph->node_count,
                                           .is_target = play->has_targets ? graph->is_target : NULL,
                                           .is_forced = graph->is_forced}};
    play_send(play, &event);
    mem_free(graph);
    for (uint32_t i = 0; i < play->task_count; i++)
        play->tasks[i].is_known = play->tasks[i].is_forced = play->tasks[i].is_target = false;
    play->has_targets = false;
    return true;
}
