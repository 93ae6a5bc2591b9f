// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/base/rng.h"

enum { ENTRIES = 5000 };

static void test_comes_out_in_order(void **state)
{
    (void)state;
    struct heap heap = {0};
    struct rng rng = rng_seed(3);
    for (uint32_t i = 0; i < ENTRIES; i++)
        heap_push(&heap, (struct heap_entry){rng_below(&rng, 50), rng_below(&rng, 5), i});
    struct heap_entry before = heap_pop(&heap);
    for (uint32_t i = 1; i < ENTRIES; i++) {
        struct heap_entry entry = heap_pop(&heap);
        assert_true(entry.major >= before.major);
        if (entry.major == before.major)
            assert_true(entry.minor >= before.minor);
        if (entry.major == before.major && entry.minor == before.minor)
            assert_true(entry.item > before.item);
        before = entry;
    }
    assert_int_equal(heap.count, 0);
    heap_fini(&heap);
}

static void test_pushes_between_pops(void **state)
{
    (void)state;
    struct heap heap = {0};
    heap_push(&heap, (struct heap_entry){.major = 30, .item = 3});
    heap_push(&heap, (struct heap_entry){.major = 10, .item = 1});
    assert_int_equal(heap_pop(&heap).item, 1);
    heap_push(&heap, (struct heap_entry){.major = 20, .item = 2});
    heap_push(&heap, (struct heap_entry){.major = UINT64_MAX, .item = 4});
    assert_int_equal(heap_pop(&heap).item, 2);
    assert_int_equal(heap_top(&heap)->item, 3);
    assert_int_equal(heap_pop(&heap).item, 3);
    assert_int_equal(heap_pop(&heap).item, 4);
    heap_fini(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_out_in_order),
        cmocka_unit_test(test_pushes_between_pops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
