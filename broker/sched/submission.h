/* A run on its way in: its nodes become tasks in passes over all of them, each cut into steps as
 * long as one may take (todo.h). Meanwhile its new tasks are STAGE_NEW and others' events go on.
 *
 *   add     each node finds the task it shares, or a new one; its record if there is one
 *   index   only where records did not come in the order of the nodes: a map of them, then back
 *   count   consumers of each producer: has_dependants, consumers
 *   lay     a list of the right length for each producer
 *   fill    inputs[] and fans[] (fan.h)
 *   want    backwards: who is needed, and the path lengths
 *   begin   each new task's first stage
 *
 * Shared by submit.c, which passes over the nodes, and fan.c, which makes the lists. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

enum submit_pass {
    SUBMIT_OPEN,
    SUBMIT_ADD,
    SUBMIT_INDEX,
    SUBMIT_COUNT,
    SUBMIT_LAY,
    SUBMIT_FILL,
    SUBMIT_WANT,
    SUBMIT_BEGIN,
    SUBMIT_DONE
};

struct submission {
    uint32_t run;
    const struct task_node *nodes; /* the submitter's, as the edges and marks */
    const struct task_edge *edges;
    const uint8_t *is_target, *is_forced;
    uint32_t node_count;
    enum submit_pass pass;
    uint32_t at; /* the node that is next */
    bool is_dense;
    /* What RESTORE brought for it. */
    struct known *known;
    struct artifact *known_outputs;
    uint32_t known_count;
    uint32_t known_next; /* mostly the record of the next node */
    uint32_t known_at;   /* how many are in the map */
    struct id_map known_map;
    uint8_t *has_dependants; /* per node */
    uint32_t *consumers;     /* per node: how many edges; then the place of its next one */
    uint32_t input_words, fan_words;
};
