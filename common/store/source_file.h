/* A file on its way into a store: opened, hashed, and checked afterwards for not having changed
 * between hashing and copying. For back ends. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>
#include <sys/stat.h>

#include "proto/err.h"
#include "proto/id.h"

enum { SOURCE_PIECE_BYTES = 256 << 10 }; /* stays in the second-level cache between read and hash */

struct source_file {
    int fd;
    const char *path;
    struct stat before; /* when it was opened */
};

/* Errors: E_INVALID not a regular file; E_NOTFOUND, E_DENIED, E_IO. */
MUST_USE enum status source_file_open(const char *path, struct source_file *out, struct err *err);
void source_file_close(struct source_file *file);
/* E_CONFLICT: it changed. */
MUST_USE enum status source_file_check(const struct source_file *file, struct err *err);
/* The id of what is in `fd` from where it stands to its end, and the bytes; with `to` ≥ 0 they are
 * written there, too. `piece` has SOURCE_PIECE_BYTES; of a shorter file it holds all afterwards. */
MUST_USE enum status source_file_hash(int fd, int to, const char *path, uint8_t *piece,
                                      struct id *id, uint64_t *bytes, struct err *err);

DEFINE_AUTO_VALUE(struct source_file, source_file_close)
