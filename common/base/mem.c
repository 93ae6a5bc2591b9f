// SPDX-License-Identifier: Apache-2.0
#include "common/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t fail_after;

static void *must(void *memory, size_t bytes)
{
    if (!memory) {
        fprintf(stderr, "out of memory: %zu bytes\n", bytes);
        abort();
    }
    return memory;
}

void *mem_alloc(size_t bytes)
{
    return must(calloc(1, bytes ? bytes : 1), bytes);
}

void *mem_resize(void *old, size_t bytes)
{
    return must(realloc(old, bytes ? bytes : 1), bytes);
}

void mem_free(void *memory)
{
    free(memory);
}

void mem_fail_after(size_t k)
{
    fail_after = k;
}

static enum status refuse(size_t count, size_t item_bytes, const char *what, struct err *err)
{
    return err_set(err, E_NOMEM, "no memory for %s (%zu × %zu bytes)", what, count, item_bytes);
}

static bool is_refused(size_t count, size_t item_bytes)
{
    if (fail_after && --fail_after == 0)
        return true;
    return item_bytes && count > PTRDIFF_MAX / item_bytes;
}

enum status mem_try(size_t count, size_t item_bytes, const char *what, void **out, struct err *err)
{
    *out = NULL;
    if (is_refused(count, item_bytes))
        return refuse(count, item_bytes, what, err);
    *out = calloc(count ? count : 1, item_bytes ? item_bytes : 1);
    return *out ? OK : refuse(count, item_bytes, what, err);
}

enum status mem_try_resize(void **memory_p, size_t count, size_t item_bytes, const char *what,
                           struct err *err)
{
    if (is_refused(count, item_bytes))
        return refuse(count, item_bytes, what, err);
    size_t bytes = count * item_bytes;
    void *grown = realloc(*memory_p, bytes ? bytes : 1);
    if (!grown)
        return refuse(count, item_bytes, what, err);
    *memory_p = grown;
    return OK;
}

char *mem_copy_text(const char *text, size_t bytes)
{
    char *copy = mem_alloc(bytes + 1);
    memcpy(copy, text, bytes);
    return copy;
}
