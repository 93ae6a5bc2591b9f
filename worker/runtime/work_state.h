/* The inside of the jobs' table, shared by work.c (table, records) and work_files.c (inputs and
 * outputs); nobody else includes it. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/id_map.h"
#include "worker/runtime/folders.h"
#include "worker/runtime/work.h"

struct work_heavy {
    struct arena arena;
    struct task_spec spec;
    struct kind_input *inputs;
    uint32_t input_count;
    struct artifact *artifacts; /* of all inputs, in order */
    uint8_t *is_pinned;         /* in the cache, per artifact */
    uint32_t artifact_count;
    struct artifact *resolved; /* of the task refs alone */
    uint32_t resolved_count;
    uint32_t awaited; /* artifacts still on their way */
    struct buf lost;  /* struct id each */
    struct kind_secret *secrets;
    uint32_t secret_count;
    struct folder *folder;
    bool is_begun, is_quiet; /* given to a slot; ended there by itself */
    enum status code;        /* of fetching, then of running, then of publishing */
    struct err err;
    struct move move; /* the publication */
};

/* One artifact on its way into the cache, and who waits for it. */
struct arrival {
    struct move move;
    struct buf waiters; /* struct waiter each */
};

struct waiter {
    uint32_t job, artifact;
};

struct works {
    struct works_options options;
    struct work *items;
    uint32_t used, first_free;
    struct arrival **arrivals;
    uint32_t arrival_count, arrival_capacity;
    struct id_map arrival_map;
    struct buf ended; /* struct work_ended each */
    size_t ended_at;
    struct buf scratch;  /* encodings of the last result */
    struct buf resolved; /* struct artifact each: of a light job's task refs */
    bool has_empty;      /* the empty blob is in the store */
    struct artifact empty;
    struct folders *folders;
};

/* Takes in what the mover has done. */
void works_take_moves(struct works *works);
void works_forget_heavy(struct works *works, struct work *work);
