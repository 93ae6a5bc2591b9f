/* Building documents: struct value trees that grow in an arena. A list or map made here may be
 * added to until the arena dies; adding costs amortised O(1) (capacity is the next power of two).
 */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "common/base/arena.h"
#include "proto/id.h"
#include "proto/value.h"

struct value doc_map(void);
struct value doc_list(void);
/* Keys are borrowed (literals, usually) and must not be there yet. Returns the stored value. */
struct value *doc_put(struct arena *arena, struct value *map, const char *key, struct value value);
struct value *doc_add(struct arena *arena, struct value *list, struct value value);
/* Copies of text and ids (as 64 hex digits) that live in the arena. */
struct value doc_text(struct arena *arena, const char *text, size_t bytes);
struct value doc_format(struct arena *arena, const char *format, ...) PRINTF(2, 3);
struct value doc_id(struct arena *arena, const struct id *id);
/* A deep copy into the arena. */
struct value doc_copy(struct arena *arena, const struct value *value);
