/* The only door to the allocator. Small fixed allocations abort when memory is out, since there is
 * no sane way on; sizes that input decides go through mem_try, which says E_NOMEM. `mem_fail_after`
 * makes the k-th mem_try fail, for tests. */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>

#include "proto/err.h"

/* Zeroed; never NULL. */
void *mem_alloc(size_t bytes);
/* Grows or shrinks; never NULL; new bytes are not zeroed. */
void *mem_resize(void *old, size_t bytes);
void mem_free(void *memory);
/* Zeroed `count` × `item_bytes`, overflow checked. Errors: E_NOMEM naming `what`. */
MUST_USE enum status mem_try(size_t count, size_t item_bytes, const char *what, void **out,
                             struct err *err);
/* As mem_resize for `count` × `item_bytes`; on failure `*memory_p` is unchanged. */
MUST_USE enum status mem_try_resize(void **memory_p, size_t count, size_t item_bytes,
                                    const char *what, struct err *err);
char *mem_copy_text(const char *text, size_t bytes); /* NUL-terminated copy */
/* Tests: the k-th mem_try* from now fails (1: the next); 0 never. */
void mem_fail_after(size_t k);

/* `AUTO(mem_free) char *text`: works for a pointer of any type. */
static inline void mem_free_auto(void *pointer_p)
{
    mem_free(*(void **)pointer_p);
}
