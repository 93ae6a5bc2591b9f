// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/id_map.h"
#include "common/base/mem.h"
#include "common/base/rng.h"

enum { IDS = 600, STEPS = 60000 };

static const struct id *id_at(const void *context, uint32_t index)
{
    return (const struct id *)context + index;
}

/* Few different hashes, so that probe runs are long, meet, and wrap around the end of the table. */
static void make_ids(struct id *ids, uint64_t hash_count)
{
    struct rng rng = rng_seed(7);
    for (uint32_t i = 0; i < IDS; i++) {
        uint64_t hash = UINT64_MAX - rng_next(&rng) % hash_count;
        memset(&ids[i], 0, sizeof ids[i]);
        memcpy(ids[i].bytes, &hash, sizeof hash);
        memcpy(ids[i].bytes + 16, &i, sizeof i);
    }
}

static void check_all(const struct id_map *map, const struct id *ids, const bool *model)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < IDS; i++) {
        id_map_prefetch(map, &ids[i]);
        assert_int_equal(id_map_get(map, &ids[i]), model[i] ? i : ID_MAP_NONE);
        uint32_t guess = id_map_guess(map, &ids[i]);
        assert_true(guess == ID_MAP_NONE ? !model[i] : model[guess]); /* never one that is gone */
        count += model[i];
    }
    assert_int_equal(map->count, count);
}

static void against_model(uint64_t hash_count)
{
    static struct id ids[IDS];
    bool model[IDS] = {false};
    make_ids(ids, hash_count);
    struct id_map map = id_map_init(id_at, ids);
    struct rng rng = rng_seed(hash_count);
    for (int step = 0; step < STEPS; step++) {
        uint32_t i = rng_below(&rng, IDS);
        /* Waves of growth and of decay, so that the table is seen at every load. */
        bool wants = rng_below(&rng, 10) < (step / 5000 % 2 ? 2u : 8u);
        if (wants && !model[i])
            id_map_put(&map, &ids[i], i);
        if (!wants)
            id_map_remove(&map, &ids[i]); /* an absent one, too */
        model[i] = wants || (model[i] && wants);
        assert_int_equal(id_map_get(&map, &ids[i]), model[i] ? i : ID_MAP_NONE);
        if (step % 997 == 0)
            check_all(&map, ids, model);
    }
    check_all(&map, ids, model);
    id_map_fini(&map);
}

static void agrees_with_a_model_uniform(void **state)
{
    (void)state;
    against_model(UINT64_MAX);
}

static void agrees_with_a_model_colliding(void **state)
{
    (void)state;
    against_model(40);
    against_model(3);
}

static void is_empty_at_first(void **state)
{
    (void)state;
    struct id id = {{1}};
    struct id_map map = id_map_init(id_at, &id);
    assert_int_equal(id_map_get(&map, &id), ID_MAP_NONE);
    id_map_remove(&map, &id);
    id_map_reserve(&map, 1000);
    assert_int_equal(id_map_get(&map, &id), ID_MAP_NONE);
    uint32_t mask = map.now.mask;
    id_map_put(&map, &id, 0);
    assert_int_equal(map.now.mask, mask);
    assert_true((uint64_t)mask + 1 >= 1500);
    id_map_fini(&map);
}

/* Large tables move over while they are in use. */
static void grows_bit_by_bit(void **state)
{
    (void)state;
    enum { MANY = 200000 };
    struct id *ids = mem_alloc(MANY * sizeof *ids);
    uint8_t *is_in = mem_alloc(MANY);
    struct rng rng = rng_seed(3);
    struct id_map map = id_map_init(id_at, ids);
    bool was_moving = false;
    for (uint32_t i = 0; i < MANY; i++) {
        for (uint32_t k = 0; k < ID_BYTES; k += 8)
            memcpy(ids[i].bytes + k, &(uint64_t){rng_next(&rng)}, 8);
        id_map_put(&map, &ids[i], i);
        is_in[i] = 1;
        was_moving |= map.old.slots != NULL;
        uint32_t some = rng_below(&rng, i + 1);
        assert_int_equal(id_map_get(&map, &ids[some]), is_in[some] ? some : ID_MAP_NONE);
        if (i % 3)
            continue;
        id_map_remove(&map, &ids[some]); /* an absent one, too */
        is_in[some] = 0;
        assert_int_equal(id_map_get(&map, &ids[some]), ID_MAP_NONE);
    }
    assert_true(was_moving);
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(id_map_get(&map, &ids[i]), is_in[i] ? i : ID_MAP_NONE);
    id_map_clear(&map);
    assert_int_equal(id_map_get(&map, &ids[MANY - 1]), ID_MAP_NONE);
    id_map_fini(&map);
    mem_free(ids);
    mem_free(is_in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_empty_at_first),
        cmocka_unit_test(agrees_with_a_model_uniform),
        cmocka_unit_test(agrees_with_a_model_colliding),
        cmocka_unit_test(grows_bit_by_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
