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
/* A visitor: adds 1000 and the blob's bytes to the uint64_t at `context`; stops at a blob of 99
 * bytes. */
enum status store_count_blob(void *context, const struct id *id, uint64_t bytes, struct err *err);
