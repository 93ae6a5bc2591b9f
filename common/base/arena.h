/* Things that die together: a bump allocator in growing blocks. Nothing is freed singly. Pointers
 * stay valid until arena_fini. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>

#include "proto/err.h"
#include "proto/value.h"

struct arena_block;

struct arena {
    struct arena_block *last;
    size_t used_bytes, max_bytes; /* max 0: no maximum but memory */
};

void arena_fini(struct arena *arena);
/* As arena_fini, but the newest block is kept for what comes next: for loops that build something,
 * use it, and forget it. */
void arena_clear(struct arena *arena);
/* Zeroed, aligned to 8. Aborts when memory is out; past `max_bytes` returns NULL only from
 * arena_try. */
void *arena_alloc(struct arena *arena, size_t bytes);
void *arena_try(struct arena *arena, size_t bytes);
/* NUL-terminated copy. */
char *arena_text(struct arena *arena, const char *text, size_t bytes);
char *arena_format(struct arena *arena, const char *format, ...) PRINTF(2, 3);
/* The arena as the memory that value_decode, schema_canonical and the parsers fill. */
struct value_memory arena_memory(struct arena *arena);

DEFINE_AUTO_VALUE(struct arena, arena_fini)
