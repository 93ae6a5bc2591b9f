/* A state in memory that refuses commits, or is slow to finish them, when a test wants it to. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/backend.h"

struct moody {
    struct state base;
    struct state *real;
    int failures_left; /* the next commits are E_FULL; negative: all are E_FENCED */
    int polls_left;    /* the next polls find the commit still under way */
    int silent_finds;  /* the next look-ups are E_UNREACHABLE, */
    uint32_t answers;  /* the first so many of their keys answered before */
    bool is_deposed;   /* another writer has the lease */
    int flush_polls_left;
    int begins;
    struct id ahead[STATE_AHEAD_MAX]; /* what the last commit was begun with, */
    uint32_t ahead_count;
    uint32_t finds, finds_ahead; /* actions looked up, and those of them that were among it */
};

/* The test closes `real`. */
MUST_USE enum status moody_open(struct moody *moody);
