/* What becomes of a task whose attempt failed.
 *
 * Full jitter: before the n-th retry a task waits for a time drawn evenly from 0 to backoff ×
 * 2^(n−1), but at most backoff_max; so tasks that failed together don't come back together. Source:
 * Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog (2015).
 *
 * A worker that vanished costs no retry: the task isn't to blame, unless it happens to it again and
 * again. So each worker (or slot) that is lost while it ran the task is counted, and at
 * poison_kills it fails alone, with that history. A worker that is heard again kept its life, and
 * one that drained, or a slot that we ended, never counts.
 *
 * Nor does a full disk that its worker was known for cost one, if there is another: see rest.h. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* `retry` ≥ 1. In milliseconds. */
uint32_t retry_delay(const struct task_policy *policy, uint32_t retry, struct rng *rng);

struct failure {
    uint32_t attempt, worker; /* worker NONE: it can't be heard */
    enum status code;
    const char *text;
    size_t text_bytes;
    const struct artifact *log; /* NULL: none */
    const struct id *lost;
    uint32_t lost_count;
    bool was_killed; /* by our KILL */
    bool was_trial;  /* of the worker: see rest.h */
};
/* The task's flight has ended already. */
void retry_attempt_failed(struct sched *sched, uint32_t task, const struct failure *failure);
/* Its worker vanished; `was_running`: it may be the reason. */
void retry_worker_lost(struct sched *sched, uint32_t task, bool was_running, const char *text);
/* For good. */
void retry_fail(struct sched *sched, uint32_t task, enum status code, const char *text);
/* Tasks whose backoff is over go back to the queue. */
void retry_tick(struct sched *sched);
