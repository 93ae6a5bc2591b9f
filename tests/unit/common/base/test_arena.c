// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/arena.h"
#include "common/base/doc.h"
#include "common/base/mem.h"

static void is_zeroed_aligned_and_stays_put(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    uint8_t *kept[2000];
    for (size_t i = 0; i < 2000; i++) {
        kept[i] = arena_alloc(&arena, 1 + i % 700);
        assert_int_equal((uintptr_t)kept[i] % 8, 0);
        for (size_t k = 0; k < 1 + i % 700; k++)
            assert_int_equal(kept[i][k], 0);
        memset(kept[i], (int)i & 0xff, 1 + i % 700);
    }
    for (size_t i = 0; i < 2000; i++)
        for (size_t k = 0; k < 1 + i % 700; k++)
            assert_int_equal(kept[i][k], i & 0xff);
}

static void gives_blocks_larger_than_any_before(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    char *large = arena_alloc(&arena, 5 << 20);
    memset(large, 1, 5 << 20);
    assert_int_equal(*(char *)arena_alloc(&arena, 1), 0);
}

static void refuses_past_its_maximum(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {.max_bytes = 100};
    assert_non_null(arena_try(&arena, 90)); /* 96 with alignment */
    assert_null(arena_try(&arena, 8));
    assert_non_null(arena_try(&arena, 1 - 1));
    struct value_memory memory = arena_memory(&arena);
    assert_null(memory.allocate(memory.context, 50));
}

static void clearing_zeroes_what_is_used_again(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 20; i++) {
            char *piece = arena_alloc(&arena, 999);
            for (int k = 0; k < 999; k++)
                assert_int_equal(piece[k], 0);
            memset(piece, 0xaa, 999);
        }
        arena_clear(&arena);
        assert_int_equal(arena.used_bytes, 0);
    }
}

static void copies_texts(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    assert_string_equal(arena_text(&arena, "abcdef", 3), "abc");
    assert_string_equal(arena_text(&arena, NULL, 0), "");
    assert_string_equal(arena_format(&arena, "%s-%d", "step", 7), "step-7");
}

static void documents_grow(void **state)
{
    (void)state;
    AUTO(arena_fini) struct arena arena = {0};
    struct value list = doc_list(), map = doc_map();
    for (int i = 0; i < 1000; i++)
        doc_add(&arena, &list, value_int(i));
    doc_put(&arena, &map, "items", list);
    doc_put(&arena, &map, "name", doc_format(&arena, "n%d", 5));
    struct value copy = doc_copy(&arena, &map);
    assert_true(value_equal(&map, &copy));
    const struct value *items = value_get(&copy, "items");
    assert_int_equal(items->count, 1000);
    assert_int_equal(items->items[999].integer, 999);
    assert_string_equal(value_get_text(&copy, "name"), "n5");
    doc_add(&arena, &copy.items[1], value_int(-1)); /* a copy grows apart from its original */
    assert_int_equal(value_get(&map, "items")->count, 1000);
    assert_false(value_equal(&map, &copy));
}

static void the_kth_allocation_fails_on_demand(void **state)
{
    (void)state;
    struct err err;
    void *first, *second;
    mem_fail_after(2);
    assert_int_equal(mem_try(10, 8, "rows", &first, &err), OK);
    assert_int_equal(mem_try(10, 8, "rows", &second, &err), E_NOMEM);
    assert_null(second);
    assert_string_equal(err.text, "no memory for rows (10 × 8 bytes)");
    assert_int_equal(mem_try(10, 8, "rows", &second, &err), OK);
    assert_int_equal(mem_try_resize(&second, SIZE_MAX / 4, 8, "rows", &err), E_NOMEM);
    assert_non_null(second);
    mem_free(first);
    mem_free(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_zeroed_aligned_and_stays_put),
        cmocka_unit_test(gives_blocks_larger_than_any_before),
        cmocka_unit_test(refuses_past_its_maximum),
        cmocka_unit_test(clearing_zeroes_what_is_used_again),
        cmocka_unit_test(copies_texts),
        cmocka_unit_test(documents_grow),
        cmocka_unit_test(the_kth_allocation_fails_on_demand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
