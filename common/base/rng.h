/* Reproducible random numbers. xoshiro256** for our own draws; MT19937 with NumPy's legacy seeding
 * and bounded draws, where the same rows as scikit-learn's must come out. Sources: Blackman, Vigna,
 * "Scrambled linear pseudorandom number generators" (2021), xoshiro256** 1.0, seeded by splitmix64;
 * Matsumoto, Nishimura, "Mersenne Twister" (1998), init_genrand; NumPy legacy-distributions.c,
 * random_interval (masked rejection of 32-bit draws); Lemire, "Fast random integer generation in an
 * interval" (2019). */
// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

struct rng {
    uint64_t state[4];
};

struct rng rng_seed(uint64_t seed);
uint64_t rng_next(struct rng *rng);
/* Uniform in [0, bound); bound ≥ 1. */
uint32_t rng_below(struct rng *rng, uint32_t bound);
/* Uniform in [0, 1) with 53 bits. */
double rng_real(struct rng *rng);

struct mt19937 {
    uint32_t state[624];
    uint32_t at;
};

void mt19937_seed(struct mt19937 *mt, uint32_t seed);
uint32_t mt19937_next(struct mt19937 *mt);
/* Uniform in [0, max], as numpy.random.RandomState draws it. */
uint32_t mt19937_interval(struct mt19937 *mt, uint32_t max);
/* RandomState.permutation's in-place shuffle: Fisher-Yates from the end. */
void mt19937_shuffle(struct mt19937 *mt, uint32_t *items, uint32_t count);
