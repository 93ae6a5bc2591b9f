/* gzip and zstd, told by their magic numbers; the doors to zlib and zstd. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/buf.h"
#include "proto/err.h"

enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

enum compression compression_of(const uint8_t *bytes, size_t count);
/* Appends the plain bytes to `out` (whose maximum bounds a decompression bomb). Concatenated
 * members are all read. Errors: E_CORRUPT truncated or damaged; E_LIMIT. */
MUST_USE enum status decompress(const char *name, const uint8_t *bytes, size_t count,
                                struct buf *out, struct err *err);
