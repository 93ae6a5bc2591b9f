// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/block.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/base/rng.h"

static void lengths_waste_little_and_are_few(void **state)
{
    (void)state;
    uint32_t lengths = 0, before = 0;
    for (uint32_t count = 1; count < 200000; count++) {
        uint32_t length = block_length(count);
        assert_true(length >= count);
        assert_true(count > 16 ? length - count < count / 8 + 1 : length == count);
        assert_true(length >= before);
        assert_int_equal(block_length(length), length);
        lengths += length != before;
        before = length;
    }
    assert_true(lengths < 140);
    assert_true(block_length(UINT32_C(0x7fffffff)) == UINT32_C(0x80000000));
}

enum { ITEMS = 4096, BLOCKS = 200 };

/* Takes and gives at random: blocks that are out never overlap. */
static void blocks_do_not_overlap(void **state)
{
    (void)state;
    static uint32_t items[ITEMS * 8], owner[ITEMS * 8];
    struct {
        uint32_t at, count;
    } out[BLOCKS] = {{0, 0}};
    struct block_pool pool = {{0}};
    struct rng rng = rng_seed(5);
    uint32_t used = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t k = rng_below(&rng, BLOCKS);
        if (out[k].count) {
            for (uint32_t j = 0; j < out[k].count; j++) {
                assert_int_equal(owner[out[k].at + j], k);
                owner[out[k].at + j] = BLOCKS;
            }
            block_give(&pool, items, sizeof *items, out[k].at, out[k].count);
            out[k].count = 0;
            continue;
        }
        out[k].count = 1 + rng_below(&rng, 40);
        out[k].at = block_take(&pool, items, sizeof *items, out[k].count);
        if (out[k].at == UINT32_MAX) {
            out[k].at = used;
            used += block_length(out[k].count);
            assert_true(used <= sizeof items / sizeof *items); /* given ones are used again */
        }
        for (uint32_t j = 0; j < out[k].count; j++)
            owner[out[k].at + j] = k;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_waste_little_and_are_few),
        cmocka_unit_test(blocks_do_not_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
