/* The stage on which a story is played: the scheduler, the names of its tasks, and what a line
 * sets. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/sched.h"
#include "common/base/arena.h"

enum {
    PLAY_TASKS = 400,
    PLAY_EDGES = 1600,
    PLAY_WORKERS = 8,
    PLAY_LIST = 32,
    PLAY_RUNS = 8,
    PLAY_LABELS = 4,
    PLAY_RESOURCES = 4
};

struct play_task {
    const char *name;
    struct id id;
    struct task_policy policy;
    const char *labels[2 * PLAY_LABELS];
    struct resource resources[PLAY_RESOURCES];
    uint64_t output_bytes;
    bool is_known, is_forced, is_target;
};

struct play {
    struct arena arena;
    struct sched *sched;
    struct sched_actions actions;
    struct buf script; /* the story as it really goes */
    ms_t now;
    uint32_t lease_ms;
    bool is_instant, shows_changes, shows_wakes, has_targets;
    struct play_task tasks[PLAY_TASKS];
    uint32_t task_count;
    uint32_t instances[PLAY_WORKERS], instance_count;
    uint64_t frame;
};

/* The task of this name, new if need be. */
uint32_t play_task(struct play *play, const char *name);
/* Its output as it should be, or differently. */
struct artifact play_output(const struct play *play, uint32_t task, bool is_different);
/* Steps the scheduler, checks it, and writes its answers down. */
void play_send(struct play *play, struct sched_event *event);
/* Plays one line; false: it isn't understood. */
bool play_line(struct play *play, const char *line);
/* Likewise, one that asks for something. */
bool play_question(struct play *play, const char *line);
/* "run 1: a -> b": the rest of a submit line. */
bool play_submit(struct play *play, uint32_t run, const char *graph);
/* Splits at `separator`, trims blanks; returns how many, at most PLAY_LIST. Pieces live in the
 * arena. */
uint32_t play_split(struct play *play, const char *text, const char *separator,
                    const char **pieces);
/* If the text begins with `words`, the rest; else NULL. */
const char *play_after(const char *text, const char *words);
bool play_number(const char *text, uint32_t *out);
