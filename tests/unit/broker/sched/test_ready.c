// SPDX-License-Identifier: Apache-2.0
#include "broker/sched/ready.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "broker/sched/core.h"
#include "common/base/mem.h"

enum { TASKS = 2000, RANKS = 50 };

struct fixture {
    struct ready_pool pool;
    struct ready_queue queue;
    struct task tasks[TASKS];
};

static struct fixture *begin(void)
{
    return mem_alloc(sizeof(struct fixture));
}

static void end(struct fixture *f)
{
    ready_fini(&f->pool, &f->queue);
    ready_pool_fini(&f->pool);
    mem_free(f);
}

static void push(struct fixture *f, uint32_t task, uint32_t rank)
{
    f->tasks[task].rank = rank;
    ready_push(&f->pool, &f->queue, f->tasks, task);
}

static uint32_t take(struct fixture *f)
{
    uint32_t task = ready_first(&f->pool, &f->queue);
    ready_remove(&f->pool, &f->queue, f->tasks, task);
    return task;
}

static void test_what_comes_back_is_older(void **state)
{
    (void)state;
    struct fixture *f = begin();
    push(f, 0, 1);
    push(f, 1, 1);
    f->tasks[2].rank = f->tasks[3].rank = 1;
    f->tasks[4].rank = 9;
    ready_push_first(&f->pool, &f->queue, f->tasks, 2);
    ready_push_first(&f->pool, &f->queue, f->tasks, 3);
    ready_push_first(&f->pool, &f->queue, f->tasks, 4);
    static const uint32_t order[] = {4, 3, 2, 0, 1};
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(take(f), order[i]);
    assert_int_equal(f->queue.count, 0);
    end(f);
}

static void test_longest_path_first_then_age(void **state)
{
    (void)state;
    struct fixture *f = begin();
    push(f, 3, 1);
    push(f, 2, 5);
    push(f, 1, 1);
    push(f, 0, 5);
    assert_int_equal(take(f), 2);
    assert_int_equal(take(f), 0);
    assert_int_equal(take(f), 3);
    assert_int_equal(take(f), 1);
    assert_int_equal(f->queue.count, 0);
    end(f);
}

static void test_taken_from_the_middle(void **state)
{
    (void)state;
    struct fixture *f = begin();
    for (uint32_t i = 0; i < 5; i++)
        push(f, i, 7);
    ready_remove(&f->pool, &f->queue, f->tasks, 2);
    ready_remove(&f->pool, &f->queue, f->tasks, 0);
    ready_remove(&f->pool, &f->queue, f->tasks, 4);
    assert_int_equal(take(f), 1);
    push(f, 0, 7); /* it comes back behind the others */
    assert_int_equal(take(f), 3);
    assert_int_equal(take(f), 0);
    end(f);
}

static void test_buckets_are_used_again(void **state)
{
    (void)state;
    struct fixture *f = begin();
    for (uint32_t i = 0; i < 1000; i++) {
        push(f, 0, i);
        assert_int_equal(take(f), 0);
        push(f, 1, 0); /* makes the empty bucket come to the top */
        assert_int_equal(take(f), 1);
    }
    assert_true(f->pool.bucket_count < 10);
    end(f);
}

/* Against the plainest model: scan for the highest rank, oldest first. */
static void test_random_against_a_scan(void **state)
{
    (void)state;
    struct fixture *f = begin();
    uint32_t age[TASKS] = {0}, clock = 0;
    struct rng rng = rng_seed(5);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t task = rng_below(&rng, TASKS);
        if (!age[task]) {
            push(f, task, rng_below(&rng, RANKS));
            age[task] = ++clock;
        } else if (rng_below(&rng, 2)) {
            ready_remove(&f->pool, &f->queue, f->tasks, task);
            age[task] = 0;
        } else {
            uint32_t best = NONE;
            for (uint32_t j = 0; j < TASKS; j++)
                if (age[j] && (best == NONE || f->tasks[j].rank > f->tasks[best].rank ||
                               (f->tasks[j].rank == f->tasks[best].rank && age[j] < age[best])))
                    best = j;
            assert_int_equal(take(f), best);
            age[best] = 0;
        }
    }
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longest_path_first_then_age),
        cmocka_unit_test(test_what_comes_back_is_older),
        cmocka_unit_test(test_taken_from_the_middle),
        cmocka_unit_test(test_buckets_are_used_again),
        cmocka_unit_test(test_random_against_a_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
