// SPDX-License-Identifier: Apache-2.0
#include "common/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/mem.h"

enum { BLOCK_BYTES = 4096, BLOCK_BYTES_MAX = 1 << 20 };

struct arena_block {
    struct arena_block *before;
    size_t used, capacity;
    _Alignas(16) uint8_t bytes[];
};

void arena_fini(struct arena *arena)
{
    for (struct arena_block *block = arena->last, *before; block; block = before) {
        before = block->before;
        mem_free(block);
    }
    *arena = (struct arena){.max_bytes = arena->max_bytes};
}

void arena_clear(struct arena *arena)
{
    struct arena_block *last = arena->last;
    if (!last)
        return;
    struct arena older = {.last = last->before};
    arena_fini(&older);
    memset(last->bytes, 0, last->used);
    last->before = NULL;
    last->used = 0;
    arena->used_bytes = 0;
}

void *arena_try(struct arena *arena, size_t bytes)
{
    bytes = (bytes + 7) & ~(size_t)7;
    if (arena->max_bytes && bytes > arena->max_bytes - arena->used_bytes)
        return NULL;
    struct arena_block *block = arena->last;
    if (!block || bytes > block->capacity - block->used) {
        size_t capacity = block ? block->capacity * 2 : BLOCK_BYTES;
        if (capacity > BLOCK_BYTES_MAX)
            capacity = BLOCK_BYTES_MAX;
        if (capacity < bytes)
            capacity = bytes;
        block = mem_alloc(sizeof *block + capacity);
        *block = (struct arena_block){.before = arena->last, .capacity = capacity};
        arena->last = block;
    }
    void *out = block->bytes + block->used;
    block->used += bytes;
    arena->used_bytes += bytes;
    return out;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    void *out = arena_try(arena, bytes);
    ASSERT(out);
    return out;
}

char *arena_text(struct arena *arena, const char *text, size_t bytes)
{
    char *copy = arena_alloc(arena, bytes + 1);
    if (bytes)
        memcpy(copy, text, bytes);
    copy[bytes] = 0;
    return copy;
}

char *arena_format(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    ASSERT(bytes >= 0);
    char *text = arena_alloc(arena, (size_t)bytes + 1);
    vsnprintf(text, (size_t)bytes + 1, format, again);
    va_end(again);
    return text;
}

static void *allocate(void *context, size_t bytes)
{
    return arena_try(context, bytes);
}

struct value_memory arena_memory(struct arena *arena)
{
    return (struct value_memory){allocate, arena};
}
