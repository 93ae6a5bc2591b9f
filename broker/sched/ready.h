/* Ready queues: one per rule (a step's policy). The task with the longest remaining path first,
 * then the one that has been ready for longest.
 *
 * A queue is a heap of buckets, one per path length in it; a bucket is a list of tasks linked
 * through the tasks themselves, so a million ready tasks cost nothing beyond their struct, and
 * tasks of one step, whose paths are mostly as long, are pushed and taken in O(1). Taking a task
 * out of the middle (cancel, lost input) is O(1) too; its bucket, when empty, stays until it comes
 * to the top. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "broker/sched/heap.h"
#include "common/base/side.h"

struct task;

struct ready_bucket {
    uint32_t rank, first, last, count;
};

/* The buckets of all queues. */
struct ready_pool {
    struct ready_bucket *buckets;
    uint32_t bucket_count, bucket_capacity;
    uint32_t *free;
    uint32_t free_count, free_capacity;
};

struct ready_queue {
    struct heap buckets; /* major: UINT32_MAX − rank */
    struct side by_rank;
    uint32_t count;
    uint32_t last_bucket; /* where the last push went, + 1; 0: unknown */
};

void ready_pool_fini(struct ready_pool *pool);
/* Gives the queue's buckets back to the pool. */
void ready_fini(struct ready_pool *pool, struct ready_queue *queue);
/* Appends tasks[task] by its rank; sets its `place`, `next` and `previous`. */
void ready_push(struct ready_pool *pool, struct ready_queue *queue, struct task *tasks,
                uint32_t task);
/* Likewise, before all others of its rank. */
void ready_push_first(struct ready_pool *pool, struct ready_queue *queue, struct task *tasks,
                      uint32_t task);
/* The first task; the queue must not be empty. */
uint32_t ready_first(struct ready_pool *pool, struct ready_queue *queue);
void ready_remove(struct ready_pool *pool, struct ready_queue *queue, struct task *tasks,
                  uint32_t task);
