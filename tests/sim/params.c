/* What a history is made from. */
// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/world.h"

struct params params_of_seed(uint64_t seed)
{
    struct rng rng = rng_seed(mix(seed, 99));
    struct params params = {.seed = seed, .fault_max = UINT32_MAX};
    params.units = chance(&rng, 20) ? between(&rng, 1, 6) : between(&rng, 4, 40);
    params.runs = between(&rng, 1, 5);
    params.places = between(&rng, 1, 5);
    params.faulty_ms = between(&rng, 500, 12000);
    /* Few kinds of faults at a time find what all together bury. */
    switch (rng_below(&rng, 4)) {
    case 0: params.faults = (uint32_t)rng_next(&rng) & FAULTS_ALL; break;
    case 1:
        params.faults = (uint32_t)(rng_next(&rng) & rng_next(&rng) & rng_next(&rng)) & FAULTS_ALL;
        break;
    case 2: params.faults = FAULTS_ALL; break;
    default: params.faults = UINT32_C(1) << rng_below(&rng, FAULT_COUNT); break;
    }
    return params;
}

void params_print(const struct params *params, struct buf *out)
{
    buf_format(out, "--seed %llu --units %u --runs %u --places %u --faults 0x%x --ms %u",
               (unsigned long long)params->seed, params->units, params->runs, params->places,
               params->faults, params->faulty_ms);
    if (params->fault_max != UINT32_MAX)
        buf_format(out, " --fault-max %u", params->fault_max);
    for (uint32_t i = 0; i < params->skip_count; i++)
        buf_format(out, " --skip %u", params->skips[i]);
}
