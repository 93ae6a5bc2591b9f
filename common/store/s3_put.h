/* A file to any place in S3, for data that is brought in: no store, no id in
 * the key. Server and keys come from the environment as for a store (s3_config.h). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proto/err.h"
#include "proto/id.h"

struct s3_placed {
    struct id id; /* of its bytes, as a blob's */
    uint64_t bytes;
    char url[2048]; /* where it is now */
};
/* `url`: s3://bucket/key; one that ends with '/' gets the file's name. What is there already is
 * replaced. Streamed; in parts above STORE_PARTS_BYTES. `is_stopped` (or NULL) is asked before the
 * first part and then again and again: true gives the upload up, so that no parts stay; nothing
 * else would. Errors: E_INVALID the URL or a setting; E_CONFLICT the file changed meanwhile;
 * E_CANCELLED stopped; those of a store's put. */
MUST_USE enum status s3_put_at(const char *path, const char *url, bool (*is_stopped)(void),
                               struct s3_placed *out, struct err *err);
