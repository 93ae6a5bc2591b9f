/* Hashes a file while it is being written, from its beginning as far as its writer says it is
 * there: a thread that reads back (from memory, as it was written just now) and hashes, so that
 * hashing a download costs no time of its own. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

#include "proto/err.h"
#include "proto/id.h"

struct hash_behind;

/* `fd` and `path` (for messages) are borrowed until the end. */
struct hash_behind *hash_behind_begin(int fd, const char *path);
/* All before `up_to` is written now; never less than was said before. */
void hash_behind_reach(struct hash_behind *behind, uint64_t up_to);
/* Waits for what is left; the id of all of it. Errors: E_IO. */
MUST_USE enum status hash_behind_end(struct hash_behind *behind, struct id *out, struct err *err);
/* Gives up. */
void hash_behind_drop(struct hash_behind *behind);

DEFINE_AUTO(struct hash_behind *, hash_behind_drop)
