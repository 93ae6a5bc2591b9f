/* A state and a store live through runs that come and collections that are killed anywhere, or that
 * work beside runs which come meanwhile. Nothing that a run needs is ever lost; in the end all else
 * is gone. */
// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/clock.h"
#include "tests/unit/broker/care/house.h"

enum { LIVES = 12, ROUNDS = 10, KILL_US_MAX = 12000, PARAMETERS = 4 };

struct life {
    struct house *house;
    struct rng rng;
    const char *runs[HOUSE_RUNS_MAX];
    bool is_open[HOUSE_RUNS_MAX];
    uint32_t run_count;
    bool has_open_runs;
};

/* Few parameters, so that runs share tasks: most are hits. */
static const char *add_run(struct life *life)
{
    struct house_run run = {.pipeline = rng_below(&life->rng, 2) ? "p" : "q",
                            .seed = rng_below(&life->rng, PARAMETERS),
                            .width = 1 + rng_below(&life->rng, 3)};
    run.is_open = run.is_begun_only = life->has_open_runs && rng_below(&life->rng, 4) == 0;
    const char *id = house_add(life->house, &run);
    life->is_open[life->run_count] = run.is_open;
    life->runs[life->run_count++] = id;
    return id;
}

static void check_runs(struct life *life, uint64_t seed, int round)
{
    for (uint32_t i = 0; i < life->run_count; i++) {
        bool is_there = house_has_run(life->house, life->runs[i]);
        if (!is_there && life->is_open[i])
            fail_msg("life %llu, round %d: the open run %s is gone", (unsigned long long)seed,
                     round, life->runs[i]);
        if (is_there && !house_is_whole(life->house, life->runs[i], life->is_open[i]))
            fail_msg("life %llu, round %d: run %s: %s", (unsigned long long)seed, round,
                     life->runs[i], house_err.text);
    }
}

static struct collect_options options_of(struct life *life)
{
    return (struct collect_options){
        .has_keep = true, .keep = rng_below(&life->rng, 4), .now_us = clock_epoch_us()};
}

/* Does something in a process of its own; it is killed after a while, or not. */
static void in_process(struct life *life, bool is_killed,
                       int (*work)(struct house *house, const struct collect_options *options),
                       const struct collect_options *options, void (*meanwhile)(struct life *life))
{
    uint32_t wait_us = rng_below(&life->rng, KILL_US_MAX);
    fflush(stdout);
    fflush(stderr);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(work(life->house, options));
    if (meanwhile)
        meanwhile(life);
    if (is_killed) {
        usleep(wait_us);
        kill(child, SIGKILL);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!is_killed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
        fail_msg("the collecting process ended with status %d", status);
}

/* ---- killed anywhere ---- */

static int collect_all(struct house *house, const struct collect_options *options)
{
    struct house own = *house; /* the parent has closed its state */
    house_open_state(&own);
    if (store_open(house_at(&own, "store"), &own.store, NULL) != OK)
        return 1;
    house_collect(&own, options);
    house_close_state(&own);
    return 0;
}

static void collect_and_kill(struct life *life)
{
    const struct collect_options options = options_of(life);
    house_close_state(life->house);
    in_process(life, true, collect_all, &options, NULL);
    house_open_state(life->house);
}

/* ---- beside runs that come ---- */

static int sweep_as_reader(struct house *house, const struct collect_options *options)
{
    (void)options;
    struct state *state;
    struct store *store;
    struct collect_swept swept;
    const struct state_options reader = {.url = house_at(house, "state"), .mode = STATE_READ};
    const struct collect_sweep sweep = {.now_s = (int64_t)time(NULL), .removes = true};
    if (state_open(&reader, &state, NULL) != OK ||
        store_open(house_at(house, "store"), &store, NULL) != OK)
        return 1;
    return collect_sweep(state, store, &sweep, &swept, NULL) == OK ? 0 : 2;
}

static void add_runs(struct life *life)
{
    for (uint32_t i = rng_below(&life->rng, 3); i > 0; i--)
        add_run(life);
}

/* As the broker's loop does it: what came to be needed since the plan is spared. */
static void collect_beside(struct life *life)
{
    AUTO(collect_plan_fini) struct collect_plan plan = {0};
    AUTO(id_set_fini) struct id_set spared = {0};
    collect_plan_init(&plan);
    id_set_init(&spared);
    const struct collect_options options = options_of(life);
    assert_int_equal(
        collect_make_plan(life->house->state, life->house->store, &options, &plan, &house_err), OK);
    uint32_t first = life->run_count;
    add_runs(life);
    for (uint32_t i = first; i < life->run_count; i++)
        house_add_tasks(life->house, life->runs[i], &spared);
    house_remove(life->house, &plan, &spared, 3);
    in_process(life, rng_below(&life->rng, 2), sweep_as_reader, &options, add_runs);
}

static void live(struct house *house, uint64_t seed)
{
    struct life life = {.house = house, .rng = rng_seed(seed), .has_open_runs = seed % 2 == 0};
    for (int round = 0; round < ROUNDS; round++) {
        add_run(&life);
        add_runs(&life);
        house_make_old(house);
        if (rng_below(&life.rng, 2))
            collect_and_kill(&life);
        else
            collect_beside(&life);
        check_runs(&life, seed, round);
    }
    house_make_old(house);
    house_collect(house, &(struct collect_options){.has_keep = true, .now_us = clock_epoch_us()});
    check_runs(&life, seed, ROUNDS);
    if (!life.has_open_runs) {
        assert_int_equal(house_record_count(house), 0);
        assert_int_equal(house_blob_count(house), 0);
    }
}

static void nothing_needed_is_lost_and_the_rest_goes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= LIVES; seed++) {
        void *house;
        assert_int_equal(house_setup(&house), 0);
        live(house, seed);
        assert_int_equal(house_teardown(&house), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_needed_is_lost_and_the_rest_goes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
