// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/ready.h"

#include "broker/sched/core.h"
#include "broker/sched/grow.h"
#include "common/base/mem.h"

void ready_pool_fini(struct ready_pool *pool)
{
    mem_free(pool->buckets);
    mem_free(pool->free);
    *pool = (struct ready_pool){0};
}

static void free_bucket(struct ready_pool *pool, uint32_t bucket)
{
    GROW(pool->free, pool->free_capacity, pool->free_count + 1);
    pool->free[pool->free_count++] = bucket;
}

void ready_fini(struct ready_pool *pool, struct ready_queue *queue)
{
    for (uint32_t i = 0; i < queue->buckets.count; i++)
        free_bucket(pool, queue->buckets.entries[i].item);
    heap_fini(&queue->buckets);
    side_fini(&queue->by_rank);
    *queue = (struct ready_queue){0};
}

static uint32_t new_bucket(struct ready_pool *pool, struct ready_queue *queue, uint32_t rank)
{
    uint32_t at;
    if (pool->free_count > 0) {
        at = pool->free[--pool->free_count];
    } else {
        GROW(pool->buckets, pool->bucket_capacity, pool->bucket_count + 1);
        at = pool->bucket_count++;
    }
    pool->buckets[at] = (struct ready_bucket){.rank = rank, .first = NONE, .last = NONE};
    side_put(&queue->by_rank, rank, at);
    heap_push(&queue->buckets, (struct heap_entry){.major = UINT32_MAX - rank, .item = at});
    return at;
}

static uint32_t bucket_of(struct ready_pool *pool, struct ready_queue *queue, uint32_t rank)
{
    if (queue->last_bucket && pool->buckets[queue->last_bucket - 1].rank == rank)
        return queue->last_bucket - 1;
    uint32_t at = side_get(&queue->by_rank, rank);
    if (at == SIDE_NONE)
        at = new_bucket(pool, queue, rank);
    queue->last_bucket = at + 1;
    return at;
}

void ready_push(struct ready_pool *pool, struct ready_queue *queue, struct task *tasks,
                uint32_t task)
{
    uint32_t at = bucket_of(pool, queue, tasks[task].rank);
    struct ready_bucket *bucket = &pool->buckets[at];
    tasks[task].place = at;
    tasks[task].next = NONE;
    tasks[task].previous = bucket->last;
    if (bucket->last == NONE)
        bucket->first = task;
    else
        tasks[bucket->last].next = task;
    bucket->last = task;
    bucket->count++;
    queue->count++;
}

void ready_push_first(struct ready_pool *pool, struct ready_queue *queue, struct task *tasks,
                      uint32_t task)
{
    uint32_t at = bucket_of(pool, queue, tasks[task].rank);
    struct ready_bucket *bucket = &pool->buckets[at];
    tasks[task].place = at;
    tasks[task].previous = NONE;
    tasks[task].next = bucket->first;
    if (bucket->first == NONE)
        bucket->last = task;
    else
        tasks[bucket->first].previous = task;
    bucket->first = task;
    bucket->count++;
    queue->count++;
}

uint32_t ready_first(struct ready_pool *pool, struct ready_queue *queue)
{
    ASSERT(queue->count > 0);
    for (;;) {
        uint32_t at = heap_top(&queue->buckets)->item;
        if (pool->buckets[at].count > 0)
            return pool->buckets[at].first;
        heap_pop(&queue->buckets);
        side_remove(&queue->by_rank, pool->buckets[at].rank);
        if (queue->last_bucket == at + 1)
            queue->last_bucket = 0;
        free_bucket(pool, at);
    }
}

void ready_remove(struct ready_pool *pool, struct ready_queue *queue, struct task *tasks,
                  uint32_t task)
{
    struct ready_bucket *bucket = &pool->buckets[tasks[task].place];
    uint32_t previous = tasks[task].previous, next = tasks[task].next;
    ASSERT(bucket->count > 0);
    if (previous == NONE)
        bucket->first = next;
    else
        tasks[previous].next = next;
    if (next == NONE)
        bucket->last = previous;
    else
        tasks[next].previous = previous;
    tasks[task].place = NONE;
    bucket->count--;
    queue->count--;
}
