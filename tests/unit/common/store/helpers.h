/* Short ways to open, fill and ask a store, for its tests. They fail the test when the store does.
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/store/store.h"
#include "tests/unit/common/temp.h"

extern struct err store_err; /* of the last helper that failed */

/* `format` may have one %s for the test's folder. */
struct store *store_open_at(struct temp *temp, const char *format);
struct id store_put_text(struct store *store, const char *text);
bool store_has_one(struct store *store, const struct id *id);
void store_expect_text(struct store *store, const struct id *id, const char *text);
/* Visitors. This adds to the uint64_t at `context` the bytes, and 1000 a blob, 1000000 a manifest;
 * it stops at one of 99 bytes. */
enum status store_count_blob(void *context, const struct store_item *item, struct err *err);
/* Adds 1000 and the bytes. */
enum status store_count_object(void *context, const struct store_object *object, struct err *err);

/* Runs one part of the contract on each back end, in a folder of its own; on S3 if PENSTOCK_TEST_S3
 * names a bucket, below the folder's path. */
typedef void store_part(struct temp *temp, struct store *store);
void store_each(struct temp *temp, store_part *part);
