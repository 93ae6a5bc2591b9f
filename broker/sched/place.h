/* Locality: a task whose inputs are large goes to the worker that has most of them in its cache, if
 * that one could begin it as soon as any other. It never waits for it.
 *
 * What is known of caches: who made an artifact has it, and so has whoever was given a task that
 * reads it. The first is in the task that made it; the second is remembered for the last few
 * thousand large artifacts, PLACE_WORKERS each, in a table that forgets by overwriting. Caches
 * forget too: all of this is a guess, and a wrong one costs no more than having made none. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

enum {
    /* Inputs together: below, fetching takes about as long as one message to and fro (1 MiB at
       1 GB/s: 1 ms), and looking for a better worker isn't worth it. */
    PLACE_TASK_BYTES = 1 << 20,
    /* One input: smaller ones don't decide, nor do they push others out of the table. */
    PLACE_INPUT_BYTES = 1 << 17,
    /* Inputs of one task that are looked at, and workers between which they decide. */
    PLACE_INPUTS = 64,
    PLACE_CANDIDATES = 16,
    /* Artifacts that are remembered. */
    PLACES = 4096,
};

/* The worker that is to have the task, `worker` or a better one; `inputs` are its resolved inputs.
 * Remembers that it will have them. */
uint32_t place_choose(struct sched *sched, uint32_t task, const struct artifact *inputs,
                      uint32_t input_count, uint32_t worker, enum room room);
