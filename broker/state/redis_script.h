/* The scripts that write in a namespace of Redis. Its keys (all begin with the namespace and a
 * colon):
 *
 *   t:TASK       the task's record (redis_value.h)     TASK, ACTION: 32 bytes
 *   a:ACTION     the record that was first made of this action
 *   run:ID       a run's document                      runs: a sorted set of the ids
 *   outbox       a list of entries (segment.h) that are not in the journal's store yet
 *   lead         a hash: who writes. format (of all this), epoch, writer, holder, until (when its
 *                lease is over: milliseconds of the server's clock), at (the mark of the last
 *                commit), stored (of the last segment that was put before the outbox was trimmed).
 *                A server that forgets, forgets from the end: if it knows `stored`, it has, or had,
 *                all that is in the segments up to there
 *
 * No key expires. Every script that writes checks that the epoch and writer of `lead` are still
 * those of whoever calls it, and changes nothing if not; a script runs alone, whole or not at all.
 * What a server refuses for want of memory, or because it is a replica, it refuses at a script's
 * first write. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "broker/state/redis_link.h"
#include "broker/state/segment.h"

enum { REDIS_FORMAT = 1, REDIS_KEY_BYTES = REDIS_NAMESPACE_BYTES_MAX + 16 };

enum redis_script { SCRIPT_LEAD, SCRIPT_COMMIT, SCRIPT_TRIM, SCRIPT_COUNT };

struct redis_scripts {
    char sha[SCRIPT_COUNT][41];
    char prefix[REDIS_KEY_BYTES]; /* "NAMESPACE:" */
    char lead[REDIS_KEY_BYTES], outbox[REDIS_KEY_BYTES], runs[REDIS_KEY_BYTES];
};

/* Names the keys; no server is asked. */
void redis_scripts_init(struct redis_scripts *scripts, const char *ns);
/* Makes the scripts known to the server. */
MUST_USE enum status redis_scripts_load(struct redis_scripts *scripts, struct redis_link *link,
                                        struct err *err);
/* Queues EVALSHA with its keys and the first two arguments, those of the fence; `more` words
 * follow. */
void redis_scripts_call(const struct redis_scripts *scripts, enum redis_script script,
                        struct redis_link *link, uint64_t epoch, uint64_t writer, size_t more);

/* Queues a command (MGET, EXISTS) on the keys that these ids have in a space: 't' or 'a'. */
void redis_keys_queue(const struct redis_scripts *scripts, struct redis_link *link,
                      const char *command, char space, const struct id *ids, uint32_t count);

/* Queues SCRIPT_COMMIT for one part of a batch: all of it (redis_part.h cuts). `before`: the mark
 * that must be the last (NULL: any). `entry` goes to the outbox; empty: it does not.
 * Answers: {"OK"}; {"FENCED", epoch, writer, holder}; {"LOST", mark}. */
void redis_commit_queue(const struct redis_scripts *scripts, struct redis_link *link,
                        uint64_t epoch, uint64_t writer, const struct mark *before,
                        struct mark mark, const struct state_batch *part, struct mp_view entry);
