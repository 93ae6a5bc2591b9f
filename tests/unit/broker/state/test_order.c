// SPDX-License-Identifier: Apache-2.0
#include "broker/state/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/rng.h"

enum { COUNT = 5000 };

static void assert_sorted(struct ordered *items, const uint64_t *keys, size_t count)
{
    static struct ordered scratch[COUNT];
    order_sort(items, scratch, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(items[i].key, keys[items[i].index]);
        if (i)
            assert_true(items[i - 1].key < items[i].key ||
                        (items[i - 1].key == items[i].key && items[i - 1].index < items[i].index));
    }
}

/* Keys of one byte up to eight, with many twins and with none. */
static void test_sorts_stably(void **state)
{
    (void)state;
    static struct ordered items[COUNT];
    static uint64_t keys[COUNT];
    struct rng rng = rng_seed(7);
    for (uint32_t bits = 1; bits <= 64; bits += 7) {
        for (uint32_t i = 0; i < COUNT; i++) {
            keys[i] = rng_next(&rng) >> (64 - bits);
            items[i] = (struct ordered){keys[i], i};
        }
        assert_sorted(items, keys, COUNT);
    }
}

static void test_sorts_nothing_and_one(void **state)
{
    (void)state;
    struct ordered item = {5, 0}, scratch;
    order_sort(&item, &scratch, 0);
    order_sort(&item, &scratch, 1);
    assert_int_equal(item.key, 5);
}

static void test_ids_sort_as_their_bytes(void **state)
{
    (void)state;
    struct id low = {{0x01, 0xff, 0xff, 0xff, 0xff}}, high = {{0x02, 0, 0, 0}};
    assert_true(order_of_id(&low) < order_of_id(&high));
    high.bytes[0] = 0x01;
    assert_true(order_of_id(&low) > order_of_id(&high));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sorts_stably),
                                       cmocka_unit_test(test_sorts_nothing_and_one),
                                       cmocka_unit_test(test_ids_sort_as_their_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
