/* What a worker has and what its flights take of it; who has room for more.
 *
 * A worker's flights take cpu, memory and named counts of what it said it has (a total of 0 cpu or
 * memory: it didn't say, and nothing is counted against it). A rule is *plain* if it asks for one
 * core at most and nothing else; it is taken to need a slot and a whole core, so that all plain
 * tasks are alike.
 *
 *   ROOM_FREE  a plain task would start at once: a slot and a core are free
 *   ROOM_DEEP  it would wait there: the worker holds fewer than its depth
 *
 * Others than plain ones start at once at a worker with ROOM_FREE if what they need is free there
 * too. They may wait at any worker with room whose totals they fit, unless it is *over*: its
 * flights need more than there is, so one of them waits already. The worker's agent starts nothing
 * that does not fit, and nothing that takes of what the first of its queue lacks: so large tasks
 * don't starve, and the rest of the worker isn't idle meanwhile. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/sched/core.h"

/* Work that lies ahead of each slot: longer than a round trip to the broker, and than a beat of a
 * busy one. */
enum { AHEAD_MS = 50 };

bool room_is_plain(const struct task_policy *policy);
/* How many slots a task is worth: its cores, rounded up; 1 at least. */
uint32_t room_slots(const struct task_policy *policy);
/* How much of a named resource the offer has. */
uint64_t room_total(const struct offer *offer, const char *resource);
/* A flight of this rule is at the worker, or no longer. Call room_changed() after. */
void room_take(struct sched *sched, uint32_t worker, uint32_t rule);
void room_give_back(struct sched *sched, uint32_t worker, uint32_t rule);
/* Is what the rule needs free at the worker, which has ROOM_FREE and whose totals it fits? */
bool room_fits_now(const struct sched *sched, const struct worker *worker, const struct rule *rule);
/* May the worker, which has room, be given a task of this rule: to start at once (ROOM_FREE), or to
 * wait (ROOM_DEEP)? */
bool room_may_take(const struct sched *sched, const struct worker *worker, uint32_t rule,
                   enum room room);
/* Do the worker's flights need more than there is of something that this rule takes? */
bool room_is_short(const struct sched *sched, const struct worker *worker, const struct rule *rule);
/* How much a worker may hold of which nothing is learned yet. */
uint32_t room_first_depth(const struct worker *worker);
/* The room that the worker has by its numbers. */
enum room room_now(const struct sched *sched, const struct worker *worker);
/* The worker's flights, silence, rest, credit or depth changed: it may have less room, or none. */
void room_changed(struct sched *sched, uint32_t worker);
/* Likewise, and it may have more. */
void room_gained(struct sched *sched, uint32_t worker);
/* Behind the others that have as much room. */
void room_rotate(struct sched *sched, uint32_t worker);
/* One of its tasks took so long: learns the worker's depth. */
void room_learn(struct sched *sched, uint32_t worker, int64_t took_us);
