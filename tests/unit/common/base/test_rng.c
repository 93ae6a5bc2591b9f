// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"

/* The reference implementation's first outputs from the state {1, 2, 3, 4}. */
static void xoshiro_known_outputs(void **state)
{
    (void)state;
    static const uint64_t expected[] = {
        11520, 0, 1509978240, 1215971899390074240u, 1216172134540287360u, 607988272756665600u};
    struct rng rng = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_true(rng_next(&rng) == expected[i]);
}

/* splitmix64's published outputs for the seed 1234567. */
static void seeding_known_outputs(void **state)
{
    (void)state;
    struct rng rng = rng_seed(1234567);
    assert_true(rng.state[0] == 6457827717110365317u);
    assert_true(rng.state[1] == 3203168211198807973u);
    rng = rng_seed(42);
    assert_true(rng_next(&rng) == 0x15780b2e0c2ec716u);
    assert_true(rng_next(&rng) == 0x6104d9866d113a7eu);
}

static void bounded_draws_are_uniform(void **state)
{
    (void)state;
    struct rng rng = rng_seed(3);
    uint32_t counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint32_t draw = rng_below(&rng, 7);
        assert_true(draw < 7);
        counts[draw]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 7; i++)
        chi2 += ((double)counts[i] - 10000) * ((double)counts[i] - 10000) / 10000;
    assert_true(chi2 < 22.5); /* 6 degrees of freedom, p = 0.001 */
    for (int i = 0; i < 100; i++)
        assert_int_equal(rng_below(&rng, 1), 0);
    for (int i = 0; i < 1000; i++) {
        double real = rng_real(&rng);
        assert_true(real >= 0 && real < 1);
    }
}

/* numpy.random.RandomState(seed).randint(0, 2**32, dtype=uint32). */
static void mt19937_equals_numpy(void **state)
{
    (void)state;
    static const struct {
        uint32_t seed, first[5];
    } known[] = {
        {0, {2357136044u, 2546248239u, 3071714933u, 3626093760u, 2588848963u}},
        {42, {1608637542u, 3421126067u, 4083286876u, 787846414u, 3143890026u}},
        {4294967295u, {419326371u, 479346978u, 3918654476u, 2416749639u, 3388880820u}},
    };
    struct mt19937 mt;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        mt19937_seed(&mt, known[i].seed);
        for (int k = 0; k < 5; k++)
            assert_int_equal(mt19937_next(&mt), known[i].first[k]);
    }
    mt19937_seed(&mt, 5489);
    assert_int_equal(mt19937_next(&mt), 3499211612u);
    for (int i = 2; i < 1000; i++)
        mt19937_next(&mt);
    assert_int_equal(mt19937_next(&mt), 1341017984u); /* past the first refill */
}

static void permute(uint32_t seed, uint32_t *items, uint32_t count)
{
    struct mt19937 mt;
    mt19937_seed(&mt, seed);
    for (uint32_t i = 0; i < count; i++)
        items[i] = i;
    mt19937_shuffle(&mt, items, count);
}

/* numpy.random.RandomState(seed).permutation(n). */
static void shuffles_equal_numpy(void **state)
{
    (void)state;
    static const uint32_t of_10[] = {8, 1, 5, 0, 7, 2, 9, 4, 3, 6},
                          zero_10[] = {2, 8, 4, 9, 1, 6, 7, 3, 0, 5},
                          of_150[] = {73, 18, 118, 78, 76, 31, 64, 141, 68, 82};
    uint32_t items[1000];
    permute(42, items, 10);
    assert_memory_equal(items, of_10, sizeof of_10);
    permute(0, items, 10);
    assert_memory_equal(items, zero_10, sizeof zero_10);
    permute(42, items, 150);
    assert_memory_equal(items, of_150, sizeof of_150);
    permute(42, items, 1000);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 1000; i++)
        sum += (uint64_t)i * items[i];
    assert_int_equal(sum, 251374799);
    permute(1, items, 1);
    assert_int_equal(items[0], 0);
    permute(1, items, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xoshiro_known_outputs),     cmocka_unit_test(seeding_known_outputs),
        cmocka_unit_test(bounded_draws_are_uniform), cmocka_unit_test(mt19937_equals_numpy),
        cmocka_unit_test(shuffles_equal_numpy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
